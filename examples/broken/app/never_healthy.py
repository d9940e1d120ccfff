"""Runs, listens, answers, and is never well."""

from app.ok import lifespan, respond


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await respond(send, 503, {"status": "unhealthy"})
