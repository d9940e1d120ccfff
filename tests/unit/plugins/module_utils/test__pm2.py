"""What PM2 7.0.4 says, as recorded, and what is said to it."""

import json
import os
import pwd
from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _pm2
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2 import (
    Account,
    Command,
    Pm2,
    account,
    actual,
    check_name,
    check_script,
    differences,
    label,
    memory,
    parse_dump,
    parse_jlist,
    parse_title,
    plain,
    shown,
    start_words,
    variables,
)

RECORDED = Path(__file__).parent / "recorded_pm2"


def recorded(name):
    return (RECORDED / name).read_text(encoding="utf-8")


@pytest.fixture
def processes():
    return {label(process): process for process in parse_jlist(recorded("jlist"))}


# What it says


def test_processes_of_all_kinds_are_read(processes):
    found = {name: (p.status, p.restarts, p.unstable, p.exit_code, bool(p.pid)) for name, p in processes.items()}
    assert found == {
        "web:0": ("online", 0, 0, None, True),
        "web:1": ("online", 0, 0, None, True),
        "loops:2": ("online", 10, 9, 3, True),
        "halted:3": ("stopped", 0, 0, 0, False),
        "never:4": ("launching", 0, 0, None, True),
    }
    assert [processes[name].number for name in ("web:0", "web:1")] == [0, 1]
    assert processes["web:0"].started == 1795259760.533


def test_a_crash_loop_that_pm2_has_given_up_is_read():
    loops = next(process for process in parse_jlist(recorded("jlist-later")) if process.name == "loops")
    # PM2 forgets its unstable restarts as it gives up, and calls what never was ready online.
    assert (loops.status, loops.restarts, loops.unstable, loops.exit_code, loops.pid) == ("errored", 16, 0, 3, 0)
    assert _pm2.describe_end(loops) == "PM2 gave it up after 16 restarts; its last exit status was 3"


@pytest.mark.parametrize(("name", "known"), [("jlist-other-version", ["old:0"]), ("jlist-banner", [])])
def test_banners_before_the_list_are_passed_over(name, known):
    assert [label(process) for process in parse_jlist(recorded(name))] == known


def test_words_after_the_list_are_passed_over():
    assert parse_jlist("[1, 2] [PM2] hello\n[]\n[PM2] bye") == []


@pytest.mark.parametrize("text", ["", "\x1b[31m[PM2][ERROR]\x1b[39m no permission", '[{"pid": 1', "[1]", '{"a": 1}'])
def test_no_list_is_an_error_that_shows_what_came(text):
    with pytest.raises(GatehouseError) as caught:
        parse_jlist(text)
    assert caught.value.cause == "no_answer"
    assert (plain(text) or "nothing") in caught.value.message
    assert "\x1b" not in caught.value.message


def test_a_dump_is_read_as_what_it_would_bring_back(processes):
    kept = [process.settings for process in processes.values()]
    assert [(p.name, p.id, actual(p)) for p in parse_dump(json.dumps(kept))] == [
        (p.name, None, actual(p)) for p in processes.values()
    ]


@pytest.mark.parametrize("text", ["", "[{", "{}", "[1]", '[{"pid": 1}]'])
def test_a_spoilt_dump_is_refused(text):
    with pytest.raises(ValueError):
        parse_dump(text)


@pytest.mark.parametrize(
    ("title", "version"),
    [
        ("PM2 v7.0.4: God Daemon (/home/web/.pm2)\0\0", "7.0.4"),
        ("PM2 v6.0.14: God Dae", "6.0.14"),
        ("node\0/srv/PM2 v7.0.4: God", None),
        ("", None),
    ],
)
def test_the_daemon_tells_its_version_in_its_title(title, version):
    assert parse_title(title) == version


# The definition


def test_a_definition_is_what_was_declared(processes):
    has = actual(processes["web:0"])
    assert has == {
        "script": "/srv/ok/part.js",
        "args": ["--a", "1", "b c"],
        "cwd": "/srv/ok",
        "exec_mode": "cluster",
        "interpreter": "node",
        "node_args": ["--max-old-space-size=200"],
        "max_memory_restart": memory("300M"),
        "wait_ready": True,
        "listen_timeout": 30000,
        "kill_timeout": 4000,
        "out_file": "/tmp/o.log",
        "error_file": "/tmp/e.log",
        "env": {
            "PATH": "/opt/pm2/node_modules/.bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/home/web",
            "USER": "web",
            "LOGNAME": "web",
            "PORT": "3000",
            "TOKEN": "hunter2hunter2",
        },
    }


