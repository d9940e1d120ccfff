"""When a gate opens and what it says when it does not, with scripted answers and a clock that is told."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _gate
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import (
    GATE,
    HTTP,
    PROBE_PATIENCE,
    WEBSOCKET,
    Gate,
    GateFailure,
    check_patience,
    http_probe,
    probes_of,
    run_probe,
    websocket_probe,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer

GOOD = Answer(True, None, "answered 200", 0.001, 200)
SICK = Answer(False, "bad_status", "it answered 503, not 200", 0.001, 503)
LATE = Answer(False, "timed_out", "no complete answer", 5.0)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def patience(**given):
    return dict({"successes": 1, "stable_for": 0.0, "timeout": 10.0, "interval": 0.1}, **given)


def gate(answers, watch=None, **given):
    """A gate whose one probe answers in turn, the last answer for good; an answer may be a function of the limit."""
    clock, script, limits = Clock(), list(answers), []

    def ask(limit):
        limits.append(limit)
        found = script.pop(0) if len(script) > 1 else script[0]
        clock.now += found.latency if found is LATE else 0
        return found

    made = Gate([ask], patience(**given), watch, clock, clock.sleep)
    made.clock, made.limits = clock, limits
    return made


def shut(made):
    with pytest.raises(GateFailure) as caught:
        made.wait()
    return caught.value


def test_one_good_answer_opens_it_at_once():
    made = gate([GOOD])
    assert made.wait() == 0.0
    assert (made.attempts, made.first_good) == (1, 0.0)


def test_good_answers_must_come_in_a_row():
    made = gate([GOOD, GOOD, SICK, GOOD], successes=3)
    made.wait()
    assert made.attempts == 6


def test_it_must_have_been_good_for_long_enough():
    made = gate([SICK, GOOD], stable_for=2.0)
    made.wait()
    assert made.clock.now >= made.first_good + 2.0


def test_a_bad_answer_begins_the_time_anew():
    clock = Clock()

    def ask(_limit):
        return SICK if 1.0 <= clock.now < 1.2 else GOOD

    made = Gate([ask], patience(stable_for=2.0), None, clock, clock.sleep)
    made.wait()
    assert clock.now >= 3.2


def test_every_question_must_be_answered_well():
    clock = Clock()
    asked = []
    probes = [lambda limit: asked.append("port") or GOOD, lambda limit: asked.append("http") or SICK]
    made = Gate(
        [*probes, lambda limit: asked.append("websocket") or GOOD], patience(timeout=0.001), None, clock, clock.sleep
    )
    shut(made)
    assert asked == ["port", "http"]


def test_what_was_wrong_is_told_at_the_timeout():
    failure = shut(gate([SICK], timeout=3.0))
    assert (failure.cause, failure.message) == ("bad_status", "not healthy within 3 s: it answered 503, not 200")


def test_not_long_enough_is_told_as_such():
    answers = [SICK] * 50 + [GOOD]
    failure = shut(gate(answers, stable_for=5.0, timeout=6.0))
    assert failure.cause == "timed_out"
    assert "it was not healthy for long enough within 6 s" in failure.message


def test_a_hurried_last_question_does_not_hide_what_was_wrong():
    def script(clock):
        return lambda limit: SICK if clock.now < 2.5 else LATE

    clock = Clock()
    made = Gate([script(clock)], patience(timeout=3.0), None, clock, clock.sleep)
    assert "503" in shut(made).message


def test_an_app_that_hangs_is_told_as_hanging_even_when_it_was_refused_first():
    made = gate([Answer(False, "refused", "connection refused", 0.0)] * 3 + [LATE], timeout=4.0)
    assert shut(made).cause == "timed_out"


def test_one_question_gets_five_seconds_at_most():
    made = gate([LATE, GOOD], timeout=60.0)
    made.wait()
    assert made.limits == [5.0, 5.0]


def test_the_watch_is_asked_first_and_can_hold_the_questions_back():
    reasons = ["still starting", "still starting", None]
    made = gate([GOOD], watch=lambda: reasons.pop(0) if len(reasons) > 1 else reasons[0])
    made.wait()
    assert made.attempts == 1


def test_what_the_watch_misses_is_told_at_the_timeout():
    failure = shut(gate([GOOD], watch=lambda: "its old process has not ended", timeout=1.0))
    assert failure.message == "could not be asked within 1 s: its old process has not ended"


def test_the_watch_can_end_the_wait():
    def crashed():
        raise GateFailure("crashed", cause="crashed")

    made = gate([GOOD], watch=crashed)
    assert shut(made).cause == "crashed"
    assert made.clock.now == 0.0


def test_one_question_alone_has_the_whole_time_and_no_second_chance():
    made = gate([SICK, GOOD], timeout=30.0)
    with pytest.raises(GateFailure) as caught:
        made.ask_once()
    assert caught.value.message == SICK.message
    assert made.limits == [30.0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"successes": 0}, "successes is 0; it must be at least 1"),
        ({"stable_for": -1.0}, "stable_for is -1.0"),
        ({"timeout": 0.0}, "timeout is 0.0"),
        ({"interval": 0.0}, "interval is 0.0"),
        ({"stable_for": 10.0, "timeout": 10.0}, "could never open"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(given, words):
    with pytest.raises(GatehouseError) as caught:
        check_patience(patience(**given))
    assert words in caught.value.message
    assert "timeout: 60" in caught.value.hint
    assert caught.value.cause == "bad_input"


def options(spec, **given):
    return dict({name: entry.get("default") for name, entry in spec.items()}, **given)


@pytest.fixture
def asked(monkeypatch):
    calls = []
    monkeypatch.setattr(_gate, "probe_tcp", lambda *call: calls.append(("tcp", *call)) or GOOD)
    monkeypatch.setattr(_gate, "probe_http", lambda *call: calls.append(("http", *call)) or GOOD)
    monkeypatch.setattr(_gate, "probe_websocket", lambda *call: calls.append(("websocket", *call)) or GOOD)
    return calls


@pytest.mark.parametrize(
    ("address", "where", "url"),
    [
        ("127.0.0.1", {"path": "/health"}, "http://127.0.0.1:8000/health"),
        ("::1", {"path": "/health"}, "http://[::1]:8000/health"),
        ("127.0.0.1", {"url": "http://other:1/x"}, "http://other:1/x"),
    ],
)
def test_port_http_and_websocket_are_asked_in_this_order(asked, address, where, url):
    spec = dict(HTTP, url={}, path={})
    wish = options(
        GATE,
        address=address,
        http=options(spec, **where),
        websocket=options(dict(WEBSOCKET, url={}, path={}), path="/ws"),
    )
    for ask in probes_of(wish, 8000, "connect"):
        ask(1.5)
    assert [call[0] for call in asked] == ["tcp", "http", "websocket"]
    assert asked[0] == ("tcp", address, 8000, 1.5, "connect")
    assert asked[1][1:3] == (url, 1.5)
    assert asked[2][1].startswith("ws://") and asked[2][1].endswith(":8000/ws")
    # A full url may lead anywhere: its connection is not one to the port.
    assert asked[1][-1] == (None if "url" in where else "connect")
    assert asked[2][-1] == "connect"


def test_a_dictionary_is_sent_as_json_under_the_host_that_was_given(asked):
    http_probe(options(HTTP, body={"a": 1}, host="shop.example.com", method="post"), "http://h/")(1)
    _kind, _url, _limit, _expectation, method, headers, body, follow, _tls, _connect = asked[0]
    assert (method, body, follow) == ("POST", b'{"a": 1}', False)
    assert headers == {"Content-Type": "application/json", "Host": "shop.example.com"}


@pytest.mark.parametrize(
    ("build", "url", "words"),
    [
        (http_probe, "ftp://x/", "is not a URL with http or https"),
        (http_probe, "127.0.0.1:8000", "is not a URL"),
        (http_probe, "http:///health", "names no host"),
        (http_probe, "http://h:0/", "names port 0"),
        (http_probe, "http://h:99999/", "bad URL"),
        (websocket_probe, "ftp://x/", "ws or wss"),
    ],
)
def test_a_url_that_is_none_is_refused_with_a_right_one(build, url, words):
    with pytest.raises(GatehouseError) as caught:
        build(options(HTTP if build is http_probe else WEBSOCKET), url)
    assert words in caught.value.message
    assert caught.value.cause == "bad_input"


@pytest.mark.parametrize(
    ("http", "port", "words"),
    [
        ({"path": "/h"}, None, "no port is given"),
        ({"path": "health"}, 8000, "starts with a slash"),
        ({}, 8000, "needs a url, or a path"),
    ],
)
def test_a_question_without_an_address_is_refused(http, port, words):
    wish = options(GATE, http=options(dict(HTTP, url={}, path={}), **http))
    with pytest.raises(GatehouseError) as caught:
        probes_of(wish, port)
    assert words in caught.value.message
    assert caught.value.hint


def test_a_probe_module_returns_what_came(asked):
    found = run_probe(http_probe, options(dict(HTTP, **PROBE_PATIENCE), url="http://h/"))
    assert (found["status"], found["attempts"], found["latency"]) == (200, 1, 0.001)


@pytest.mark.parametrize(
    ("cause", "hint"),
    [
        ("refused", "ss -ltnp 'sport = :8000'"),
        ("dns", "getent ahosts h"),
        ("bad_status", "curl -si 'http://h:8000/ws'"),
        ("tls", "openssl s_client -connect h:8000 -servername chat.example.com"),
    ],
)
def test_a_probe_module_says_what_to_type_next(monkeypatch, cause, hint):
    monkeypatch.setattr(_gate, "probe_websocket", lambda *_call: Answer(False, cause, "failed", 0.1))
    with pytest.raises(GateFailure) as caught:
        asked = options(dict(WEBSOCKET, **PROBE_PATIENCE), url="ws://h:8000/ws", server_name="chat.example.com")
        run_probe(websocket_probe, asked)
    assert hint in caught.value.hint
    assert caught.value.facts["attempts"] == 1


def test_several_successes_need_waiting(asked):
    with pytest.raises(GatehouseError) as caught:
        run_probe(http_probe, options(dict(HTTP, **PROBE_PATIENCE), url="http://h/", successes=2))
    assert caught.value.hint == "wait: true"


@pytest.mark.parametrize("headers", [{"X-Key": 1}, '{"X-Key": 1}'])
def test_headers_come_as_a_mapping_or_as_its_text(monkeypatch, headers):
    sent = []
    monkeypatch.setattr(_gate, "probe_http", lambda *call: sent.append(call[4]) or GOOD)
    http_probe(options(HTTP, headers=headers, host="chat.example.com"), "http://h/")(1.0)
    assert sent == [{"X-Key": "1", "Host": "chat.example.com"}]


@pytest.mark.parametrize("headers", ["[1]", "X-Key: 1"])
def test_headers_that_are_no_mapping_are_refused(headers):
    with pytest.raises(GatehouseError, match="no mapping"):
        http_probe(options(HTTP, headers=headers), "http://h/")


@pytest.mark.parametrize("options", [HTTP, WEBSOCKET])
def test_headers_are_neither_logged_nor_shown(options):
    assert options["headers"]["no_log"]
