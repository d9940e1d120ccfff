"""Probes against real servers on the loopback address, each of which plays one part."""

import base64
import contextlib
import hashlib
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _probes
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import (
    Expectation,
    Tls,
    json_difference,
    probe_http,
    probe_tcp,
    probe_websocket,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 5  # no test waits for it: it bounds a test that goes wrong


class Server:
    """Plays its part with each connection; keeps the requests it read."""

    def __init__(self, play, context=None):
        self.play = play
        self.context = context
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self.listener.accept()
                with contextlib.suppress(OSError), connection:
                    connection.settimeout(PATIENCE)
                    if self.context:
                        connection = self.context.wrap_socket(connection, server_side=True)
                    self.requests.append(self._read(connection))
                    self.play(connection, self.requests[-1])

    def _read(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return data
            data += more
        head, _separator, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def url(self, path="/", scheme="http"):
        return f"{scheme}://127.0.0.1:{self.port}{path}"


@pytest.fixture
def serve():
    servers = []

    def start(play, context=None):
        # bytes are an answer to everything
        servers.append(
            Server(play if callable(play) else lambda connection, _request: connection.sendall(play), context)
        )
        return servers[-1]

    yield start
    for server in servers:
        server.listener.close()


def answer(status="200 OK", body=b"", **headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_a_good_answer(serve):
    server = serve(answer(body=b'{"status": "healthy"}', X_Made_By="test"))
    found = probe_http(server.url("/health?deep=1"), PATIENCE, Expectation(json={"status": "healthy"}))
    assert (found.ok, found.cause, found.status) == (True, None, 200)
    assert found.headers["x-made-by"] == "test"
    request = server.requests[0].decode()
    assert request.startswith("GET /health?deep=1 HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n" in request
    assert "Connection: close\r\n" in request


def test_headers_that_must_be_there_and_one_that_must_not(serve):
    expectation = Expectation(headers={"X-Made-By": "test", "X-Powered-By": ""})
    assert probe_http(serve(answer(x_made_by="test")).url(), PATIENCE, expectation).ok


def test_method_headers_host_and_body_are_sent(serve):
    server = serve(OK)
    probe_http(server.url(), PATIENCE, method="POST", headers={"Host": "shop.example.com", "X-A": "b"}, body=b"hello")
    request = server.requests[0].decode()
    assert request.startswith("POST / HTTP/1.1\r\n")
    assert request.count("Host:") == 1
    for line in ("Host: shop.example.com", "X-A: b", "Content-Length: 5"):
        assert line + "\r\n" in request
    assert request.endswith("\r\n\r\nhello")


@pytest.mark.parametrize(
    ("play", "expectation", "cause", "words"),
    [
        (answer("503 Service Unavailable"), Expectation(), "bad_status", "it answered 503, not 200"),
        (answer("404 Not Found"), Expectation([200, 204]), "bad_status", "404, not 200 or 204"),
        (answer(body=b"sick"), Expectation(text="well"), "bad_body", "lacks the text 'well'"),
        (answer(body=b"<html>"), Expectation(json={"a": 1}), "bad_body", "is not JSON"),
        (answer(body=b'{"a": 2}'), Expectation(json={"a": 1}), "bad_body", "a = 2, not 1"),
        (answer(X_A="b"), Expectation(headers={"X-A": "c"}), "bad_header", "its header X-A is b, not c"),
        (answer(), Expectation(headers={"X-A": "c"}), "bad_header", "its header X-A is missing, not c"),
        (answer(X_A="b"), Expectation(headers={"X-A": ""}), "bad_header", "X-A: b, which should not be there"),
        (answer(X_A="b", x_a="b"), Expectation(headers={"X-A": "b"}), "bad_header", "X-A is b, b, not b"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Expectation(), "not_http", "does not speak HTTP"),
        (b"", Expectation(), "reset", "was cut before the answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", Expectation(text="x"), "reset", "was cut"),
        (
            answer("301 Moved", Location="https://elsewhere.example.com/"),
            Expectation(),
            "bad_status",
            "301, a redirect to https://elsewhere.example.com/, not 200",
        ),
    ],
)
def test_a_bad_answer_is_classified(serve, play, expectation, cause, words):
    found = probe_http(serve(play).url(), PATIENCE, expectation)
    assert (found.ok, found.cause) == (False, cause)
    assert words in found.message


def test_a_chunked_body_is_read(serve):
    server = serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhea\r\n4\r\nlthy\r\n0\r\n\r\n")
    assert probe_http(server.url(), PATIENCE, Expectation(text="healthy")).ok


def test_an_abrupt_reset_is_a_reset(serve):
    def reset(connection, _request):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert probe_http(serve(reset).url(), PATIENCE).cause == "reset"


def test_a_body_that_drips_cannot_stretch_the_deadline(serve):
    """A byte comes long before any single read would time out; only the deadline over all ends it."""

    def drip(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _byte in range(1000):
            connection.sendall(b"x")
            threading.Event().wait(0.02)

    found = probe_http(serve(drip).url(), 0.2, Expectation(text="never"))
    assert found.cause == "timed_out"
    assert "within 0.2 s" in found.message


def test_silence_times_out(serve):
    assert probe_http(serve(lambda c, r: threading.Event().wait(1)).url(), 0.1).cause == "timed_out"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_nothing_listens():
    port = free_port()
    assert probe_http(f"http://127.0.0.1:{port}/", PATIENCE).cause == "refused"
    found = probe_tcp("127.0.0.1", port, PATIENCE)
    assert (found.ok, found.cause) == (False, "refused")


def test_a_port_that_accepts(serve):
    assert probe_tcp("127.0.0.1", serve(OK).port, PATIENCE).ok


def test_a_name_that_does_not_resolve(monkeypatch):
    def fail(*_arguments, **_options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(_probes.socket, "getaddrinfo", fail)
    found = probe_http("http://no.example.com/", PATIENCE)
    assert found.cause == "dns"
    assert "no.example.com" in found.message


def test_a_name_server_that_hangs_is_left_behind(monkeypatch):
    monkeypatch.setattr(_probes.socket, "getaddrinfo", lambda *_a, **_o: threading.Event().wait(2))
    assert probe_http("http://slow.example.com/", 0.05).cause == "dns"


def test_every_address_of_a_name_is_tried(serve, monkeypatch):
    server = serve(OK)
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (free_port(), server.port)
    ]
    monkeypatch.setattr(_probes.socket, "getaddrinfo", lambda *_a, **_o: addresses)
    assert probe_http("http://two.example.com/", PATIENCE).ok


def test_a_header_cannot_smuggle_another(serve):
    found = probe_http(serve(OK).url(), PATIENCE, headers={"X-A": "b\r\nX-Evil: 1"})
    assert not found.ok
    assert "line break" in found.message


# Redirects


def redirecting(status, to, then=OK):
    def play(connection, request):
        first = request.split(b" ")[1] == b"/from"
        connection.sendall(answer(status, Location=to) if first else then)

    return play


def test_a_redirect_is_followed_on_request(serve):
    server = serve(redirecting("302 Found", "/to"))
    found = probe_http(server.url("/from"), PATIENCE, follow_redirects=True)
    assert found.ok
    assert server.requests[1].startswith(b"GET /to ")


@pytest.mark.parametrize(("status", "method"), [("303 See Other", b"GET"), ("307 Temporary", b"POST")])
def test_a_post_becomes_a_get_as_the_status_says(serve, status, method):
    server = serve(redirecting(status, "/to"))
    probe_http(server.url("/from"), PATIENCE, method="POST", body=b"x", follow_redirects=True)
    assert server.requests[1].split(b" ")[0] == method


def test_a_redirect_without_end_is_given_up(serve):
    server = serve(answer("302 Found", Location="/again"))
    found = probe_http(server.url(), PATIENCE, follow_redirects=True)
    assert found.cause == "bad_status"
    assert "more than 5 times" in found.message


def test_what_was_meant_for_one_server_is_not_told_to_another(serve):
    second = serve(OK)
    first = serve(answer("302 Found", Location=second.url("/")))
    headers = {"Authorization": "secret", "Cookie": "secret", "Host": "a.example.com", "X-Kept": "yes"}
    assert probe_http(first.url(), PATIENCE, headers=headers, follow_redirects=True).ok
    assert b"secret" in first.requests[0]
    assert b"secret" not in second.requests[0]
    assert b"a.example.com" not in second.requests[0]
    assert b"X-Kept: yes" in second.requests[0]


def test_a_redirect_to_what_is_no_web_address(serve):
    found = probe_http(serve(answer("302 Found", Location="mailto:x@y")).url(), PATIENCE, follow_redirects=True)
    assert (found.cause, "no web address" in found.message) == ("bad_status", True)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop.example.com"]
        + ["-addext", "subjectAltName=DNS:shop.example.com", "-keyout", folder / "key", "-out", folder / "cert"],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.parametrize(
    ("tls", "cause"),
    [
        (dict(), "tls"),
        (dict(verify=False), None),
        (dict(ca_path="cert", server_name="shop.example.com"), None),
        (dict(ca_path="cert", server_name="other.example.com"), "tls"),
        (dict(ca_path="missing"), "tls"),
    ],
)
def test_certificates_are_verified(serve, certificate, tls, cause):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    if "ca_path" in tls:
        tls = dict(tls, ca_path=str(certificate / tls["ca_path"]))
    found = probe_http(serve(OK, context).url(scheme="https"), PATIENCE, tls=Tls(**tls))
    assert found.cause == cause, found.message
    if cause is None and "server_name" in tls:
        assert names == ["shop.example.com"]


def test_plain_http_is_not_tls():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def play():
            connection, _address = listener.accept()
            with connection:
                connection.recv(1)
                connection.sendall(OK)

        threading.Thread(target=play, daemon=True).start()
        found = probe_http("https://127.0.0.1:%d/" % listener.getsockname()[1], PATIENCE)
    assert (found.cause, "TLS failed" in found.message) == ("tls", True), found.message


# JSON


@pytest.mark.parametrize(
    ("expected", "actual", "difference"),
    [
        ({}, {"a": 1}, None),
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2], "c": 3}}, None),
        ({"a": 1}, {"a": 1.0}, None),
        ({"a": True}, {"a": 1}, "a = 1, not true"),
        ({"a": 0}, {"a": False}, "a = false, not 0"),
        ({"a": None}, {}, "no key a"),
        ({"a": {"b": 1}}, {"a": {}}, "no key a.b"),
        ({"a": {"b": 1}}, {"a": 3}, "3 where an object was expected at a"),
        ({"a": 1}, [1], "[1] where an object was expected"),
        ({"a": [1]}, {"a": [1, 2]}, "a = [1, 2], not [1]"),
    ],
)
def test_json_is_compared_by_what_is_asked_for(expected, actual, difference):
    assert json_difference(expected, actual) == difference


# WebSocket


def accept_of(request):
    key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")).split()[1]
    return base64.b64encode(hashlib.sha1(key + _probes.WEBSOCKET_GUID.encode()).digest()).decode()


def handshake(connection, request, **changes):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Accept": accept_of(request), **changes}
    lines = ["HTTP/1.1 101 Switching Protocols"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")


def read_frame(connection):
    head = connection.recv(2, socket.MSG_WAITALL)
    if not head:
        raise ConnectionResetError()
    first, second = head
    size = second & 127
    if size == 126:
        (size,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
    elif size == 127:
        (size,) = struct.unpack("!Q", connection.recv(8, socket.MSG_WAITALL))
    assert second & 128, "a client's frames are masked"
    mask = connection.recv(4, socket.MSG_WAITALL)
    data = connection.recv(size, socket.MSG_WAITALL) if size else b""
    return first & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def frame(opcode, data):
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + data


def echo(*first, pong=True):
    """A server that sends some frames first, then answers pings and echoes text."""

    def play(connection, request):
        handshake(connection, request)
        for data in first:
            connection.sendall(data)
        while True:
            opcode, data = read_frame(connection)
            if opcode == 8:
                return
            if opcode == 9 and pong:
                connection.sendall(frame(10, data))
            elif opcode == 1:
                connection.sendall(frame(1, data))

    return play


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_websocket_opens_and_answers_its_ping(serve, scheme):
    server = serve(echo())
    found = probe_websocket(server.url("/ws", scheme), PATIENCE, headers={"Origin": "http://shop.example.com"})
    assert (found.ok, found.status) == (True, 101), found.message
    assert b"Sec-WebSocket-Version: 13" in server.requests[0]
    assert b"Origin: http://shop.example.com" in server.requests[0]


@pytest.mark.parametrize("size", [5, 126, 70000])
def test_what_is_sent_is_answered(serve, size):
    found = probe_websocket(serve(echo()).url("/", "ws"), PATIENCE, send="x" * size + "end", reply="end")
    assert found.ok, found.message


@pytest.mark.parametrize("first", [frame(9, b"are you there"), frame(1, b"welcome"), frame(2, b"x" * 300)])
def test_frames_that_the_server_sends_first_are_no_hindrance(serve, first):
    assert probe_websocket(serve(echo(first)).url("/", "ws"), PATIENCE).ok


def test_a_ping_of_the_server_is_answered(serve):
    seen = []

    def play(connection, request):
        handshake(connection, request)
        connection.sendall(frame(9, b"hello"))
        for _frame in range(2):
            seen.append(read_frame(connection))
        connection.sendall(frame(10, next(data for opcode, data in seen if opcode == 9)))

    assert probe_websocket(serve(play).url("/", "ws"), PATIENCE).ok
    assert (10, b"hello") in seen


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Sec_WebSocket_Accept": "d3Jvbmc="}, "a wrong Sec-WebSocket-Accept"),
        ({"Upgrade": None}, "without the headers Upgrade"),
        ({"Connection": "close"}, "without the headers Upgrade"),
    ],
)
def test_a_handshake_that_is_wrong_is_no_upgrade(serve, changes, words):
    found = probe_websocket(serve(lambda c, r: handshake(c, r, **changes)).url("/", "ws"), PATIENCE)
    assert found.cause == "not_upgraded"
    assert words in found.message


def test_an_ordinary_answer_is_no_upgrade(serve):
    found = probe_websocket(serve(OK).url("/", "ws"), PATIENCE)
    assert (found.cause, found.status) == ("not_upgraded", 200)
    assert "answered 200 instead of upgrading" in found.message


def test_a_close_frame_is_told_with_its_code(serve):
    found = probe_websocket(serve(echo(frame(8, struct.pack("!H", 1012)))).url("/", "ws"), PATIENCE)
    assert found.cause == "reset"
    assert "code 1012" in found.message


def test_a_ping_without_pong_times_out(serve):
    assert probe_websocket(serve(echo(pong=False)).url("/", "ws"), 0.1).cause == "timed_out"


def test_a_pong_to_another_ping_does_not_count(serve):
    found = probe_websocket(serve(echo(frame(10, b"other"), pong=False)).url("/", "ws"), 0.1)
    assert found.cause == "timed_out"
