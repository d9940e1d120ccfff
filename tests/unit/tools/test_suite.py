"""Counting, and what a command line selects."""

import json
from pathlib import Path

import pytest
import yaml

from testbed import paths, steps, suite

ROOT = Path(__file__).resolve().parents[3]
# Seconds that the whole suite may take, as CONTRIBUTING.md says.
BUDGET = 50 * 60

REPORT = '<testsuites><testsuite tests="{}" failures="{}" errors="{}" skipped="{}"/></testsuites>'


@pytest.mark.parametrize(
    ("status", "numbers", "expected"),
    [
        (0, (10, 0, 0, 0), (10, 0)),
        (0, (10, 0, 0, 2), (8, 0)),
        (1, (10, 1, 2, 3), (4, 3)),
        # Ended by something that the report does not show.
        (3, (10, 0, 0, 0), (10, 1)),
    ],
)
def test_junit(status, numbers, expected):
    assert suite.junit(status, REPORT.format(*numbers)) == expected


def test_a_run_without_a_report_failed():
    assert suite.junit(4, "") == (0, 1)


TAP = """\
TAP version 13
    # Subtest: inner
    ok 1 - inner
ok 1 - outer
# tests 4
# pass {}
# fail {}
# cancelled {}
"""


@pytest.mark.parametrize(
    ("status", "printed", "expected"),
    [
        (0, TAP.format(4, 0, 0), (4, 0)),
        (1, TAP.format(2, 1, 1), (2, 2)),
        # Ended by something that the counts do not show.
        (1, TAP.format(4, 0, 0), (4, 1)),
        (1, "error TS2322", (0, 1)),
    ],
)
def test_tap(status, printed, expected):
    assert suite.tap(status, printed) == expected


RAN = """\
Running sanity test "compile" on Python 3.11
Running sanity test "import" on Python 3.11
Running sanity test "pep8"
"""
LISTED = (
    "FATAL: The 2 sanity test(s) listed below (out of 3) failed. See error output above for details.\ncompile\npep8\n"
)


@pytest.mark.parametrize(
    ("status", "printed", "expected"),
    [
        (0, RAN, (3, 0)),
        (0, RAN + 'WARNING: Required program "pwsh" not found.\n', (2, 0)),
        (1, RAN + LISTED, (1, 2)),
        (1, RAN, (2, 1)),
        (1, "", (0, 1)),
        (0, "", (0, 0)),
    ],
)
def test_sanity(status, printed, expected):
    assert suite.sanity(status, printed) == expected


@pytest.mark.parametrize(("status", "expected"), [(0, (1, 0)), (2, (0, 1))])
def test_one(status, expected):
    assert suite.one(status, "") == expected


DETAILS = """
DETAILS
ufw > converge: Executed: Successful
ufw > verify: Executed: {}
"""


@pytest.mark.parametrize(
    ("status", "printed", "expected"),
    [
        (0, DETAILS.format("Successful"), (1, 0)),
        (1, DETAILS.format("Successful"), (0, 1)),
        (0, DETAILS.format("Missing playbook (Remove from test_sequence to suppress)"), (0, 1)),
        (0, "", (0, 1)),
    ],
)
def test_molecule(status, printed, expected):
    assert suite.molecule(status, printed) == expected


@pytest.fixture
def two_scenarios(monkeypatch):
    monkeypatch.setattr(suite, "scenarios", lambda: ["default", "ufw"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (("unit", "lint", "sanity", "molecule"), ["default", "ufw"])),
        (["lint"], (("lint",), ["default", "ufw"])),
        (["molecule"], (("molecule",), ["default", "ufw"])),
        (["molecule", "ufw"], (("molecule",), ["ufw"])),
    ],
)
def test_select(two_scenarios, arguments, expected):
    assert suite.select(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["molecule", "fw"], "no scenario fw: there are default, ufw"), (["lint", "ufw"], "usage"), (["units"], "usage")],
)
def test_select_refuses(two_scenarios, arguments, message):
    with pytest.raises(steps.Failure, match=message):
        suite.select(arguments)


def test_a_scenario_is_a_folder_with_a_configuration(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for name in ("ufw/molecule.yml", "base/create.yml", "default/molecule.yml"):
        (tmp_path / "molecule" / name).parent.mkdir(parents=True)
        (tmp_path / "molecule" / name).touch()
    assert suite.scenarios() == ["default", "ufw"]


def test_a_part_is_expected_to_take_what_it_took_here_else_what_it_costs_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "COSTS", tmp_path / "costs.json")
    monkeypatch.setattr(suite, "DURATIONS", tmp_path / "durations.json")
    suite.COSTS.write_text('{"molecule ufw": 300, "sanity": 100}')
    assert suite.expected_durations() == {"molecule ufw": 300, "sanity": 100}
    suite.DURATIONS.write_text('{"molecule ufw": 12.5, "unit": 9}')
    assert suite.expected_durations() == {"molecule ufw": 12.5, "sanity": 100, "unit": 9}


