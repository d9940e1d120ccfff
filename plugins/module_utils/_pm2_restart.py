# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The gated restart of a PM2 app: process after process, each behind the gate.

`pm2 reload` ends an old worker once listen_timeout is over, whether the new one is ready or not. Here PM2's clock decides
nothing. In cluster mode a stand-in, one more worker of the app, has to pass the gate before any other is touched, and serves
while each of them is restarted in place and gated. In fork mode each process has its port for itself, so it can only be
restarted.
"""

from __future__ import annotations

import os
from collections import namedtuple

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import Gate, GateFailure, probes_of, questions_of
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import (
    LOG_LINES,
    GatedServices,
    Watch,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2 import (
    ERRORED,
    LAUNCHING,
    ONLINE,
    describe_end,
    is_cluster,
    label,
    variables,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2_cluster import Cluster

# One process as a Service: its name is the one in PM2's log, NAME:ID.
Worker = namedtuple("Worker", "name port process")


class Pm2Restart(GatedServices):
    """services: each a PM2 app and its port.   manager: a Pm2."""

    def __init__(self, services, **options):
        super().__init__(services, **options)
        self._sizes = {}  # of log files, before anything was restarted
        self._stand_in = None  # the Worker that serves while the others are restarted
        self._suspect = None  # the Worker whose gate is being asked
        self._left = []  # the Workers that were there before, and still are

    def check(self):
        super().check()
        for service in self.services:
            if service.port is None:
                raise GatehouseError(
                    "%s has no port, and each of its workers is to be asked there" % service.name,
                    cause="bad_input",
                    hint="port: 3000",
                )
        self.manager.check()

    def plan(self):
        """Find out which processes need a restart and why."""
        self._refuse_missing_dependencies()
        everything = self.manager.processes()
        for service in self.services:
            found = [process for process in everything if process.name == service.name]
            if not found:
                raise self._no_app(service, everything)
            workers = [Worker(label(process), _port_of(process, service.port), process) for process in found]
            self._left += workers
            for worker in workers:
                self._refuse_strangers(worker)
            stale = [self._staleness(worker, None) for worker in workers]
            self.reasons += [reason for reasons in stale for reason in reasons]
            due = [worker for worker, reasons in zip(workers, stale) if reasons or not self.only_stale]
            self.planned.append((service, workers, due))
        self.changed = any(due for _service, _workers, due in self.planned)

    def _no_app(self, service, everything):
        daemon = self.manager.daemon()
        known = ", ".join(dict.fromkeys(process.name for process in everything)) or "none"
        if daemon:
            words = "the PM2 of %s has no app %s; it has %s" % (self.manager.user.name, service.name, known)
        else:
            words = "PM2 does not run for %s (PM2_HOME %s)" % (self.manager.user.name, self.manager.home)
        return GatehouseError(
            words,
            cause="no_unit" if daemon else "no_daemon",
            hint=self.manager.typed("list" if daemon else "resurrect"),
        )

    def _staleness(self, service, _state):
        process = service.process
        if process.status != ONLINE:
            return ["%s is %s, not online" % (service.name, process.status)]
        runs_in, wanted = self.processes.working_directory(process.pid), process.settings.get("pm_cwd")
        if runs_in and wanted and runs_in != os.path.realpath(wanted):
            return ["%s runs in %s, and %s is %s now" % (service.name, runs_in, wanted, os.path.realpath(wanted))]
        script = process.settings.get("pm_exec_path", "")
        since, changed = self.processes.start_time(process.pid), self.processes.changed_at(script)
        if since is not None and changed is not None and changed > since:
            return ["%s changed after %s was started" % (script, service.name)]
        return []

    def _bring_about(self):
        self._sizes = self.manager.log_sizes([worker.process for worker in self._left])
        for service, workers, due in self.planned:
            serving = [worker for worker in workers if worker.process.status == ONLINE]
            if due and serving and is_cluster(serving[0].process):
                self._roll(service, serving[0], due)
            else:
                for worker in due:
                    self._restart(worker)
            for worker in workers:
                if worker not in due:
                    self._pass_gate(worker, WorkerWatch(self, worker, None), self.now())

    def _roll(self, service, like, due):
        """Restart each worker while a stand-in serves in its place."""
        self._stand_in = self._start_stand_in(service, like)
        for worker in due:
            self._restart(worker)
        # The one with the highest number goes, so that those that stay count from 0 on, also after a run that failed.
        workers = self.manager.app(service.name)
        last = max(workers, key=lambda process: process.number)
        self.manager.retire(last, self._cluster(service, workers))
        self.timeline.tell("%s: taken away again" % label(last))
        self._stand_in = None

    def _start_stand_in(self, service, like):
        """One more worker of the app, once it has passed the gate."""
        asked = self.now()
        known = {process.id for process in self.manager.app(service.name)}
        nothing = like.process._replace(id=None, pid=0, started=0.0, restarts=-1)
        worker = Worker("%s:+1" % service.name, like.port, nothing)
        self.timeline.tell("%s: asked for" % worker.name)
        watch = WorkerWatch(self, worker, nothing, self.manager.start_stand_in(service.name), known)
        self._pass_gate(worker, watch, asked)
        return watch.service

    def _restart(self, service):
        asked = self.now()
        # As it is now: PM2 may have restarted it since the plan was made.
        everything = self.manager.processes()
        former = {process.id: process for process in everything}.get(service.process.id, service.process)
        self.timeline.tell("%s: restart asked for" % service.name)
        if is_cluster(former):
            workers = [process for process in everything if process.name == former.name]
            command = self._cluster(service, workers).end(former.pid, lambda: self.manager.restart(former))
        else:
            command = self.manager.restart(former)
        self._pass_gate(service, WorkerWatch(self, service, former, command), asked)

    def _cluster(self, service, workers):
        pids = [process.pid for process in workers if process.pid]
        return Cluster((self.gate["address"], service.port), pids, self.listeners, self.clock, self.sleep)

    def _pass_gate(self, service, watch, since):
        self._suspect = watch
        super()._pass_gate(service, watch, since)

    def probes(self, service, watch):
        connect = watch.connect if is_cluster(service.process) else None
        return probes_of(self.gate, service.port, connect)

    # When a gate stays shut

    def _undo(self, failure):
        """Take away what is not well where another serves in its place, and measure what serves."""
        self.outcome = "failed"
        if self.on_failure == "revert" and self._suspect and self._suspect.former:
            try:
                self.outcome, note = self._go_back(self._suspect, failure)
            except (GatehouseError, OSError) as second:
                note = "What was left is not well either: %s" % second
            failure.message = "%s\n%s" % (failure.message, note)
            self.timeline.tell(note)
        return failure

    def _go_back(self, suspect, failure):
        worker = suspect.service
        if not is_cluster(worker.process):
            return self._try_again(worker, failure)
        process = suspect.seen()
        if process:
            self.manager.retire(process, self._cluster(worker, self.manager.app(process.name)))
            self.timeline.tell("%s: taken away" % label(process))
        serving = [other for other in self._left if other.process.name == worker.process.name]
        if not self._stand_in:
            self._measure(serving)
            return "reverted", "%s were not touched, and are healthy." % _names(serving)
        serving = [other for other in serving if other.process.id != worker.process.id] + [self._stand_in]
        self._measure(serving)
        return "failed", "%s is gone, and %s serves in its place; %s are healthy." % (
            worker.name,
            self._stand_in.name,
            _names(serving),
        )

    def _measure(self, workers):
        current = {process.id: process for process in self.manager.processes()}
        for worker in workers:
            now = worker._replace(process=current.get(worker.process.id, worker.process))
            gate = dict(self.gate, stable_for=0)
            watch = WorkerWatch(self, now, None)
            watch.gate = Gate(self.probes(now, watch), gate, watch.look, self.clock, self.sleep)
            watch.gate.wait()

    def _try_again(self, worker, failure):
        """A process in fork mode had the port for itself: nothing of what ran before is left to go back to."""
        if failure.cause not in ("crashed", "port_conflict"):
            return "failed", "%s has its port for itself, so nothing else serves. It was left running." % worker.name
        self._restart(worker)
        return "reverted", "It was started once more, and is healthy."

    # What GatedServices asks of the manager

    def _environment_of(self, service):
        return variables(service.process.settings)

    def _log_of(self, service, _since):
        return self.manager.log(self._suspect.service.process, self._sizes, LOG_LINES)

    def _hint(self, cause, service):
        return HINTS[cause] % {
            "logs": self.manager.typed("logs", "--nostream", "--lines", "50", service.process.name),
            "port": service.port,
        }

    def own_pids(self, service):
        """The service's processes; in cluster mode with the daemon, which listens for all its workers."""
        process = self._suspect.service.process if service.process.id is None else service.process
        process = {known.id: known for known in self.manager.glance()}.get(process.id, process)
        pids = self.processes.tree(process.pid) if process.pid else set()
        return sorted(pids | self._daemon(process))

    def _daemon(self, process):
        daemon = self.manager.daemon()
        return {daemon[0]} if daemon and is_cluster(process) else set()

    def _owns(self, service, holder):
        own = self._daemon(service.process)
        for process in self.manager.glance():
            if process.name == service.process.name and process.pid:
                own |= self.processes.tree(process.pid)
        return holder.pid in own


