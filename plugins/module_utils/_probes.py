# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""One question to a server, and its answer judged: TCP, HTTP and WebSocket.

Every probe has one deadline over its whole exchange: name look-up, connection, TLS, request and answer. A server
that drips a byte a second cannot stretch it. A probe never raises for what the network does; it returns an Answer.
Sources: RFC 9110 and 9112 (HTTP), RFC 6455 (WebSocket).
"""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import io
import json
import os
import socket
import ssl
import struct
import threading
from collections import namedtuple
from urllib.parse import urljoin, urlsplit

from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline

# What a failed probe calls its cause.
CAUSES = (
    "dns",
    "refused",
    "unreachable",
    "timed_out",
    "reset",
    "tls",
    "not_http",
    "bad_status",
    "bad_body",
    "bad_header",
    "not_upgraded",
)

MAX_BODY = 1024 * 1024
MAX_REDIRECTS = 5
EXCERPT = 300

DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# ok: whether everything that was asked for held.   cause: one of CAUSES, or None.   message: a sentence.
# latency: seconds from the first packet to the judged answer.   status, headers, body: what came, where it did.
Answer = namedtuple("Answer", "ok cause message latency status headers body")
Answer.__new__.__defaults__ = (None, {}, "")


class ProbeFailure(Exception):
    """Ends a probe from within, and becomes its Answer."""

    def __init__(self, cause, message, status=None, headers=None, body=""):
        super().__init__(message)
        self.cause = cause
        self.message = message
        self.status = status
        self.headers = headers or {}
        self.body = body


class Expectation:
    """What an HTTP answer must be.

    status: list of accepted codes.   json: keys that the answer's object must hold, with these values, nested
    objects compared the same way; other keys don't matter.   text: text that the body must contain.
    headers: headers that it must have, with these values; one that must not be there has an empty one.
    """

    def __init__(self, status=(200,), json=None, text=None, headers=None):
        self.status = list(status)
        self.json = json
        self.text = text
        self.headers = headers or {}

    @property
    def reads_body(self):
        return self.json is not None or self.text is not None

    def judge(self, status, headers, body):
        if status not in self.status:
            raise ProbeFailure("bad_status", "it " + self._status_complaint(status, headers), status, headers, body)
        for name, value in self.headers.items():
            got = headers.get(name.lower(), "")
            if got != value:
                raise ProbeFailure("bad_header", header_complaint(name, value, got), status, headers, body)
        if self.text is not None and self.text not in body:
            raise ProbeFailure("bad_body", "its body lacks the text %r" % self.text, status, headers, body)
        if self.json is not None:
            try:
                document = json.loads(body)
            except ValueError:
                raise ProbeFailure("bad_body", "its body is not JSON", status, headers, body) from None
            difference = json_difference(self.json, document)
            if difference:
                raise ProbeFailure("bad_body", "its JSON has %s" % difference, status, headers, body)

    def _status_complaint(self, status, headers):
        wanted = " or ".join(str(code) for code in self.status)
        location = headers.get("location")
        if location and 300 <= status < 400:
            return "answered %d, a redirect to %s, not %s (redirects are followed only with follow_redirects)" % (
                status,
                location,
                wanted,
            )
        return "answered %d, not %s" % (status, wanted)


def header_complaint(name, wanted, got):
    """What is wrong with a header of an answer, as words. Empty: it is not there."""
    if not wanted:
        return "it has the header %s: %s, which should not be there" % (name, got)
    return "its header %s is %s, not %s" % (name, got or "missing", wanted)


def json_difference(expected, actual, path=""):
    """The first place where `actual` does not hold what `expected` asks for, as words; None when it does."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return "%s where an object was expected%s" % (json.dumps(actual), " at " + path if path else "")
        for key in expected:
            place = "%s.%s" % (path, key) if path else str(key)
            if key not in actual:
                return "no key %s" % place
            difference = json_difference(expected[key], actual[key], place)
            if difference:
                return difference
        return None
    # In JSON, true is not 1, though Python says so.
    if expected == actual and isinstance(expected, bool) == isinstance(actual, bool):
        return None
    return "%s = %s, not %s" % (path or "the document", json.dumps(actual), json.dumps(expected))


