# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Waiting for ports, told by the kernel's tables."""

from __future__ import annotations

import time

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import check_port
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import describe_all, scope
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import describe_exit


class PortWait:
    """params: the options of the module port_wait."""

    def __init__(self, params, listeners, manager, clock=time.monotonic, sleep=time.sleep):
        self.params = params
        self.listeners = listeners
        self.manager = manager
        self.deadline = Deadline(params["timeout"], clock)
        self.sleep = sleep
        self._complaints = []

    def run(self):
        self._check()
        if not poll(self._round, self.deadline, self.params["interval"], self.sleep):
            raise self._timed_out()

    def result(self):
        return {
            "ports": [self._look(port) for port in self.params["ports"]],
            "elapsed": round(self.deadline.elapsed(), 3),
        }

    def _check(self):
        for port in self.params["ports"]:
            check_port(port)
        unit = self.params["unit"]
        if not unit:
            return
        self.manager.check_name(unit)
        if self.manager.state(unit).load != "loaded":
            raise GatehouseError("the unit %s is not there" % unit, cause="no_unit", hint="systemctl cat %s" % unit)

    def _round(self):
        self._see_crash()
        found = ((port, self._complaint(port)) for port in self.params["ports"])
        self._complaints = [(port, complaint) for port, complaint in found if complaint]
        return None if self._complaints else True

    def _see_crash(self):
        """There is no use in waiting for a port of a unit that is dead, or is started again and again."""
        unit = self.params["unit"]
        if not unit or self.params["state"] != "listening":
            return
        state = self.manager.state(unit)
        if state.active in ("failed", "inactive") and not state.job or state.sub.startswith("auto-restart"):
            raise GatehouseError(
                "%s is %s (%s): %s" % (unit, state.active, state.sub, describe_exit(state)),
                cause="crashed",
                hint="journalctl -u %s -n 50" % unit,
            )

    def _complaint(self, port):
        """What the port still lacks, as (cause, words); None when it is as wanted."""
        return getattr(self, "_not_" + self.params["state"])(port)

    def _not_listening(self, port):
        sockets = self.listeners.listening(port)
        if not sockets:
            return "not_listening", "nothing listens on port %d" % port
        addresses = [s.address for s in sockets]
        wanted = self.params["scope"]
        if wanted != "any" and scope(addresses) != wanted:
            where = {"all": "all addresses", "loopback": "loopback only"}
            return "wrong_scope", "port %d is bound to %s, and should be bound to %s" % (
                port,
                ", ".join(sorted(set(addresses))),
                where[wanted],
            )
        unit = self.params["unit"]
        holders = self.listeners.holders(sockets) if unit else []
        if unit and not any(holder.unit == unit for holder in holders):
            return "port_conflict", "port %d is held by %s, not by %s" % (port, describe_all(holders), unit)
        return None

    def _not_free(self, port):
        sockets = self.listeners.listening(port)
        if not sockets:
            return None
        return "port_conflict", "port %d is held by %s" % (port, describe_all(self.listeners.holders(sockets)))

    def _not_drained(self, port):
        count = self.listeners.connections(port)
        return ("not_drained", "port %d has %d open connections" % (port, count)) if count else None

    def _look(self, port):
        sockets = self.listeners.listening(port)
        return {
            "port": port,
            "addresses": sorted({s.address for s in sockets}),
            "scope": scope([s.address for s in sockets]),
            "holders": [holder._asdict() for holder in self.listeners.holders(sockets)],
            "connections": self.listeners.connections(port),
        }

    def _timed_out(self):
        port, (cause, _words) = self._complaints[0]
        words = "; ".join(words for _port, (_cause, words) in self._complaints)
        filter = "sport = :%d" % port
        hint = {
            "not_listening": "ss -ltnp   # what listens, and where?",
            "not_drained": "ss -tnp '%s'" % filter,
        }.get(cause, "ss -ltnp '%s'" % filter)
        return GatehouseError("after %.3g s: %s" % (self.params["timeout"], words), cause=cause, hint=hint)
