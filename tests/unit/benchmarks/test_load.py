"""How the load generator accounts for what became of its requests and sessions."""

import asyncio
import struct
from collections import Counter

import _load
import pytest


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(), "refused"),
        (ConnectionResetError(), "reset"),
        (BrokenPipeError(), "reset"),
        (asyncio.IncompleteReadError(b"", 10), "eof"),
        (TimeoutError(), "timeout"),
        (_load.BadAnswer("status_502"), "status_502"),
        (KeyError("content-length"), "KeyError"),
    ],
)
def test_a_failure_has_a_kind(error, expected):
    assert _load.kind(error) == expected


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.99, 0),
        ([7], 0.5, 7),
        ([3, 1, 2], 0.5, 2),
        ([4, 3, 2, 1], 0.5, 2),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 101)), 1, 100),
    ],
)
def test_percentiles_are_values_that_were_measured(values, share, expected):
    assert _load.percentile(values, share) == expected


def test_an_outage_counts_each_tenth_of_a_second_once():
    assert _load.outage([]) == 0
    assert _load.outage([10.01, 10.02, 10.09]) == 0.1
    assert _load.outage([10.05, 10.15, 12.95]) == 0.3


SWITCHES = [100, 200]


@pytest.mark.parametrize(
    ("opened", "closed", "code"),
    [
        (50, 110, 1001),
        (50, 110, 1012),
        (50, 112, 1012),  # the instances may end one after another
        (50, 109.9, 1012),  # the switch is seen a little late
        (150, 210, 1012),
        (50, 210, 1012),
    ],
)
def test_a_session_that_the_server_closed_when_the_drain_was_over_was_not_cut(opened, closed, code):
    assert not _load.was_cut(opened, closed, code, SWITCHES, drain=10)


@pytest.mark.parametrize(
    ("opened", "closed", "code"),
    [
        (10, 50, 1012),  # before any switch
        (50, 100, 1012),  # by the switch
        (50, 105, 1012),  # while it was to drain
        (50, 190, 1012),  # by the next deploy, before its switch
        (102, 110, 1012),  # it was opened on the new instances, which stay
        (50, 110, _load.NO_CLOSE_FRAME),
        (50, 110, 1000),
        (50, 110, "no echo"),
    ],
)
def test_every_other_end_of_a_session_is_a_cut(opened, closed, code):
    assert _load.was_cut(opened, closed, code, SWITCHES, drain=10)


def test_the_tally_accounts_for_every_request():
    tally = _load.Tally()
    tally.answered(due=10, now=10.002)
    tally.answered(due=11, now=11.5)
    tally.failed(12.0, _load.BadAnswer("status_502"))
    tally.failed(12.01, _load.BadAnswer("status_502"))
    tally.failed(13.0, ConnectionResetError())
    report = tally.report()
    assert (report["requests"], report["failed"]) == (5, 3)
    assert report["failures"] == {"status_502": 2, "reset": 1}
    assert report["outage_s"] == 0.2
    # Counted from when the request was due, so a late one can't look fast.
    assert report["worst_ms"] == 500
    assert report["p50_ms"] == pytest.approx(2)


def test_the_first_and_the_last_answer_of_each_version():
    tally = _load.Tally()
    for version, now in [("v1", 1), ("v1", 2), ("v2", 3), ("v1", 4)]:
        tally.version(version, now)
    assert tally.report()["versions"] == {"v1": (1, 4, 3), "v2": (3, 3, 1)}


def answer(text, read=_load.read_answer):
    """What the generator makes of these bytes of a server that then closes the connection."""

    async def reading():
        reader = asyncio.StreamReader()
        reader.feed_data(text)
        reader.feed_eof()
        return await read(reader)

    return asyncio.run(reading())


def test_an_answer_and_whether_its_connection_may_be_kept():
    assert answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv1") == (b"v1", True)
    assert answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Close\r\n\r\nv1") == (b"v1", False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "status_502"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nv1", "eof"),
        (b"HTTP/1.1 200 OK\r\n", "eof"),
        (b"", "eof"),
    ],
)
def test_anything_less_than_a_whole_good_answer_is_a_failure(text, expected):
    with pytest.raises((_load.BadAnswer, EOFError)) as failure:
        answer(text)
    assert _load.kind(failure.value) == expected


def test_a_body_follows_its_length_and_who_may_keep_the_connection_is_said():
    text = _load.request("POST", "/echo", b"hello there", keep=False)
    head, _blank, body = text.partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /echo HTTP/1.1"
    assert b"Content-Length: 11" in head.splitlines()
    assert b"Connection: close" in head.splitlines()
    assert body == b"hello there"


def test_frames():
    sent = _load.frame(_load.TEXT, b"hi")
    assert sent == bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi"
    assert answer(b"\x88\x02" + struct.pack("!H", 1012), read=_load.read_frame) == (_load.CLOSE, b"\x03\xf4")
    long = b"x" * 300
    assert answer(b"\x81\x7e" + struct.pack("!H", 300) + long, read=_load.read_frame) == (_load.TEXT, long)


def test_half_of_every_kind_of_request_is_on_a_kept_connection():
    plan = [_load.planned(number) for number in range(40)]
    kept = Counter((method, len(body)) for method, _path, body, keep in plan if keep)
    fresh = Counter((method, len(body)) for method, _path, body, keep in plan if not keep)
    assert kept == fresh == {("GET", 0): 10, ("POST", len(_load.SMALL)): 8, ("POST", 64 * 1024): 2}
