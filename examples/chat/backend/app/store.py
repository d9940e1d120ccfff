"""Messages in a real database, named by DATABASE_URL: SQLite through the standard library, MySQL or MariaDB through PyMySQL."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from urllib.parse import unquote, urlsplit

import pymysql

TABLE = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY {increment},
    session_id VARCHAR(64) NOT NULL,
    role VARCHAR(16) NOT NULL,
    content TEXT NOT NULL,
    created TIMESTAMP DEFAULT CURRENT_TIMESTAMP
)
"""


class StoreError(Exception):
    """The database did not do what it was asked."""


class Store:
    """One connection for each call: simple, and right under several workers. Calls run in threads, off the event loop."""

    def __init__(self, url):
        parts = urlsplit(url)
        if parts.scheme == "sqlite" and parts.path.startswith("//"):
            self._engine = _Sqlite(parts.path[1:])
        elif parts.scheme in ("mysql", "mariadb") and parts.hostname and parts.path.strip("/"):
            self._engine = _MySql(parts)
        else:
            raise ValueError(
                "DATABASE_URL is not understood. Right ones: sqlite:////var/lib/chat-api/chat.db, "
                "mysql://USER:PASSWORD@127.0.0.1:3306/chat"
            )

    async def prepare(self):
        await self._run(TABLE.format(increment=self._engine.increment))

    async def check(self):
        # From the table: SQLite answers a bare SELECT without a look at its file.
        await self._run("SELECT id FROM messages LIMIT 1")

    async def add(self, session_id, role, content):
        """Keep a message; give its number, larger than those before it."""
        statement = "INSERT INTO messages (session_id, role, content) VALUES (?, ?, ?)"
        return await asyncio.to_thread(
            self._execute, statement, (session_id, role, content), lambda done: done.lastrowid
        )

    async def history(self, session_id, after=0, limit=50):
        """The session's last messages, of those beyond number `after`."""
        rows = await self._run(
            "SELECT id, role, content FROM messages WHERE session_id = ? AND id > ? ORDER BY id DESC LIMIT ?",
            session_id,
            after,
            limit,
        )
        return [{"id": number, "role": role, "content": content} for number, role, content in reversed(rows)]

    async def _run(self, statement, *values):
        return await asyncio.to_thread(self._execute, statement, values, _rows)

    def _execute(self, statement, values, read):
        try:
            with closing(self._engine.connect()) as connection:
                cursor = connection.cursor()
                cursor.execute(statement.replace("?", self._engine.placeholder), values)
                result = read(cursor)
                connection.commit()
                return result
        except self._engine.errors as error:
            raise StoreError(f"{type(error).__name__}: {error}") from error


def _rows(cursor):
    return list(cursor.fetchall()) if cursor.description else []


class _Sqlite:
    increment, placeholder, errors = "AUTOINCREMENT", "?", sqlite3.Error

    def __init__(self, path):
        self._path = path
        self._lock = threading.Lock()
        self._ready = False

    def connect(self):
        connection = sqlite3.connect(self._path, timeout=5)
        with self._lock:
            if not self._ready:
                # Readers and a writer at once: several instances share the file.
                connection.execute("PRAGMA journal_mode=WAL")
                self._ready = True
        return connection


class _MySql:
    increment, placeholder, errors = "AUTO_INCREMENT", "%s", pymysql.Error

    def __init__(self, parts):
        self._options = {
            "host": parts.hostname,
            "port": parts.port or 3306,
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "database": parts.path.strip("/"),
            # A database that has gone silent must not keep a thread for ever.
            "connect_timeout": 2,
            "read_timeout": 5,
            "write_timeout": 5,
            "charset": "utf8mb4",
        }

    def connect(self):
        return pymysql.connect(**self._options)
