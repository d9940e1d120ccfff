# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What the control node sees of a host's sites: names, ports, certificates, and the answers of the apps."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.gatehouse.webapp.plugins.module_utils._evidence import served_certificate
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import (
    Expectation,
    ProbeFailure,
    Tls,
    probe_http,
    probe_tcp,
    resolve,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._reachability import Question, judge
from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import redact

# What getaddrinfo says of a name that is not there. All its other errors leave that open.
NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
SSH = ("ssh", "smart", "paramiko", "paramiko_ssh", "libssh")
SECONDS = 3.0
AT_ONCE = 32


def reached(transport, task_vars):
    """Where Ansible comes to the host; None where that is no address: into a container it comes without one."""
    if transport.split(".")[-1] in SSH + ("local",):
        return str(task_vars.get("ansible_host") or task_vars["inventory_hostname"])
    return None


def ahead(now, begun, ended):
    """How many seconds a host's clock is ahead of the one here: `now` there was between two moments here."""
    return round(now - ended if now > ended else min(0.0, now - begun), 1)


def names_of(sites):
    """The names that DNS must know."""
    return list(dict.fromkeys(name for site in sites for name in site["names"] if not name.startswith("*")))


def from_outside(asked, evidence, address, client):
    """{address, homes, names, verdicts, served, answers}, asked all at once.

    address: where Ansible reaches the host; None where that is no address.   client: where it comes from, as the host sees it.
    """
    view = evidence.get("view")
    if not view or not asked["sites"]:
        return None
    address = address or own_address(view)
    if not address:
        return None
    ports = [entry["port"] for entry in view["listeners"]]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        looked_up = {name: pool.submit(addresses, name) for name in names_of(asked["sites"])}
        homes = addresses(address)
        knocks = [(home, port, pool.submit(probe_tcp, home, port, SECONDS)) for home in homes for port in ports]
        served = {
            site["name"]: pool.submit(served_certificate, homes[0], site["port"], site["host"], SECONDS)
            for site in asked["sites"]
            if site["tls"] and homes
        }
        answers = {
            site["name"]: pool.submit(_answer, site, asked["apps"])
            for site in asked["sites"]
            if site["host"] in looked_up and site["asks"] and site["asks"][0]["path"]
        }
        questions = [Question(home, home, port, knock.result(), _source(home, client)) for home, port, knock in knocks]
        return {
            "address": address,
            "homes": homes,
            "names": {name: answer.result() for name, answer in looked_up.items()},
            "verdicts": [judge(question, view, homes) for question in questions],
            "served": {name: answer.result() for name, answer in served.items()},
            "answers": {name: answer.result() for name, answer in answers.items()},
        }


def _answer(site, apps):
    """What whoever has the site's name says of the health of its first app. Certificates are judged apart."""
    ask = site["asks"][0]
    health = next(app["health"] for app in apps if app["name"] == ask["app"])
    url = "%s://%s:%d%s" % ("https" if site["tls"] else "http", site["host"], site["port"], ask["path"])
    expectation = Expectation(health["status"], health["json"] or None, health["text"])
    answer = probe_http(url, SECONDS, expectation, tls=Tls(verify=False))
    return {"ok": answer.ok, "message": redact(answer.message)}


def own_address(view):
    """The host's own first address that others may reach, of the interface of its default route."""
    interface = view["routes"]["4"]
    for link in view["interfaces"]:
        if link["name"] == interface:
            return next((one for one in link["addresses"] if ":" not in one), None)
    return None


def addresses(name):
    """What the name stands for, as this machine resolves it; an address stands for itself."""
    return look_up(name)[0]


def look_up(name):
    """(addresses, why): as above, and why there was no answer; None where it was one, even that there is no such name."""
    try:
        return list(dict.fromkeys(entry[4][0] for entry in resolve(name, 0, Deadline(SECONDS)))), None
    except ProbeFailure as failure:
        error = failure.__cause__
        definite = isinstance(error, UnicodeError) or getattr(error, "errno", None) in NO_SUCH_NAME
        return [], None if definite else failure.message


def _source(address, client):
    if client and (":" in client) == (":" in address):
        return client
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        try:
            unsent.connect((address, 9))
        except OSError:
            return None
        return unsent.getsockname()[0]