def test_a_variable_that_pm2_has_dropped_by_half_is_seen(processes):
    # After a start from a file PM2 has it no more in `env`, and the process still gets it.
    settings = processes["web:0"].settings
    del settings["env"]["TOKEN"]
    assert variables(settings)["TOKEN"] == "hunter2hunter2"


def test_what_is_not_declared_is_left_to_pm2(processes):
    has = actual(processes["never:4"])
    assert differences(dict(has, interpreter=None, out_file=None, error_file=None), has) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("args", []),
        ("cwd", "/srv"),
        ("exec_mode", "fork"),
        ("interpreter", "python3"),
        ("node_args", []),
        ("max_memory_restart", None),
        ("wait_ready", False),
        ("listen_timeout", None),
        ("kill_timeout", 5000),
        ("out_file", "/tmp/x"),
        ("env", {}),
    ],
)
def test_each_setting_is_compared(processes, setting, value):
    has = actual(processes["web:0"])
    assert differences(dict(has, **{setting: value}), has) == [setting]


def test_no_value_of_a_variable_is_shown(processes):
    has = actual(processes["web:0"])
    wish = dict(has, env=dict(has["env"], TOKEN="another", NEW="new-value"))
    assert shown(has)["env"]["TOKEN"] == "<the value>"
    assert shown(wish, has)["env"] == dict(shown(has)["env"], TOKEN="<another value>", NEW="<the value>")
    assert "hunter2" not in str(shown(has)) and "new-value" not in str(shown(wish, has))


@pytest.mark.parametrize(("text", "size"), [("300M", 314572800), ("1G", 1073741824), ("20K", 20480), ("512", 512)])
def test_memory_is_counted_as_pm2_counts(text, size):
    assert memory(text) == size


@pytest.mark.parametrize("text", ["300MB", "M", "-1", "1.5G", ""])
def test_memory_that_pm2_would_not_take_is_refused(text):
    with pytest.raises(GatehouseError) as caught:
        memory(text)
    assert "300M" in caught.value.hint


@pytest.mark.parametrize("name", ["", "all", "0", "17", "--help", "chat.json", "app.config.js"])
def test_a_name_that_pm2_takes_for_something_else_is_refused(name):
    with pytest.raises(GatehouseError) as caught:
        check_name(name)
    assert caught.value.cause == "bad_input"


@pytest.mark.parametrize("script", ["/srv/my app/server.js", "/srv/a/server.config.js", "/srv/x.json.d/server.js"])
def test_a_script_that_pm2_takes_for_something_else_is_refused(script):
    with pytest.raises(GatehouseError) as caught:
        check_script(script)
    assert caught.value.cause == "bad_input"


def test_good_names_and_scripts_are_taken():
    check_name("chat-web")
    check_name("7up")
    check_script("/srv/chat-web/current/dist/server.js")


# What is said to it


def test_a_start_says_all_that_is_declared_and_no_variable(processes):
    assert start_words("web", actual(processes["web:0"]), 2) == [
        "start", "/srv/ok/part.js", "--name", "web", "--force", "--cwd", "/srv/ok", "-i", "2", "--interpreter", "node",
        "--node-args=--max-old-space-size=200", "--wait-ready", "--max-memory-restart", "314572800",
        "--listen-timeout", "30000", "--kill-timeout", "4000", "--merge-logs", "--output", "/tmp/o.log",
        "--error", "/tmp/e.log", "--", "--a", "1", "b c",
    ]  # fmt: skip


def test_several_processes_in_fork_mode_are_no_cluster(processes):
    plain_one = dict(
        actual(processes["never:4"]), interpreter=None, out_file=None, error_file=None, listen_timeout=None
    )
    words = start_words("never", plain_one, 2)
    assert words[7:] == ["--execute-command", "-i", "2", "--wait-ready"]
    assert start_words("never", plain_one, 1)[7:] == ["--execute-command", "--wait-ready"]


class Said:
    """A Command that has ended."""

    def __init__(self, text="", status=0):
        self._text = text
        self._status = status

    def ended(self):
        return self._status

    def wait(self, _timeout):
        return self._status

    def text(self):
        return self._text


