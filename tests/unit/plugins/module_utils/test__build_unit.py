"""The unit of a build: its command line as text, and what is kept of what it prints. systemd is not asked."""

import functools
import os
import pathlib
import socket
import stat
import subprocess
import sys

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _build_unit
from ansible_collections.gatehouse.webapp.plugins.module_utils._build_unit import (
    TIMED_OUT,
    AppUnit,
    BuildUnit,
    Done,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import parse_environment

SANDBOX = {
    "ProtectSystem": "strict",
    "ProtectProc": "invisible",
    "IPAddressDeny": "any",
    "IPAddressAllow": "localhost",
    "ReadWritePaths": "/var/lib/other",
    "UMask": "0077",
}


class Systemd:
    """What systemctl would say, and what it was told."""

    def __init__(self, version=252):
        self.version = version
        self.told = []

    def __call__(self, argv, seconds):
        self.told.append(argv[1:])
        return 0, "systemd %d (%d.1)\n+PAM" % (self.version, self.version), ""


@pytest.fixture
def unit(tmp_path):
    return BuildUnit("shop", "shop-build", SANDBOX, Systemd(), str(tmp_path / "given"))


def properties(command):
    found = {}
    for word in command:
        if word.startswith("--property="):
            name, _equals, value = word[len("--property=") :].partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_it_works_as_the_build_s_user_and_writes_where_it_may(unit):
    command = unit.command(
        ["make", "$HOME"],
        "/r/src",
        9.5,
        writable=["/r/src", "/r/venv"],
        mounts=[("/given/home", "/cache")],
        hidden=["/hidden"],
    )
    found = properties(command)
    assert found["User"] == found["Group"] == ["shop-build"]
    assert found["WorkingDirectory"] == ["/r/src"]
    assert found["ReadWritePaths"] == ["/r/src", "/r/venv"]
    assert found["BindPaths"] == ["/given/home:/cache"]
    assert found["InaccessiblePaths"] == ["-/run/dbus", "-/run/systemd/private", "-/run/user", "/hidden"]
    assert found["RuntimeMaxSec"] == ["9.500"]
    assert command[command.index("--") + 1 :] == ["make", "$$HOME"]


def test_it_has_the_app_s_sandbox_but_for_its_network_and_folders(unit):
    found = properties(unit.command(["make"], "/r/src", 9))
    assert (found["ProtectSystem"], found["UMask"]) == (["strict"], ["0027"])
    assert not {"IPAddressDeny", "IPAddressAllow", "ReadWritePaths", "StateDirectory"} & set(found)


def test_it_ends_with_all_it_started_and_before_the_apps_where_memory_is_short(unit):
    command = unit.command(["make"], "/r/src", 9)
    found = properties(command)
    assert {"--wait", "--pipe", "--collect", "--unit=gatehouse-build-shop.service"} < set(command)
    assert "KillMode" not in found  # the whole group of processes is systemd's default
    assert found["KillSignal"] == ["SIGKILL"]
    assert (found["OOMScoreAdjust"], found["TasksMax"]) == (["500"], ["4096"])


@pytest.mark.parametrize("kind", [BuildUnit, AppUnit])
@pytest.mark.parametrize(
    "directive",
    [
        "KillMode",
        "SendSIGKILL",
        "Restart",
        "RestartSec",
        "Type",
        "ExecStartPre",
        "TimeoutStopSec",
        "RuntimeMaxSec",
        "User",
        "Environment",
    ],
)
def test_how_the_app_s_service_lives_is_not_how_a_step_does(tmp_path, kind, directive):
    """By a mode of killing a step could go on for ever, by a restart run again and again."""
    unit = kind("shop", "someone", {**SANDBOX, directive: "mine"}, Systemd(), str(tmp_path))
    assert "mine" not in properties(unit.command(["make"], "/r/src", 9)).get(directive, [])


@pytest.mark.parametrize(
    "directive", ["ExecPaths", "NoExecPaths", "RuntimeDirectory", "SystemCallFilter", "ProtectHome"]
)
def test_what_confines_the_app_confines_a_step(tmp_path, directive):
    unit = AppUnit("shop", "shop", {**SANDBOX, directive: "mine"}, Systemd(), str(tmp_path))
    assert properties(unit.command(["make"], "/r/src", 9))[directive] == ["mine"]


def test_what_runs_as_the_app_has_its_user_its_whole_sandbox_and_its_data(tmp_path):
    unit = AppUnit("shop", "old", SANDBOX, Systemd(), str(tmp_path), state="old")
    command = unit.command(["migrate"], "/r/src", 9, files=["/r/env"])
    found = properties(command)
    assert "--unit=gatehouse-run-shop.service" in command
    assert found["User"] == found["Group"] == found["StateDirectory"] == ["old"]
    assert {name: found[name] for name in SANDBOX} == {name: [value] for name, value in SANDBOX.items()}
    assert found["EnvironmentFile"] == ["/r/env"]
    # What is behind the network, and how it ends, is as it is for the app; a build is killed.
    assert not {"InaccessiblePaths", "KillSignal", "OOMScoreAdjust"} & set(found)


@pytest.mark.parametrize(("version", "there"), [(245, False), (247, True), (257, True)])
def test_a_directive_that_is_not_known_yet_is_left_out(tmp_path, version, there):
    unit = BuildUnit("shop", "shop-build", SANDBOX, Systemd(version), str(tmp_path))
    assert ("ProtectProc" in properties(unit.command(["make"], "/r/src", 9))) is there


def test_what_still_goes_on_is_ended_first(unit, monkeypatch):
    monkeypatch.setattr(
        _build_unit, "_stream", lambda _command, _stdin, _seconds: unit._run.told.append(["start"]) or Done(0, "", [])
    )
    unit.run(["make"], "/r/src", 9)
    words = [told[0] for told in unit._run.told]
    assert words[:3] == ["kill", "stop", "reset-failed"]
    assert words[-1] == "start"
    assert unit._run.told[0] == ["kill", "--signal=KILL", "gatehouse-build-shop.service"]


def test_secrets_are_in_a_file_of_root_s_for_as_long_as_they_are_needed(unit, monkeypatch, tmp_path):
    seen = []

    def look(command, _stdin, _seconds):
        assert "hunter2" not in " ".join(command)
        *_others, path = properties(command)["EnvironmentFile"]
        seen.append((path, stat.S_IMODE(os.stat(path).st_mode), pathlib.Path(path).read_text(encoding="utf-8")))
        return Done(0, "", [])

    monkeypatch.setattr(_build_unit, "_stream", look)
    unit.run(["make"], "/r/src", 9, {"TOKEN": 'hunter2"\n$x', "A": 1}, files=["/r/env"])
    ((path, mode, text),) = seen
    assert (mode, text) == (0o600, 'A="1"\nTOKEN="hunter2\\"\n\\$x"\n')
    assert not os.path.exists(path)
    assert stat.S_IMODE(os.stat(tmp_path / "given" / "shop").st_mode) == 0o700
    assert os.listdir(tmp_path / "home") == []


def test_the_app_s_environment_comes_before_that_of_builds(unit, monkeypatch):
    files = []
    monkeypatch.setattr(
        _build_unit,
        "_stream",
        lambda command, _stdin, _seconds: files.extend(properties(command)["EnvironmentFile"]) or Done(0, "", []),
    )
    unit.run(["make"], "/r/src", 9, {"A": "1"}, files=["/r/env"])
    assert files[0] == "/r/env" and len(files) == 2


@pytest.mark.parametrize(("status", "took", "told"), [(1, 9.0, TIMED_OUT), (1, 8.9, 1), (0, 9.5, 0), (7, 0.1, 7)])
def test_what_did_not_end_in_its_time_is_told_apart(unit, monkeypatch, status, took, told):
    monkeypatch.setattr(_build_unit, "_stream", lambda _command, _stdin, _seconds: Done(status, "", []))
    clock = iter([100.0, 100.0 + took])
    assert unit.run(["make"], "/r/src", 9, clock=lambda: next(clock)).status == told


def test_the_last_lines_are_kept_in_the_order_in_which_they_came():
    program = "import sys, time\nfor n in range(300): print(n, flush=True)\ntime.sleep(0.3); print('bad', file=sys.stderr); sys.exit(4)"
    done = _build_unit._stream([sys.executable, "-c", program], None, 60)
    assert (done.status, done.lines[-2:], len(done.lines)) == (4, ["299", "bad"], _build_unit.LINES)
    assert done.output.splitlines()[-1] == "299"


def test_what_a_program_says_at_its_end_comes_after_its_output():
    """Its last words are on standard error, and its output may have waited in the pipe."""
    program = "import os\nfor n in range(90): os.write(1, b'out %d\\n' % n); os.write(2, b'error %d\\n' % n)"
    lines = _build_unit._stream([sys.executable, "-c", program], None, 60).lines
    assert len(lines) == 180
    assert [n for n in range(90) if lines.index("out %d" % n) > lines.index("error %d" % n)] == []


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ([b"a\nb", b"c\n", b""], ["a", "bc"]),
        ([b"a\r\n\nb", b""], ["a", "", "b"]),
        ([b""], []),
        ([b"\n", b""], [""]),
        ([b"x" * 70000, b"more", b" of it\nnext\n", b""], ["x" * 65536, "next"]),
        ([b"x" * 70000 + b"\nnext", b""], ["x" * 65536, "next"]),
        ([b"x" * 65536, b"y\n", b""], ["x" * 65536]),
        ([b"x" * 70000, b""], ["x" * 65536]),
    ],
)
def test_lines_come_whole_or_cut_and_never_in_pieces(parts, lines):
    kept = []
    stream = _build_unit._Lines(kept)
    for part in parts:
        stream.add(part)
    assert kept == lines


