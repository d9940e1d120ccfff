"""Databases by their URLs: the address, the greeting, and a login, whose password is told by standard input alone."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _database
from ansible_collections.gatehouse.webapp.plugins.module_utils._database import (
    PYTHON_LOGIN,
    address_of,
    greet,
    login,
    look,
    verdict,
    where,
)

SECRET = "p@ss/w0rd:x"
URL = "mysql://chat:p%%40ss%%2Fw0rd%%3Ax@127.0.0.1:%d/chat"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (URL % 3306, ("mysql", "", "127.0.0.1", 3306, "chat", SECRET, "chat", None)),
        ("mariadb+mariadbconnector://a@db/x", ("mysql", "mariadbconnector", "db", 3306, "a", "", "x", None)),
        ("postgresql+asyncpg://a:b@[::1]:6432/x", ("postgresql", "asyncpg", "::1", 6432, "a", "b", "x", None)),
        ("postgres://a:b@db/x?sslmode=require", ("postgresql", "", "db", 5432, "a", "b", "x", None)),
        ("postgresql:///x?host=/run/pg&user=a", ("postgresql", "", "/run/pg", 5432, "a", "", "x", "/run/pg")),
        ("postgresql://a@%2Frun%2Fpg/x", ("postgresql", "", "localhost", 5432, "a", "", "x", "/run/pg")),
        ("postgresql:///x", ("postgresql", "", "", 5432, "", "", "x", None)),
        ("postgresql://a:b@/x?host=db", ("postgresql", "", "db", 5432, "a", "b", "x", None)),
        ("mysql://a:b@/x", ("mysql", "", "localhost", 3306, "a", "b", "x", None)),
        ("mysql://a:b@/x?unix_socket=/run/m.sock", ("mysql", "", "localhost", 3306, "a", "b", "x", "/run/m.sock")),
    ],
)
def test_an_address_is_read_from_its_url(url, expected):
    assert tuple(address_of(url))[:8] == expected


OTHERS = ["sqlite:////x.db", "redis://db:6379/0", "info", "", "mysql://a@db:port/x", "mysql:x"]
SEVERAL = [
    "postgresql://a:b@db1,db2/x",
    "postgresql://a:b@db1:5432,db2:5433/x",
    "postgresql://a:b@/x?host=db1,db2",
    "postgresql://a:b@/x?host=db1:5432&host=db2:5432",
]


@pytest.mark.parametrize("url", OTHERS + SEVERAL)
def test_what_is_no_url_of_such_a_database_has_none(url):
    assert address_of(url) is None


def test_a_database_is_named_without_its_secrets():
    assert where(address_of(URL % 3307)) == "127.0.0.1:3307"
    assert where(address_of("postgresql://a:b@[::1]/x")) == "[::1]:5432"
    assert where(address_of("postgresql://a:b@/x")) == "the local socket"
    assert where(address_of("mysql://a:b@/x?unix_socket=/run/m.sock")) == "/run/m.sock"


@pytest.fixture
def server():
    """A server that says something to whoever connects: the port it listens on."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(says):
        def answer():
            connection, _peer = listening.accept()
            with contextlib.suppress(ConnectionError), connection:
                connection.settimeout(30)
                connection.sendall(says)
                if says:
                    connection.recv(64)

        threads.append(threading.Thread(target=answer, daemon=True))
        threads[-1].start()
        return listening.getsockname()[1]

    yield serve
    listening.close()
    for thread in threads:
        thread.join(30)


def packet(payload):
    return len(payload).to_bytes(3, "little") + b"\0" + payload


