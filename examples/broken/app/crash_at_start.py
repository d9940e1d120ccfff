"""Imports well, and fails when the server starts it."""

from app.ok import lifespan, respond


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send, on_start=fail)
    else:
        await respond(send, 200, {"status": "healthy"})


async def fail():
    raise RuntimeError("this app can't start")
