# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The gate: when something counts as healthy. One set of options, one implementation.

Documented for users in the doc fragments gatehouse.webapp.gate and gatehouse.webapp.probe.
"""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import (
    DEFAULT_PORTS,
    EXCERPT,
    Expectation,
    Tls,
    probe_http,
    probe_tcp,
    probe_websocket,
    split_url,
)

LOOPBACK = "127.0.0.1"

# One question of many may take this many seconds: an app that hangs on one request may answer the next.
ONE_QUESTION = 5.0

PATIENCE = dict(
    successes=dict(type="int", default=1),
    stable_for=dict(type="float", default=0.0),
    timeout=dict(type="float", default=60.0),
    interval=dict(type="float", default=0.1),
)

PROBE_PATIENCE = dict(PATIENCE, wait=dict(type="bool", default=False), timeout=dict(type="float", default=10.0))

_COMMON = dict(
    # One text, so that it is not logged on the host, and its values are not masked one by one in what is returned.
    headers=dict(type="json", no_log=True),
    host=dict(type="str"),
    validate_certs=dict(type="bool", default=True),
    ca_path=dict(type="path"),
    server_name=dict(type="str"),
)

HTTP = dict(
    _COMMON,
    method=dict(type="str", default="GET"),
    body=dict(type="raw"),
    status=dict(type="list", elements="int", default=[200]),
    json=dict(type="dict"),
    text=dict(type="str"),
    follow_redirects=dict(type="bool", default=False),
)

WEBSOCKET = dict(
    _COMMON,
    send=dict(type="str"),
    reply=dict(type="str"),
)

_ADDRESS = dict(url=dict(type="str"), path=dict(type="str"))

GATE = dict(
    PATIENCE,
    address=dict(type="str", default=LOOPBACK),
    http=dict(type="dict", options=dict(HTTP, **_ADDRESS), mutually_exclusive=[("url", "path")]),
    websocket=dict(type="dict", options=dict(WEBSOCKET, **_ADDRESS), mutually_exclusive=[("url", "path")]),
)


def gate_options(params):
    """Just the gate out of a module's parameters."""
    return {name: params[name] for name in GATE}


class GateFailure(GatehouseError):
    """The gate stays shut. `cause` and the message say why."""


def check_patience(options):
    """Refuse numbers that make no sense, before anything is touched."""
    for name, least in (("successes", 1), ("stable_for", 0), ("timeout", 0.001), ("interval", 0.001)):
        if options[name] < least:
            raise GatehouseError(
                "%s is %s; it must be at least %s" % (name, options[name], least),
                cause="bad_input",
                hint="the usual values are successes: 2, stable_for: 2, timeout: 60, interval: 0.1",
            )
    if options["stable_for"] >= options["timeout"]:
        raise GatehouseError(
            "stable_for (%s s) is not below timeout (%s s), so this gate could never open"
            % (options["stable_for"], options["timeout"]),
            cause="bad_input",
            hint="the usual values are stable_for: 2, timeout: 60",
        )


def http_probe(options, url, connect=None):
    """The HTTP question that these options ask of this URL, as a function of the seconds it may take.

    connect: opens its connection, as probe_http takes it.
    """
    _check_url(url, ("http", "https"))
    body = options["body"]
    headers = _headers(options)
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    content = None if body is None else str(body).encode("utf-8")
    expectation = Expectation(options["status"], options["json"], options["text"])

    def ask(timeout):
        return probe_http(
            url,
            timeout,
            expectation,
            options["method"].upper(),
            headers,
            content,
            options["follow_redirects"],
            _tls(options),
            connect,
        )

    return ask


def websocket_probe(options, url, connect=None):
    """The WebSocket question that these options ask of this URL, as a function of the seconds it may take."""
    _check_url(url, ("ws", "wss", "http", "https"))

    def ask(timeout):
        return probe_websocket(
            url, timeout, _headers(options), _tls(options), options["send"], options["reply"], connect
        )

    return ask


