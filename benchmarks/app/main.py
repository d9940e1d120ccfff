"""What bench deploy serves: an app that takes 1.5 s to start, echoes over HTTP and WebSocket, and logs who asked it.

The log tells the gate's questions (they come directly) from traffic (it comes through nginx, which adds X-Forwarded-For).
"""

from __future__ import annotations

import asyncio
import json
import os
import time

VERSION = os.environ.get("VERSION", "0")
# What is wrong with this release: "unhealthy" answers 500 on /health, "hangs" never gets to listen.
FAULT = os.environ.get("FAULT", "")
START_SECONDS = 1.5

seen = set()


def log(event):
    # The monotonic clock is one for all processes of a host, so the load generator's times compare with these.
    print(json.dumps({"event": event, "version": VERSION, "at": time.monotonic()}), flush=True)


def note(scope):
    proxied = any(name == b"x-forwarded-for" for name, _value in scope["headers"])
    event = "traffic" if proxied else "gate"
    # All of the gate's questions, but of the traffic only the first: that there was any is what counts.
    if event == "gate" or event not in seen:
        log(event)
    seen.add(event)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    note(scope)
    if scope["type"] == "websocket":
        return await websocket(receive, send)
    return await http(scope, receive, send)


async def lifespan(receive, send):
    await receive()
    log("start")
    await asyncio.sleep(START_SECONDS)
    if FAULT == "hangs":
        await asyncio.Event().wait()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def websocket(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def http(scope, receive, send):
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    status = 200
    if scope["path"] == "/health":
        status = 500 if FAULT == "unhealthy" else 200
        body = json.dumps({"status": "healthy" if status == 200 else FAULT}).encode()
    elif scope["path"] == "/version":
        body = VERSION.encode()
    elif scope["path"] != "/echo":
        status, body = 404, b"there are /health, /version, /echo and /ws\n"
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
