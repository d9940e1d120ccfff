"""The service over HTTP: health, messages, history, start-up."""

import asyncio
import importlib.metadata
import logging
import os

import pytest
from starlette.testclient import TestClient

MESSAGE = "/api/v1/chat/message"


def history(client, session="s"):
    return client.get(f"/api/v1/chat/history/{session}").json()["messages"]


def test_health_says_who_answers_and_how_it_is(client):
    answer = client.get("/health")

    report = answer.json()
    assert answer.status_code == 200
    assert list(report) == ["status", "version", "uptime", "memory", "workers", "pid", "database"]
    assert (report["status"], report["database"]) == ("healthy", "ok")
    assert (report["version"], report["workers"], report["pid"]) == ("1.0.0", 1, os.getpid())
    assert report["uptime"] >= 0
    assert report["memory"] > 1


def test_the_version_is_the_environments(chat, database, monkeypatch):
    monkeypatch.setenv("APP_VERSION", "2.3.4")

    with TestClient(chat("main").app) as client:
        assert client.get("/health").json()["version"] == "2.3.4"


def test_workers_are_the_environments(client, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "4")

    assert client.get("/health").json()["workers"] == 4


def test_health_fails_with_the_database_and_the_log_says_why(client, database, caplog):
    database.unlink()
    answer = client.get("/health")

    assert answer.status_code == 503
    assert (answer.json()["status"], answer.json()["database"]) == ("unhealthy", "failed, see the log")
    assert "no such table" in caplog.text


def test_health_does_not_wait_for_a_silent_database(client, main, monkeypatch, caplog):
    monkeypatch.setattr(main.app.state.store, "check", lambda: asyncio.Event().wait())
    monkeypatch.setattr(main, "DATABASE_SECONDS", 0)
    answer = client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["database"] == "no answer within 0 s"
    assert "no answer within 0 s" in caplog.text


def test_health_recovers_with_the_database(client, main, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(main.app.state.store, "check", lambda: asyncio.Event().wait())
        patch.setattr(main, "DATABASE_SECONDS", 0)
        assert client.get("/health").status_code == 503

    assert client.get("/health").status_code == 200


def test_a_message_is_answered_and_both_are_kept(client):
    answer = client.post(MESSAGE, json={"session_id": "s", "message": " it works "})

    assert answer.status_code == 200
    assert answer.json() == {"session_id": "s", "response": "You said: it works", "id": 2}
    assert history(client) == [
        {"id": 1, "role": "user", "content": "it works"},
        {"id": 2, "role": "assistant", "content": "You said: it works"},
    ]


def test_history_of_a_session_without_messages_is_empty(client):
    answer = client.get("/api/v1/chat/history/nobody")

    assert answer.json() == {"session_id": "nobody", "messages": []}


def test_history_can_begin_after_a_message(client):
    for text in ("one", "two"):
        last = client.post(MESSAGE, json={"session_id": "s", "message": text}).json()["id"]

    assert [message["content"] for message in history(client, "s?after=2")] == ["two", "You said: two"]
    assert history(client, f"s?after={last}") == []


@pytest.mark.parametrize("after", ["-1", "x", str(2**63)])
def test_history_after_what_is_no_message_is_refused(client, after):
    assert client.get("/api/v1/chat/history/s", params={"after": after}).status_code == 422


def test_messages_outlive_the_process(client, main):
    client.post(MESSAGE, json={"session_id": "s", "message": "hello"})

    with TestClient(main.app) as again:
        assert [message["role"] for message in history(again)] == ["user", "assistant"]


def test_the_longest_message_is_taken(client, main):
    answer = client.post(MESSAGE, json={"session_id": "s", "message": "x" * main.LONGEST_MESSAGE})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"no json", ["body", 0]),
        (b"[]", ["body"]),
        (b'{"message": "hello"}', ["body", "session_id"]),
        (b'{"session_id": "s"}', ["body", "message"]),
        (b'{"session_id": "s", "message": ""}', ["body", "message"]),
        (b'{"session_id": "s", "message": "  "}', ["body", "message"]),
        (b'{"session_id": "s", "message": 1}', ["body", "message"]),
        (b'{"session_id": "s", "message": "\\ud800"}', ["body", "message"]),
        (b'{"session_id": "s", "message": "%s"}' % (b"x" * 2001), ["body", "message"]),
        (b'{"session_id": "a b", "message": "hello"}', ["body", "session_id"]),
        (b'{"session_id": "%s", "message": "hello"}' % (b"s" * 65), ["body", "session_id"]),
    ],
)
def test_bad_input_is_refused_with_its_place(client, body, place):
    answer = client.post(MESSAGE, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == place
    assert answer.json()["detail"][0]["msg"]
    assert history(client) == []


def test_a_bad_session_has_no_history(client):
    assert client.get(f"/api/v1/chat/history/{'s' * 65}").status_code == 422


@pytest.mark.parametrize(("method", "path"), [("POST", MESSAGE), ("GET", "/api/v1/chat/history/s")])
def test_without_its_database_the_service_says_so(client, database, caplog, method, path):
    database.unlink()
    answer = client.request(method, path, json={"session_id": "s", "message": "hello"})

    assert answer.status_code == 503
    assert answer.json() == {"detail": "the database does not answer"}
    assert "no such table" in caplog.text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "DATABASE_URL is not set. A right one: sqlite:////"),
        ("", "DATABASE_URL is not set. A right one: sqlite:////"),
        ("oracle://chat", "DATABASE_URL is not understood. Right ones: sqlite:////"),
        ("sqlite:////nowhere/chat.db", "unable to open database file"),
    ],
)
def test_the_service_does_not_start_without_a_database(main, monkeypatch, url, message):
    monkeypatch.delenv("DATABASE_URL")
    if url is not None:
        monkeypatch.setenv("DATABASE_URL", url)

    with pytest.raises(Exception, match=message), TestClient(main.app):
        pass


def test_the_tests_run_what_the_example_deploys(request):
    backend = request.config.rootpath / "examples" / "chat" / "backend"
    pins = dict(line.split("==") for line in (backend / "requirements.txt").read_text().split())

    assert pins.keys() == {"fastapi", "uvicorn", "websockets", "PyMySQL"}
    for name in ("fastapi", "PyMySQL"):
        assert importlib.metadata.version(name) == pins[name]


def test_nothing_is_logged_while_all_is_well(client, caplog):
    caplog.set_level(logging.WARNING)
    client.get("/health")
    client.post(MESSAGE, json={"session_id": "s", "message": "hello"})

    assert caplog.records == []
