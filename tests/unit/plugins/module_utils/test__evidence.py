"""The evidence: what each question makes of what it sees, and that no question holds up the others."""

import json
import os
import subprocess
import threading
import time

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _commands
from ansible_collections.gatehouse.webapp.plugins.module_utils._evidence import (
    Witness,
    ask,
    build_id,
    complaints,
    last_starts,
    parse_certificate,
    recent,
    recent_requests,
    run,
    told_by,
    units_states,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import PROPERTIES


class TestAsk:
    def test_answers_and_failures_come_by_name(self):
        def fails():
            raise ValueError("no such thing")

        answers, failures = ask({"good": (30, lambda: 1), "bad": (30, fails)}, Deadline(60))
        assert answers == {"good": 1}
        assert failures == {"bad": "ValueError: no such thing"}

    def test_a_question_that_hangs_is_left_behind(self):
        never = threading.Event()
        try:
            answers, failures = ask({"hangs": (0, never.wait), "good": (30, lambda: 1)}, Deadline(60))
        finally:
            never.set()
        assert answers == {"good": 1}
        assert failures == {"hangs": "no answer in time"}

    def test_the_deadline_is_over_all_of_them(self):
        never = threading.Event()
        expired = Deadline(1, clock=iter([0.0] + [2.0] * 50).__next__)
        try:
            answers, failures = ask({str(number): (30, never.wait) for number in range(5)}, expired)
        finally:
            never.set()
        assert answers == {}
        assert len(failures) == 5

    def test_all_are_asked_at_once(self):
        together = threading.Barrier(8)
        answers, _failures = ask({str(number): (30, together.wait) for number in range(8)}, Deadline(60))
        assert len(answers) == 8


class TestRun:
    def test_a_command_that_is_not_there(self):
        assert run(["/no/such/command"], 30)[0] == 127

    def test_a_command_that_does_not_end(self, monkeypatch):
        def hang(argv, timeout, **_options):
            raise subprocess.TimeoutExpired(argv, timeout)

        monkeypatch.setattr(_commands.subprocess, "run", hang)
        assert run(["nginx", "-T"], 4) == (124, "", "nginx did not end within 4 s")


def test_units_are_told_by_one_call():
    blocks = "\n\n".join(
        [
            "ActiveState=active\nSubState=running\nMainPID=7\nNRestarts=2\nUnitFileState=enabled",
            "ActiveState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=3\n",
        ]
    )
    calls = []

    def answer(argv):
        calls.append(argv)
        return 0, blocks, ""

    found = units_states(["chat-api@8000.service", "nginx.service"], answer)
    assert len(calls) == 1
    assert set(PROPERTIES) <= set(calls[0][2].partition("=")[2].split(","))
    assert found["chat-api@8000.service"]["pid"] == 7
    assert found["chat-api@8000.service"]["restarts"] == 2
    assert found["nginx.service"]["exit"] == "its main process ended with exit status 3"


def test_a_systemctl_that_fails_is_no_answer():
    with pytest.raises(OSError, match="no bus"):
        units_states(["nginx.service"], lambda argv: (1, "", "no bus"))


def test_a_certificate_as_openssl_prints_it():
    text = """subject=CN = shop.example.com
issuer=CN = Faults CA
notBefore=Nov 21 11:29:44 2026 GMT
notAfter=Feb 19 11:29:44 2027 GMT
X509v3 Subject Alternative Name:
    DNS:shop.example.com, DNS:*.shop.example.com, IP Address:192.0.2.1
"""
    assert parse_certificate(text) == {
        "subject": "CN = shop.example.com",
        "issuer": "CN = Faults CA",
        "begins": 1795260584,
        "ends": 1803036584,
        "names": ["shop.example.com", "*.shop.example.com", "192.0.2.1"],
    }
    assert parse_certificate("Could not read certificate") == {}


def test_what_nginxs_test_complains_of():
    lines = [
        "2026/11/21 11:46:28 [emerg] 13425#13425: unexpected end of file in /etc/nginx/x.conf:2",
        "nginx: configuration file /etc/nginx/nginx.conf test failed",
    ]
    assert complaints(lines) == ["unexpected end of file in /etc/nginx/x.conf:2"]
    assert complaints(lines[1:]) == lines[1:]


def test_only_the_late_lines_of_an_error_log_are_told():
    def at(seconds):
        return time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(seconds))

    now = 1795260584
    lines = [
        "cut off at the start",
        at(now - 700) + " [error] old",
        "and its second line",
        at(now - 60) + " [error] new",
        "and its second line",
        at(now + 9999) + " [error] from the future",
    ]
    assert recent(lines, now) == [at(now - 60) + " [error] new", "and its second line"]
    # What runs since half a minute has not met it.
    assert recent(lines, now, 30) == []


