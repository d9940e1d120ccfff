# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What the control node sees of apps that are hosted elsewhere: name, connection, certificate and health."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import (
    Expectation,
    ProbeFailure,
    probe_http,
    probe_tcp,
    resolve,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import redact

# Seconds for a name, a connection and a certificate each; and for an answer, since a hosting may have to wake the app.
SECONDS, ANSWER_SECONDS = 3.0, 8.0
AT_ONCE = 16
EXCERPT = 200


def of_hosted(apps, headers):
    """({app: {addresses, connects, tcp, served}}, [the health of each, as evidence]), all apps asked at once.

    apps: as `wanted` makes them; those without an address elsewhere are passed over.   headers: {app: its headers}.
    """
    hosted = [app for app in apps if app["hosted"]]
    if not hosted:
        return {}, []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda app: _ask(app, headers.get(app["name"]) or {}), hosted))
    return (
        {app["name"]: seen for app, (seen, _probe) in zip(hosted, found)},
        [probe for _seen, probe in found if probe],
    )


def _ask(app, headers):
    """Link by link, as far as one leads to the next."""
    host, port = app["hosted"]["host"].strip("[]"), app["hosted"]["port"]
    seen = {"addresses": _addresses(host, port), "connects": False, "tcp": None, "served": None}
    if not seen["addresses"]:
        return seen, None
    connection = probe_tcp(host, port, SECONDS)
    seen.update(connects=connection.ok, tcp=redact(connection.message))
    if not connection.ok:
        return seen, None
    if app["hosted"]["tls"]:
        seen["served"] = _certificate(host, port)
        if seen["served"]["ok"] is False:
            return seen, None  # headers may be secrets: they are told to nobody who can't say who it is
    return seen, _health(app, headers)


def _addresses(host, port):
    try:
        return list(dict.fromkeys(entry[4][0] for entry in resolve(host, port, Deadline(SECONDS))))
    except ProbeFailure:
        return []


def _certificate(host, port):
    """Whether clients trust what is served: {ok, code, message, ends}. code: X509_V_ERR_* of OpenSSL."""
    try:
        plain = socket.create_connection((host, port), timeout=SECONDS)
        with plain, ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured:
            ends = ssl.cert_time_to_seconds(secured.getpeercert()["notAfter"])
            return {"ok": True, "code": 0, "message": "trusted", "ends": ends}
    except ssl.SSLCertVerificationError as error:
        return {"ok": False, "code": error.verify_code, "message": error.verify_message, "ends": None}
    except ssl.SSLError as error:
        return {"ok": False, "code": None, "message": str(error.reason or error), "ends": None}
    except OSError as error:
        return {"ok": None, "code": None, "message": str(error), "ends": None}


def _health(app, headers):
    """The app's own answer, as the evidence of a host has them."""
    health, url = app["health"], app["hosted"]["url"]
    if health["host"]:
        headers = dict(headers, Host=health["host"])
    expectation = Expectation(health["status"], health["json"] or None, health["text"])
    answer = probe_http(url, ANSWER_SECONDS, expectation, headers=headers)
    return {
        "kind": "health",
        "via": "direct",
        "app": app["name"],
        "unit": None,
        "port": app["hosted"]["port"],
        "site": None,
        "url": redact(url),
        "ok": answer.ok,
        "cause": answer.cause,
        "message": redact(answer.message),
        "status": answer.status,
        "ms": round(answer.latency * 1000, 1),
        "server": answer.headers.get("server"),
        "location": None,
        "excerpt": "" if answer.ok else redact(" ".join(answer.body.split()))[:EXCERPT],
    }