@pytest.mark.parametrize(
    ("scheme", "says", "ok", "cause", "words"),
    [
        ("mysql", packet(b"\x0a5.5.5-11.8.3-MariaDB-1\0rest"), True, None, "MariaDB 11.8.3"),
        ("mysql", packet(b"\x0a8.0.41\0rest"), True, None, "MySQL 8.0.41"),
        ("mysql", packet(b"\xff\x6a\x04Host 'x' is not allowed"), False, "login_refused", "is not allowed"),
        ("mysql", packet(b"\xff\x10\x04Too many connections"), False, "unavailable", "Too many connections (1040)"),
        ("mysql", b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "not_database", "no MySQL or MariaDB"),
        ("mysql", b"", False, "not_database", "no MySQL or MariaDB"),
        ("postgresql", b"S", True, None, "PostgreSQL"),
        ("postgresql", b"N", True, None, "PostgreSQL"),
        ("postgresql", b"HTTP/1.1 400", False, "not_database", "no PostgreSQL"),
    ],
)
def test_a_server_is_known_by_its_greeting(server, scheme, says, ok, cause, words):
    answer = greet(address_of("%s://a:b@127.0.0.1:%d/x" % (scheme, server(says))), 30)
    assert (answer.ok, answer.cause) == (ok, cause)
    assert words in answer.message


def test_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert greet(address_of(URL % port), 30).cause == "refused"


@pytest.mark.parametrize(
    ("code", "error", "expected"),
    [
        ("1045", "Access denied", "login_refused"),
        ("28P01", "", "login_refused"),
        ("3D000", "", "no_database"),
        ("ER_BAD_DB_ERROR", "", "no_database"),
        ("", 'connection failed: FATAL:  password authentication failed for user "a"', "login_refused"),
        ("", 'FATAL:  role "a" does not exist', "login_refused"),
        ("", 'FATAL:  database "x" does not exist', "no_database"),
        ("", "server does not support SSL, but SSL was required", "unavailable"),
        ("2013", "Lost connection", "unavailable"),
    ],
)
def test_what_an_error_of_a_driver_means(code, error, expected):
    assert verdict({"code": code, "error": error}) == expected


# Drivers as far as a login goes: each notes how it was called, and refuses one password in its own way.
NOTE = """
import json, os
def note(**given):
    with open(os.environ["NOTES"], "w") as file:
        json.dump(given, file)
class Connection:
    def close(self): pass
class Refused(Exception):
    pass
"""
DRIVERS = {
    "psycopg": """
class OperationalError(Refused): sqlstate = None
def connect(**given):
    note(**given)
    if given["password"] == "wrong": raise OperationalError('password authentication failed for user "a"')
    return Connection()
""",
    "asyncpg": """
class InvalidPasswordError(Refused): sqlstate = "28P01"
class Async:
    async def close(self): pass
async def connect(**given):
    note(**given)
    if given["password"] == "wrong": raise InvalidPasswordError("no")
    return Async()
""",
    "pymysql": """
def connect(**given):
    note(**given)
    if given["password"] == "wrong": raise Refused(1045, "Access denied for user")
    return Connection()
""",
}
DRIVERS["psycopg2"] = DRIVERS["psycopg"]
DRIVERS["MySQLdb"] = DRIVERS["pymysql"]


@pytest.fixture
def drivers(tmp_path):
    """A login with those drivers installed: (what is printed, what the driver was given)."""

    def run(url, *names):
        for name in names:
            (tmp_path / f"{name}.py").write_text(NOTE + DRIVERS[name])
        hidden = set(DRIVERS) | {"mysql", "mysql.connector"}
        hide = f"import sys; sys.modules.update(dict.fromkeys({sorted(hidden - set(names))!r}))\n"
        done = subprocess.run(
            [sys.executable, "-c", hide + PYTHON_LOGIN],
            input=json.dumps(dict(address_of(url)._asdict(), seconds=4)),
            env={"PYTHONPATH": str(tmp_path), "NOTES": str(tmp_path / "notes")},
            capture_output=True,
            text=True,
            check=True,
        )
        notes = tmp_path / "notes"
        return json.loads(done.stdout), json.loads(notes.read_text()) if notes.exists() else None

    return run


