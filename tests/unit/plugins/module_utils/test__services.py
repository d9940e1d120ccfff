"""What systemd says, as recorded, and what is said to it."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import (
    Masker,
    Systemd,
    describe_exit,
    parse_environment,
    parse_show,
)

RUNNING = """\
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
MainPID=812
NRestarts=2
Result=success
ExecMainCode=0
ExecMainStatus=0
InvocationID=0f3a
NeedDaemonReload=yes
FragmentPath=/etc/systemd/system/chat@.service
DropInPaths=/etc/systemd/system/chat@.service.d/a.conf /etc/systemd/system/chat@.service.d/b.conf
EnvironmentFiles=/srv/chat/env (ignore_errors=no)
EnvironmentFiles=/etc/default/chat (ignore_errors=yes)
Job=17
"""


def test_a_running_unit_is_read():
    state = parse_show(RUNNING)
    assert (state.load, state.active, state.sub, state.enabled) == ("loaded", "active", "running", "enabled")
    assert (state.pid, state.restarts, state.invocation, state.stale, state.job) == (812, 2, "0f3a", True, True)
    assert state.unit_files == [
        "/etc/systemd/system/chat@.service",
        "/etc/systemd/system/chat@.service.d/a.conf",
        "/etc/systemd/system/chat@.service.d/b.conf",
    ]
    assert state.environment_files == ["/srv/chat/env", "/etc/default/chat"]


def test_a_unit_that_is_not_there_is_read():
    state = parse_show("LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\nJob=0\n")
    assert (state.load, state.active, state.pid, state.job, state.stale) == ("not-found", "inactive", 0, False, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Result=exit-code\nExecMainCode=1\nExecMainStatus=3\n", "ended with exit status 3"),
        ("Result=exit-code\nExecMainCode=1\nExecMainStatus=203\n", "its ExecStart= program can't be run"),
        ("Result=exit-code\nExecMainCode=1\nExecMainStatus=217\n", "its User= does not exist"),
        ("Result=signal\nExecMainCode=2\nExecMainStatus=9\n", "killed by signal 9 (signal)"),
        ("Result=oom-kill\nExecMainCode=2\nExecMainStatus=9\n", "killed by signal 9 (oom-kill)"),
        ("Result=core-dump\nExecMainCode=3\nExecMainStatus=11\n", "killed by signal 11 (core-dump)"),
        ("Result=start-limit-hit\nExecMainCode=1\nExecMainStatus=1\n", "started too often"),
        ("Result=timeout\n", "gave up waiting"),
        ("Result=resources\n", "could not set it up"),
        ("Result=success\nExecMainCode=2\nExecMainStatus=15\n", "it was stopped"),
        ("Result=success\nExecMainCode=1\nExecMainStatus=0\n", "ended with exit status 0"),
    ],
)
def test_how_it_ended_is_told(text, words):
    assert words in describe_exit(parse_show(text))


@pytest.mark.parametrize("name", ["chat.service", "chat-api@8000.service", "a_b:c.d.service", "x.socket"])
def test_unit_names(name):
    Systemd(None).check_name(name)


@pytest.mark.parametrize("name", ["chat", "chat@.service", "", "a b.service", "../x.service", "chat.timer", "-"])
def test_names_of_no_unit_are_refused_with_right_ones(name):
    with pytest.raises(GatehouseError) as caught:
        Systemd(None).check_name(name)
    assert "chat-api@8000.service" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('A=1\nB="two words"\n', {"A": "1", "B": "two words"}),
        ("# A=1\n; B=2\n\nno assignment\n", {}),
        ('A="a \\"quote\\" and \\\\"\nB=\'single\'\nC=\n', {"A": 'a "quote" and \\', "B": "single", "C": ""}),
        ("URL=http://a?b=c\n", {"URL": "http://a?b=c"}),
        ('KEY="-----BEGIN\nab=c\n# no comment\n"\nB=2\n', {"KEY": "-----BEGIN\nab=c\n# no comment\n", "B": "2"}),
        ("A='one\ntwo'  \r\nB=2\r\n", {"A": "one\ntwo", "B": "2"}),
        ('A="not ended\nB="2"\n', {"A": '"not ended', "B": "2"}),
        ('A="in "the" middle"\n', {"A": 'in "the" middle'}),
    ],
)
def test_environment_files_are_read(text, found):
    assert parse_environment(text) == found


@pytest.mark.parametrize(
    ("environment", "text", "masked"),
    [
        ({"TOKEN": "abcdef123"}, "with abcdef123 twice abcdef123", "with <TOKEN> twice <TOKEN>"),
        ({"LEVEL": "info", "N": "1"}, "info 1", "info 1"),
        ({"DSN": "mysql://u:hunter22@db/x"}, "at mysql://u:hunter22@db/x", "at <DSN>"),
        ({"DSN": "mysql://u:hunter22@db/x"}, "password hunter22 refused", "password <DSN> refused"),
        ({"A": "secret", "B": "secret-and-more"}, "secret-and-more", "<B>"),
    ],
)
def test_values_are_taken_out_of_what_people_read(environment, text, masked):
    assert Masker(environment)(text) == masked


class Host:
    def __init__(self, status=0, out="", err=""):
        self.answer = (status, out, err)
        self.commands = []

    def __call__(self, command):
        self.commands.append(command)
        return self.answer


def test_what_is_said_to_systemd():
    host = Host()
    systemd = Systemd(host)
    systemd.restart("a.service")
    systemd.stop("a.service")
    systemd.enable("a.service")
    systemd.forget_failures("a.service")
    systemd.reload_definitions()
    assert host.commands == [
        ["systemctl", "restart", "--no-block", "--", "a.service"],
        ["systemctl", "stop", "--", "a.service"],
        ["systemctl", "enable", "--quiet", "--", "a.service"],
        ["systemctl", "reset-failed", "--", "a.service"],
        ["systemctl", "daemon-reload"],
    ]


def test_the_log_is_asked_for_since_a_moment():
    host = Host(out="one\ntwo\n")
    assert Systemd(host).log("a.service", 12.5, 20) == ["one", "two"]
    assert host.commands[0][:6] == ["journalctl", "--unit", "a.service", "--since", "@12.500", "--lines"]


def test_a_refusal_is_an_error():
    host = Host(1, err="Access denied\n")
    with pytest.raises(GatehouseError) as caught:
        Systemd(host).restart("a.service")
    assert "Access denied" in caught.value.message
    with pytest.raises(GatehouseError):
        Systemd(host).state("a.service")
    Systemd(host).forget_failures("a.service")


def test_the_environment_of_a_unit_is_read_from_its_files(tmp_path):
    (tmp_path / "env").write_text("TOKEN=abc\n")
    state = parse_show("EnvironmentFiles=%s (ignore_errors=no)\n" % (tmp_path / "env"))
    assert Systemd(None).environment(state) == {"TOKEN": "abc"}
    gone = parse_show("EnvironmentFiles=/nowhere/env (ignore_errors=yes)\n")
    assert Systemd(None).environment(gone) == {}