class Tls:
    """How to speak TLS: verify or not, against which CA file (None: the system's), asking for which name (SNI)."""

    def __init__(self, verify=True, ca_path=None, server_name=None):
        self.verify = verify
        self.ca_path = ca_path
        self.server_name = server_name

    def wrap(self, connection, host, deadline):
        try:
            context = ssl.create_default_context(cafile=self.ca_path)
        except (OSError, ssl.SSLError) as error:
            raise ProbeFailure("tls", "the CA file %s can't be used: %s" % (self.ca_path, error)) from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        connection.settimeout(_left(deadline))
        return context.wrap_socket(connection, server_hostname=self.server_name or host)


def probe_tcp(host, port, timeout, connect=None):
    """Whether something accepts a connection."""

    def exchange(deadline):
        (connect or open_connection)(host, port, deadline).close()
        return "%s accepts connections" % _where(host, port), None, {}, ""

    return _answer(exchange, timeout, "%s" % _where(host, port))


def probe_http(
    url,
    timeout,
    expectation=None,
    method="GET",
    headers=None,
    body=None,
    follow_redirects=False,
    tls=None,
    connect=None,
):
    """One HTTP exchange, with redirects followed only when asked, all under one deadline.

    body: bytes or None.   headers: a dict; a `Host` there replaces the URL's.   connect: opens the TCP connection.
    """
    expectation = expectation or Expectation()

    def exchange(deadline):
        target, how, content, send_headers = url, method, body, dict(headers or {})
        for _hop in range(MAX_REDIRECTS + 1):
            status, got, text = _http_once(
                target, how, send_headers, content, tls or Tls(), deadline, connect or open_connection
            )
            location = got.get("location")
            if not (follow_redirects and location and status in (301, 302, 303, 307, 308)):
                expectation.judge(status, got, text)
                return "%s answered %d" % (url, status), status, got, text
            if status == 303 or (status in (301, 302) and how == "POST"):
                how, content = "GET", None
            onward = urljoin(target, location)
            try:
                split_url(onward, ("http", "https"))
            except ValueError:
                words = "it redirects to %r, which is no web address" % onward
                raise ProbeFailure("bad_status", words, status, got) from None
            if urlsplit(onward).netloc != urlsplit(target).netloc:
                # What was meant for one server is not told to another.
                send_headers = {
                    k: v for k, v in send_headers.items() if k.lower() not in ("host", "authorization", "cookie")
                }
            target = onward
        raise ProbeFailure("bad_status", "it redirected more than %d times" % MAX_REDIRECTS, status, got, text)

    return _answer(exchange, timeout, url)


def probe_websocket(url, timeout, headers=None, tls=None, send=None, reply=None, connect=None):
    """A WebSocket opened for real: upgrade checked, a ping answered by its pong, closed properly.

    send: text to send once open, or None.   reply: text that some message from the server must then contain.
    """

    def exchange(deadline):
        parts = split_url(url, ("ws", "wss", "http", "https"))
        stream = _open(parts, tls or Tls(), deadline, connect or open_connection)
        try:
            key = base64.b64encode(os.urandom(16)).decode("ascii")
            upgrade = {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Key": key,
                "Sec-WebSocket-Version": "13",
            }
            stream.send(_request_head(parts, "GET", dict(headers or {}, **upgrade), None))
            reader = stream.reader()
            response = _read_head(reader, "GET")
            got = _header_dict(response)
            _judge_upgrade(response, got, key)
            # Past the handshake the bytes are frames. http.client read no further than the empty line.
            peer = _WebSocket(stream, reader)
            peer.ping(os.urandom(8))
            if send is not None:
                peer.send_text(send)
            if reply is not None:
                peer.expect_text(reply)
            peer.close()
            return "%s upgraded and answered a ping" % url, response.status, got, ""
        finally:
            stream.close()

    return _answer(exchange, timeout, url)