@pytest.mark.parametrize(
    ("url", "names", "used"),
    [
        ("postgresql://a:%s@db/x", ["psycopg"], "psycopg"),
        ("postgresql://a:%s@db/x", ["psycopg2"], "psycopg2"),
        ("postgresql+asyncpg://a:%s@db/x", ["psycopg2", "asyncpg"], "asyncpg"),
        ("mysql://a:%s@db/x", ["MySQLdb"], "MySQLdb"),
        ("mysql+pymysql://a:%s@db/x", ["pymysql", "MySQLdb"], "pymysql"),
        ("mysql+aiomysql://a:%s@db/x", ["MySQLdb", "pymysql"], "pymysql"),
    ],
)
def test_each_driver_logs_in_and_says_when_it_is_refused(drivers, url, names, used):
    said, given = drivers(url % "right", *names)
    assert said == {"driver": used, "ok": True, "code": None, "error": ""}
    assert (given["host"], given["user"], given["password"]) == ("db", "a", "right")
    assert "x" in (given.get("database"), given.get("dbname"))
    said, _given = drivers(url % "wrong", *names)
    assert (said["ok"], verdict(said)) == (False, "login_refused")


def test_what_a_url_says_of_tls_and_sockets_reaches_the_driver(drivers):
    _said, given = drivers("postgresql://a:b@/x?host=/run/pg&sslmode=require&application_name=y", "psycopg")
    assert (given["host"], given["sslmode"], "application_name" in given) == ("/run/pg", "require", False)
    _said, given = drivers("postgresql:///x", "asyncpg")
    assert (given["host"], given["user"], given["database"]) == ("", None, "x")
    _said, given = drivers("mysql://a:b@db/x?ssl_ca=/ca.pem", "pymysql")
    assert given["ssl"] == {"ca": "/ca.pem"}
    _said, given = drivers("mysql://a:b@/x?unix_socket=/run/m.sock", "pymysql")
    assert (given["unix_socket"], "host" in given) == ("/run/m.sock", False)


def test_without_a_driver_nothing_is_said(drivers):
    assert drivers("postgresql://a:b@db/x")[0]["driver"] is None


@pytest.fixture
def release(tmp_path):
    """An app's root with a live release that has a virtual environment, and code with packages of Node."""
    (tmp_path / "current/venv/bin").mkdir(parents=True)
    os.symlink(sys.executable, tmp_path / "current/venv/bin/python")
    (tmp_path / "current/src/node_modules").mkdir(parents=True)
    return str(tmp_path)


class TestLogin:
    SAID = {"driver": "pymysql", "ok": True, "code": None, "error": ""}

    def runs(self, monkeypatch, *answers):
        calls, left = [], list(answers)

        def run(argv, given, folder, seconds):
            calls.append((argv, given, folder))
            return left.pop(0)

        monkeypatch.setattr(_database, "_run", run)
        return calls

    def test_it_is_the_apps_user_who_logs_in_and_the_password_is_in_no_argument(self, monkeypatch, release):
        calls = self.runs(monkeypatch, self.SAID)
        assert login(address_of(URL % 3306), "chat-api", release, "src", "/none", 4) == self.SAID
        (argv, given, folder), *_more = calls
        assert argv[:3] == ["setpriv", "--reuid", "chat-api"]
        assert release + "/current/venv/bin/python" in argv
        assert SECRET not in " ".join(argv) and "p%40ss" not in " ".join(argv)
        assert json.loads(given)["password"] == SECRET
        assert folder == release + "/current/src"

    def test_node_is_asked_where_python_has_no_driver(self, monkeypatch, release):
        calls = self.runs(monkeypatch, {"driver": None}, {"driver": "mysql2", "ok": True, "code": "", "error": ""})
        assert login(address_of(URL % 3306), "x", release, "src", sys.executable, 4)["driver"] == "mysql2"
        assert [argv[8].rpartition("/")[2] for argv, _given, _folder in calls] == [
            "python",
            os.path.basename(sys.executable),
        ]

    def test_nothing_is_run_before_the_first_deploy(self, monkeypatch, tmp_path):
        assert self.runs(monkeypatch) == []
        assert login(address_of(URL % 3306), "x", str(tmp_path), "src", sys.executable, 4) is None

    def test_a_login_that_hangs_is_no_missing_driver(self, monkeypatch, release):
        self.runs(monkeypatch, None)
        said = login(address_of(URL % 3306), "x", release, "src", "/none", 4)
        assert (said["ok"], said["error"]) == (False, "the login gave no answer in time")

    def test_what_runs_gets_nothing_by_its_environment(self, monkeypatch):
        seen = {}

        def run(argv, **options):
            seen.update(options)
            return subprocess.CompletedProcess(argv, 0, b'noise\n{"driver": null}\n', b"")

        monkeypatch.setenv("DATABASE_URL", "of the one who deploys")
        monkeypatch.setattr(_database.subprocess, "run", run)
        assert _database._run(["x"], b"{}", "/", 4) == {"driver": None}
        assert sorted(seen["env"]) == ["HOME", "LC_ALL", "PATH"]


