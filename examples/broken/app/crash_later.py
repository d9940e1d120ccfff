"""Healthy, and gone CRASH_AFTER seconds (default 1) after its start."""

import asyncio
import os

from app.ok import app as healthy


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        asyncio.get_running_loop().call_later(float(os.environ.get("CRASH_AFTER", "1")), os._exit, 7)
    await healthy(scope, receive, send)
