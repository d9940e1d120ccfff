"""The virtual environment with the pinned tools, and the link under which Ansible finds the collection."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys

from . import machine, paths, steps

REQUIREMENTS = paths.ROOT / "tools" / "requirements.txt"
STAMP = paths.VENV / "requirements.sha256"
UV_HOME = paths.CACHE / "uv"
MINIMUM = (3, 11)


def ensure():
    """Make the tools and the link; nothing is done for what is there."""
    link_collection()
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    python = paths.VENV / "bin" / "python"
    working = steps.succeeds([python, "-c", ""])
    if working and STAMP.is_file() and STAMP.read_text().strip() == wanted:
        return
    with steps.stage("tools"):
        uv = find_uv()
        if not working:
            steps.must([uv, "venv", "--clear", "--python", interpreter(), paths.VENV], paths.LOGS / "tools-venv.log")
        environment = {**os.environ, **index_settings()}
        command = [uv, "pip", "install", "--python", python, "--requirements", REQUIREMENTS]
        steps.must(command, paths.LOGS / "tools-install.log", env=environment)
        STAMP.write_text(wanted + "\n")


def interpreter():
    """This Python where Ansible supports it; else a version for uv to find or fetch."""
    return sys.executable if sys.version_info >= MINIMUM else ".".join(map(str, MINIMUM))


def pinned(name, text):
    """The version that a requirements file pins a package to."""
    for line in text.splitlines():
        package, separator, version = line.partition("==")
        if separator and package.strip() == name:
            return version.split()[0]
    raise steps.Failure(f"{REQUIREMENTS} pins no {name}: it needs a line like {name}==1.2.3")


def find_uv():
    """The machine's uv, or one of our own under .cache."""
    found = shutil.which("uv")
    if found:
        return found
    own = UV_HOME / "bin" / "uv"
    if not own.exists():
        if not steps.succeeds([sys.executable, "-c", "import ensurepip, venv"]):
            if not machine.may_install():
                raise steps.Failure(
                    "Python's venv module is missing: install it (Debian and Ubuntu: apt-get install python3-venv)"
                )
            machine.install("python3-venv")
        steps.must([sys.executable, "-m", "venv", UV_HOME], paths.LOGS / "uv-venv.log")
        package = f"uv=={pinned('uv', REQUIREMENTS.read_text())}"
        steps.must([UV_HOME / "bin" / "python", "-m", "pip", "install", package], paths.LOGS / "uv-install.log")
    return str(own)


def index_settings():
    """uv does not read pip's configuration: hand on the package index that it names."""
    if any(name in os.environ for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")):
        return {}
    own = UV_HOME / "bin" / "python"
    python = own if own.exists() else sys.executable
    try:
        return {"UV_DEFAULT_INDEX": steps.output([python, "-m", "pip", "config", "get", "global.index-url"]).strip()}
    except steps.Failure:
        return {}


def link_collection():
    """Ansible finds a collection only under ansible_collections/NAMESPACE/NAME, so the checkout is linked there."""
    link = paths.COLLECTIONS / "ansible_collections" / "gatehouse" / "webapp"
    if link.resolve() == paths.ROOT:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise steps.Failure(f"{link} is a copy of the collection and would hide this checkout: remove it")
    link.symlink_to(os.path.relpath(paths.ROOT, link.parent))


def environment(**extra):
    """The environment every tool runs in: the checkout's own tools, settings and collections, none of a home folder."""
    settings = {
        **os.environ,
        "PATH": f"{paths.VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_CONFIG": str(paths.ROOT / "ansible.cfg"),
        # Linters install collections under this folder. They leave a link alone, so here they find the checkout itself.
        "ANSIBLE_HOME": str(paths.ROOT / ".ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(paths.COLLECTIONS),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "PYTHONUNBUFFERED": "1",
        **extra,
    }
    # The first three would name other tools and modules than the checkout's. Without compiled files, which the last forbids to keep, each
    # run and each task of it compiles all that Ansible is made of.
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"):
        settings.pop(name, None)
    return settings
