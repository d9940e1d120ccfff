# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The gated redeploy of an app that is hosted elsewhere: its deploy hook, sent once, then the deploy followed, then the gate.

There is nothing on this host to look at, and nothing to go back to. What is known of the deploy is what the hosting says of it
(deploy_status) and what the app says of itself (version_field). The hook's address is a secret: no message holds any of it but
the name of its server.
"""

from __future__ import annotations

import json
import re
import time
from urllib.parse import quote, urlsplit

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import (
    ONE_QUESTION,
    Gate,
    GateFailure,
    check_patience,
    http_probe,
    websocket_probe,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import Timeline
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import (
    EXCERPT,
    Expectation,
    ProbeFailure,
    open_connection,
    split_url,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import MASK, redact

# Seconds between two attempts to reach the server of a hook that could not be sent.
RETRY_INTERVAL = 1.0

# {FIELD} in the status's address: a field of the hook's answer.
PLACE = re.compile(r"\{([A-Za-z0-9_][A-Za-z0-9_.-]*)\}")

_TRANSPORT = dict(validate_certs=dict(type="bool", default=True), ca_path=dict(type="path"))
_REQUEST = dict(
    _TRANSPORT,
    url=dict(type="str", required=True, no_log=True),
    headers=dict(type="dict", no_log=True),
    body=dict(type="raw", no_log=True),
)

DEPLOY_STATUS = dict(
    _REQUEST,
    method=dict(type="str", default="GET"),
    status=dict(type="list", elements="int", default=[200]),
    json=dict(type="dict"),
    text=dict(type="str"),
    failed=dict(type="list", elements="dict", default=[], options=dict(json=dict(type="dict"), text=dict(type="str"))),
    interval=dict(type="float", default=5.0),
)

WEBHOOK = dict(
    _REQUEST,
    method=dict(type="str", default="POST"),
    status=dict(type="list", elements="int", default=[200, 201, 202, 204]),
    timeout=dict(type="float", default=30.0),
    deploy_timeout=dict(type="float", default=900.0),
    deploy_status=dict(type="dict", options=DEPLOY_STATUS),
    version_field=dict(type="str"),
    version=dict(type="str"),
)


class WebhookRestart:
    """name: what the app is called.   webhook: its options (WEBHOOK).   gate: the gate's options, asked by full URLs.

    only_stale: send nothing while the app is healthy, and of the version that is asked for, where one is.
    """

    def __init__(self, name, webhook, gate, only_stale=False, clock=time.monotonic, sleep=time.sleep):
        self.name = name
        self.webhook = webhook
        self.deploy_status = webhook["deploy_status"]
        self.gate = gate
        self.only_stale = only_stale
        self.clock = clock
        self.sleep = sleep
        self.timeline = Timeline(clock)
        self.attempts = 0
        self.reasons = []
        self.changed = False
        self.outcome = None
        self.told = {"sent": False, "status": None, "confirmed_by": [], "version_before": None, "version": None}
        self._secrets = secrets_of(webhook) + (secrets_of(self.deploy_status) if self.deploy_status else [])

    def result(self):
        """What a module returns of this, however it ended."""
        found = {
            "reasons": self.reasons,
            "elapsed": round(self.timeline.elapsed(), 3),
            "attempts": self.attempts,
            "timeline": self.timeline.events,
            "webhook": self.told,
        }
        if self.outcome:
            found["outcome"] = self.outcome
        return found

    def check(self):
        """Refuse bad input before anything is sent."""
        check_patience(self.gate)
        check_request("webhook", self.webhook, "https://api.example.com/deploy/KEY")
        for name in ("timeout", "deploy_timeout"):
            if self.webhook[name] <= 0:
                raise _bad("webhook.%s is %s; it must be above 0" % (name, self.webhook[name]), "%s: 30" % name)
        if self.webhook["version"] is not None and not self.webhook["version_field"]:
            raise _bad(
                "webhook.version is given, and not where the app tells its version",
                "version_field: commit, for a health that answers {status: healthy, commit: 4f2a9c1}",
            )
        if self.deploy_status:
            self._check_deploy_status()
        if not self.gate["http"]:
            raise _bad("nothing is measured: http is missing", "http: {url: 'https://api.example.com/health'}")
        for name, scheme in (("http", "https"), ("websocket", "wss")):
            if self.gate[name] and not self.gate[name]["url"]:
                raise _bad(
                    "%s.path is asked of a port on this host, and the app is hosted elsewhere" % name,
                    "%s: {url: '%s://api.example.com/...'}" % (name, scheme),
                )
        self._questions()

    def _check_deploy_status(self):
        options = self.deploy_status
        check_request("webhook.deploy_status", options, "https://api.example.com/deploys/{id}")
        right = "json: {status: live}, failed: [{json: {status: build_failed}}]"
        if options["json"] is None and options["text"] is None:
            raise _bad("webhook.deploy_status does not say what a deploy that is done looks like", right)
        if any(one["json"] is None and one["text"] is None for one in options["failed"]):
            raise _bad("webhook.deploy_status.failed has an entry that says nothing", right)
        if options["interval"] <= 0:
            raise _bad("webhook.deploy_status.interval is %s; it must be above 0" % options["interval"], "interval: 5")

    def plan(self):
        """Find out whether the hook is due, and why. Sends nothing but the questions of the gate."""
        due = not self.only_stale
        if self.only_stale or self.webhook["version_field"]:
            self._look()
            due = due or bool(self.reasons)
        if due:
            self.timeline.tell("%s: its deploy hook is due: %s to %s" % (self.name, self._method(), self._server()))
        self.changed = due

    def _look(self):
        """What runs before the hook is sent: whether it is well, and which version."""
        gate = Gate(self._questions(), self._one_answer(), clock=self.clock, sleep=self.sleep)
        wanted = self.webhook["version"]
        try:
            gate.wait() if self.only_stale else gate.ask_once()
        except GateFailure as failure:
            self.reasons += ["%s is not healthy: %s" % (self.name, failure.message)] if self.only_stale else []
        self.attempts += gate.attempts
        if not self.webhook["version_field"]:
            return
        answer = gate.answers[0]
        self.told["version_before"] = self._version_of(answer)
        if answer.ok and self.told["version_before"] is None:
            raise _bad(
                "webhook.version_field: the health of %s has no %s" % (self.name, self.webhook["version_field"]),
                "let the app tell its version there, or leave version_field out",
            )
        if self.only_stale and answer.ok and wanted is not None and self.told["version_before"] != wanted:
            self.reasons.append("%s is version %s, not %s" % (self.name, self.told["version_before"], wanted))

    def _one_answer(self):
        return dict(self.gate, successes=1, stable_for=0, timeout=self.webhook["timeout"])

    def run(self):
        """Carry the plan out. Raises GatehouseError when the deploy failed, or is not well."""
        try:
            if self.changed:
                answer = self._send()
                if self.deploy_status:
                    self._follow(answer)
                elif self.webhook["version_field"]:
                    self._await_version()
            self._pass_gate()
        except GatehouseError as failure:
            self.outcome = "failed"
            failure.message = "%s: %s" % (self.name, self._hide(failure.message))
            failure.facts["service"] = self.name
            self.timeline.tell(failure.message)
            raise
        self.outcome = "healthy"

    # The hook

    def _send(self):
        """The hook's answer. Once a connection was made the hook may have been received, so it is not sent again."""
        connected = []

        def connect(host, port, deadline):
            connection = open_connection(host, port, deadline)
            connected.append(host)
            return connection

        ask = _asker(dict(self.webhook, json=None, text=None), self.webhook["url"], connect)
        deadline = Deadline(self.webhook["timeout"], self.clock)
        answers = []

        def send():
            answers.append(ask(max(0.001, deadline.remaining())))
            return answers[-1] if connected else None

        answer = poll(send, deadline, RETRY_INTERVAL, self._every(RETRY_INTERVAL, deadline)) or answers[-1]
        self.told["status"] = answer.status
        # Nothing is told to a server whose certificate is refused.
        self.told["sent"] = bool(connected) and not (answer.cause == "tls" and "certificate" in answer.message)
        if not answer.ok:
            raise self._not_accepted(answer)
        self.timeline.tell("%s: deploy hook accepted: %s answered %d" % (self.name, self._server(), answer.status))
        return answer

    def _not_accepted(self, answer):
        server = self._server()
        if not self.told["sent"]:
            return GatehouseError(
                "its deploy hook was not sent: %s %s" % (server, _words(answer, self.webhook["url"])),
                cause="hook_unreachable",
                hint="curl -v %s://%s/ -o /dev/null   # from where the module runs"
                % (urlsplit(self.webhook["url"]).scheme, server),
            )
        if answer.status is None:
            return GatehouseError(
                "its deploy hook was sent to %s, and %s. A deploy may have begun, so it was not sent again"
                % (server, _words(answer, self.webhook["url"])),
                cause="hook_unanswered",
                hint="look at the hosting whether a deploy runs, before the hook is sent once more",
            )
        said = redact(" ".join(answer.body.split()))[:EXCERPT]
        return GatehouseError(
            "its deploy hook was refused: %s answered %d, not %s%s"
            % (server, answer.status, " or ".join(map(str, self.webhook["status"])), ": %s" % said if said else ""),
            cause="hook_refused",
            hint="make a new deploy hook at the hosting, and put its address where the secret is kept"
            if answer.status in (401, 403, 404, 410)
            else "look at the hosting why it takes no deploy",
        )

    # The deploy

    def _follow(self, answer):
        """Ask the hosting until it says that the deploy is done, or has failed."""
        url = fill(self.deploy_status["url"], answer.body)
        ask = _asker(self.deploy_status, url)
        deadline = Deadline(self.webhook["deploy_timeout"], self.clock)
        told = []

        def look():
            self.attempts += 1
            answer = ask(max(0.001, min(ONE_QUESTION, deadline.remaining())))
            if answer.status is not None and self._tells_failure(answer):
                raise GatehouseError(
                    "the hosting says that the deploy has failed: %s" % redact(" ".join(answer.body.split()))[:EXCERPT],
                    cause="deploy_failed",
                    hint="look at the hosting's log of this deploy; what ran before may still serve",
                )
            if answer.ok:
                return True
            words = _words(answer, url)
            if answer.status in (401, 403):
                raise GatehouseError(
                    "the status of its deploy may not be asked: it %s. The deploy goes on" % words,
                    cause="status_refused",
                    hint="give webhook.deploy_status.headers a token that may read deploys",
                )
            if words not in told:
                told.append(words)
                self.timeline.tell(self._hide("%s: deploy is not done: %s" % (self.name, words)))
            return None

        interval = self.deploy_status["interval"]
        if not poll(look, deadline, interval, self._every(interval, deadline)):
            raise GatehouseError(
                "its deploy was not done within %g s: %s" % (self.webhook["deploy_timeout"], told[-1]),
                cause="timed_out",
                hint="look at the hosting's log of this deploy; give it more time with webhook.deploy_timeout",
            )
        self.told["confirmed_by"].append("deploy_status")
        self.timeline.tell("%s: the hosting says that the deploy is done" % self.name)

    def _tells_failure(self, answer):
        for one in self.deploy_status["failed"]:
            try:
                Expectation([answer.status], one["json"], one["text"]).judge(answer.status, {}, answer.body)
                return True
            except ProbeFailure:
                continue
        return False

    def _await_version(self):
        """Ask the app until the new version answers. How it is until then is the old one's affair."""
        patience = dict(self.gate, successes=1, stable_for=0, timeout=self.webhook["deploy_timeout"])
        self._wait(Gate(self._questions(new=True)[:1], patience, clock=self.clock, sleep=self.sleep))

    # The app itself

    def _pass_gate(self):
        # What was left alone has been stable since before.
        patience = self.gate if self.changed else dict(self.gate, stable_for=0)
        gate = Gate(self._questions(new=self.changed), patience, clock=self.clock, sleep=self.sleep)
        self._wait(gate)
        if self.webhook["version_field"]:
            self.told["version"] = self._version_of(gate.answers[0])
            if self.changed:
                self.told["confirmed_by"].append("version")
        told = "%s: healthy: first good answer after %.3g s, %d in a row" % (
            self.name,
            gate.first_good,
            patience["successes"],
        )
        if self.changed and not self.told["confirmed_by"]:
            told += "; nothing tells whether it was the new deploy that answered"
        self.timeline.tell(told)

    def _wait(self, gate):
        try:
            gate.wait()
        except GateFailure as failure:
            url = self.gate["http"]["url"]
            if failure.cause == "old_version":
                failure.hint = "look at the hosting's log of the last deploy; curl -s '%s' tells the version" % url
            elif failure.cause != "timed_out":
                failure.facts["probe"] = failure.cause
                failure.cause = "unhealthy"
            failure.hint = failure.hint or "curl -si '%s'   # and the app's own log at the hosting" % url
            raise
        finally:
            self.attempts += gate.attempts

    def _questions(self, new=False):
        """What the gate asks, HTTP first. new: only the new version's answers are good, where versions can be told."""
        ask = http_probe(self.gate["http"], self.gate["http"]["url"])
        questions = [self._of_new_version(ask) if new and self.webhook["version_field"] else ask]
        if self.gate["websocket"]:
            questions.append(websocket_probe(self.gate["websocket"], self.gate["websocket"]["url"]))
        return questions

    def _of_new_version(self, ask):
        wanted, before = self.webhook["version"], self.told["version_before"]

        def question(timeout):
            answer = ask(timeout)
            version = self._version_of(answer)
            right = version == wanted if wanted is not None else version not in (None, before)
            if not answer.ok or right:
                return answer
            words = "%s answers, and %s is %s, %s" % (
                self.gate["http"]["url"],
                self.webhook["version_field"],
                "missing" if version is None else version,
                "not %s" % wanted if wanted is not None else "as before the deploy",
            )
            return answer._replace(ok=False, cause="old_version", message=words)

        return question

    def _version_of(self, answer):
        found = value_at(answer.body, self.webhook["version_field"])
        return None if found is None or isinstance(found, (dict, list)) else str(found)

    # Words

    def _server(self):
        return urlsplit(self.webhook["url"]).hostname

    def _method(self):
        return self.webhook["method"].upper()

    def _every(self, seconds, deadline):
        """A pause that does not begin short: the server is not ours to hurry."""
        return lambda pause: self.sleep(max(pause, min(seconds, deadline.remaining())))

    def _hide(self, text):
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def _bad(message, hint):
    return GatehouseError(message, cause="bad_input", hint=hint)


