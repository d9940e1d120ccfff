"""Imports well, and fails when the server starts it."""

from app.ok import respond


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "this app can't start"})
    else:
        await respond(send, 200, {"status": "healthy"})