COMBINED = '1.2.3.4 - - [21/Nov/2026:11:%s +0000] "%s" %d 12 "%s" "agent"'


def own_format(**change):
    """A line of the access log in the collection's own format."""
    line = {
        "time": "2026-11-21T11:29:00+00:00",
        "client": "1.2.3.4",
        "method": "GET",
        "scheme": "http",
        "host": "chat.example.com",
    }
    line.update(uri="/", protocol="HTTP/1.1", status=200, bytes=12, referer="", agent="agent")
    return json.dumps({**line, **change})


NOW = 1795260584


def test_only_the_late_requests_of_an_access_log_are_told():
    lines = [COMBINED % (at, "GET /x?y HTTP/1.1", 200, "-") for at in ("00:00", "29:00")]
    lines += ["{cut", own_format(uri="/old", time="2026-11-21T11:00:00+00:00"), own_format(uri="/new"), '{"time": 3}']
    found = recent_requests(["no request", *lines], NOW)
    assert [(one["method"], one["uri"], one["status"], one["tls"]) for one in found] == [
        ("GET", "/x?y", 200, False),
        ("GET", "/new", 200, False),
    ]


def test_requests_tell_who_speaks_the_wrong_scheme():
    tls = own_format(method="", uri="", status=400, host="")
    plain = own_format(status=400, host="shop.example.com")
    shaken = COMBINED % ("29:00", "\\x16\\x03\\x01", 400, "-")
    told = told_by(recent_requests([tls, shaken, plain, plain, own_format()], NOW))
    assert (told["requests"], told["tls_on_plain"], told["plain_on_tls"]) == (5, 2, {"shop.example.com": 2})


def test_requests_tell_which_pages_asked_whether_they_may():
    asks = dict(method="OPTIONS", status=204, uri="/items?page=2", host="api.example.com")
    page = own_format(referer="https://APP.example.com/cart", **asks)
    others = [
        own_format(referer="https://api.example.com/", **asks),  # its own page
        own_format(**asks),
        own_format(referer="https://app.example.com/"),
        COMBINED
        % ("29:00", "OPTIONS /items HTTP/1.1", 204, "https://app.example.com/"),  # it does not tell of whom it asks
    ]
    assert told_by(recent_requests([page, page, *others], NOW))["preflights"] == [
        {"host": "api.example.com", "path": "/items", "origin": "https://app.example.com", "count": 2}
    ]


def test_the_log_of_the_last_two_starts():
    entries = [
        {"INVOCATION_ID": "a", "MESSAGE": "Started."},
        {"_SYSTEMD_INVOCATION_ID": "a", "MESSAGE": "Access denied"},
        {"INVOCATION_ID": "b", "MESSAGE": "Started."},
        {"_SYSTEMD_INVOCATION_ID": "b", "MESSAGE": [104, 105]},
        {"INVOCATION_ID": "c", "MESSAGE": None},
    ]
    text = "\n".join(json.dumps(entry) for entry in entries) + "\nno JSON"
    assert last_starts(text) == ["Started.", "hi", ""]


def test_a_next_js_release_is_told_by_its_package(tmp_path):
    assert build_id(str(tmp_path)) is None
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "package.json").write_text('{"dependencies": {"next": "15"}}')
    path = tmp_path / "src" / ".next" / "BUILD_ID"
    assert build_id(str(tmp_path)) == {"path": str(path), "there": False}
    path.parent.mkdir()
    path.write_text("abc")
    assert build_id(str(tmp_path)) == {"path": str(path), "there": True}


