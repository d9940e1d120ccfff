# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Services behind a gate: how each is brought up and watched, and what is told when its gate stays shut."""

from __future__ import annotations

import re
import time
from collections import namedtuple

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import (
    Gate,
    GateFailure,
    check_patience,
    check_port,
    gate_options,
    probes_of,
    questions_of,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import (
    WILDCARDS,
    describe_all,
    scope,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import probe_tcp
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Masker, describe_exit

# Rounds in which another port of the unit must give the healthy answer before the port counts as wrong.
WRONG_PORT_ROUNDS = 3
LOG_LINES = 20

# Seconds in which something that is required must accept a connection.
DEPENDENCY_TIMEOUT = 5.0

# Seconds between two looks at the connections that are left.
DRAIN_INTERVAL = 0.25

Service = namedtuple("Service", "name port")

# What programs print when a port is taken (EADDRINUSE): Python, Node, Go and nginx among them.
ADDRESS_IN_USE = re.compile(r"EADDRINUSE|address already in use|errno 98\b", re.I)


def split_address(address):
    """HOST:PORT, with an IPv6 host in brackets, as (host, port)."""
    host, _colon, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise GatehouseError(
            "%r is not HOST:PORT" % address, cause="bad_input", hint="requires: [{tcp: '127.0.0.1:3306'}]"
        )
    check_port(int(port))
    return host.strip("[]"), int(port)


class Timeline:
    """What happened at which millisecond since the start, as a person would tell a colleague."""

    def __init__(self, clock):
        self._clock = clock
        self._started = clock()
        self.events = []

    def tell(self, event):
        self.events.append({"ms": int(self.elapsed() * 1000), "event": event})

    def elapsed(self):
        return self._clock() - self._started


class GatedServices:
    """What every way of activating has in common: services behind one gate, and the evidence when it stays shut.

    services: list of Service to be brought up, in this order; port may be None.
    gate: the gate's options.   activation: an Activation, or None when there is no release to make live.
    green: whether `services` are the second set, to which proxies send once the release is live.
    manager: a driver of _services.   listeners: Listeners of this host.   processes: the module _processes.
    requires: addresses, HOST:PORT, that must accept a connection before anything is touched.
    retiring: services that have no more use once the release is live: drained, stopped, and taken away.
    drain_timeout: seconds that connections to a service that is to stop may go on.
    only_stale: leave alone what runs and is what is on disk.   enabled: also start at boot.
    witness: a function of a Service, the folder of its release and when it was asked to start, that returns the evidence for a
        diagnosis; or None.
    """

    def __init__(
        self,
        services,
        gate,
        manager,
        listeners,
        processes,
        activation=None,
        green=False,
        requires=(),
        retiring=(),
        drain_timeout=60.0,
        only_stale=False,
        enabled=False,
        on_failure="revert",
        witness=None,
        clock=time.monotonic,
        sleep=time.sleep,
        now=time.time,
    ):
        self.services = services
        self.gate = gate
        self.manager = manager
        self.listeners = listeners
        self.processes = processes
        self.activation = activation
        self.green = green
        self.requires = requires
        self.retiring = retiring
        self.drain_timeout = drain_timeout
        self.only_stale = only_stale
        self.enabled = enabled
        self.on_failure = on_failure
        self.witness = witness
        self.clock = clock
        self.sleep = sleep
        self.now = now
        self.timeline = Timeline(clock)
        self.attempts = 0
        self.planned = []
        self.reasons = []
        self.changed = False
        self.outcome = None

    def result(self):
        """What a module returns of this, however it ended."""
        found = {
            "reasons": self.reasons,
            "elapsed": round(self.timeline.elapsed(), 3),
            "attempts": self.attempts,
            "timeline": self.timeline.events,
        }
        if self.outcome:
            found["outcome"] = self.outcome
        return found

    def check(self):
        """Refuse bad input before anything is touched."""
        check_patience(self.gate)
        if self.drain_timeout < 0:
            raise GatehouseError(
                "drain_timeout is %s; it must not be below 0" % self.drain_timeout,
                cause="bad_input",
                hint="the usual value is drain_timeout: 60",
            )
        for address in self.requires:
            split_address(address)
        for service in self.services:
            self.manager.check_name(service.name)
            if service.port is not None:
                check_port(service.port)
            if not probes_of(self.gate, service.port):
                raise GatehouseError(
                    "%s has nothing that could be measured" % service.name,
                    cause="bad_input",
                    hint="give a port, http or websocket, for example port: 8000 with http: {path: /health}",
                )
        if self.activation:
            self.activation.check()

    def plan(self):
        """Find out which services need a restart and why. Changes nothing, but says whether run() would.

        Raises GateFailure when a stranger holds one of the ports: no restart could succeed.
        """
        self._refuse_missing_dependencies()
        if self.activation and not self.activation.is_live():
            live = self.activation.live()
            self.reasons.append(
                "%s names %s, not %s" % (self.activation.link, live, self.activation.target)
                if live
                else "no release of it was live"
            )
        for service in self.services:
            state = self.manager.state(service.name)
            if state.load != "loaded" and not self.activation:
                raise GatehouseError(
                    "the unit %s is not there (%s)" % (service.name, state.load),
                    cause="no_unit",
                    hint="systemctl cat %s" % service.name,
                )
            self._refuse_strangers(service)
            stale = self._staleness(service, state)
            self.reasons += stale
            self.planned.append((service, state, bool(stale) or not self.only_stale))
        self.retiring = [service for service in self.retiring if self._is_there(service)]
        self.reasons += ["%s is not asked for any more" % service.name for service in self.retiring]
        self.changed = bool(self.reasons) or any(
            due or self._wants_enabling(state) for _service, state, due in self.planned
        )

    def _is_there(self, service):
        return (
            self.activation.installed(service.name) is not None or self.manager.state(service.name).active == "active"
        )

    def run(self):
        """Carry the plan out. Raises GatehouseError, with the evidence, when it went back or failed."""
        try:
            self._bring_about()
        except GatehouseError as failure:  # a gate that stays shut, or systemd that refuses the unit altogether
            raise self._undo(failure) from failure
        except OSError as error:
            failure = GatehouseError(
                "the release could not be made live: %s" % error, cause="unwritable", hint="df -h; df -i"
            )
            raise self._undo(failure) from error
        self.outcome = "healthy"
        self._retire()

    # What both ways do; _bring_about and _undo are their own

    def _enable(self, service, state):
        if self._wants_enabling(state):
            self.manager.enable(service.name)
            self.timeline.tell("%s: starts at boot from now on" % service.name)

    def _wants_enabling(self, state):
        return self.enabled and state.enabled not in ("enabled", "enabled-runtime", "static", "alias")

    def _install_units(self, names, text):
        """Give the services this unit (None: take away what they have), and have systemd read it."""
        changed = [name for name in names if self.activation.install(name, text)]
        if changed:
            self.manager.reload_definitions()

    def _commit(self):
        """All gates are open: make the release the live one. Returns what was before, for Activation.flip_back."""
        if self.activation.record(gate_options(self.gate), [service._asdict() for service in self.services]):
            self.changed = True
        if self.activation.is_live() and self.activation.is_green(self.activation.target) == self.green:
            return None
        before = self.activation.flip(self.green)
        self.timeline.tell("%s now names %s" % (self.activation.link, self.activation.target))
        return before

    def _drain(self, services):
        """Wait until nobody is connected to the services any more, or drain_timeout is over."""
        deadline = Deadline(self.drain_timeout, self.clock)
        names = ", ".join(service.name for service in services)
        ports = [service.port for service in services if service.port is not None]

        def left():
            return sum(self.listeners.connections(port) for port in ports)

        at_first = left()
        if poll(lambda: True if not left() else None, deadline, DRAIN_INTERVAL, self.sleep):
            done = "%d connections have ended" % at_first if at_first else "nobody was connected"
        else:
            done = "%d connections are left after %g s" % (left(), self.drain_timeout)
        self.timeline.tell("%s: drained: %s" % (names, done))

    def _retire(self):
        """Stop what has no more use, once nobody is connected to it."""
        if not self.retiring:
            return
        self._drain(self.retiring)
        self._take_away(self.retiring)

    def _take_away(self, services):
        """Stop the services and leave nothing of them: no unit, and nothing to start at boot."""
        names = [service.name for service in services if self._is_there(service)]
        if not names:
            return
        self.manager.stop(*names)
        self.timeline.tell("%s: stopped" % ", ".join(names))
        self.manager.disable(*names)
        self._install_units(names, None)
        for name in names:  # one that did not end well would be listed as failed for ever
            self.manager.forget_failures(name)

    # The gate of one service

    def _restart(self, service):
        asked = self.now()
        self._pass_gate(service, self._ask_for_restart(service), asked)

    def _ask_for_restart(self, service):
        former = self.manager.state(service.name)
        if former.stale:  # by hand, or by a run that was killed before systemd had read what it wrote
            self.manager.reload_definitions()
        self.manager.forget_failures(service.name)
        self.timeline.tell("%s: restart asked for" % service.name)
        self.manager.restart(service.name)
        return Watch(self, service, former)

    def _is_unconfirmed(self):
        """Whether the release is yet to pass a gate as the live one."""
        return not (self.activation.is_live() and self.activation.passed(self.activation.target))

    def _pass_gate(self, service, watch, since):
        # What was not restarted and has passed this gate before has been stable since then.
        stable = watch.former is None and not (self.activation and self._is_unconfirmed())
        patience = dict(self.gate, stable_for=0) if stable else self.gate
        gate = Gate(self.probes(service, watch), patience, watch.look, self.clock, self.sleep)
        watch.gate = gate
        try:
            gate.wait()
        except GateFailure as failure:
            self._explain(failure, service, since)
            self.timeline.tell(failure.message)
            self._call_witness(failure, service, since)
            raise
        finally:
            self.attempts += gate.attempts
        self.timeline.tell(
            "%s: healthy: first good answer after %.3g s, %d in a row%s"
            % (
                service.name,
                gate.first_good,
                patience["successes"],
                ", stable for %g s" % patience["stable_for"] if patience["stable_for"] else "",
            )
        )

    def probes(self, service, _watch):
        """Every question that the gate asks of the service."""
        return probes_of(self.gate, service.port)

    # When it stays shut

    def _explain(self, failure, service, since):
        """Add to the failure what a person would look up next."""
        mask = Masker(self._environment_of(service))
        log = [mask(line) for line in self._log_of(service, since)]
        failure.message = "%s: %s" % (service.name, mask(failure.message))
        if failure.cause == "crashed" and any(ADDRESS_IN_USE.search(line) for line in log):
            failure.cause = "port_conflict"
            holders = self.strangers(service)
            if holders:
                failure.message += "; port %d is held by %s" % (service.port, describe_all(holders))
        elif failure.cause in ("refused", "unreachable"):
            own = self.listeners.ports_of(self.own_pids(service))
            elsewhere = [port for port in own if port != service.port]
            failure.cause = "wrong_port" if elsewhere else "not_listening"
            if elsewhere:
                failure.message += "; it listens on %s instead" % ", ".join(str(port) for port in elsewhere)
        elif failure.cause not in ("crashed", "port_conflict", "wrong_port", "timed_out"):
            failure.facts["probe"] = failure.cause
            failure.cause = "unhealthy"
        failure.facts["service"] = service.name
        failure.facts["log"] = log
        failure.facts["listeners"] = self._listeners_of(service)
        failure.hint = failure.hint or self._hint(failure.cause, service)

    def _call_witness(self, failure, service, since):
        """Keep the evidence of now, for a diagnosis: what failed is about to be undone, and what serves then is well."""
        if not self.witness:
            return
        witness, self.witness = self.witness, None  # the first failure counts, not that of a way back
        gate = {"unit": service.name, "cause": failure.cause, "message": failure.message}
        try:
            found = witness(service, self.activation.target if self.activation else None, since)
            failure.facts["evidence"] = dict(found, gate=gate)
        except Exception as error:  # the failure itself has to be told, whatever happens to its explanation
            self.timeline.tell("no evidence for a diagnosis: %s: %s" % (type(error).__name__, error))

    def _hint(self, cause, service):
        return HINTS[cause] % {"unit": service.name, "port": service.port}

    # Evidence

    def _environment_of(self, service):
        return self.manager.environment(self.manager.state(service.name))

    def _log_of(self, service, since):
        return self.manager.log(service.name, since - 0.1, LOG_LINES)

    def own_pids(self, service):
        """The processes of the service."""
        return self.listeners.pids_of_unit(service.name)

    def _owns(self, service, holder):
        """Whether a socket that this process holds is the service's."""
        return holder.unit == service.name

    def _staleness(self, service, state):
        if state.active != "active":
            return ["%s did not run: it was %s (%s)" % (service.name, state.active, state.sub)]
        if state.stale:
            return ["the unit file of %s changed on disk" % service.name]
        if self.activation:
            folder = self.processes.working_directory(state.pid) or ""
            if not (folder + "/").startswith(self.activation.target + "/"):
                return ["%s runs in %s, not in %s" % (service.name, folder or "?", self.activation.target)]
            if self.activation.has_other_unit(service.name):
                return ["the unit of %s is not the one of %s" % (service.name, self.activation.target)]
            return []
        since = self.processes.start_time(state.pid)
        for path in state.unit_files + state.environment_files:
            changed = self.processes.changed_at(path)
            if since is not None and changed is not None and changed > since:
                return ["%s changed after %s was started" % (path, service.name)]
        return []

    def _sockets(self, service):
        """The listening sockets that take what this gate sends to the service's port."""
        wanted = WILDCARDS | {self.gate["address"]}
        return [s for s in self.listeners.listening(service.port) if s.address in wanted]

    def strangers(self, service):
        """Who else than the service holds its port. systemd itself may: it holds the port of a socket unit."""
        if service.port is None:
            return []
        holders = self.listeners.holders(self._sockets(service))
        if any(self._owns(service, holder) for holder in holders):
            return []
        return [holder for holder in holders if holder.pid != 1]

    def is_hidden(self, service):
        """Whether something holds the service's port, and the kernel does not tell this process who."""
        sockets = self._sockets(service) if service.port is not None else []
        return bool(sockets) and not self.listeners.holders(sockets)

    def _refuse_missing_dependencies(self):
        for host, port in map(split_address, self.requires):
            answer = probe_tcp(host, port, DEPENDENCY_TIMEOUT)
            if not answer.ok:
                raise GateFailure(
                    "%s can't live without %s" % (self.services[0].name, answer.message),
                    cause="dependency",
                    hint="nc -vz %s %d   # then start what should answer there" % (host, port),
                )

    def _refuse_strangers(self, service):
        strangers = self.strangers(service)
        if strangers:
            raise self.conflict(service, strangers)

    def conflict(self, service, strangers):
        owner = strangers[0]
        stop = "systemctl stop %s" % owner.unit if owner.unit else "kill %d" % owner.pid
        return GateFailure(
            "port %d is held by %s, not by %s" % (service.port, describe_all(strangers), service.name),
            cause="port_conflict",
            hint="%s   # or give the app another port" % stop,
            service=service.name,
            listeners=self._listeners_of(service),
        )

    def _listeners_of(self, service):
        """Where the service's port and its own processes are listening now."""
        ports = set(self.listeners.ports_of(self.own_pids(service)))
        if service.port is not None:
            ports.add(service.port)
        found = []
        for port in sorted(ports):
            sockets = self.listeners.listening(port)
            found.append(
                {
                    "port": port,
                    "addresses": sorted({s.address for s in sockets}),
                    "scope": scope([s.address for s in sockets]),
                    "holders": [holder._asdict() for holder in self.listeners.holders(sockets)],
                }
            )
        return found


class Watch:
    """Looks at the service itself before each round of questions, and ends the wait when it can't end well.

    former: the State before the restart, or None when there was no restart.
    """

    def __init__(self, story, service, former):
        self.story = story
        self.service = service
        self.former = former
        self.gate = None
        self._started_as = None
        self._restarts = None
        self._workers = self._seen = frozenset()
        self._elsewhere = {}

    def look(self):
        state = self.story.manager.state(self.service.name)
        if self.former and state.invocation == self.former.invocation:
            # Still the old process, stopping, or nothing yet. Its answers would not count.
            if state.active == "failed" and not state.job:
                raise GateFailure("crashed: %s" % describe_exit(state), cause="crashed")
            return "its old process has not ended (%s)" % state.sub
        if self._started_as is None:
            self._started_as = state.invocation
            # systemd counts from 0 after a restart by hand; where it does not, count from where it stood.
            known = self.former.restarts if self.former else state.restarts
            self._restarts = min(state.restarts, known)
            self.story.timeline.tell(
                "%s: %s as pid %d" % (self.service.name, "started" if self.former else "runs", state.pid)
            )
        self._see_crash(state)
        if state.active != "active":
            return "it is still %s (%s)" % (state.active, state.sub)
        strangers = self.story.strangers(self.service)
        if strangers:
            raise self.story.conflict(self.service, strangers)
        if self.story.is_hidden(self.service):
            return "who holds port %d can't be seen; root with CAP_SYS_PTRACE can" % self.service.port
        self._see_wrong_port()
        return None

    def _see_crash(self, state):
        if state.restarts > self._restarts:
            text = "crashed: systemd has restarted it %d times since" % (state.restarts - self._restarts)
        elif state.active == "failed" or state.sub in ("auto-restart", "auto-restart-queued"):
            text = "crashed: %s" % describe_exit(state)
        elif state.active == "inactive" and not state.job:
            text = "ended by itself: %s" % describe_exit(state)
        elif self._has_lost_a_worker(state):
            text = "crashed: a worker of PM2 has ended, and PM2 starts it anew"
        else:
            return
        raise GateFailure(text, cause="crashed")

    def _has_lost_a_worker(self, state):
        now = self.story.processes.workers(state.pid) if state.pid else None
        if now is None:
            return False
        lost = self._workers - now
        # One that was seen twice is a worker; once, it may be a small tool of PM2's that is about to become itself.
        self._workers, self._seen = self._seen & now, now
        return bool(lost)

    def questions(self, port):
        return questions_of(self.story.gate, port)

    def _see_wrong_port(self):
        """The port is refused while the healthy answer comes from another port of the same unit: known, not guessed.

        Listening elsewhere alone proves nothing: an app may open its metrics port long before its own.
        """
        if self.service.port is None or not self.gate.answers or self.gate.answers[-1].cause != "refused":
            return
        for port in self.story.listeners.ports_of(self.story.own_pids(self.service)):
            questions = self.questions(port)
            healthy = questions and all(ask(1.0).ok for ask in questions)
            self._elsewhere[port] = self._elsewhere.get(port, 0) + 1 if healthy else 0
            if self._elsewhere[port] >= WRONG_PORT_ROUNDS:
                raise GateFailure(
                    "it answers healthy on port %d, and %d is the port that it should listen on"
                    % (port, self.service.port),
                    cause="wrong_port",
                )


HINTS = {
    "crashed": "journalctl -u %(unit)s -n 50",
    "port_conflict": "ss -ltnp 'sport = :%(port)s'",
    "wrong_port": "journalctl -u %(unit)s -n 50   # where does it say that it listens? The model's port is %(port)s",
    "not_listening": "journalctl -u %(unit)s -n 50   # it runs, and opens no port",
    "unhealthy": "journalctl -u %(unit)s -n 50   # it runs and answers, and not as asked",
    "timed_out": "journalctl -u %(unit)s -n 50   # it is still starting, or hangs; give it more time with timeout",
}
