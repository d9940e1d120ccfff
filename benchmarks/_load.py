"""An open-loop load of requests and WebSocket sessions that accounts for every one of them. Runs on the host it asks.

    python3 _load.py --port 80 --rate 250 --websockets 100 --requests 20000 --seconds 600

Requests leave at their due time, however the earlier ones fare: GET /version and POST /echo with small and large bodies,
half of them on kept connections and half with a connection each. Each WebSocket sends a message a second and expects its
echo; one that was closed is opened again. Runs until its standard input ends (or SIGTERM) and at least --requests were
sent, and never longer than --seconds. Then it prints one line of JSON. All times are those of the host's monotonic clock.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import collections
import json
import math
import os
import signal
import struct
import time

TIMEOUT = 10
# A connection that idled longer is not used again: nginx closes its own after 65 s, and whoever knows that keeps away.
KEPT_SECONDS = 5
RECONNECT_SECONDS = 0.25

SMALL = json.dumps({"name": "gatehouse", "items": list(range(20))}).encode()
LARGE = os.urandom(64 * 1024)
# One round of requests: method, path, body.
ROUND = [("GET", "/version", b"")] * 5 + [("POST", "/echo", SMALL)] * 4 + [("POST", "/echo", LARGE)]

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
NO_CLOSE_FRAME = 1006
# How a server says that it goes away or restarts.
GOING_AWAY = (1001, 1012)
# Seconds by which a drain may seem too short, since the switch is seen with the first answer after it, and take too long.
EARLY = 0.5
LATE = 5


class BadAnswer(Exception):
    """An answer that is not the expected one; the message is its kind."""


def kind(error):
    """What went wrong, in a word. A reset is a failure on a kept connection too: nobody may send a POST twice."""
    if isinstance(error, BadAnswer):
        return str(error)
    kinds = {ConnectionRefusedError: "refused", ConnectionError: "reset", EOFError: "eof", TimeoutError: "timeout"}
    return next((word for known, word in kinds.items() if isinstance(error, known)), type(error).__name__)


def percentile(values, share):
    """The smallest value that is at least as large as this share of them all; 0 for none."""
    return sorted(values)[max(math.ceil(len(values) * share) - 1, 0)] if values else 0


def outage(moments):
    """Seconds in which something failed, counted in tenths."""
    return len({math.floor(moment * 10) for moment in moments}) / 10


def was_cut(opened, closed, code, switches, drain):
    """Whether a session was cut, not drained.

    It was drained when it was opened before a switch, and the server closed it with a proper code `drain` seconds after that.
    """
    drained = any(opened < switch and -EARLY <= closed - switch - drain <= LATE for switch in switches)
    return code not in GOING_AWAY or not drained


class Tally:
    """What became of the requests and sessions."""

    def __init__(self):
        self.latencies = []
        self.failures = collections.Counter()
        self.failed_at = []
        self.versions = {}
        self.closes = []
        self.reconnects = 0
        self.rejected = 0
        self.lag = 0

    def answered(self, due, now):
        self.latencies.append(now - due)

    def failed(self, due, error):
        self.failures[kind(error)] += 1
        self.failed_at.append(due)

    def version(self, name, now):
        """Note the first and the last answer of each version, and how many there were."""
        first, _last, count = self.versions.get(name, (now, now, 0))
        self.versions[name] = (first, now, count + 1)

    def report(self):
        return {
            "requests": len(self.latencies) + len(self.failed_at),
            "failed": len(self.failed_at),
            "failures": dict(self.failures),
            "outage_s": outage(self.failed_at),
            "p50_ms": 1000 * percentile(self.latencies, 0.5),
            "p99_ms": 1000 * percentile(self.latencies, 0.99),
            "worst_ms": 1000 * percentile(self.latencies, 1),
            # How late the generator itself was: where this is large, the machine was too busy to measure on.
            "lag_ms": 1000 * self.lag,
            "versions": self.versions,
            "ws_closes": self.closes,
            "ws_reconnects": self.reconnects,
            "ws_rejected": self.rejected,
        }


def planned(number):
    """The method, the path and the body of a request, and whether on a kept connection: every other round is."""
    return (*ROUND[number % len(ROUND)], number // len(ROUND) % 2 == 0)


def request(method, path, body, keep):
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Connection: {'keep-alive' if keep else 'close'}"]
    if body:
        head += ["Content-Type: application/octet-stream", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


async def read_head(reader):
    """The status and the headers of an answer."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = [line.split(":", 1) for line in lines[1:] if line]
    return int(lines[0].split()[1]), {name.lower(): value.strip().lower() for name, value in pairs}


async def read_answer(reader):
    """The body of an answer, which must be a 200, and whether the connection may be kept."""
    status, headers = await read_head(reader)
    if status != 200:
        raise BadAnswer(f"status_{status}")
    body = await reader.readexactly(int(headers["content-length"]))
    return body, headers.get("connection") != "close"