def questions_of(gate, port=None, connect=None):
    """What a gate asks of a server beyond a connection: HTTP, then WebSocket.

    `http` and `websocket` name a full `url`, or a `path` at the gate's `address` and this `port`.
    connect: opens the connections to the port.
    """
    probes = []
    for name, scheme, build in (("http", "http", http_probe), ("websocket", "ws", websocket_probe)):
        options = gate.get(name)
        if options:
            url = _url(name, scheme, options, gate["address"], port)
            probes.append(build(options, url, None if options["url"] else connect))
    return probes


def probes_of(gate, port=None, connect=None):
    """Every question of a gate, in the order in which they are asked: port, HTTP, WebSocket."""
    connection = []
    if port is not None:
        check_port(port)
        connection.append(lambda timeout: probe_tcp(gate["address"], port, timeout, connect))
    return connection + questions_of(gate, port, connect)


class Gate:
    """Opens once every probe has passed `successes` times running and nothing has failed for `stable_for` seconds.

    probes: functions of a time limit that return an Answer.
    watch: called before each round. Answers None when there is someone to ask, or in words what is missing yet; raises
    GateFailure when there is no more point in waiting.
    """

    def __init__(self, probes, patience, watch=None, clock=time.monotonic, sleep=time.sleep):
        self._probes = probes
        self._patience = patience
        self._watch = watch or (lambda: None)
        self._clock = clock
        self._sleep = sleep
        self.attempts = 0
        self.answers = []  # of the last round
        self.first_good = None  # seconds into the wait
        self._missing = None  # what the watch said last
        self._complaint = None  # the last bad answer that tells something
        self._good = 0
        self._good_since = None

    def wait(self):
        """Wait for the gate to open. Returns seconds waited; raises GateFailure when it stays shut."""
        self._deadline = Deadline(self._patience["timeout"], self._clock)
        self._one_question = ONE_QUESTION
        opened = poll(self._round, self._deadline, self._patience["interval"], self._sleep)
        if not opened:
            raise self._timed_out()
        return self._deadline.elapsed()

    def ask_once(self):
        """One round of questions with no second chance."""
        self._deadline = Deadline(self._patience["timeout"], self._clock)
        self._one_question = self._patience["timeout"]
        self._round()
        if not all(answer.ok for answer in self.answers):
            bad = self.answers[-1]
            raise GateFailure(bad.message, cause=bad.cause)
        return self._deadline.elapsed()

    def _round(self):
        self._missing = self._watch()
        self.answers = []
        if self._missing:
            return self._start_over()
        self.attempts += 1
        for ask in self._probes:
            limit = max(0.001, min(self._one_question, self._deadline.remaining()))
            answer = ask(limit)
            self.answers.append(answer)
            if not answer.ok:
                # That there was hardly time left for an answer says less than the answer before.
                hurried = limit < min(1.0, self._patience["timeout"] / 2)
                if not (self._complaint and answer.cause == "timed_out" and hurried):
                    self._complaint = answer
                return self._start_over()
        now = self._clock()
        if self._good_since is None:
            self._good_since = now
            if self.first_good is None:
                self.first_good = self._deadline.elapsed()
        self._good += 1
        stable = now - self._good_since >= self._patience["stable_for"]
        return True if stable and self._good >= self._patience["successes"] else None

    def _start_over(self):
        self._good = 0
        self._good_since = None

    def _timed_out(self):
        waited = "within %.3g s" % self._patience["timeout"]
        if self._missing:
            return GateFailure("could not be asked %s: %s" % (waited, self._missing), cause="timed_out")
        if self._good:
            return GateFailure(
                "it was not healthy for long enough %s: %d of %d good answers in a row, %.3g of %.3g s stable"
                % (
                    waited,
                    self._good,
                    self._patience["successes"],
                    self._clock() - self._good_since,
                    self._patience["stable_for"],
                ),
                cause="timed_out",
            )
        return GateFailure("not healthy %s: %s" % (waited, self._complaint.message), cause=self._complaint.cause)


