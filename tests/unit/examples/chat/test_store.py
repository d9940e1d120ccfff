"""Messages are kept in the database that DATABASE_URL names, and nowhere else."""

import asyncio

import pytest


@pytest.fixture
def store(chat):
    return chat("store")


@pytest.fixture
def sqlite(store, database):
    kept = store.Store(f"sqlite:///{database}")
    asyncio.run(kept.prepare())
    return kept


def test_history_is_what_was_added_in_its_order(sqlite):
    asyncio.run(sqlite.add("a", "user", "one"))
    asyncio.run(sqlite.add("a", "assistant", "two"))

    assert asyncio.run(sqlite.history("a")) == [
        {"id": 1, "role": "user", "content": "one"},
        {"id": 2, "role": "assistant", "content": "two"},
    ]


def test_sessions_do_not_see_each_other(sqlite):
    asyncio.run(sqlite.add("a", "user", "mine"))

    assert asyncio.run(sqlite.history("b")) == []


def test_history_keeps_the_last_ones(sqlite):
    for number in range(5):
        asyncio.run(sqlite.add("a", "user", str(number)))

    assert [message["content"] for message in asyncio.run(sqlite.history("a", limit=2))] == ["3", "4"]


def test_history_beyond_a_message_is_what_came_after_it(sqlite):
    for number in range(3):
        last = asyncio.run(sqlite.add("a", "user", str(number)))
        asyncio.run(sqlite.add("b", "user", "of another session"))

    assert [message["content"] for message in asyncio.run(sqlite.history("a", after=1))] == ["1", "2"]
    assert asyncio.run(sqlite.history("a", after=last)) == []


def test_another_instance_sees_the_same_messages(sqlite, store, database):
    asyncio.run(sqlite.add("a", "user", "hello"))
    other = store.Store(f"sqlite:///{database}")
    asyncio.run(other.prepare())

    assert asyncio.run(other.history("a")) == [{"id": 1, "role": "user", "content": "hello"}]


@pytest.mark.parametrize("text", ["'; DROP TABLE messages; --", "100 %s?", "läuft 🚪", "a\nb"])
def test_text_comes_back_as_it_was(sqlite, text):
    asyncio.run(sqlite.add("a", "user", text))

    assert asyncio.run(sqlite.history("a")) == [{"id": 1, "role": "user", "content": text}]


def test_check_passes_on_a_prepared_database(sqlite):
    asyncio.run(sqlite.check())


def test_check_notices_that_the_file_was_taken_away(sqlite, store, database):
    database.unlink()

    with pytest.raises(store.StoreError, match="no such table"):
        asyncio.run(sqlite.check())


def test_check_notices_that_the_file_is_no_database(sqlite, store, database):
    database.write_bytes(b"not a database" * 1000)

    with pytest.raises(store.StoreError, match="DatabaseError"):
        asyncio.run(sqlite.check())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "chat.db",
        "sqlite://",
        "sqlite:///relative.db",
        "postgresql://user:secret@127.0.0.1/chat",
        "mysql://user:secret@127.0.0.1",
        "mysql:///chat",
    ],
)
def test_a_url_that_is_not_understood_is_answered_with_right_ones(store, url):
    with pytest.raises(ValueError) as caught:
        store.Store(url)

    assert "sqlite:////var/lib/chat-api/chat.db" in str(caught.value)
    assert "mysql://USER:PASSWORD@127.0.0.1:3306/chat" in str(caught.value)
    assert "secret" not in str(caught.value)


class Connection:
    """What PyMySQL gives, answering with `rows`."""

    def __init__(self, rows=()):
        self.rows = rows
        self.executed = []
        self.ended = []
        self.lastrowid = 17
        self.description = ("id", "role", "content") if rows else None

    def cursor(self):
        return self

    def execute(self, statement, values):
        self.executed.append((statement, values))

    def fetchall(self):
        return self.rows

    def commit(self):
        self.ended.append("committed")

    def close(self):
        self.ended.append("closed")


def test_a_mysql_url_names_host_port_user_password_and_database(store, monkeypatch):
    asked = {}
    monkeypatch.setattr(store.pymysql, "connect", lambda **options: asked.update(options) or Connection())
    asyncio.run(store.Store("mysql://chat:p%40ss%2Fw0rd%3Ax@db.example.com:3307/talk").check())

    wanted = {
        "host": "db.example.com",
        "port": 3307,
        "user": "chat",
        "password": "p@ss/w0rd:x",
        "database": "talk",
        "charset": "utf8mb4",
    }
    assert wanted.items() <= asked.items()
    assert {"connect_timeout", "read_timeout", "write_timeout"} <= asked.keys()


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
def test_mysql_speaks_its_own_dialect_and_commits(store, monkeypatch, scheme):
    connection = Connection()
    monkeypatch.setattr(store.pymysql, "connect", lambda **options: connection)
    kept = store.Store(f"{scheme}://chat@127.0.0.1/chat")
    asyncio.run(kept.prepare())
    assert asyncio.run(kept.add("a", "user", "100 %s?")) == 17

    (table, nothing), (insert, values) = connection.executed
    assert "AUTO_INCREMENT" in table
    assert nothing == ()
    assert insert.endswith("VALUES (%s, %s, %s)")
    assert values == ("a", "user", "100 %s?")
    assert connection.ended == ["committed", "closed"] * 2


def test_mysql_port_is_3306_by_default(store, monkeypatch):
    asked = {}
    monkeypatch.setattr(store.pymysql, "connect", lambda **options: asked.update(options) or Connection())
    asyncio.run(store.Store("mysql://chat@127.0.0.1/chat").check())

    assert asked["port"] == 3306


def test_mysql_history_is_the_rows_turned_round(store, monkeypatch):
    connection = Connection(rows=[(2, "assistant", "two"), (1, "user", "one")])
    monkeypatch.setattr(store.pymysql, "connect", lambda **options: connection)
    messages = asyncio.run(store.Store("mysql://chat@127.0.0.1/chat").history("a"))

    assert [message["content"] for message in messages] == ["one", "two"]


def test_a_mysql_that_refuses_is_a_store_error(store, monkeypatch):
    def refuse(**options):
        raise store.pymysql.err.OperationalError(2003, "Can't connect to MySQL server on '127.0.0.1'")

    monkeypatch.setattr(store.pymysql, "connect", refuse)

    with pytest.raises(store.StoreError, match="OperationalError: .*Can't connect"):
        asyncio.run(store.Store("mysql://chat:secret@127.0.0.1/chat").check())


def test_a_connection_is_closed_also_when_its_statement_fails(store, monkeypatch):
    connection = Connection()

    def fail(statement, values):
        raise store.pymysql.err.ProgrammingError(1146, "Table 'chat.messages' doesn't exist")

    connection.execute = fail
    monkeypatch.setattr(store.pymysql, "connect", lambda **options: connection)

    with pytest.raises(store.StoreError, match="doesn't exist"):
        asyncio.run(store.Store("mysql://chat@127.0.0.1/chat").check())
    assert connection.ended == ["closed"]