def test_every_scenario_says_what_it_costs_and_the_whole_stays_in_its_budget():
    costs = json.loads(suite.COSTS.read_text())
    scenarios = {name.split(" ", 1)[1] for name in costs if name.startswith("molecule ")}
    assert scenarios == set(suite.scenarios())
    assert sum(costs.values()) / suite.WORKERS <= BUDGET


def test_the_table_begins_with_what_took_longest():
    printed = suite.table({"unit": 20.0, "molecule deploy": 600.0, "lint": 3.5})
    assert [line.split("  ")[1] for line in printed.splitlines()] == ["molecule deploy", "unit", "lint", "added up"]
    assert printed.splitlines()[0].endswith("10 min 0 s")
    assert printed.splitlines()[-1].endswith("10 min 24 s")


def sequence(scenario):
    """The steps of a scenario, as Molecule takes them."""
    base, own = (
        yaml.safe_load(path.read_text()) or {}
        for path in (ROOT / ".config" / "molecule" / "config.yml", ROOT / "molecule" / scenario / "molecule.yml")
    )
    return own.get("scenario", {}).get("test_sequence") or base["scenario"]["test_sequence"]


@pytest.mark.parametrize("step", ["idempotence", "side_effect"])
@pytest.mark.parametrize(
    "role", ["aws_ingress", "nginx_proxy", "pm2_app", "static_app", "tls_certificate", "ufw", "uvicorn_app"]
)
def test_a_second_run_and_check_mode_of_each_role_are_tested_somewhere(role, step):
    """Not in every scenario: a run costs half a minute. The scenario of a role's name begins with a host on which it never ran."""
    assert step in sequence(role)
    converge = (ROOT / "molecule" / role / "converge.yml").read_text()
    assert f"gatehouse.webapp.{role}" in converge or "site.yml" in converge


@pytest.mark.parametrize("step", ["idempotence", "side_effect"])
def test_a_second_run_and_check_mode_of_the_whole_site_are_tested(step):
    assert step in sequence("default")


@pytest.fixture
def runner(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LOGS", tmp_path)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(suite, "DURATIONS", tmp_path / "durations.json")
    return suite.Runner(str(tmp_path))


def test_a_runner_adds_up_and_shows_the_log_of_a_failure(runner, tmp_path, capsys):
    runner.submit(
        [
            suite.Job("good", ("true",), suite.one, cwd=tmp_path),
            suite.Job("bad", ("sh", "-c", "echo why; exit 3"), suite.one, cwd=tmp_path),
            suite.Job("many", ("true",), lambda status, printed: (5, 0), cwd=tmp_path),
        ]
    )
    runner.wait()
    printed = capsys.readouterr().out
    assert (runner.passed, runner.failed) == (6, 1)
    assert "[many] 5 passed, 0 failed in" in printed
    assert "--- the end of bad.log\nwhy\n---" in printed
    assert set(suite.read_durations()) == {"good", "bad", "many"}
    assert set(runner.measured) == {"good", "bad", "many"}


def test_a_command_that_is_missing_counts_as_failed(runner, tmp_path, capsys):
    runner.submit([suite.Job("gone", (str(tmp_path / "no-such-tool"),), suite.one, cwd=tmp_path)])
    runner.wait()
    assert (runner.passed, runner.failed) == (0, 1)
    assert "[gone] FileNotFoundError" in capsys.readouterr().out


def test_the_copy_for_sanity_tests_is_the_work_tree(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name, text in ((".gitignore", "/ignored/\n"), ("a/new.py", "x"), ("ignored/x", "x"), (".git/config", "")):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    (source / "link").symlink_to("a/new.py")
    suite.copy_tree(source, tmp_path / "target", tmp_path / "git")
    assert sorted(path.name for path in (tmp_path / "target").iterdir()) == [".gitignore", "a", "link"]
    assert (tmp_path / "target" / "a" / "new.py").read_text() == "x"
    assert (tmp_path / "target" / "link").is_symlink()


def test_the_images_are_those_of_the_scenarios_hosts(tmp_path, monkeypatch):
    monkeypatch.setattr(suite.paths, "ROOT", tmp_path)
    for name, text in (("a", "---\n{}\n"), ("b", "platforms:\n  - name: x\n    suite: trixie\n")):
        (tmp_path / "molecule" / name).mkdir(parents=True)
        (tmp_path / "molecule" / name / "molecule.yml").write_text(text)
    assert suite.suites(["a"]) == ["bookworm"]
    assert suite.suites(["a", "b"]) == ["bookworm", "trixie"]
