"""WebSocket messages as fast as they go: a server that echoes them, and a client that counts its echoes. Both run on the host.

    python3 _echo.py serve PORT
    python3 _echo.py load PORT SESSIONS SECONDS

A session sends one message and waits for its echo before the next, so that each read of a socket is one frame. That allows
for two small loops over epoll, which cost less than what lies between them. The client prints one line of JSON.
"""

from __future__ import annotations

import base64
import json
import select
import socket
import struct
import sys
import time

# A client's frame is masked, and a mask of zeros is a mask.
MESSAGE = b"a message of forty-eight bytes, as chats have it"
SENT = struct.pack("!BBI", 0x81, 0x80 | len(MESSAGE), 0) + MESSAGE
ECHO = struct.pack("!BB", 0x81, len(MESSAGE)) + MESSAGE

REQUEST = "\r\n".join(
    [
        "GET /ws HTTP/1.1",
        "Host: bench.example.com",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + base64.b64encode(bytes(16)).decode(),
        "",
        "",
    ]
).encode()
# The server need not look at the key: it is always this one, of 16 zeros.
ACCEPT = "ICX+Yqv66kxgM0FcWaLWlFLwTAI="
ANSWER = "\r\n".join(
    [
        "HTTP/1.1 101 Switching Protocols",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Accept: " + ACCEPT,
        "",
        "",
    ]
).encode()


def serve(port):
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    sessions = {}
    while True:
        for number, _events in poll.poll():
            if number == listener.fileno():
                session, _address = listener.accept()
                session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sessions[session.fileno()] = session
                poll.register(session, select.EPOLLIN)
                continue
            session = sessions[number]
            try:
                data = session.recv(4096)
                if data == SENT:
                    session.send(ECHO)
                elif data.startswith(b"GET "):
                    session.send(ANSWER)
                else:
                    raise ConnectionError
            except ConnectionError:
                del sessions[number]
                session.close()


def upgraded(port):
    session = socket.create_connection(("127.0.0.1", port), timeout=10)
    session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    session.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        part = session.recv(4096)
        if not part:
            break
        answer += part
    if not answer.startswith(b"HTTP/1.1 101 "):
        sys.exit(f"no upgrade: {answer!r}")
    return session


def load(port, count, seconds):
    sessions = {session.fileno(): session for session in (upgraded(port) for _number in range(count))}
    poll = select.epoll()
    sent = {}
    taken = []
    failed = 0
    for number, session in sessions.items():
        poll.register(number, select.EPOLLIN)
        sent[number] = time.monotonic()
        session.send(SENT)
    begin = now = time.monotonic()
    while now < begin + seconds and sessions:
        for number, _events in poll.poll(1):
            session = sessions[number]
            echo = session.recv(4096)
            now = time.monotonic()
            if echo != ECHO:
                failed += 1
                del sessions[number]
                session.close()
                continue
            taken.append(now - sent[number])
            sent[number] = now
            session.send(SENT)
        now = time.monotonic()
    taken.sort()
    found = {
        "requests": len(taken),
        "us": (now - begin) * 1e6,
        "bytes": len(taken) * len(ECHO),
        "failed": failed,
        "p50_us": taken[len(taken) // 2] * 1e6,
        "p99_us": taken[len(taken) * 99 // 100] * 1e6,
    }
    print(json.dumps(found))


def main():
    task, port, *rest = sys.argv[1:]
    if task == "serve":
        serve(int(port))
    load(int(port), int(rest[0]), float(rest[1]))


if __name__ == "__main__":
    main()
