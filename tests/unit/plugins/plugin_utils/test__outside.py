"""What the control node makes of the answers of DNS."""

import socket

import pytest

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _outside


def answer(monkeypatch, error=None):
    def getaddrinfo(host, port, **_options):
        if error:
            raise error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.10", port))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_with_an_address(monkeypatch):
    answer(monkeypatch)
    assert _outside.look_up("chat.gatehouse.dev") == (["192.0.2.10"], None)
    assert _outside.addresses("chat.gatehouse.dev") == ["192.0.2.10"]


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_NODATA, "No address associated with hostname"),
    ],
)
def test_a_name_that_is_not_there(monkeypatch, error):
    answer(monkeypatch, error)
    assert _outside.look_up("chat.gatehouse.dev") == ([], None)


@pytest.mark.parametrize("number", [socket.EAI_AGAIN, socket.EAI_FAIL])
def test_a_server_that_can_not_say_has_not_said_no(monkeypatch, number):
    answer(monkeypatch, socket.gaierror(number, "Temporary failure"))
    found, why = _outside.look_up("chat.gatehouse.dev")
    assert found == [] and "Temporary failure" in why


def test_an_answer_that_does_not_come_is_none(monkeypatch):
    answer(monkeypatch)
    monkeypatch.setattr("threading.Thread.start", lambda self: None)
    monkeypatch.setattr("threading.Thread.join", lambda self, timeout=None: None)
    found, why = _outside.look_up("chat.gatehouse.dev")
    assert found == [] and "in time" in why