def split_url(url, schemes):
    """urlsplit, with the mistakes people make named. Raises ValueError."""
    parts = urlsplit(url)
    example = "%s://127.0.0.1:8000/health" % schemes[0]
    if parts.scheme not in schemes:
        raise ValueError("%r is not a URL with %s, like %s" % (url, " or ".join(schemes), example))
    if not parts.hostname:
        raise ValueError("%r names no host; a right one is %s" % (url, example))
    if parts.port == 0:  # beyond 65535, or no number, the attribute itself raises ValueError
        raise ValueError("%r names port 0; a right one is %s" % (url, example))
    return parts


def _answer(exchange, timeout, what):
    """Run the exchange under its deadline, and put into words whatever the network did."""
    deadline = Deadline(timeout)

    def failed(cause, text, status=None, headers=None, body=""):
        return Answer(False, cause, "%s: %s" % (what, text), deadline.elapsed(), status, headers or {}, body)

    try:
        text, status, headers, body = exchange(deadline)
        return Answer(True, None, text, deadline.elapsed(), status, headers, body)
    except ProbeFailure as failure:
        return failed(failure.cause, failure.message, failure.status, failure.headers, failure.body)
    except socket.timeout:
        return failed("timed_out", "no complete answer within %.3g s" % timeout)
    except ssl.SSLCertVerificationError as error:
        return failed("tls", "its certificate is refused: %s" % error.verify_message)
    except ssl.SSLError as error:
        return failed("tls", "TLS failed: %s" % (error.reason or error))
    except ConnectionRefusedError:
        return failed("refused", "connection refused: nothing listens there")
    except (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead, http.client.RemoteDisconnected):
        return failed("reset", "the connection was cut before the answer was complete")
    except (http.client.HTTPException, UnicodeError) as error:
        return failed("not_http", "what answers does not speak HTTP: %s" % (error or type(error).__name__))
    except OSError as error:
        cause = "timed_out" if error.errno == errno.ETIMEDOUT else "unreachable"
        return failed(cause, "can't be reached: %s" % (error.strerror or error))


def _left(deadline):
    remaining = deadline.remaining()
    if remaining <= 0:
        raise socket.timeout()
    return remaining


def _where(host, port):
    return "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)


def resolve(host, port, deadline):
    """getaddrinfo knows no time limit, so it runs beside and is left behind when it takes too long."""
    result = []

    def look_up():
        try:
            result.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            result.append(error)

    thread = threading.Thread(target=look_up)
    thread.daemon = True
    thread.start()
    thread.join(_left(deadline))
    if not result:
        raise ProbeFailure("dns", "no answer for the name %s in time" % host)
    if isinstance(result[0], Exception):
        raise ProbeFailure("dns", "the name %s can't be resolved: %s" % (host, result[0])) from result[0]
    return result[0]


