"""Healthy after SLOW_START seconds (default 1.5), before which it does not listen."""

import asyncio
import os

from app.ok import app as healthy
from app.ok import lifespan


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send, on_start=wait)
    else:
        await healthy(scope, receive, send)


async def wait():
    await asyncio.sleep(float(os.environ.get("SLOW_START", "1.5")))
