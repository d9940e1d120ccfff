"""Runs, listens, and says in its log alone why it is not well: its database refuses it."""

import sys

from app.ok import lifespan, respond


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        print(
            "OperationalError: (1045, \"Access denied for user 'shop'@'localhost' (using password: YES)\")",
            file=sys.stderr,
        )
        await lifespan(receive, send)
    else:
        await respond(send, 503, {"status": "unhealthy"})