class Shell:
    """Takes the commands, and answers as it was told."""

    def __init__(self, **answers):
        self.answers = answers
        self.told = []
        self.environments = []

    def __call__(self, words, environment, user):
        self.told.append(words[1:])
        self.environments.append(environment)
        return self.answers.get(words[1], Said())


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".pm2").mkdir()
    bin_folder = tmp_path / "pm2" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "pm2").write_text("#!/bin/sh\n")
    (bin_folder / "pm2").chmod(0o755)
    (tmp_path / "pm2" / "package.json").write_text('{"version": "7.0.4"}')
    return tmp_path


def pm2_of(home, shell, daemon="PM2 v7.0.4: God Daemon (x)\0", **options):
    if daemon:
        (home / ".pm2" / "pm2.pid").write_text("99")
        (home / "proc" / "99").mkdir(parents=True)
        (home / "proc" / "99" / "cmdline").write_text(daemon)
    user = Account("web", os.getuid(), os.getgid(), str(home))
    return Pm2(user, None, str(home / "pm2/bin/pm2"), shell, proc=str(home / "proc"), **options)


def test_no_daemon_is_started_by_asking(home):
    shell = Shell()
    pm2 = pm2_of(home, shell, daemon=None)
    assert pm2.processes() == [] and pm2.daemon() is None
    pm2.check()
    assert shell.told == []


def test_another_program_under_the_daemons_pid_is_no_daemon(home):
    assert pm2_of(home, Shell(), daemon="nginx: master process\0").daemon() is None


def test_a_daemon_of_another_version_is_refused(home):
    pm2 = pm2_of(home, Shell(), daemon="PM2 v6.0.14: God Daemon (x)\0")
    with pytest.raises(GatehouseError) as caught:
        pm2.check()
    assert caught.value.cause == "other_version"
    assert "is version 6.0.14, and" in caught.value.message and "is 7.0.4" in caught.value.message
    assert caught.value.hint.startswith("runuser -u web -- env PM2_HOME=%s/.pm2" % home)


def test_what_the_user_s_files_lead_to_is_read_only_where_it_is_the_user_s_own(home, processes, tmp_path):
    """Root reads them, and the user may put a link to anything in the place of each."""
    stranger = Account("web", os.getuid() + 1, os.getgid(), str(home))
    (home / ".pm2" / "pm2.pid").write_text("99")
    (home / "proc" / "99").mkdir(parents=True)
    (home / "proc" / "99" / "cmdline").write_text("PM2 v7.0.4: God Daemon (x)\0")
    log = tmp_path / "shadow"
    log.write_text("root:hash\n")
    settings = {"pm_out_log_path": str(log), "pm_err_log_path": str(log)}
    process = processes["web:0"]._replace(settings=settings)
    told = {}
    for user in (stranger, stranger._replace(uid=os.getuid())):
        pm2 = Pm2(user, None, str(home / "pm2/bin/pm2"), Shell(), proc=str(home / "proc"))
        told[user.uid] = (pm2.daemon(), pm2.log(process, {}, 20))
    assert told == {stranger.uid: (None, []), os.getuid(): ((99, "7.0.4"), ["root:hash"])}


def test_the_daemon_never_starts_with_the_variables_of_an_app(home, processes):
    shell = Shell()
    pm2 = pm2_of(home, shell, daemon=None)
    pm2.start("web", actual(processes["web:0"]), 1)
    assert [told[0] for told in shell.told] == ["ping", "start"]
    assert "TOKEN" not in shell.environments[0]
    assert shell.environments[1]["TOKEN"] == "hunter2hunter2"
    assert "hunter2hunter2" not in str(shell.told)
    assert all(environment["PM2_HOME"] == str(home / ".pm2") for environment in shell.environments)


def test_nothing_of_our_own_environment_reaches_pm2(home, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "x")
    shell = Shell(jlist=Said("[]"))
    pm2_of(home, shell).processes()
    assert set(shell.environments[0]) == {"HOME", "USER", "LOGNAME", "PATH", "PM2_HOME"}
    assert shell.environments[0]["PATH"].split(":")[0] == str(home / "pm2/bin")


def test_a_glance_is_no_older_than_what_it_cost(home):
    times = iter([0.0, 0.4, 0.7, 0.9, 0.9, 1.4])
    shell = Shell(jlist=Said("[]"))
    pm2 = pm2_of(home, shell, clock=lambda: next(times))
    pm2.glance()  # asked at 0.0, answered at 0.4
    pm2.glance()  # at 0.7, 0.3 s later
    assert len(shell.told) == 1
    pm2.glance()  # at 0.9
    assert len(shell.told) == 2