def open_connection(host, port, deadline):
    """Try each address of the name; one that hangs gets only its share of the time that is left."""
    addresses = resolve(host, port, deadline)
    for position, (family, kind, protocol, _name, address) in enumerate(addresses):
        last = position == len(addresses) - 1
        connection = None
        try:
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(_left(deadline) / (len(addresses) - position))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError:
            if connection is not None:
                connection.close()
            if last:
                raise


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket, each time with just the time that is left over all."""

    def __init__(self, connection, deadline):
        super().__init__()
        self._connection = connection
        self._deadline = deadline

    def readable(self):
        return True

    def readinto(self, buffer):
        self._connection.settimeout(_left(self._deadline))
        return self._connection.recv_into(buffer)


class _Stream:
    def __init__(self, connection, deadline):
        self._connection = connection
        self._deadline = deadline

    def send(self, data):
        self._connection.settimeout(_left(self._deadline))
        self._connection.sendall(data)

    def reader(self):
        return io.BufferedReader(_DeadlineReader(self._connection, self._deadline))

    def close(self):
        self._connection.close()


class _ReaderAsSocket:
    """What http.client.HTTPResponse wants of a socket is one call."""

    def __init__(self, reader):
        self._reader = reader

    def makefile(self, _mode):
        return self._reader


def _open(parts, tls, deadline, connect):
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    connection = connect(parts.hostname, port, deadline)
    if parts.scheme in ("https", "wss"):
        try:
            connection = tls.wrap(connection, parts.hostname, deadline)
        except BaseException:
            connection.close()
            raise
    return _Stream(connection, deadline)


def _request_head(parts, method, headers, body):
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    lines = ["%s %s HTTP/1.1" % (method, path)]
    named = {name.lower() for name in headers}
    if "host" not in named:
        lines.append("Host: %s" % parts.netloc.rpartition("@")[2])
    if "user-agent" not in named:
        lines.append("User-Agent: gatehouse-probe")
    if body is not None or method in ("POST", "PUT", "PATCH"):
        lines.append("Content-Length: %d" % len(body or b""))
    lines += ["%s: %s" % item for item in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise ProbeFailure("not_http", "a header or path with a line break in it can't be sent")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def _read_head(reader, method):
    response = http.client.HTTPResponse(_ReaderAsSocket(reader), method=method)
    response.begin()
    return response


def _header_dict(response):
    """By name in lower case. One that came several times has all its values, as a browser puts them together."""
    headers = {}
    for name, value in response.getheaders():
        headers[name.lower()] = "%s, %s" % (headers[name.lower()], value) if name.lower() in headers else value
    return headers


def _http_once(url, method, headers, body, tls, deadline, connect):
    parts = split_url(url, ("http", "https"))
    stream = _open(parts, tls, deadline, connect)
    try:
        head = _request_head(parts, method, dict(headers, Connection="close"), body)
        stream.send(head + (body or b""))
        response = _read_head(stream.reader(), method)
        received = response.read(MAX_BODY)
        if response.length and len(received) < MAX_BODY:  # the rest of what Content-Length announced never came
            raise ConnectionResetError()
        return response.status, _header_dict(response), received.decode("utf-8", "replace")
    finally:
        stream.close()


def _judge_upgrade(response, headers, key):
    if response.status != 101:
        raise ProbeFailure(
            "not_upgraded",
            "it answered %d instead of upgrading to a WebSocket (101)" % response.status,
            response.status,
            headers,
        )
    accept = base64.b64encode(hashlib.sha1((key + WEBSOCKET_GUID).encode("ascii")).digest()).decode("ascii")
    tokens = [token.strip().lower() for token in headers.get("connection", "").split(",")]
    wrong = None
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in tokens:
        wrong = "it answered 101 without the headers Upgrade: websocket and Connection: Upgrade"
    elif headers.get("sec-websocket-accept") != accept:
        wrong = "it answered 101 with a wrong Sec-WebSocket-Accept: something between rewrites or replays the handshake"
    if wrong:
        raise ProbeFailure("not_upgraded", wrong, response.status, headers)


class _WebSocket:
    """The client's side of an open WebSocket: just the frames that a probe needs."""

    TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

    def __init__(self, stream, reader):
        self._stream = stream
        self._reader = reader
        self._seen = []

    def ping(self, payload):
        self._send(self.PING, payload)
        while True:
            opcode, data = self._receive()
            if opcode == self.PONG and data == payload:
                return

    def send_text(self, text):
        self._send(self.TEXT, text.encode("utf-8"))

    def expect_text(self, text):
        while not any(text in seen for seen in self._seen):
            self._receive()

    def close(self):
        self._send(self.CLOSE, struct.pack("!H", 1000))

    def _send(self, opcode, payload):
        # A client's frames are masked (RFC 6455, 5.3).
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self._stream.send(head + mask + masked)

    def _receive(self):
        first, second = self._read(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._read(8))
        if size > MAX_BODY:
            raise ProbeFailure("bad_body", "it sent a frame of %d bytes" % size)
        opcode, data = first & 0x0F, self._read(size)
        if opcode == self.PING:
            self._send(self.PONG, data)
        elif opcode == self.CLOSE:
            code = struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1005
            raise ProbeFailure("reset", "it closed the WebSocket with code %d" % code)
        elif opcode == self.TEXT:
            self._seen.append(data.decode("utf-8", "replace"))
        return opcode, data

    def _read(self, size):
        data = self._reader.read(size)
        if len(data) < size:
            raise ConnectionResetError()
        return data