def _asker(options, url, connect=None):
    return http_probe(dict(options, host=None, follow_redirects=False, server_name=None), url, connect)


def _words(answer, url):
    """What was wrong with an answer, without the address that was asked."""
    start = url + ": "
    return answer.message[len(start) :] if answer.message.startswith(start) else answer.message


def check_request(place, options, example):
    """Refuse an address or header that can't be sent, without showing it."""
    url = PLACE.sub("x", options["url"])
    try:
        split_url(url, ("http", "https"))
        wrong = "has a blank or a line break in it" if re.search(r"[\x00-\x20\x7f]", url) else None
    except ValueError:
        wrong = "is no http(s) address"
    if wrong:
        raise _bad("%s.url %s (it is a secret, and not shown)" % (place, wrong), "url: '%s'" % example)
    for name, value in (options["headers"] or {}).items():
        if re.search(r"[\r\n]", "%s%s" % (name, value)):
            raise _bad(
                "%s.headers.%s has a line break in it" % (place, str(name).strip()),
                "headers: {Authorization: 'Bearer TOKEN'}",
            )


def secrets_of(options):
    """What no message may hold of a request: its address and the parts of it that look made up, and its headers' values."""
    parts = urlsplit(options["url"])
    target = parts.path + ("?" + parts.query if parts.query else "")
    pieces = re.split(r"[/?&=#]", target)
    values = [str(value) for value in (options["headers"] or {}).values()]
    words = [word for value in values for word in value.split()]
    found = [options["url"], target, parts.password or "", parts.username or ""] + values
    found += [piece for piece in pieces + words if re.search(r"[0-9]", piece) or len(piece) >= 12]
    return sorted({text for text in found if len(text) >= 6}, key=lambda text: (-len(text), text))


def value_at(text, field):
    """The value at a.b.0.c of a JSON text; None where there is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    for key in field.split("."):
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


def fill(url, text):
    """The address with each {FIELD} replaced by that field of the hook's answer."""

    def value(match):
        found = value_at(text, match.group(1))
        if found is None or isinstance(found, (dict, list)):
            raise _bad(
                "its deploy hook was sent, and its answer has no field %s, which webhook.deploy_status.url asks for"
                % match.group(1),
                "the field's place in the hook's JSON answer, as in {deploy.id} or {job.id}",
            )
        return quote(str(found), safe="")

    return PLACE.sub(value, url)
