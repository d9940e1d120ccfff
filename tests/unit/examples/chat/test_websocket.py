"""The service over WebSocket."""

import asyncio
import json

import pytest
from starlette.websockets import WebSocketDisconnect

WRONG_JSON = 'expected JSON like {"type": "message", "message": "hello"}'
WRONG_TEXT = "message is text of 1 to 2000 characters"
WRONG_TYPE = "unknown type: it is message, ping or pong"


@pytest.fixture
def socket(client):
    with client.websocket_connect("/api/v1/chat/ws/s") as socket:
        assert socket.receive_json()["type"] == "status"
        yield socket


def lives(socket):
    socket.send_json({"type": "ping"})
    return socket.receive_json() == {"type": "pong"}


def test_a_connection_begins_with_its_status(client):
    with client.websocket_connect("/api/v1/chat/ws/s") as socket:
        assert socket.receive_json() == {
            "type": "status",
            "status": "connected",
            "session_id": "s",
            "version": "1.0.0",
        }


def test_a_message_is_processed_answered_and_kept(socket, client):
    socket.send_json({"type": "message", "message": " it works "})

    assert socket.receive_json() == {"type": "processing"}
    assert socket.receive_json() == {"type": "response", "response": "You said: it works", "id": 2}
    assert client.get("/api/v1/chat/history/s").json()["messages"] == [
        {"id": 1, "role": "user", "content": "it works"},
        {"id": 2, "role": "assistant", "content": "You said: it works"},
    ]


def test_a_ping_is_answered_and_a_pong_is_not(socket):
    socket.send_json({"type": "pong"})

    assert lives(socket)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("no json", WRONG_JSON),
        ("", WRONG_JSON),
        ("null", WRONG_JSON),
        ("[1]", WRONG_JSON),
        ('"type"', WRONG_JSON),
        ("{}", WRONG_JSON),
        ("[" * 100_000, WRONG_JSON),
        ('{"type": "shout"}', WRONG_TYPE),
        ('{"type": ["message"]}', WRONG_TYPE),
        ('{"type": "\\ud800"}', WRONG_TYPE),
        ('{"type": "message"}', WRONG_TEXT),
        ('{"type": "message", "message": 1}', WRONG_TEXT),
        ('{"type": "message", "message": "  "}', WRONG_TEXT),
        ('{"type": "message", "message": "\\ud800"}', WRONG_TEXT),
        (json.dumps({"type": "message", "message": "x" * 2001}), WRONG_TEXT),
    ],
)
def test_a_bad_message_is_an_error_and_the_connection_lives_on(socket, text, error):
    socket.send_text(text)

    assert socket.receive_json() == {"type": "error", "error": error}
    assert lives(socket)


def test_a_binary_message_is_an_error_and_the_connection_lives_on(socket):
    socket.send_bytes(b"\x00\x01")

    assert socket.receive_json() == {"type": "error", "error": WRONG_JSON}
    assert lives(socket)


def test_without_its_database_a_message_is_an_error_and_the_connection_lives_on(socket, database, caplog):
    database.unlink()
    socket.send_json({"type": "message", "message": "hello"})

    assert socket.receive_json() == {"type": "processing"}
    assert socket.receive_json() == {
        "type": "error",
        "error": "the message was not kept: the database does not answer",
    }
    assert "no such table" in caplog.text
    assert lives(socket)


@pytest.mark.parametrize("session", ["s" * 65, "a b", "ä"])
def test_a_bad_session_is_refused_before_it_is_accepted(client, session):
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect(f"/api/v1/chat/ws/{session}"):
        pass

    assert caught.value.code == 1008


def test_every_connection_is_kept_alive_until_it_ends(client, main, monkeypatch):
    seen = []

    async def keep_alive(socket):
        await socket.send_json({"type": "ping"})
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    monkeypatch.setattr(main, "keep_alive", keep_alive)
    with client.websocket_connect("/api/v1/chat/ws/s") as socket:
        assert [socket.receive_json()["type"], socket.receive_json()["type"]] == ["status", "ping"]
        assert seen == []

    assert seen == ["ended"]


class Gone:
    """A connection that ends with its third ping."""

    def __init__(self):
        self.sent = []

    async def send_json(self, message):
        if len(self.sent) == 2:
            raise WebSocketDisconnect(1006)
        self.sent.append(message)


def test_pings_go_out_at_the_set_interval_until_the_connection_ends(main, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(main.asyncio, "sleep", sleep)
    socket = Gone()
    asyncio.run(main.keep_alive(socket))

    assert socket.sent == [{"type": "ping"}] * 2
    assert slept == [30] * 3


def test_the_interval_of_pings_is_the_environments(chat, database, monkeypatch):
    monkeypatch.setenv("PING_SECONDS", "0.5")

    assert chat("main").PING_SECONDS == 0.5