def test_a_line_without_an_end_is_cut():
    done = _build_unit._stream([sys.executable, "-c", "print('x' * 100_000)"], None, 60)
    assert list(map(len, done.lines)) == [_build_unit.LONGEST]


def test_a_host_without_systemd_is_told():
    with pytest.raises(GatehouseError) as caught:
        _build_unit._stream(["systemd-run-is-not-here"], None, 60)
    assert caught.value.cause == "no_systemd"


def test_a_source_is_unpacked_by_a_program_that_is_sent_along(unit, monkeypatch):
    ran = []
    monkeypatch.setattr(
        unit, "run", lambda argv, folder, seconds, **options: ran.append((argv, folder, options)) or Done(0, "", [])
    )
    unit.unpack("archive", "/r/src", strip=True)
    ((argv, folder, options),) = ran
    assert argv[1:3] == ["-I", "-c"] and "def _untar" in argv[3] and argv[4:] == ["--strip"]
    assert (folder, options) == ("/r/src", {"stdin": "archive", "writable": ["/r/src"]})


def test_a_source_that_can_not_be_unpacked_says_why(unit, monkeypatch):
    monkeypatch.setattr(unit, "run", lambda *_arguments, **_options: Done(3, "", ["its 'x' leads out of its folder"]))
    with pytest.raises(GatehouseError) as caught:
        unit.unpack("archive", "/r/src", strip=False)
    assert "its 'x' leads out of its folder" in caught.value.message
    assert caught.value.cause == "bad_source"


