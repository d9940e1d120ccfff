# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What is wrong with an app that is hosted elsewhere, as the control node sees it: its name, connection, certificate, health. Pure."""

from __future__ import annotations

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import day_words, finding, span_words
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._rules_way import (
    EXPIRED,
    EXPIRES_SOON,
    NO_ISSUER,
    NOT_YET,
    SELF_SIGNED,
    WRONG_NAME,
)

REDEPLOY = 'ansible-playbook gatehouse.webapp.redeploy -e \'{"webapp_only": ["%s"]}\''
HOSTING = "look at the hosting's page of this app: "

# OpenSSL's verdict: the cause, what it does to clients, the sentence.
CERTIFICATES = (
    (EXPIRED, "certificate_expired", "outage", "The certificate of %s has expired."),
    (NOT_YET, "certificate_not_yet_valid", "outage", "The certificate of %s is not valid yet."),
    (WRONG_NAME, "certificate_wrong_name", "outage", "The certificate served for %s is for another name."),
    (
        SELF_SIGNED,
        "certificate_self_signed",
        "degraded",
        "The certificate of %s is signed by nobody that clients know.",
    ),
    (
        NO_ISSUER,
        "certificate_chain",
        "degraded",
        "The chain of %s is incomplete: clients find no issuer that they know.",
    ),
)


def hosted(case):
    for app in case.apps:
        found = case.get("hosted", {}).get(app["name"])
        if not found:
            continue
        if not found["addresses"]:
            yield _no_name(app)
        elif not found["connects"]:
            yield _no_connection(app, found)
        else:
            yield from _certificate(case, app, found["served"])
            yield from _health(case, app)


def _no_name(app):
    host = app["hosted"]["host"]
    return finding(
        "dns_missing",
        "dns",
        "outage",
        "%s, where %s is hosted, is not in DNS." % (host, app["name"]),
        app,
        confidence=96,
        evidence=["the control node gets no address for %s" % host],
        show="getent ahosts %s   # on the control node" % host,
        mend=HOSTING
        + "has it this name, and does the name's zone have its record? Else correct webapp_apps[%s].url" % app["name"],
    )


def _no_connection(app, found):
    where = "%(host)s:%(port)d" % app["hosted"]
    return finding(
        "hosted_unreachable",
        "tcp",
        "outage",
        "%s, where %s is hosted, takes no connections." % (where, app["name"]),
        app,
        confidence=92,
        evidence=[found["tcp"], "%s is %s" % (app["hosted"]["host"], ", ".join(found["addresses"][:4]))],
        show="nc -vz %s   # on the control node" % where.replace(":", " "),
        mend=HOSTING + "is it suspended, or is the hosting down? And may the control node go out to that port?",
    )


def _certificate(case, app, served):
    if not served or served["ok"] is None:
        return
    host = app["hosted"]["host"]
    common = dict(
        app=app,
        evidence=["%s: %s" % (host, served["message"])],
        show="openssl s_client -connect %s:%d -servername %s </dev/null | openssl x509 -noout -dates -ext subjectAltName"
        % (host, app["hosted"]["port"], host),
        mend=HOSTING + "it makes the certificate of its names, once a custom one leads to it",
    )
    left = served["ends"] - case.evidence["now"] + (case.evidence.get("ahead") or 0) if served["ends"] else None
    if served["ok"] and left is not None and left < EXPIRES_SOON:
        words = "The certificate of %s expires in %s, on %s." % (host, span_words(left), day_words(served["ends"]))
        yield finding("certificate_expiring", "tls", "risk", words, confidence=95, **common)
    if served["ok"]:
        return
    known = [(cause, effect, words) for codes, cause, effect, words in CERTIFICATES if served["code"] in codes]
    for cause, effect, words in known or [("hosted_unreachable", "outage", "TLS with %s fails.")]:
        yield finding(cause, "tls", effect, words % host, confidence=96, **common)


def _health(case, app):
    for probe in case.direct(app):
        if probe["ok"]:
            continue
        answers = probe["status"] is not None or probe["cause"] == "not_http"
        yield finding(
            "unhealthy" if answers else "hung",
            "health",
            "outage",
            "%s, hosted at %s, %s: %s"
            % (
                app["name"],
                app["hosted"]["host"],
                "answers that it is not well" if answers else "takes connections and does not answer",
                probe["message"],
            ),
            app,
            confidence=85,
            evidence=[probe["message"]] + ([probe["excerpt"]] if probe["excerpt"] else []),
            show="curl -si %s" % probe["url"],
            mend="look into its log at the hosting; to deploy it anew: " + REDEPLOY % app["name"],
        )