def test_what_was_told_makes_a_glance_ask_again(home, processes):
    shell = Shell(jlist=Said("[]"))
    pm2 = pm2_of(home, shell, clock=lambda: 0.0)
    pm2._last = (0.0, 9.0, [])
    pm2.delete([processes["web:0"]])
    pm2.glance()
    assert shell.told == [["delete", "0"], ["jlist"]]


def test_processes_are_told_by_their_ids(home, processes):
    shell = Shell()
    pm2 = pm2_of(home, shell)
    pm2.stop([processes["web:0"], processes["web:1"]])
    pm2.delete([processes["halted:3"]])
    pm2.restart(processes["never:4"])
    pm2.start_stand_in("web")
    pm2.save()
    assert shell.told == [
        ["stop", "0", "1"],
        ["delete", "3"],
        ["restart", "4"],
        ["scale", "web", "+1"],
        ["save", "--force"],
    ]


@pytest.mark.parametrize(
    ("answer", "cause", "words"),
    [
        (Said("\x1b[31m[PM2][ERROR] Process 7 not found\x1b[39m\n┌──┐", 1), "manager_refused", "Process 7 not found"),
        (Said("", None), "no_answer", "no answer within"),
    ],
)
def test_what_pm2_refuses_is_told(home, processes, answer, cause, words):
    pm2 = pm2_of(home, Shell(delete=answer))
    with pytest.raises(GatehouseError) as caught:
        pm2.delete([processes["web:0"]])
    assert caught.value.cause == cause
    assert words in caught.value.message and "\x1b" not in caught.value.message and "┌" not in caught.value.message


def test_a_dump_that_is_not_there_holds_nothing(home):
    assert pm2_of(home, Shell()).dump() == []


@pytest.mark.parametrize("text", ["", '[{"name": "we'])
def test_a_spoilt_dump_is_told_with_the_way_out(home, text):
    (home / ".pm2" / "dump.pm2").write_text(text)
    with pytest.raises(GatehouseError) as caught:
        pm2_of(home, Shell()).dump()
    assert caught.value.cause == "bad_dump"
    assert "dump.pm2.bak" in caught.value.hint


def test_no_pm2_is_told_with_how_to_get_it(home):
    with pytest.raises(GatehouseError) as caught:
        Pm2(Account("web", 1000, 1000, str(home)), None, str(home / "none"), Shell())
    assert caught.value.cause == "no_pm2"
    assert "npm install" in caught.value.hint


def test_only_new_lines_of_both_logs_are_read_and_the_errors_last(home, processes):
    out, err = home / "out.log", home / "err.log"
    out.write_text("old\n")
    err.write_text("old error\n")
    process = processes["web:0"]
    process.settings.update(pm_out_log_path=str(out), pm_err_log_path=str(err))
    pm2 = pm2_of(home, Shell())
    sizes = pm2.log_sizes([process])
    out.write_text("old\nnew\n")
    err.write_text("old error\nnew error\nanother\n")
    assert pm2.log(process, sizes, 20) == ["new", "new error", "another"]
    assert pm2.log(process, sizes, 2) == ["new error", "another"]
    err.write_text("short\n")  # rotated
    assert pm2.log(process, sizes, 20) == ["new", "short"]


def test_an_unknown_user_is_refused():
    with pytest.raises(GatehouseError) as caught:
        account("no-such-user-here")
    assert caught.value.cause == "bad_input"


def test_only_root_uses_the_pm2_of_another(monkeypatch):
    monkeypatch.setattr(_pm2.os, "geteuid", lambda: 12345)
    with pytest.raises(GatehouseError) as caught:
        account(pwd.getpwuid(0).pw_name)
    assert "become" in caught.value.hint


def test_a_command_runs_with_the_environment_that_it_is_given_and_no_other():
    me = pwd.getpwuid(os.geteuid())
    user = Account(me.pw_name, me.pw_uid, me.pw_gid, me.pw_dir)
    command = Command(
        ["/bin/sh", "-c", "echo $A; env | grep -c PYTEST; pwd; exit 3"], {"A": "b", "PATH": "/bin:/usr/bin"}, user
    )
    assert command.wait(60) == 3 and command.ended() == 3
    assert command.text().split() == ["b", "0", "/"]
