"""Each broken app is broken in the way its table says, and in no other."""

import asyncio
import json
import os
import re
import sys
from types import SimpleNamespace

import pytest

START = {"type": "lifespan.startup"}
STOP = {"type": "lifespan.shutdown"}


@pytest.fixture
def broken(importer):
    return importer("broken")


def run(app, scope, *events):
    """What the app sends when it is given these events, and whether it came to an end of its own."""
    sent = []

    async def until_it_waits():
        queue = asyncio.Queue()
        for event in events:
            queue.put_nowait(event)

        async def send(message):
            sent.append(message)

        task = asyncio.ensure_future(app({"type": scope}, queue.get, send))
        for _turn in range(20):
            await asyncio.sleep(0)
        if task.done():
            task.result()
            return True
        task.cancel()
        return False

    return sent, asyncio.run(until_it_waits())


def get(app):
    """Status and document of an answer."""
    sent = run(app, "http")[0]
    return sent[0]["status"], json.loads(sent[1]["body"])


def life(app):
    sent = run(app, "lifespan", START, STOP)[0]
    return [message["type"] for message in sent]


WHOLE_LIFE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_ok_is_healthy_and_says_its_version(broken, monkeypatch):
    monkeypatch.setenv("VERSION", "7")
    app = broken("ok").app

    assert life(app) == WHOLE_LIFE
    assert get(app) == (200, {"status": "healthy", "version": "7", "pid": os.getpid()})


def test_ok_echoes_until_the_connection_ends(broken):
    events = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}]
    sent, ended = run(broken("ok").app, "websocket", *events, {"type": "websocket.disconnect"})

    assert sent == [{"type": "websocket.accept"}, {"type": "websocket.send", "text": "hello"}]
    assert ended


def test_crash_at_import_cannot_be_imported(broken):
    with pytest.raises(RuntimeError, match="fails when it is imported"):
        broken("crash_at_import")


def test_crash_at_start_can_be_imported_and_fails_its_start(broken):
    assert life(broken("crash_at_start").app) == ["lifespan.startup.failed"]


def test_crash_later_is_healthy_until_its_time_is_up(broken, monkeypatch):
    exits = []
    monkeypatch.setattr(os, "_exit", exits.append)
    monkeypatch.setenv("CRASH_AFTER", "3600")
    app = broken("crash_later").app
    assert life(app) == WHOLE_LIFE
    assert get(app)[0] == 200
    assert exits == []

    monkeypatch.setenv("CRASH_AFTER", "0")
    assert life(app) == WHOLE_LIFE
    assert exits == [7]


def test_never_healthy_starts_and_answers_503(broken):
    app = broken("never_healthy").app

    assert life(app) == WHOLE_LIFE
    assert get(app) == (503, {"status": "unhealthy"})


def test_hang_starts_and_answers_nothing(broken):
    app = broken("hang").app

    assert life(app) == WHOLE_LIFE
    assert run(app, "http") == ([], False)


def test_slow_starts_after_its_seconds(broken, monkeypatch):
    slow = broken("slow")
    monkeypatch.setenv("SLOW_START", "3600")
    assert life(slow.app) == []

    monkeypatch.setenv("SLOW_START", "0")
    assert life(slow.app) == WHOLE_LIFE
    assert get(slow.app)[0] == 200


def test_wrong_port_serves_elsewhere_and_never_starts(broken, monkeypatch):
    served = []

    class Server:
        def __init__(self, config):
            self.config = config

        async def _serve(self):
            served.append(self.config)

    monkeypatch.setitem(sys.modules, "uvicorn", SimpleNamespace(Config=lambda app, **o: (app, o), Server=Server))
    monkeypatch.setenv("PORT", "8000")
    assert life(broken("wrong_port").app) == []

    ((app, options),) = served
    assert options["port"] == 9000
    assert get(app)[0] == 200


def test_every_app_is_in_the_table(request):
    folder = request.config.rootpath / "examples" / "broken"
    listed = re.findall(r"^\| `app\.(\w+):app` \|", (folder / "README.md").read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(path.stem for path in folder.glob("app/[!_]*.py"))
