"""What the WebSocket benchmark puts on the wire, against the protocol."""

import base64
import hashlib
import struct

import _echo

# RFC 6455, section 1.3.
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def test_the_server_accepts_the_clients_key():
    key = next(line for line in _echo.REQUEST.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: ")).split()[1]
    accepted = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
    assert f"Sec-WebSocket-Accept: {accepted}\r\n".encode() in _echo.ANSWER


def test_an_echo_is_the_same_text_without_the_mask():
    first, length, mask = struct.unpack("!BBI", _echo.SENT[:6])
    assert (first, length, mask) == (0x81, 0x80 | len(_echo.MESSAGE), 0)
    assert len(_echo.MESSAGE) < 126
    assert (_echo.SENT[6:], _echo.ECHO[2:]) == (_echo.MESSAGE, _echo.MESSAGE)
    assert _echo.ECHO[:2] == bytes([0x81, len(_echo.MESSAGE)])
