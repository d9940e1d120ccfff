"""Imports well, and fails in its start-up for want of a setting, as frameworks tell it."""

import os
import traceback

from app.ok import respond


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        try:
            os.environ["PAYMENT_KEY"]
        except KeyError:
            await send({"type": "lifespan.startup.failed", "message": traceback.format_exc()})
    else:
        await respond(send, 200, {"status": "healthy"})
