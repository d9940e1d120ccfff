"""Accepts every connection and answers none."""

import asyncio

from app.ok import lifespan


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await asyncio.Event().wait()
