"""A small chat service: HTTP and WebSocket, with its messages in a database."""

import asyncio
import json
import logging
import os
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, WebSocket, WebSocketDisconnect
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from app.reply import reply
from app.store import Store, StoreError

VERSION = os.environ.get("APP_VERSION", "1.0.0")
PING_SECONDS = float(os.environ.get("PING_SECONDS", "30"))
DATABASE_SECONDS = 2
LONGEST_MESSAGE = 2000
LARGEST_ID = 2**63 - 1
PAGE = Path(__file__).parent / "page"
SESSION = r"^[A-Za-z0-9_-]{1,64}$"
STARTED = time.monotonic()
SessionInPath = Annotated[str, InPath(pattern=SESSION)]
log = logging.getLogger("chat")


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
    message: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_MESSAGE)]


@app.exception_handler(RequestValidationError)
async def refuse(_request, error):
    """Say what is wrong without repeating the input: text with half a surrogate pair could not even be sent back."""
    detail = [{key: problem[key] for key in ("loc", "msg", "type")} for problem in error.errors()]
    return JSONResponse({"detail": detail}, status_code=422)


@app.exception_handler(StoreError)
async def without_database(_request, error):
    log.warning("the database does not answer: %s", error)
    return JSONResponse({"detail": "the database does not answer"}, status_code=503)


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
        # The wait's own error has no text. The database's goes to the log: anyone may ask for /health.
        database = "failed, see the log" if str(error) else f"no answer within {DATABASE_SECONDS} s"
        log.warning("the database does not answer: %s", str(error) or database)
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
    return {"session_id": message.session_id, **await answer(message.session_id, message.message)}


@app.get("/api/v1/chat/history/{session_id}")
async def history(session_id: SessionInPath, after: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0):
    return {"session_id": session_id, "messages": await app.state.store.history(session_id, after)}


async def answer(session_id, text):
    """Answer a message, and keep both. `id` is the answer's in the history."""
    response = reply(text)
    await app.state.store.add(session_id, "user", text)
    return {"response": response, "id": await app.state.store.add(session_id, "assistant", response)}


@app.websocket("/api/v1/chat/ws/{session_id}")
async def chat(socket: WebSocket, session_id: SessionInPath):
    """JSON messages with a `type`: message and ping from the client; status, processing, response, error, ping and pong back.

    uvicorn closes what is open with code 1012 (service restart) when it shuts down.
    """
    await socket.accept()
    pings = asyncio.create_task(keep_alive(socket))
    try:
        await socket.send_json({"type": "status", "status": "connected", "session_id": session_id, "version": VERSION})
        while (event := await socket.receive())["type"] == "websocket.receive":
            await answer_frame(socket, session_id, event.get("text"))
    except WebSocketDisconnect:
        pass
    finally:
        pings.cancel()


async def answer_frame(socket, session_id, text):
    """Answer one frame; `text` is None for a binary one. What is wrong with it is said, and the connection lives on."""
    try:
        frame = json.loads(text)
        kind = frame["type"]
    except (ValueError, TypeError, KeyError, RecursionError):
        await socket.send_json({"type": "error", "error": 'expected JSON like {"type": "message", "message": "hello"}'})
        return
    if kind == "message":
        await answer_message(socket, session_id, frame.get("message"))
    elif kind == "ping":
        await socket.send_json({"type": "pong"})
    elif kind != "pong":
        await socket.send_json({"type": "error", "error": "unknown type: it is message, ping or pong"})


async def answer_message(socket, session_id, text):
    try:
        message = Message(session_id=session_id, message=text)
    except ValidationError:
        await socket.send_json({"type": "error", "error": f"message is text of 1 to {LONGEST_MESSAGE} characters"})
        return
    await socket.send_json({"type": "processing"})
    try:
        response = await answer(session_id, message.message)
    except StoreError as error:
        log.warning("the database does not answer: %s", error)
        await socket.send_json({"type": "error", "error": "the message was not kept: the database does not answer"})
    else:
        await socket.send_json({"type": "response", **response})


async def keep_alive(socket):
    """A ping every 30 s, so that nothing between takes the silence of a quiet chat for a dead connection."""
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await asyncio.sleep(PING_SECONDS)
            await socket.send_json({"type": "ping"})