@pytest.fixture
def proc(tmp_path):
    """A procfs with a process of chat-api, which was started with a secret, one that systemd is about to start, and another's."""

    def process(pid, title, cgroup, environ):
        folder = tmp_path / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "stat").write_text("%d (na me) T 1 0 0" % pid + " 0" * 40)
        (folder / "cmdline").write_bytes(title.replace(" ", "\0").encode())
        (folder / "cgroup").write_text("0::/system.slice/" + cgroup)
        (folder / "environ").write_bytes(environ)
        (folder / "status").write_text("Uid:\t0\t0\t0\t0\n")
        (folder / "limits").write_text("Max open files            1024                 4096                 files\n")

    process(7, "python -m uvicorn --password hunter22", "chat-api@8000.service", b"API_TOKEN=very-secret\0EMPTY=\0")
    process(6, "(python)", "chat-api@8000.service", b"LANG=C\0")
    process(8, "sshd", "ssh.service", b"API_TOKEN=very-secret\0")
    return tmp_path


def test_processes_are_told_without_the_values_of_their_environment(proc):
    found = Witness([{"name": "chat-api"}], [], {}, None, 30, str(proc)).processes()
    assert [one["pid"] for one in found] == [7]
    assert found[0]["state"] == "T"
    assert found[0]["unit"] == "chat-api@8000.service"
    assert found[0]["files_max"] == 1024
    assert found[0]["environment"] == {"API_TOKEN": "set", "EMPTY": "empty"}
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize(
    ("users", "told"),
    [
        ([0, 0, 0, 0], ["PM2 log: [PM2] Daemonized"]),  # whoever runs the tests owns the log
        ([1, 1, 1, 1], []),
        # A program that became another user: what it says of itself is the first one's word.
        ([1, 0, 0, 0], []),
    ],
)
def test_what_a_process_calls_its_log_is_read_only_where_it_is_its_user_s_own(tmp_path, users, told):
    home = tmp_path / "home"
    home.mkdir()
    (home / "pm2.log").write_text("PM2 log: [PM2] Daemonized\n")
    folder = tmp_path / "proc" / "7"
    (folder / "fd").mkdir(parents=True)
    (folder / "stat").write_text("7 (node) S 1 0 0" + " 0" * 40)
    (folder / "cmdline").write_bytes(b"node\0/usr/bin/pm2-runtime\0x")
    (folder / "environ").write_text("PM2_HOME=%s\0" % home)
    (folder / "status").write_text("State:\tS\nUid:\t%s\n" % "\t".join(str(os.getuid() + user) for user in users))
    (process,) = Witness([], [], {}, None, 30, str(tmp_path / "proc")).processes()
    assert process["pm2_log"] == told


@pytest.mark.parametrize(("app", "since"), [({"since": 100.0}, ["--since", "@99.900"]), ({}, [])])
def test_the_log_for_a_gate_begins_where_the_gate_did(app, since):
    asked = []
    witness = Witness([{"name": "chat-api", "root": "/srv/none", **app}], [], {}, None, 30)
    witness.run = lambda argv: asked.append(argv) or (0, "", "")
    assert witness.journal("chat-api@8000.service") == []
    assert asked[0][asked[0].index("--quiet") + 1 :] == since


def test_requests_do_not_push_what_the_app_said_out_of_the_log():
    asked = ['INFO:     127.0.0.1:4711 - "GET /health?a=1 HTTP/1.1" 503 Service Unavailable'] * 200
    entries = [{"_SYSTEMD_INVOCATION_ID": "a", "MESSAGE": line} for line in ["Access denied for user", *asked, "Bye."]]
    witness = Witness([{"name": "chat-api", "root": "/srv/none"}], [], {}, None, 30)
    witness.run = lambda _argv: (0, "\n".join(json.dumps(entry) for entry in entries), "")
    assert witness.journal("chat-api@8000.service") == ["Access denied for user", "Bye."]


def test_what_was_killed_under_another_release_is_left_out():
    asked = []
    witness = Witness([{"name": "chat-api", "since": 100.0, "services": [], "green": []}], [], {}, None, 30)
    witness.run = lambda argv: asked.append(argv) or (0, "", "")
    assert witness.memory()["kills"] == []
    assert asked[0][asked[0].index("--since") + 1] == "@99.900"
