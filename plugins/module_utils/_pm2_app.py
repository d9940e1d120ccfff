# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""One PM2 app as it is declared: what differs, and the way there that takes no more down than it must.

PM2 forgets a variable only together with the process that has it. So what is to change is replaced by new processes: in
cluster mode one after another behind a stand-in, in fork mode at once, and the former definition comes back when they fail.
"""

from __future__ import annotations

import os
import re
import shutil
import time

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import LOOPBACK
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import ADDRESS_IN_USE
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2 import (
    LAUNCHING,
    ONLINE,
    PM2_VARIABLES,
    STOPPED,
    actual,
    check_name,
    check_script,
    describe_end,
    differences,
    is_cluster,
    label,
    listen_timeout,
    memory,
    shown,
    variables,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2_cluster import Cluster
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Masker

# Seconds for which a process must live before it counts as started: what PM2 itself takes for a stable start.
STEADY = 1.0

# Seconds for all that takes its time beside the app's own start.
PATIENCE = 60.0
INTERVAL = 0.2

LOG_LINES = 20

# Variables of these names would overwrite what PM2 keeps of the app under the same name.
RESERVED = re.compile(
    r"(name|namespace|args|node_args|script|cwd|env|instances|exec_mode|exec_interpreter|interpreter|status|version|watch"
    r"|autostart|autorestart|wait_ready|listen_timeout|kill_timeout|max_memory_restart|merge_logs|username|uid|gid|force"
    r"|treekill|instance_var|created_at|restart_time|unstable_restarts|pm_.*)$"
)


def wanted(params, environment, exists=os.path.exists, which=shutil.which):
    """The definition that the module's parameters ask for, in the terms of _pm2.actual().

    environment: what a process of this PM2 has before anything of its own.
    """
    variables = {str(name): str(value) for name, value in (params["env"] or {}).items()}
    reserved = sorted(name for name in variables if RESERVED.match(name))
    if reserved:
        raise GatehouseError(
            "PM2 keeps a setting of its own under the name %s, and a variable would overwrite it" % reserved[0],
            cause="bad_input",
            hint="env: {%s: ...}" % reserved[0].upper(),
        )
    args = [str(word) for word in params["args"]]
    cwd = params["cwd"] or os.path.dirname(params["script"] or "")
    if params["npm"]:
        script = which("npm", path=environment["PATH"])
        if not script:
            raise GatehouseError(
                "there is no npm in %s" % environment["PATH"], cause="bad_input", hint="apt install npm"
            )
        args = ["run", params["npm"]] + (["--"] + args if args else [])
        _must_exist(os.path.join(cwd, "package.json"), exists)
    else:
        script = os.path.join(cwd, params["script"])
        _must_exist(script, exists)
    check_script(script)
    if params["exec_mode"] == "cluster" and params["npm"]:
        raise GatehouseError(
            "npm can't be run in cluster mode: PM2 would share the port of npm, not that of the app",
            cause="bad_input",
            hint="script: server.js   # what the npm script runs",
        )
    if params["instances"] < 1:
        raise GatehouseError("instances is %d" % params["instances"], cause="bad_input", hint="instances: 2")
    if any(" " in word for word in params["node_args"]):
        raise GatehouseError(
            "PM2 parts node_args at spaces",
            cause="bad_input",
            hint="node_args: [--max-old-space-size=200, --trace-warnings]",
        )
    return {
        "script": script,
        "args": args,
        "cwd": cwd,
        "exec_mode": params["exec_mode"],
        "interpreter": params["interpreter"],
        "node_args": params["node_args"],
        "max_memory_restart": memory(params["max_memory_restart"]) if params["max_memory_restart"] else None,
        "wait_ready": params["wait_ready"],
        "listen_timeout": _milliseconds(params["listen_timeout"]),
        "kill_timeout": _milliseconds(params["kill_timeout"]),
        "out_file": params["out_file"],
        "error_file": params["error_file"],
        "env": {name: value for name, value in dict(environment, **variables).items() if name not in PM2_VARIABLES},
    }


def _must_exist(path, exists):
    if not os.path.isabs(path):
        raise GatehouseError(
            "%s is no full path" % path, cause="bad_input", hint="script: /srv/chat-web/server.js, or cwd"
        )
    if not exists(path):
        raise GatehouseError("there is no %s" % path, cause="no_script", hint="ls -la %s" % os.path.dirname(path))


def _milliseconds(seconds):
    return None if seconds is None else int(seconds * 1000)


class Pm2App:
    """name, state: of the app.   definition: what is wanted of it, None for the states that don't care.   count: of
    processes.   manager: a Pm2."""

    def __init__(self, name, state, definition, count, manager, listeners=None, clock=time.monotonic, sleep=time.sleep):
        self.name = name
        self.state = state
        self.definition = definition
        self.count = count
        self.manager = manager
        self.listeners = listeners or Listeners()
        self.clock = clock
        self.sleep = sleep
        self.before = []
        self.after = []
        self.reasons = []
        self.changed = False
        self._differs = []
        self._sizes = {}

    # What is to be done

    def plan(self):
        """Find out what differs. Changes nothing."""
        check_name(self.name)
        self.manager.check()
        if not self.manager.daemon():
            self._refuse_dead_daemon()
        self.before = self.after = self.manager.app(self.name)
        if self.state == "absent":
            self.reasons = ["%s is there" % label(process) for process in self.before]
        elif self.state == "stopped":
            self.reasons = ["%s is %s" % (label(p), p.status) for p in self.before if p.status != STOPPED]
        else:
            self._plan_start()
        if not self._is_saved(self.before):
            self.reasons.append("the dump does not hold what runs")
        self.changed = bool(self.reasons)

    def _plan_start(self):
        if not self.before:
            self.reasons = ["PM2 has no app %s" % self.name]
            return
        for process in self.before:
            for setting in differences(self.definition, actual(process)):
                if setting not in self._differs:
                    self._differs.append(setting)
        self.reasons = ["%s differs" % setting for setting in self._differs]
        if len(self.before) != self.count:
            self.reasons.append("%d instances are there, not %d" % (len(self.before), self.count))
        self.reasons += [
            "%s is %s, after %d restarts" % (label(process), process.status, process.restarts)
            for process in self._sick(self.before)
        ]
        if self.state == "reloaded":
            self.reasons.append("a reload is asked for")

    def _sick(self, processes):
        """Those that do not run, or fall over again and again."""
        now = self.manager.now()
        return [
            process
            for process in processes
            if process.status not in (ONLINE, LAUNCHING) or (process.unstable and now - process.started < STEADY)
        ]

    def _refuse_dead_daemon(self):
        """A save would drop from the dump what does not run now, and it would not come back at boot either."""
        lost = sorted({process.name for process in self.manager.dump()} - {self.name if self.definition else None})
        if lost:
            raise GatehouseError(
                "PM2 does not run for %s, and its dump holds %s" % (self.manager.user.name, ", ".join(lost)),
                cause="no_daemon",
                hint="systemctl start pm2-%s   # or %s" % (self.manager.user.name, self.manager.typed("resurrect")),
            )

    def _is_saved(self, processes):
        try:
            saved = [process for process in self.manager.dump() if process.name == self.name]
        except GatehouseError:
            return False  # it is written anew
        return _multiset(saved) == _multiset(processes)

    def diff(self):
        """What people see before and after. Of variables no value."""
        has = actual(self.before[0]) if self.before else None
        before = {"state": self._state(self.before)}
        after = {"state": {"absent": "absent", "stopped": "stopped"}.get(self.state, "started")}
        if has:
            before.update(shown(has), instances=len(self.before))
        if self.definition:
            # What is left to PM2 is no difference.
            wish = {
                name: (has or {}).get(name) if value is None and name not in self._differs else value
                for name, value in self.definition.items()
            }
            after.update(shown(wish, has), instances=self.count)
        elif self.state == "stopped":
            after = dict(before, state="stopped") if self.before else before
        return {"before": before, "after": after}

    def _state(self, processes):
        if not processes:
            return "absent"
        statuses = sorted({process.status for process in processes})
        return {"online": "started"}.get(statuses[0], statuses[0]) if len(statuses) == 1 else ", ".join(statuses)

    def result(self):
        now = self.manager.now()
        return {
            "reasons": self.reasons,
            "processes": [
                {
                    "id": process.id,
                    "pid": process.pid,
                    "status": process.status,
                    "restarts": process.restarts,
                    "unstable_restarts": process.unstable,
                    "uptime": round(now - process.started, 1) if process.pid else 0.0,
                }
                for process in self.after
            ],
        }

    # Doing it

    def run(self):
        if not self.changed:
            return
        self._sizes = self.manager.log_sizes(self.before)
        try:
            self._bring_about()
        finally:
            self.after = self.manager.app(self.name)
        if not self._is_saved(self.after):
            self.manager.save()

    def _bring_about(self):
        if self.state == "absent":
            if self.before:
                self.manager.delete(self.before)
        elif self.state == "stopped":
            running = [process for process in self.before if process.status != STOPPED]
            if running:
                self.manager.stop(running)
        elif not self.before:
            self._start(self.definition, self.count)
        elif self._differs or self.state == "reloaded":
            self._replace()
        else:
            for process in self._sick(self.before):
                # PM2 counts a restart that it was asked for, where the process ran before.
                restarts = process.restarts + (process.status in (ONLINE, LAUNCHING))
                self._await(lambda: self.manager.restart(process), 1, restarts)  # noqa: B023
            self._scale()

    def _scale(self):
        more = self.count - len(self.before)
        if more > 0:
            self._start(self.definition, more)
        elif more < 0:
            for process in sorted(self.before, key=lambda process: process.number)[more:]:
                self._retire(process)

    def _replace(self):
        serving = [process for process in self.before if process.status == ONLINE]
        if self.definition["exec_mode"] == "cluster" and serving and all(map(is_cluster, self.before)):
            self._roll()
        else:
            self._swap()

    def _roll(self):
        """Worker after worker, while a stand-in of the new kind serves in the place of each."""
        try:
            self._start(self.definition, 1)
        except GatehouseError as failure:
            failure.message += "\nThe former workers were not touched."
            raise
        for position, process in enumerate(self.before):
            self._retire(process)
            if position < self.count:
                self._start(self.definition, 1)
        if self.count > len(self.before):
            self._start(self.definition, self.count - len(self.before))
        # The one with the highest number goes, so that those that stay count from 0 on.
        self._retire(max(self.manager.app(self.name), key=lambda process: process.number))

    def _retire(self, process):
        """Delete a process that others serve beside."""
        port = variables(process.settings).get("PORT", "")
        if is_cluster(process) and port.isdigit():
            pids = [other.pid for other in self.manager.app(self.name) if other.pid]
            cluster = Cluster((LOOPBACK, int(port)), pids, self.listeners, self.clock, self.sleep)
            self.manager.retire(process, cluster)
        else:
            self.manager.delete([process])

    def _swap(self):
        """In fork mode each process has its port for itself: the former go before the new ones come."""
        former = actual(self.before[0])
        ran = [process for process in self.before if process.status == ONLINE]
        self.manager.delete(self.before)
        try:
            self._start(self.definition, self.count)
        except GatehouseError as failure:
            if ran and self._differs:
                self._start(former, len(self.before))
                failure.message += "\nIts former definition runs again."
            raise

    def _start(self, definition, count):
        """New processes of the app. Returns them once they are up; takes them away again when they don't get there."""
        began = self.manager.now()
        try:
            return self._await(lambda: self.manager.start(self.name, definition, count), count)
        except GatehouseError:
            new = [process for process in self.manager.app(self.name) if process.started >= began]
            if new and self.before:
                self.manager.delete(new)
            raise

    def _await(self, tell, count, restarts=0):
        """Tell PM2, and wait until so many processes that have begun since then are up.

        restarts: as many as PM2 counts when none of them has ended by itself.
        """
        began = self.manager.now()
        command = tell()
        ready = set()

        def up():
            now = self.manager.now()
            new = [p for p in self.manager.glance() if p.name == self.name and p.started >= began]
            for process in new:
                self._see_end(process, restarts)
                self._see_ready(process, now, ready)
            well = [process for process in new if process.status == ONLINE and now - process.started >= STEADY]
            if command.ended() is None:
                return None
            self.manager.end(command)
            return well if len(well) >= count else None

        patience = PATIENCE + count * self._longest_start()
        found = poll(up, Deadline(patience, self.clock), INTERVAL, self.sleep)
        if not found:
            raise GatehouseError(
                "PM2 has not brought %s up within %g s" % (self.name, patience),
                cause="timed_out",
                hint=self.manager.typed("logs", "--nostream", self.name),
            )
        return found

    def _longest_start(self):
        return (self.definition["listen_timeout"] or 0) / 1000.0

    def _see_end(self, process, restarts):
        # Not by PM2's unstable restarts: it counts only what ended within a second, and a slow host takes longer.
        if process.status in (ONLINE, LAUNCHING) and process.restarts <= restarts:
            return
        mask = Masker(actual(process)["env"])
        log = [mask(line) for line in self.manager.log(process, self._sizes, LOG_LINES)]
        taken = any(ADDRESS_IN_USE.search(line) for line in log)
        raise GatehouseError(
            "%s crashed: %s%s" % (label(process), describe_end(process), "; its port is taken" if taken else ""),
            cause="port_conflict" if taken else "crashed",
            hint="ss -ltnp" if taken else self.manager.typed("logs", "--nostream", self.name),
            log=log,
        )

    def _see_ready(self, process, now, ready):
        """PM2 calls a process online when listen_timeout is over, ready or not; sooner it does so for a ready one only."""
        if process.status != ONLINE or not process.settings.get("wait_ready") or process.id in ready:
            return
        limit = listen_timeout(process)
        if now - process.started >= limit:
            raise GatehouseError(
                "%s was not ready when listen_timeout, %g s, was over" % (label(process), limit),
                cause="not_ready",
                hint="process.send('ready') once the app listens, or more time: listen_timeout: %g" % (limit * 4),
            )
        ready.add(process.id)


def _multiset(processes):
    """Processes as a dump keeps them, in an order of their own."""
    return sorted(repr((sorted(actual(p).items(), key=str), p.status == STOPPED)) for p in processes)
