"""The two scripts of uvicorn_app: which requirements are installed, and whether a target can be served."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILES = Path(__file__).parents[3] / "roles" / "uvicorn_app" / "files"

APP = """
class FastAPI:
    __module__ = "fastapi.applications"
    def __call__(self): ...
app = FastAPI()
number = 3
"""


def check(tmp_path, target, **environment):
    settings = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "installed"), **environment}
    return subprocess.run(
        [sys.executable, FILES / "check_target.py", target],
        cwd=tmp_path / "source",
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def source(tmp_path):
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "uvicorn.py").write_text("")
    (tmp_path / "source" / "app").mkdir(parents=True)
    (tmp_path / "source" / "app" / "main.py").write_text(APP)
    (tmp_path / "source" / "app" / "needy.py").write_text("import not_installed_anywhere")
    (tmp_path / "source" / "app" / "broken.py").write_text(
        "import os\nprint('noise')\nraise RuntimeError('no ' + os.environ['DSN'])"
    )
    (tmp_path / "source" / "app" / "quits.py").write_text("raise SystemExit(0)")
    return tmp_path


def test_a_target_that_can_be_served_passes_in_silence(source):
    result = check(source, "app.main:app")
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("app.main:application", "has no application. A right one is uvicorn.target: app.main:app."),
        ("app.main:number", "is no ASGI app: it can't be called"),
        ("app.nothing:app", "the target's module app.nothing is not in the source, which holds app."),
        ("nothing:app", "the target's module nothing is not in the source"),
        ("app.needy:app", "app.needy needs the module not_installed_anywhere, which is not installed."),
        ("app.broken:app", "importing app.broken fails with RuntimeError: no <DSN> (app/broken.py, line 3)"),
        ("app.quits:app", "importing app.quits fails with SystemExit"),
    ],
)
def test_a_target_that_can_not_be_served_is_explained(source, target, words):
    result = check(source, target, DSN="mysql://user:password@host/db")
    assert result.returncode == 1
    assert words in result.stdout
    assert "noise" not in result.stdout


def test_uvicorn_must_be_among_the_requirements(source):
    (source / "installed" / "uvicorn.py").unlink()
    settings = {"PATH": os.environ["PATH"]}
    result = subprocess.run(
        # -I and -S: none of the test's own packages, which may hold uvicorn.
        [sys.executable, "-I", "-S", FILES / "check_target.py", "app.main:app"],
        cwd=source / "source",
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "Add uvicorn to the source's requirements" in result.stdout


FAKE = """#!/bin/sh
echo "{name} $*" >> "$LOG"
case "{name} $*" in
"python -m venv --without-pip "*) mkdir -p "$VIRTUAL_ENV/bin" ;;
"python -m venv --clear "*) mkdir -p "$VIRTUAL_ENV/bin" && cp "$FAKES/pip" "$VIRTUAL_ENV/bin/pip" ;;
"python -") printf '%s' "$WHEELS" ;;
"uv pip install --offline "*" broken.whl") exit 1 ;;
"uv pip install --offline "*" useless.whl") ;;
"uv pip install --offline "*) cp "$FAKES/pip" "$VIRTUAL_ENV/bin/pip" ;;
"pip install --quiet uv") cp "$FAKES/uv-source" "$VIRTUAL_ENV/bin/uv" ;;
esac
"""


@pytest.fixture
def install(tmp_path):
    """Run install.sh with pretended tools. Gives its result, and what it called for the environment and then for the requirements."""
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    for file, name in (("python", "python"), ("pip", "pip"), ("uv-source", "uv")):
        (fakes / file).write_text(FAKE.format(name=name))
        (fakes / file).chmod(0o755)
    source = tmp_path / "source"
    source.mkdir()
    log = tmp_path / "log"
    log.write_text("")

    def run(installer, *files, uv=False, wheels=""):
        for name in files:
            (source / name).write_text("")
        if uv:
            (fakes / "uv").write_text(FAKE.format(name="uv"))
            (fakes / "uv").chmod(0o755)
        result = subprocess.run(
            ["/bin/sh", "-s", "python", installer],
            input=(FILES / "install.sh").read_text(),
            cwd=source,
            env={
                "PATH": f"{fakes}:/usr/bin:/bin",
                "VIRTUAL_ENV": str(tmp_path / "venv"),
                "LOG": str(log),
                "FAKES": str(fakes),
                "WHEELS": wheels,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        called = [line.replace(str(tmp_path), "") for line in log.read_text().splitlines() if line != "python -"]
        is_made = [line.startswith("python") or "--offline" in line or line == "pip --version" for line in called]
        made = is_made.index(False) if False in is_made else len(called)
        return result, called[:made], called[made:]

    return run


@pytest.mark.parametrize(
    ("installer", "files", "uv", "called"),
    [
        ("auto", ["requirements.txt"], False, ["pip install --quiet --requirement requirements.txt"]),
        ("auto", ["requirements.txt"], True, ["uv pip install --quiet --requirement requirements.txt"]),
        ("pip", ["requirements.txt"], True, ["pip install --quiet --requirement requirements.txt"]),
        ("auto", ["pyproject.toml"], False, ["pip install --quiet ."]),
        ("auto", ["pyproject.toml", "requirements.txt"], False, ["pip install --quiet --requirement requirements.txt"]),
        (
            "auto",
            ["requirements.txt", "requirements.lock"],
            False,
            ["pip install --quiet --requirement requirements.lock"],
        ),
        ("auto", ["uv.lock", "pyproject.toml"], True, ["uv sync --quiet --frozen --no-dev --inexact"]),
        (
            "auto",
            ["uv.lock", "pyproject.toml"],
            False,
            ["pip install --quiet uv", "uv sync --quiet --frozen --no-dev --inexact"],
        ),
        (
            "uv",
            ["requirements.txt"],
            False,
            ["pip install --quiet uv", "uv pip install --quiet --requirement requirements.txt"],
        ),
    ],
)
def test_the_first_of_the_requirement_files_is_installed(install, installer, files, uv, called):
    result, made, log = install(installer, *files, uv=uv)
    assert result.returncode == 0, result.stderr
    assert made == ["python -m venv --clear /venv"]
    assert log == called


@pytest.mark.parametrize(
    ("installer", "wheels", "made"),
    [
        ("auto", "pip.whl", ["python -m venv --without-pip /venv", "uv pip install --offline --no-deps pip.whl"]),
        (
            "auto",
            "pip.whl\nsetuptools.whl\n",
            ["python -m venv --without-pip /venv", "uv pip install --offline --no-deps pip.whl setuptools.whl"],
        ),
        ("pip", "pip.whl", ["python -m venv --clear /venv"]),
    ],
)
def test_uv_puts_python_s_own_pip_into_the_environment(install, installer, wheels, made):
    result, called, _requirements = install(installer, "requirements.txt", uv=True, wheels=wheels)
    assert result.returncode == 0, result.stderr
    assert [line for line in called if line != "pip --version"] == made


@pytest.mark.parametrize("wheels", ["broken.whl", "useless.whl"], ids=["refused", "does not run"])
def test_python_makes_the_environment_where_uv_can_not(install, wheels):
    result, called, requirements = install("auto", "requirements.txt", uv=True, wheels=wheels)
    assert (result.returncode, result.stderr) == (0, "")
    assert called[-1] == "python -m venv --clear /venv"
    assert requirements == ["uv pip install --quiet --requirement requirements.txt"]


def test_a_source_without_requirements_is_told_what_is_missing(install):
    result, made, log = install("auto")
    assert result.returncode == 1
    assert made + log == []
    for name in ("uv.lock", "requirements.lock", "requirements.txt", "pyproject.toml"):
        assert name in result.stderr
