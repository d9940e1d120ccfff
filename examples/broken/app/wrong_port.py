"""Listens 1000 ports above the one it is given, as a program does whose port is written into its code.

The uvicorn command line names the port, so the app serves itself elsewhere while it starts, and never lets that start end.
"""

import asyncio
import os

import uvicorn

from app.ok import app as healthy
from app.ok import lifespan


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send, on_start=serve_elsewhere)


async def serve_elsewhere():
    port = int(os.environ["PORT"]) + 1000
    server = uvicorn.Server(uvicorn.Config(healthy, host="127.0.0.1", port=port, lifespan="off"))
    server.install_signal_handlers = lambda: None
    asyncio.get_running_loop().create_task(server._serve())
    await asyncio.Event().wait()
