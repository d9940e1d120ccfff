"""Secrets are taken out of what people read, whatever form they have, and what is no secret stays."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import (
    MASK,
    is_secret_name,
    plain,
    printable,
    redact,
)

# No text of ours has these, so a hit is the secret itself.
SECRETS = st.text(alphabet="QXZ79", min_size=6, max_size=40)
PASSWORDS = st.text(alphabet="QXZ79@:/!$%*+~#?", min_size=6, max_size=30).map(lambda text: "QX" + text + "QX")
SECRET_NAMES = st.sampled_from(
    [
        "password",
        "DB_PASSWORD",
        "PGPASSWD",
        "client_secret",
        "API_TOKEN",
        "api-key",
        "AWS_ACCESS_KEY",
        "session_id",
        "dsn",
        "csrftoken",
    ]
)
SEPARATORS = st.sampled_from(["=", ": ", '": "', "': '", " = ", " => "])
AROUND = st.text(alphabet=string.ascii_lowercase + " .,", max_size=20)


@given(SECRET_NAMES, SEPARATORS, SECRETS, AROUND)
def test_a_setting_of_a_secret_name_loses_its_value(name, separator, secret, around):
    quote = separator[-1] if separator[-1] in "\"'" else ""
    assert secret not in redact(f"{around} {name}{separator}{secret}{quote} {around}")


@given(st.sampled_from(["postgresql", "mysql+pymysql", "redis", "amqp", "https"]), PASSWORDS, AROUND)
def test_a_password_in_a_url_goes_whatever_characters_it_has(scheme, password, around):
    text = redact(f"{around} {scheme}://chat:{password}@db.example.com:5432/chat {around}")
    assert password not in text
    assert password.rpartition("@")[2] not in text
    assert "db.example.com:5432/chat" in text


@given(
    st.sampled_from(["Cookie: sid=%s; theme=dark", "Set-Cookie: sid=%s; HttpOnly", "Authorization: Bearer %s"]), SECRETS
)
def test_headers_of_secrets_lose_all_they_say(header, secret):
    assert secret not in redact("< " + header % secret)


@given(SECRETS.map(lambda text: "a" + text + "0" * 32))
def test_a_long_run_of_mixed_characters_goes(secret):
    assert secret not in redact(f"using {secret} now")


@given(st.text(max_size=200))
def test_redacting_twice_gives_what_redacting_once_gives(text):
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('{"user": "ada", "password": "hunter 2 \\" x", "id": 7}', "hunter"),
        ("user:s3cret@tcp(10.0.0.1:3306)/chat", "s3cret"),
        ("host=db password=s3cret user=chat", "s3cret"),
        ("GET /reset?token=abc123&next=/home HTTP/1.1", "abc123"),
        ("https://ghp_abcdefgh1234@github.com/team/app.git", "ghp_abcdefgh1234"),
        ("key AKIAABCDEFGHIJKLMNOP is denied", "AKIAABCDEFGHIJKLMNOP"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def_ghi", "eyJzdWIiOiIxIn0"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "MIIabc"),
        ("-----BEGIN PRIVATE KEY-----\nMIIcut", "MIIcut"),
        ("node server.js --db-password hunter2 --port 80", "hunter2"),
        ("stripe sk_live_abcdefgh12345678", "abcdefgh12345678"),
    ],
)
def test_the_forms_that_secrets_have(text, secret):
    assert secret not in redact(text)
    assert MASK in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "ModuleNotFoundError: No module named 'fastapi'",
        'connect() failed (111: Connection refused) while connecting to upstream, upstream: "http://127.0.0.1:8000/health"',
        "Access denied for user 'chat'@'127.0.0.1'",
        "/srv/chat-api/releases/b57e6b753972/venv/lib/python3.11/site-packages/uvicorn/protocols/websockets/auto.py",
        "chat-api@8000.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED",
        "KeyError: 'DATABASE_URL'",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


def test_names_that_hold_secrets_are_told_from_those_that_do_not():
    assert [
        name for name in ("DB_PASSWORD", "API_KEY", "DATABASE_URL", "SESSION_SECRET") if not is_secret_name(name)
    ] == []
    assert [name for name in ("LOG_LEVEL", "PORT", "HOME", "APP_VERSION") if is_secret_name(name)] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain\ttext, ünï 𝜋", "plain\ttext, ünï 𝜋"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("one\ntwo\rthree\x9b", "one\\x0atwo\\x0dthree\\x9b"),
        ("right\u202eleft", "right\\u202eleft"),
        (b"no \xff UTF-8".decode("utf-8", "surrogateescape"), "no \\xff UTF-8"),
    ],
)
def test_a_terminal_obeys_nothing_of_what_others_have_written(text, told):
    assert printable(text) == told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("plain\ttext ünï", "plain\ttext ünï"),
        ("\x1b[31;1mred\x1b[0m and \x1b[2Kgone", "red and gone"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("one\rtwo\x9b31m", "one\\x0dtwo\\x9b31m"),
    ],
)
def test_a_terminal_obeys_nothing_of_what_a_build_prints(line, told):
    assert plain(line) == told