def frame(opcode, payload):
    """A client's frame, of less than 126 bytes. A mask of zeros is a mask."""
    return struct.pack("!BBI", 0x80 | opcode, 0x80 | len(payload), 0) + payload


async def read_frame(reader):
    first, length = await reader.readexactly(2)
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    return first & 0x0F, await reader.readexactly(length)


class Load:
    def __init__(self, options):
        self.options = options
        self.tally = Tally()
        self.stopped = asyncio.Event()
        self.kept = collections.deque()

    async def run(self):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopped.set)
        loop.add_reader(0, lambda: os.read(0, 4096) or (loop.remove_reader(0), self.stopped.set()))
        sessions = [asyncio.create_task(self.session(number)) for number in range(self.options.websockets)]
        await self.requests()
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
        return {**self.tally.report(), "ws": len(sessions)}

    async def requests(self):
        begin = time.monotonic()
        under_way = set()
        for number in range(int(self.options.rate * self.options.seconds)):
            if self.stopped.is_set() and number >= self.options.requests:
                break
            due = begin + number / self.options.rate
            await asyncio.sleep(due - time.monotonic())
            self.tally.lag = max(self.tally.lag, time.monotonic() - due)
            task = asyncio.create_task(self.request(number, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)

    async def request(self, number, due):
        method, path, body, keep = planned(number)
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await self.ask(request(method, path, body, keep), keep)
            if body and answer != body:
                raise BadAnswer("body")
        except Exception as error:
            self.tally.failed(due, error)
            return
        now = time.monotonic()
        self.tally.answered(due, now)
        if not body:
            self.tally.version(answer.decode(), now)

    async def ask(self, message, keep):
        reader, writer = (keep and self.take()) or await self.connect()
        reusable = False
        try:
            writer.write(message)
            await writer.drain()
            body, reusable = await read_answer(reader)
        finally:
            if keep and reusable:
                self.kept.append((time.monotonic(), reader, writer))
            else:
                writer.close()
        return body

    def connect(self):
        return asyncio.open_connection("127.0.0.1", self.options.port)

    def take(self):
        """A kept connection that is not known to be closed, if there is one."""
        while self.kept:
            since, reader, writer = self.kept.popleft()
            if time.monotonic() - since < KEPT_SECONDS and not reader.at_eof() and not reader.exception():
                return reader, writer
            writer.close()
        return None

    async def session(self, number):
        """One WebSocket after another, as a browser's page would: the next as soon as the last one ended."""
        opened = None
        await asyncio.sleep(number / self.options.websockets)
        while True:
            try:
                async with asyncio.timeout(TIMEOUT):
                    reader, writer = await self.upgrade()
            except (OSError, EOFError, BadAnswer):
                self.tally.rejected += 1
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            self.tally.reconnects += opened is not None
            opened = time.monotonic()
            code = await self.converse(reader, writer)
            self.tally.closes.append((opened, time.monotonic(), code))

    async def upgrade(self):
        reader, writer = await self.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        head = ["GET /ws HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket"]
        head += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        writer.write("\r\n".join([*head, "", ""]).encode())
        status, _headers = await read_head(reader)
        if status != 101:
            writer.close()
            raise BadAnswer(f"status_{status}")
        return reader, writer

    async def converse(self, reader, writer):
        """Talk until the session ends; give the server's close code, or what it ended with in place of one."""
        sent = collections.deque()
        sender = asyncio.create_task(self.send(writer, sent))
        try:
            while True:
                async with asyncio.timeout(TIMEOUT):
                    opcode, payload = await read_frame(reader)
                if opcode == CLOSE:
                    writer.write(frame(CLOSE, payload[:2]))
                    return struct.unpack("!H", payload[:2])[0] if payload else 1005
                if opcode == PING:
                    writer.write(frame(PONG, payload))
                if opcode == TEXT and payload != sent.popleft():
                    return "wrong echo"
        except (ConnectionError, EOFError):
            return NO_CLOSE_FRAME
        except TimeoutError:
            return "no echo"
        except asyncio.CancelledError:
            writer.write(frame(CLOSE, struct.pack("!H", 1000)))
            raise
        finally:
            sender.cancel()
            writer.close()

    async def send(self, writer, sent):
        for number in range(10**9):
            sent.append(b"message %d" % number)
            writer.write(frame(TEXT, sent[-1]))
            await asyncio.sleep(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--websockets", type=int, required=True)
    parser.add_argument("--requests", type=int, default=0, help="send at least so many")
    parser.add_argument("--seconds", type=float, required=True, help="run at most so long")
    print(json.dumps(asyncio.run(Load(parser.parse_args()).run())))


if __name__ == "__main__":
    main()
