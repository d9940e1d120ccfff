# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""One port in four places: the model, the process's environment, the socket it listens on, and the proxy's upstream."""

from __future__ import annotations

import re

from ansible_collections.gatehouse.webapp.plugins.module_utils import _processes
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import Service
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Systemd

UPSTREAM = re.compile(r"\bupstream\s+(\S+)\s*\{([^}]*)\}")
SERVER = re.compile(r"\bserver\s+(?:\[[^]]*\]|[^\s:;]+):(\d+)([^;]*);")
COMMENT = re.compile(r"#[^\n]*")


def compare(instances, upstream, run):
    """[agreement, ...] of the services [{name, port}, ...], as they run now. upstream: nginx's for them; None: it is not asked."""
    proxied = ports_of_nginx(upstream, run) if upstream else None
    manager, listeners = Systemd(run), Listeners()
    found = []
    for instance in instances:
        service = Service(instance["name"], instance["port"])
        manager.check_name(service.name)
        pid = manager.state(service.name).pid
        told = _processes.environment(pid).get("PORT") if pid else None
        found.append(agreement(service, told, listeners.ports_of(listeners.pids_of_unit(service.name)), proxied))
    return found


def ports_of_nginx(upstream, run):
    status, out, err = run(["nginx", "-T", "-q"])
    if status:
        raise GatehouseError("nginx can't tell its configuration: %s" % err.strip(), cause="no_nginx", hint="nginx -t")
    ports = upstream_ports(out, upstream)
    if ports is None:
        raise GatehouseError(
            "nginx has no upstream %s" % upstream,
            cause="no_upstream",
            hint="ansible-playbook site.yml --tags nginx_proxy   # or: nginx -T | grep upstream",
        )
    return ports


def upstream_ports(configuration, name):
    """The ports to which nginx sends for this upstream, by its whole configuration (`nginx -T`); None: it has no such upstream.

    The upstreams NAME.SUFFIX that take its place at times are part of it. Backups are not: they get what nothing else takes.
    """
    found = None
    for block, body in UPSTREAM.findall(COMMENT.sub("", configuration)):
        if block == name or block.startswith(name + "."):
            ports = [int(port) for port, options in SERVER.findall(body) if "backup" not in options.split()]
            found = sorted(set(found or []) | set(ports))
    return found


def agreement(service, environment, listening, proxied):
    """What the four places say of a service, and whether they say the same.

    service: a Service.   environment: PORT as its process was told; None where it was not.
    listening: the ports that its processes listen on.   proxied: the ports of its upstream; None: no proxy is asked.
    """
    wrong = []
    if environment is not None and environment != str(service.port):
        wrong.append("environment")
    if service.port not in listening:
        wrong.append("listening")
    if proxied is not None and service.port not in proxied:
        wrong.append("proxied")
    return {
        "service": service.name,
        "model": service.port,
        "environment": environment,
        "listening": listening,
        "proxied": proxied,
        "ok": not wrong,
        "wrong": wrong,
    }


def describe(found):
    """The four, as one line that shows which of them differ."""
    said = {
        "environment": "its process was told PORT=%s" % (found["environment"] or "nothing"),
        "listening": "it listens on %s" % (_listed(found["listening"]) or "no port"),
        "proxied": "nginx sends to %s" % _listed(found["proxied"])
        if found["proxied"] is not None
        else "no proxy was asked",
    }
    lines = ["%s%s" % (text, " <- differs" if place in found["wrong"] else "") for place, text in said.items()]
    return "%s: the model says %d; %s" % (found["service"], found["model"], "; ".join(lines))


def next_step(found):
    """What to do about the first that differs."""
    return {
        "environment": "set the port in the model alone (port: %(model)d), not in env, and deploy again",
        "listening": "journalctl -u %(service)s -n 50   # the app must listen on the port in PORT; is another one written in its code?",
        "proxied": "ansible-playbook site.yml --tags nginx_proxy   # nginx does not have what the model says",
    }[found["wrong"][0]] % found


def _listed(ports):
    return ", ".join(str(port) for port in ports)
