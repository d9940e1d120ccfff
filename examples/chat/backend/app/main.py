"""A small chat service: HTTP and WebSocket, with its messages in a database."""

import asyncio
import json
import os
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from app.reply import reply
from app.store import Store

VERSION = os.environ.get("APP_VERSION", "1.0.0")
PING_SECONDS = float(os.environ.get("PING_SECONDS", "30"))
DATABASE_SECONDS = 2
LONGEST_MESSAGE = 2000
PAGE = Path(__file__).parent / "page"
SESSION = r"^[A-Za-z0-9_-]{1,64}$"
STARTED = time.monotonic()


@asynccontextmanager
async def lifespan(service):
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise RuntimeError("DATABASE_URL is not set. A right one: sqlite:////var/lib/chat-api/chat.db")
    service.state.store = Store(url)
    await service.state.store.prepare()
    yield


app = FastAPI(title="chat", version=VERSION, lifespan=lifespan)
app.mount("/page", StaticFiles(directory=PAGE), name="page")


class Message(BaseModel):
    session_id: str = Field(pattern=SESSION)
    message: str = Field(min_length=1, max_length=LONGEST_MESSAGE)


@app.get("/", include_in_schema=False)
def page():
    return FileResponse(PAGE / "index.html")


@app.get("/health")
async def health():
    """Healthy only while the database answers: without it no message could be kept."""
    try:
        await asyncio.wait_for(app.state.store.check(), DATABASE_SECONDS)
        database = "ok"
    except Exception as error:
        database = f"{type(error).__name__}"
    report = {
        "status": "healthy" if database == "ok" else "unhealthy",
        "version": VERSION,
        "uptime": round(time.monotonic() - STARTED, 1),
        "memory": memory_mib(),
        "workers": int(os.environ.get("WEB_CONCURRENCY", "1")),
        "pid": os.getpid(),
        "database": database,
    }
    return JSONResponse(report, status_code=200 if database == "ok" else 503)


def memory_mib():
    """The process's resident memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return None


@app.post("/api/v1/chat/message")
async def post_message(message: Message):
    return {"session_id": message.session_id, "response": await answer(message.session_id, message.message)}


@app.get("/api/v1/chat/history/{session_id}")
async def history(session_id: str):
    return {"session_id": session_id, "messages": await app.state.store.history(session_id)}


async def answer(session_id, text):
    """Answer a message, and keep both."""
    response = reply(text)
    await app.state.store.add(session_id, "user", text)
    await app.state.store.add(session_id, "assistant", response)
    return response


@app.websocket("/api/v1/chat/ws/{session_id}")
async def chat(socket: WebSocket, session_id: str):
    """JSON messages with a `type`: message and ping from the client; status, processing, response, error, ping and pong back.

    uvicorn closes what is open with code 1012 (service restart) when it shuts down.
    """
    await socket.accept()
    pings = asyncio.create_task(keep_alive(socket))
    try:
        await socket.send_json({"type": "status", "status": "connected", "session_id": session_id, "version": VERSION})
        while True:
            await answer_frame(socket, session_id, await socket.receive_text())
    except WebSocketDisconnect:
        pass
    finally:
        pings.cancel()


async def answer_frame(socket, session_id, text):
    try:
        frame = json.loads(text)
        kind = frame["type"]
        message = frame.get("message", "")
    except (ValueError, TypeError, KeyError, AttributeError):
        await socket.send_json({"type": "error", "error": 'expected JSON like {"type": "message", "message": "hello"}'})
        return
    if kind == "ping":
        await socket.send_json({"type": "pong"})
    elif kind == "pong":
        pass
    elif kind != "message":
        await socket.send_json({"type": "error", "error": f"unknown type {kind!r}: it is message, ping or pong"})
    elif not isinstance(message, str) or not 1 <= len(message) <= LONGEST_MESSAGE:
        await socket.send_json({"type": "error", "error": f"message is text of 1 to {LONGEST_MESSAGE} characters"})
    else:
        await socket.send_json({"type": "processing"})
        try:
            response = await answer(session_id, message)
        except Exception as error:
            await socket.send_json({"type": "error", "error": f"the message was not kept ({type(error).__name__})"})
        else:
            await socket.send_json({"type": "response", "response": response})


async def keep_alive(socket):
    """A ping every 30 s, so that nothing between takes the silence of a quiet chat for a dead connection."""
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await asyncio.sleep(PING_SECONDS)
            await socket.send_json({"type": "ping"})
