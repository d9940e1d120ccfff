# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The chain from a service's port to what a site answers, measured link by link.

A stage stands on the one before: after one with a broken link, the later ones are not measured. Within a stage everything is
measured. The host measures stages 1 to 4, the control node the others; both with what is written here.

A finding is plain data: {stage, link, state, site, app, port, what, result, ms, attempts, cause, message, next}.
`state` is one of ok, broken, risk (well for now), unknown (can't be judged, and is no failure) and unjudged (behind a broken link).
"""

from __future__ import annotations

import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.gatehouse.webapp.plugins.module_utils import _ufw
from ansible_collections.gatehouse.webapp.plugins.module_utils._agreement import compare, describe, next_step
from ansible_collections.gatehouse.webapp.plugins.module_utils._certificate import check_served
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import HINTS, Gate, GateFailure
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline
from ansible_collections.gatehouse.webapp.plugins.module_utils._port_wait import PortWait
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import (
    DEFAULT_PORTS,
    Expectation,
    ProbeFailure,
    Tls,
    header_complaint,
    probe_http,
    probe_websocket,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import MASK, redact
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Systemd

STAGES = 8
# link: its stage, and what is measured there.
LINKS = {
    "port": (1, "each service holds its port"),
    "health": (1, "each service is healthy on its own port"),
    "nginx": (2, "nginx runs and accepts its configuration"),
    "agreement": (2, "model, app and nginx mean the same port"),
    "firewall": (3, "the firewall is on and lets the sites through"),
    "certificate": (4, "the certificates that nginx serves on this host"),
    "proxy": (4, "health through nginx on this host"),
    "outside": (5, "health from the control node"),
    "websocket": (6, "WebSocket through nginx from the control node"),
    "cors": (7, "CORS preflight from the control node"),
    "check": (8, "the site's own checks from the control node"),
}
AT_ONCE = 8
# A limit of requests per second has let the next one through after this many seconds; so long is waited before asking again.
PAUSE = 1.0
TOO_MANY = 429
# Of an answer's body so much is looked through, and of a message so much is told: secrets are taken out before it is cut.
EXCERPT = 4000
LONGEST = 500
# The line of `ufw status verbose` that says that it filters.
UFW_RUNS = "Status: active"
# A line of `ufw status verbose` that lets everybody through to a port: 80, 80/tcp, 80,443/tcp (Nginx Full). Not one for IPv6 alone.
OPENS = r"(?m)^(?:[0-9,]+,)?%d(?:,[0-9,]+)?(?:/tcp)?(?: \((?!v6)[^()]*\))? +(?:ALLOW|LIMIT) IN +Anywhere"


def finding(link, what, state, result="", message="", **more):
    """What came out of one measurement."""
    told = {
        "stage": LINKS[link][0],
        "link": link,
        "state": state,
        "site": None,
        "app": None,
        "port": None,
        "what": what,
        "result": result,
        "ms": None,
        "attempts": 1,
        "cause": None,
        "message": message,
        "next": None,
    }
    return dict(told, **more)


def broken(link, what, error, **more):
    """A finding of a GatehouseError."""
    told = {"result": error.cause or "failed", "cause": error.cause, "next": error.hint}
    return finding(link, what, "broken", message=error.message, **dict(told, **more))


def unknown(link, what, message, **more):
    return finding(link, what, "unknown", "not judged", message, **dict({"attempts": 0}, **more))


def unjudged(link, what, **more):
    return finding(link, what, "unjudged", "not measured", "It lies behind a broken link.", attempts=0, **more)


def is_broken(findings):
    return any(one["state"] == "broken" for one in findings)


# --- Secrets ------------------------------------------------------------------------------------------------------


class Cleaner:
    """Takes secrets out of findings: what looks like one, and the given texts wherever they come."""

    SHORTEST = 6

    def __init__(self, secrets):
        texts = {
            text for secret in secrets for text in (secret, json.dumps(secret)[1:-1]) if len(secret) >= self.SHORTEST
        }
        self._secrets = sorted(texts, key=lambda text: (-len(text), text))

    def clean(self, found):
        return dict(
            found, **{key: self._text(found[key]) for key in ("what", "result", "message", "next") if found[key]}
        )

    def _text(self, text):
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = redact(text)
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


# --- Questions to a server ----------------------------------------------------------------------------------------


class Preflight:
    """What a browser needs to be answered before it lets a page of another origin ask; judges as an Expectation does."""

    def __init__(self, asked):
        self.asked = asked

    def judge(self, status, headers, body):
        complaint = self._granted(status, headers) if self.asked["allowed"] else self._refused(status, headers)
        if complaint:
            raise ProbeFailure(complaint[0], complaint[1], status, headers, body)

    def _granted(self, status, headers):
        asked = self.asked
        if not 200 <= status <= 299:
            return "bad_status", "it answered the preflight with %d, and browsers take 200 to 299 alone" % status
        wanted = {"Access-Control-Allow-Origin": "*" if asked["every"] else asked["origin"]}
        if asked["credentials"]:
            wanted["Access-Control-Allow-Credentials"] = "true"
        for name, value in wanted.items():
            if headers.get(name.lower(), "") != value:
                return "cors_refused", header_complaint(name, value, headers.get(name.lower(), ""))
        for name, values in (("Methods", asked["methods"]), ("Headers", asked["headers"])):
            name = "Access-Control-Allow-" + name
            got = {word.strip().lower() for word in headers.get(name.lower(), "").split(",")}
            missing = [value for value in values if value.lower() not in got]
            if missing:
                return "cors_refused", "its header %s lacks %s" % (name, ", ".join(missing))
        return None

    def _refused(self, status, headers):
        if status == TOO_MANY or status >= 500:
            return "bad_status", "it answered the preflight with %d" % status
        for name in ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"):
            got = headers.get(name.lower(), "")
            if got:
                return "cors_open", "it answers an origin that is none of cors.origins with %s: %s" % (name, got)
        return None


def question(asked, options):
    """The question of a plan's entry, as a function of the seconds it may take."""
    url = "%s://%s:%d%s" % (asked["scheme"], authority(asked["address"]), asked["port"], asked["path"])
    tls = Tls(options["validate_certs"] and asked["trusted"], options["ca_path"], asked["host"])
    headers = {"Host": asked["host"]} if asked["host"] else {}
    if asked["link"] == "websocket":
        url = re.sub("^http", "ws", url)
        return lambda seconds: probe_websocket(url, seconds, headers, tls)
    body = None
    method = "GET"
    if asked["link"] == "cors":
        method, expectation = "OPTIONS", Preflight(asked)
        headers.update(preflight_headers(asked))
    elif asked["link"] == "check":
        expect = asked["expect"]
        expectation = Expectation(expect["status"], expect["json"] or None, expect["text"], expect["headers"])
        method, body = asked["method"], asked["body"]
        if asked["json"] is not None:
            body = json.dumps(asked["json"])
            headers["Content-Type"] = "application/json"
        own = {name.lower() for name in asked["headers"]}
        headers = {name: value for name, value in headers.items() if name.lower() not in own}
        headers.update(asked["headers"])
    else:
        health = asked["health"]
        expectation = Expectation(health["status"], health["json"] or None, health["text"])
        headers.update(health["headers"])
    content = None if body is None else body.encode("utf-8")
    return lambda seconds: probe_http(url, seconds, expectation, method, headers, content, tls=tls)


def preflight_headers(asked):
    headers = {
        "Origin": asked["origin"],
        "Access-Control-Request-Method": asked["methods"][-1] if asked["methods"] else "GET",
    }
    if asked["headers"]:
        headers["Access-Control-Request-Headers"] = ", ".join(sorted(name.lower() for name in asked["headers"]))
    return headers


def authority(address):
    return "[%s]" % address if ":" in address else address


def ask_running(ask, successes, timeout, clock=time.monotonic, sleep=time.sleep):
    """([answer, ...], whether the last says no more than "too many"): until so many good ones came running, or a bad one.

    timeout: seconds of each question. For as long a 429 is waited out: it tells nothing of what was asked for.
    """
    deadline = Deadline(timeout, clock)
    answers, good = [], 0
    while True:
        answer = ask(timeout)
        answers.append(answer)
        limited = not answer.ok and answer.status == TOO_MANY
        if limited and deadline.remaining() > PAUSE:
            sleep(PAUSE)
        elif not answer.ok:
            return answers, limited
        else:
            good += 1
            if good >= successes:
                return answers, False


def measure(asked, options, ask=None, clock=time.monotonic, sleep=time.sleep):
    """The finding of a question through nginx. asked: an entry of the plan.   options: {successes, timeout, validate_certs}."""
    place = {key: asked[key] for key in ("site", "app", "port")}
    if asked["skip"]:
        return unknown(asked["link"], asked["what"], asked["skip"], **place)
    ask = ask or question(asked, options)
    answers, limited = ask_running(ask, options["successes"], options["timeout"], clock=clock, sleep=sleep)
    answer = answers[-1]
    told = dict(place, attempts=len(answers), ms=round(max(one.latency for one in answers) * 1000, 1))
    if answer.ok:
        return finding(asked["link"], asked["what"], "ok", _well(asked, answer), answer.message, **told)
    if limited:
        return finding(
            asked["link"], asked["what"], "broken", "429, rate limit", **dict(told, **_limited(asked, answers))
        )
    if asked["closed"] and answer.status == 503:
        message = "The site is closed for planned work (maintenance), so nobody is let through to it."
        return unknown(asked["link"], asked["what"], message, **told)
    if asked["link"] == "cors" and asked["selective"] and answer.status == 403:
        message = "The route lets certain addresses in alone (allow, deny), and the control node has none of them."
        return unknown(asked["link"], asked["what"], message, **told)
    message = answer.message
    if asked["link"] == "check" and answer.body.strip():
        message += ". It says: %s" % " ".join(answer.body[:EXCERPT].split())
    if len(answers) > 1:
        message = "After %d good answers: %s" % (sum(one.ok for one in answers), message)
    result = str(answer.status) if answer.cause in ("bad_status", "not_upgraded") else answer.cause.replace("_", " ")
    return finding(
        asked["link"],
        asked["what"],
        "broken",
        result,
        message,
        cause=answer.cause,
        next=next_command(asked, answer.cause),
        **told,
    )


def _well(asked, answer):
    if asked["link"] == "cors":
        return "allowed" if asked["allowed"] else "refused"
    return str(answer.status)


def _limited(asked, answers):
    good = sum(one.ok for one in answers)
    if asked["limit"]:
        whose = "the site's own limit, of its route %s" % asked["limit"]
        mend = "ask less often (verify_successes: 1), or raise that limit"
    else:
        whose = "a limit of the app itself, as its route has none"
        mend = next_command(asked, "bad_status")
    message = "%s: too many requests (429); good answers before: %d. That is %s, and no outage" % (
        asked["what"],
        good,
        whose,
    )
    return {"message": message, "cause": "rate_limited", "next": mend}


def next_command(asked, cause):
    """What shows the same as was seen, with the name that was asked for."""
    usual = DEFAULT_PORTS[asked["scheme"]] == asked["port"]
    host = asked["host"] or asked["address"]
    url = "%s://%s%s%s" % (asked["scheme"], host, "" if usual else ":%d" % asked["port"], asked["path"])
    known = host == asked["address"]
    options = [] if known else ["--resolve %s:%d:%s" % (host, asked["port"], authority(asked["address"]))]
    if asked["link"] == "cors":
        headers = preflight_headers(asked)
        options += ["-X OPTIONS"] + ["-H '%s: %s'" % (name, headers[name]) for name in sorted(headers)]
    elif asked["link"] == "check" and asked["method"] != "GET":
        options.append("-X " + asked["method"])
    hint = HINTS.get(cause, HINTS["bad_status"]) % {
        "url": url,
        "host": asked["address"],
        "port": asked["port"],
        "name": host,
    }
    return re.sub(r"^curl ", " ".join(["curl"] + options) + " ", hint)


def from_here(plan, options, findings):
    """Stages 5 to 8, from where this runs. plan: [entry, ...].   findings: of the stages before."""
    found = []
    for stage in range(5, STAGES + 1):
        asked = [entry for entry in plan if LINKS[entry["link"]][0] == stage]
        if is_broken(findings + found):
            found += [
                unjudged(one["link"], one["what"], **{key: one[key] for key in ("site", "app", "port")})
                for one in asked
            ]
        elif stage == STAGES:
            # One may lay the ground for the next.
            found += [measure(entry, options) for entry in asked]
        else:
            found += at_once(lambda entry: measure(entry, options), asked)
    return found


def at_once(function, items):
    """[function(item), ...], in the order of the items."""
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(function, items))


