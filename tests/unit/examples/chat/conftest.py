"""The chat service on a SQLite file of the test's own."""

import pytest
from starlette.testclient import TestClient


@pytest.fixture
def chat(importer):
    return importer("chat/backend")


@pytest.fixture
def database(tmp_path, monkeypatch):
    path = tmp_path / "chat.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    return path


@pytest.fixture
def main(chat, database, monkeypatch):
    for name in ("APP_VERSION", "PING_SECONDS", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
    return chat("main")


@pytest.fixture
def client(main):
    with TestClient(main.app) as client:
        yield client