class TestLook:
    def test_a_driver_that_repeats_the_password_does_not_tell_it(self, monkeypatch, release, server):
        said = {
            "driver": "pymysql",
            "ok": False,
            "code": "1045",
            "error": f"Access denied, password {SECRET} or p%40ss%2Fw0rd%3Ax",
        }
        monkeypatch.setattr(_database, "login", lambda *_args: said)
        told = look(URL % server(packet(b"\x0a8.0.41\0rest")), "x", release, "src", "/none", 30)
        assert (told["ok"], told["cause"], told["how"]) == (False, "login_refused", "pymysql")
        assert SECRET not in json.dumps(told) and "p%40ss" not in json.dumps(told)
        assert "Access denied" in told["told"]

    def test_a_server_that_does_not_answer_is_not_logged_in_to(self, monkeypatch, release):
        monkeypatch.setattr(_database, "login", lambda *_args: pytest.fail("a login"))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        told = look(URL % port, "x", release, "src", "/none", 30)
        assert (told["ok"], told["cause"], told["how"]) == (False, "refused", "greeting")

    def test_without_a_driver_the_greeting_has_to_do(self, monkeypatch, release, server):
        monkeypatch.setattr(_database, "login", lambda *_args: None)
        told = look(URL % server(packet(b"\x0a8.0.41\0rest")), "x", release, "src", "/none", 30)
        assert (told["ok"], told["how"], told["told"]) == (True, "greeting", "MySQL 8.0.41")

    def test_without_a_driver_nothing_is_known_of_a_socket(self, monkeypatch, release):
        monkeypatch.setattr(_database, "login", lambda *_args: None)
        told = look("mysql://a:b@/x?unix_socket=/run/m.sock", "x", release, "src", "/none", 30)
        assert (told["ok"], told["cause"]) == (None, "no_driver")

    def test_without_a_host_the_driver_is_asked_and_no_port(self, monkeypatch, release):
        monkeypatch.setattr(_database, "greet", lambda *_args: pytest.fail("a greeting"))
        monkeypatch.setattr(_database, "login", lambda address, *_args: {"driver": "pg", "ok": True, "error": ""})
        told = look("postgresql:///x", "x", release, "src", "/none", 30)
        assert (told["ok"], told["cause"], told["where"]) == (True, None, "the local socket")

    @pytest.mark.parametrize(
        ("url", "error", "cause"),
        [
            ("postgresql://a:b@/x?host=/run/pg", "password authentication failed", "login_refused"),
            ("postgresql://a@/x?host=/run/pg", "password authentication failed", "login_unsure"),
            ("postgresql://a:b@/x", "password authentication failed", "login_unsure"),
            ("postgresql://a@/x?host=/run/pg", 'database "x" does not exist', "no_database"),
        ],
    )
    def test_a_login_with_what_is_not_in_the_url_is_not_sure_to_be_the_apps(
        self, monkeypatch, release, url, error, cause
    ):
        said = {"driver": "psycopg", "ok": False, "code": "", "error": error}
        monkeypatch.setattr(_database, "login", lambda *_args: said)
        assert look(url, "x", release, "src", "/none", 30)["cause"] == cause