# --- The host -----------------------------------------------------------------------------------------------------


class Host:
    """Stages 1 to 4, on the host itself.

    plan: what to measure, as plugin_utils/_plan.py makes it.   run: a command with its bound, as _commands.run takes it.
    """

    def __init__(self, plan, run, now=time.time):
        self.plan = plan
        self.options = plan["options"]
        self._run = run
        self._now = now

    def run(self, argv):
        return self._run(argv, self.options["timeout"])

    def measure(self):
        """[finding, ...]"""
        found = []
        for stage, behind in (
            (self.services, list),
            (self.nginx, self._nginx_unjudged),
            (self.firewall, self._firewall_unjudged),
            (self.sites, self._sites_unjudged),
        ):
            found += behind() if is_broken(found) else stage()
        return found

    def _nginx_unjudged(self):
        return [unjudged("nginx", "nginx.service")] if self.plan["sites"] else []

    def _firewall_unjudged(self):
        return [unjudged("firewall", "UFW")] if self.plan["sites"] else []

    def _sites_unjudged(self):
        return [
            unjudged(link, one["what"], site=one["site"], port=one["port"], app=one.get("app"))
            for link, asked in (("certificate", self.plan["certificates"]), ("proxy", self.plan["proxy"]))
            for one in asked
        ]

    # 1

    def serving(self):
        """[(app, service), ...]: of an app with two sets, the one that its live release names."""
        return [
            (app, service)
            for app in self.plan["services"]
            for service in app["green" if app["flag"] and os.path.exists(app["flag"]) else "services"]
        ]

    def services(self):
        return [one for pair in at_once(self._service, self.serving()) for one in pair]

    def _service(self, pair):
        app, service = pair
        place = {"app": app["app"], "port": service["port"]}
        begun = time.monotonic()
        wait = PortWait(
            {
                "ports": [service["port"]],
                "unit": service["name"],
                "state": "listening",
                "scope": "any",
                "timeout": self.options["timeout"],
                "interval": 0.1,
            },
            Listeners(),
            Systemd(self.run),
        )
        try:
            wait.run()
        except GatehouseError as error:
            return [broken("port", service["name"], error, **place), unjudged("health", service["name"], **place)]
        held = finding("port", service["name"], "ok", "holds %d" % service["port"], ms=_since(begun), **place)
        return [held, self._health(app, service, place)]

    def _health(self, app, service, place):
        asked = dict(
            app["ask"],
            link="health",
            scheme="http",
            address=app["address"],
            port=service["port"],
            host=app["ask"]["host"],
            trusted=True,
        )
        patience = {
            "successes": self.options["successes"],
            "stable_for": 0,
            "timeout": self.options["timeout"],
            "interval": 0.1,
        }
        gate = Gate([question(asked, self.options)], patience)
        try:
            gate.wait()
        except GateFailure as failure:
            url = "http://%s:%d%s" % (authority(app["address"]), service["port"], asked["path"])
            if failure.cause in HINTS:
                failure.hint = HINTS[failure.cause] % {
                    "url": url,
                    "host": app["address"],
                    "port": service["port"],
                    "name": app["address"],
                }
            last = gate.answers[-1] if gate.answers else None
            if last and last.status == TOO_MANY:
                failure.message = "%s. That is a limit of the app itself, and no outage" % failure.message
                failure.cause = "rate_limited"
            result = (
                str(last.status)
                if last and failure.cause == "bad_status"
                else (failure.cause or "failed").replace("_", " ")
            )
            return broken("health", service["name"], failure, result=result, attempts=gate.attempts, **place)
        answer = gate.answers[-1]
        ms = round(answer.latency * 1000, 1)
        return finding(
            "health", service["name"], "ok", str(answer.status), answer.message, ms=ms, attempts=gate.attempts, **place
        )

    # 2

    def nginx(self):
        if not self.plan["sites"]:
            message = "There are no sites, so neither nginx nor the firewall was measured."
            return [unknown("nginx", "no sites", message)] + self._agreements()
        runs, accepts = at_once(lambda ask: ask(), [self._nginx_runs, self._nginx_accepts])
        return [runs, accepts] + ([] if is_broken([accepts]) else self._agreements())

    def _nginx_runs(self):
        begun = time.monotonic()
        status, out, _err = self.run(["systemctl", "status", "--lines=0", "nginx.service"])
        if status == 0:
            return finding("nginx", "nginx.service", "ok", "runs", ms=_since(begun))
        active = re.search("Active: .*", out)
        error = GatehouseError(
            "nginx does not run (%s)" % (active.group().strip() if active else "not installed"),
            "stopped",
            "systemctl status nginx",
        )
        return broken("nginx", "nginx.service", error)

    def _nginx_accepts(self):
        begun = time.monotonic()
        status, _out, err = self.run(["nginx", "-t", "-q"])
        if status == 0:
            return finding("nginx", "its configuration", "ok", "accepted", ms=_since(begun))
        error = GatehouseError("nginx refuses its configuration: %s" % err.strip(), "bad_configuration", "nginx -t")
        return broken("nginx", "its configuration", error, result="refused")

    def _agreements(self):
        return at_once(self._agreement, self.serving())

    def _agreement(self, pair):
        app, service = pair
        place = {"app": app["app"], "port": service["port"]}
        begun = time.monotonic()
        try:
            (found,) = compare([service], app["upstream"], self.run)
        except GatehouseError as error:
            return broken("agreement", service["name"], error, **place)
        if found["ok"]:
            return finding(
                "agreement",
                service["name"],
                "ok",
                "agree on %d" % service["port"],
                describe(found),
                ms=_since(begun),
                **place,
            )
        error = GatehouseError(describe(found), "ports_disagree", next_step(found))
        return broken("agreement", service["name"], error, result="ports differ", **place)

    # 3

    def firewall(self):
        ports = self.plan["firewall"]
        if not self.plan["sites"]:
            return []
        if ports is None:
            return [unknown("firewall", "UFW", "The firewall was not measured: verify_firewall is false.")]
        begun = time.monotonic()
        status, out, err = self.run(["ufw", "status", "verbose"])
        if status == 127:
            return [unknown("firewall", "UFW", "The firewall was not measured: UFW is not installed.")]
        found = firewall_findings(ports, out + err, _since(begun))
        return found + (self._at_boot() if UFW_RUNS in out.splitlines() else [])

    def _at_boot(self):
        """What is closed now is to be closed after a reboot too."""
        try:
            with open(_ufw.CONF_FILE, encoding="utf-8", errors="replace") as file:
                enabled = _ufw.is_enabled(file.read())
        except OSError:
            enabled = None
        missing = _ufw.missing_at_boot(self.run(["systemctl", "is-enabled", _ufw.UNIT])[1].strip(), enabled)
        if not missing:
            return []
        why, mend = missing
        return [finding("firewall", "UFW", "risk", "not at boot", _ufw.AFTER_A_REBOOT % why, next=mend)]

    # 4

    def sites(self):
        found = at_once(self._certificate, self.plan["certificates"])
        if self.plan["managed"]:
            found += self._renewal()
        return found + at_once(lambda entry: measure(entry, self.options), self.plan["proxy"])

    def _certificate(self, asked):
        place = {"site": asked["site"], "port": asked["port"]}
        begun = time.monotonic()
        options = {
            "address": "127.0.0.1",
            "port": asked["port"],
            "names": asked["names"],
            "server_name": None,
            "validate_certs": self.options["validate_certs"] and asked["trusted"] and bool(asked["names"]),
            "ca_path": None,
            "fail_days": self.options["fail_days"],
            "warn_days": self.options["warn_days"],
            "timeout": self.options["timeout"],
        }
        try:
            told, warnings = check_served(options, self._now())
        except GatehouseError as error:
            return broken("certificate", asked["what"], error, result=error.cause.replace("_", " "), **place)
        message = "certificate of %(issuer)s until %(not_after)s, %(days_left)d days" % told
        result = "%d days left" % told["days_left"]
        if warnings:
            hint = "journalctl -u gatehouse-certificates -n 50" if asked["managed"] else "renew it at its CA"
            return finding(
                "certificate", asked["what"], "risk", result, " ".join(warnings), ms=_since(begun), next=hint, **place
            )
        what = "%s, %s" % (asked["what"], told["issuer"])
        return finding("certificate", what, "ok", result, message, ms=_since(begun), **place)

    def _renewal(self):
        _status, out, _err = self.run(["systemctl", "status", "--lines=0", "gatehouse-certificates.service"])
        if "Active: failed" not in out:
            return []
        hint = "journalctl -u gatehouse-certificates -n 50"
        return [finding("certificate", "the last renewal", "risk", "failed", "The last renewal failed.", next=hint)]


def firewall_findings(ports, said, ms):
    """[finding, ...] of the ports [{port, reason}, ...]. said: what `ufw status verbose` says."""
    found = []
    for one in ports:
        what, error = "port %d" % one["port"], None
        if UFW_RUNS not in said.splitlines():
            first = (said.strip().splitlines() or ["it says nothing"])[0]
            error = GatehouseError("UFW is not active (%s)" % first, "inactive")
        elif not re.search(OPENS % one["port"], said):
            error = GatehouseError(
                "UFW has no rule that allows port %d (%s) from anywhere" % (one["port"], one["reason"]), "closed"
            )
        if error:
            error.hint = "ufw status verbose   # verify_firewall: false where another firewall does its work"
            found.append(broken("firewall", what, error, port=one["port"]))
        else:
            found.append(finding("firewall", what, "ok", "let through", ms=ms, port=one["port"]))
    return found


def _since(begun):
    return round((time.monotonic() - begun) * 1000, 1)