# What to type when a probe fails, by its cause.
HINTS = {
    "bad_body": "curl -si '%(url)s'",
    "bad_header": "curl -si '%(url)s'",
    "bad_status": "curl -si '%(url)s'",
    "dns": "getent ahosts %(host)s",
    "not_http": "ss -ltnp 'sport = :%(port)d'   # who listens there?",
    "not_upgraded": "curl -si '%(url)s'   # behind nginx the route needs websocket: true",
    "refused": "ss -ltnp 'sport = :%(port)d'   # does anything listen there?",
    "reset": "curl -v '%(url)s'",
    "timed_out": "curl -v --max-time 10 '%(url)s'   # no answer: a firewall, or an app that hangs",
    "tls": "openssl s_client -connect %(host)s:%(port)d -servername %(name)s </dev/null",
    "unreachable": "ip route get %(host)s",
}


def run_probe(build, params):
    """What a probe module does: one question, or with `wait` a gate of it. Returns the result's keys.

    build: http_probe or websocket_probe.
    """
    check_patience(params)
    if params["successes"] > 1 and not params["wait"]:
        raise GatehouseError(
            "successes is %d, and one question has one answer" % params["successes"], hint="wait: true"
        )
    gate = Gate([build(params, params["url"])], params)
    deadline = Deadline(params["timeout"])

    def result():
        answer = gate.answers[-1]
        found = {
            "attempts": gate.attempts,
            "elapsed": round(deadline.elapsed(), 4),
            "latency": round(answer.latency, 4),
        }
        if answer.status is not None:
            found.update(status=answer.status, headers=answer.headers, body=answer.body[:EXCERPT])
        return found

    try:
        gate.wait() if params["wait"] else gate.ask_once()
    except GateFailure as failure:
        parts = urlsplit(params["url"])
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        web = params["url"].replace("ws", "http", 1) if parts.scheme in ("ws", "wss") else params["url"]
        if failure.cause in HINTS:
            name = params["server_name"] or parts.hostname
            failure.hint = HINTS[failure.cause] % {"url": web, "host": parts.hostname, "port": port, "name": name}
        failure.facts.update(result())
        raise
    return result()


def _url(name, scheme, options, address, port):
    if options["url"]:
        return options["url"]
    if not options["path"] or not options["path"].startswith("/"):
        raise GatehouseError(
            "%s needs a url, or a path that starts with a slash" % name,
            cause="bad_input",
            hint="%s: {path: /health}" % name,
        )
    if port is None:
        raise GatehouseError(
            "%s.path is asked of a port, and no port is given" % name,
            cause="bad_input",
            hint="port: 8000, or %s: {url: '%s://127.0.0.1:8000%s'}" % (name, scheme, options["path"]),
        )
    host = "[%s]" % address if ":" in address else address
    return "%s://%s:%d%s" % (scheme, host, port, options["path"])


def _check_url(url, schemes):
    try:
        split_url(url, schemes)
    except ValueError as error:
        raise GatehouseError("bad URL: %s" % error, cause="bad_input") from error


def check_port(port):
    if not 1 <= port <= 65535:
        raise GatehouseError("port %s is out of range: ports go from 1 to 65535" % port, cause="bad_input")


def _headers(options):
    given = options["headers"] or {}
    try:
        given = json.loads(given) if isinstance(given, str) else given
        headers = {str(name): str(value) for name, value in given.items()}
    except (ValueError, AttributeError) as error:
        raise GatehouseError(
            "headers is no mapping of names to values", cause="bad_input", hint="headers: {X-Probe: gatehouse}"
        ) from error
    if options["host"]:
        headers["Host"] = options["host"]
    return headers


def _tls(options):
    return Tls(options["validate_certs"], options["ca_path"], options["server_name"])