class WorkerWatch(Watch):
    """Looks at one process of a PM2 app before each round of questions.

    former: the Process before the restart; None when there was none.   command: the Command that brings it about.
    known: the ids of the app's other processes, for one that is yet to be given an id.
    """

    def __init__(self, story, worker, former, command=None, known=()):
        super().__init__(story, worker, former)
        self._command = command
        self._known = known

    def look(self):
        process = self.seen()
        if process is None:
            return self._missing()
        if self.former and process.started <= self.former.started:
            if process.status == ERRORED and self._command.ended() is not None:
                raise GateFailure("crashed: %s" % describe_end(process), cause="crashed")
            return "its old process has not ended (%s)" % process.status
        if self._started_as is None:
            self._see_start(process)
        self.service = self.service._replace(process=process)
        self._see_crash(process)
        if process.status == LAUNCHING:
            return "PM2 does not call it online yet"
        strangers = self.story.strangers(self.service)
        if strangers:
            raise self.story.conflict(self.service, strangers)
        if self.story.is_hidden(self.service):
            return "who holds port %d can't be seen; root with CAP_SYS_PTRACE can" % self.service.port
        self._see_wrong_port()
        return None

    def seen(self):
        """The process as PM2 tells it, or None; a stand-in is the one that was not there before."""
        wanted = self.service.process
        for process in self.story.manager.glance():
            if process.id == wanted.id or (
                wanted.id is None and process.name == wanted.name and process.id not in self._known
            ):
                if process.pid and self.story.processes.start_time(process.pid) is None:
                    self.story.manager.forget()  # it has ended since PM2 was asked
                return process
        return None

    def _missing(self):
        if self._command and self._command.ended():
            self.story.manager.end(self._command)  # tells what PM2 did not like
        if self.service.process.id is not None:
            raise GateFailure("PM2 does not know it any more", cause="crashed")
        return "PM2 has not started it yet"

    def _see_start(self, process):
        self._started_as = process.started
        # PM2 counts a restart that it was asked for, where the process ran before.
        asked_for = 1 if self.former and self.former.status in (ONLINE, LAUNCHING) else 0
        expected = self.former.restarts + asked_for if self.former else process.restarts
        self._restarts = min(process.restarts, expected)
        self.story.timeline.tell(
            "%s: %s as pid %d" % (self.service.name, "started" if self.former else "runs", process.pid)
        )
        self.service = self.service._replace(name=label(process))

    def _see_crash(self, state):
        if state.restarts > self._restarts:
            again = state.restarts - self._restarts
            text = "crashed: %s, and PM2 has restarted it %d times since" % (describe_end(state), again)
        elif state.status not in (ONLINE, LAUNCHING):
            text = "crashed: %s" % describe_end(state)
        else:
            return
        raise GateFailure(text, cause="crashed")

    def questions(self, port):
        return questions_of(self.story.gate, port, self.connect if is_cluster(self.service.process) else None)

    def connect(self, host, port, deadline):
        """A connection that this very worker has got."""
        own = self.service.process
        pids = [process.pid for process in self.story.manager.glance() if process.name == own.name and process.pid]
        cluster = Cluster((host, port), pids, self.story.listeners, self.story.clock, self.story.sleep)
        return cluster.connect(own.pid, deadline)


def _names(workers):
    return ", ".join(worker.name for worker in workers)


def _port_of(process, port):
    """The port of this process: PM2 counts the variable up that `increment_var` names."""
    counted = process.settings.get(process.settings.get("increment_var") or "", "")
    return int(counted) if not is_cluster(process) and str(counted).isdigit() else port


HINTS = {
    "crashed": "%(logs)s",
    "port_conflict": "ss -ltnp 'sport = :%(port)s'",
    "wrong_port": "%(logs)s   # where does it say that it listens? The port is %(port)s",
    "not_listening": "%(logs)s   # it runs, and opens no port",
    "unhealthy": "%(logs)s   # it runs and answers, and not as asked",
    "timed_out": "%(logs)s   # it is still starting, or hangs; give it more time with timeout",
}