def test_what_holds_the_output_open_is_not_waited_for(monkeypatch):
    """A build can pass its output to a process of another user, which keeps it."""
    monkeypatch.setattr(_build_unit, "PATIENCE", 0.2)
    here, there = socket.socketpair()
    program = "import socket, sys; socket.send_fds(socket.socket(fileno=%d), [b'x'], [1, 2]); print('done', flush=True)"
    with here, there:
        monkeypatch.setattr(
            _build_unit.subprocess, "Popen", functools.partial(subprocess.Popen, pass_fds=[here.fileno()])
        )
        done = _build_unit._stream([sys.executable, "-c", program % here.fileno()], None, 60)
        assert (done.status, done.output) == (0, "done")


def test_what_does_not_end_is_ended(monkeypatch):
    done = _build_unit._stream(
        [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"], None, 0.5
    )
    assert done.status == TIMED_OUT


def test_variables_are_read_as_they_were_written():
    values = {"PLAIN": "x", "HARD": 'a "b" \\ `c` $d', "LINES": 'one\ntwo="3"\n'}
    assert parse_environment("# a comment\n" + _build_unit.environment_file(values)) == values


def test_what_a_killed_play_left_is_ended_and_removed(unit, tmp_path):
    left = tmp_path / "given" / "shop"
    left.mkdir(parents=True)
    (left / "env-1").write_text('TOKEN="x"')
    unit.clear()
    assert not left.exists()
    assert ["kill", "--signal=KILL", unit.name] in unit._run.told
    unit.clear()


def test_folders_can_be_entered_by_whom_they_are_for_whatever_root_s_umask_is(unit, tmp_path):
    before = os.umask(0o077)
    try:
        unit.lay_out()
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("home", "given", "given/shop")}
    assert modes == {"home": 0o755, "given": 0o700, "given/shop": 0o700}


def test_a_unit_that_did_not_end_in_its_time_is_ended(unit, monkeypatch):
    monkeypatch.setattr(_build_unit, "_stream", lambda _command, _stdin, _seconds: Done(1, "", []))
    clock = iter([0.0, 9.0])
    unit.run(["make"], "/r/src", 9, clock=lambda: next(clock))
    assert unit._run.told.count(["kill", "--signal=KILL", unit.name]) == 2


def test_the_journal_is_not_told_the_command(unit):
    assert "--description=A step of the build of shop" in unit.command(["python3", "-c", "a long program"], "/r/src", 9)
