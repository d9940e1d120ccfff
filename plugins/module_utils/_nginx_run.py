# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The story of nginx_config: test the new set, flip to it, reload, see the new workers; else put the old one back."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

from ansible_collections.gatehouse.webapp.plugins.module_utils import _nginx_blocks
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners, describe_all
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx import (
    Process,
    bind_failure,
    clashes,
    diff,
    error_lines,
    error_location,
    error_logs,
    excerpt,
    fatal_lines,
    include_folders,
    listen_addresses,
    loaded_files,
    parent_pid,
    parse_dump,
    serving,
    shadows,
    stale,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_tree import Stage
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll
from ansible_collections.gatehouse.webapp.plugins.module_utils._processes import start_time
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Systemd

# A command that hangs (a name server that does not answer while nginx resolves its upstreams) must end some time.
COMMAND_SECONDS = 60
TIMED_OUT = 124
# What a reload writes to the error log is a few lines.
LARGEST_LOG = 1 << 16


class Host:
    """What is asked of nginx, systemd and the kernel. A test passes its own."""

    def __init__(self, nginx, service, proc="/proc"):
        self.nginx = nginx
        self.service = service
        self.proc = proc
        self._systemd = Systemd(lambda argv: self.run(argv, COMMAND_SECONDS))

    def run(self, argv, seconds, environment=None):
        """(exit code, standard output, standard error); 124, as timeout(1) has it, for a command that did not end."""
        environment = dict(os.environ, LC_ALL="C", **(environment or {}))
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environment,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return TIMED_OUT, "", "%s did not end within %.1f s" % (" ".join(argv), seconds)
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    def test(self, conf):
        """nginx's own test of a configuration, which also prints every file that is part of it."""
        return self.run([self.nginx, "-T", "-q", "-c", conf], COMMAND_SECONDS)

    def build(self):
        return self.run([self.nginx, "-V"], COMMAND_SECONDS)[2]

    def unit(self):
        return self._systemd.state(self.service)

    def unit_log(self, since):
        return self._systemd.log(self.service, since, 20)

    def systemctl(self, verb, seconds):
        if verb == "start":
            self._systemd.forget_failures(self.service)
        code, _output, messages = self.run(["systemctl", verb, self.service], seconds)
        return code, messages.strip()

    def family(self, master):
        """The master process and its children, as far as they live."""
        found = []
        for name in os.listdir(self.proc):
            if not name.isdigit():
                continue
            try:
                with open("%s/%s/stat" % (self.proc, name), encoding="utf-8", errors="replace") as file:
                    parent = parent_pid(file.read())
                if master not in (int(name), parent):
                    continue
                with open("%s/%s/cmdline" % (self.proc, name), encoding="utf-8", errors="replace") as file:
                    title = file.read().strip("\0 ")
            except (OSError, IndexError):  # it has ended
                continue
            found.append(Process(int(name), parent, title))
        return found

    def started(self, pid):
        return start_time(pid, self.proc)

    def changed_at(self, path):
        """When a file last changed, its own entry or what it links to; None when it is not there."""
        try:
            return max(os.lstat(path).st_ctime, os.stat(path).st_ctime)
        except OSError:
            return None

    def now(self):
        return time.time()

    def log_size(self, path):
        try:
            return os.stat(path).st_size
        except OSError:
            return 0

    def log_since(self, path, size):
        """What was written to a log since it had this size. A log that became smaller was begun anew."""
        try:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size < size:
                    size = 0
                file.seek(size)
                return file.read(LARGEST_LOG).decode("utf-8", "replace")
        except OSError:
            return ""

    def strangers(self, address, port, master):
        """Who keeps an address from being bound. master: the running nginx that holds its own addresses, 0 for none."""
        listeners = Listeners(self.proc)
        sockets = [each for each in listeners.listening(port) if clashes(address, each)]
        holders = listeners.holders(sockets) if sockets else []
        if not master:
            return holders
        own = [process.pid for process in self.family(master)]
        return [each for each in holders if each.pid not in own and each.unit != self.service]


class Run:
    """One run: the folder brought to what is wanted, and nginx brought to the folder."""

    def __init__(
        self,
        tree,
        files,
        main,
        absent,
        host,
        timeout,
        allow_empty=False,
        stage_base="/run",
        clock=time.monotonic,
        sleep=time.sleep,
    ):
        self.tree = tree
        self.files = files
        self.main = main
        self.absent = absent
        self.host = host
        self.timeout = timeout
        self.allow_empty = allow_empty
        self.stage_base = stage_base
        self.clock = clock
        self.sleep = sleep
        self.started = clock()
        self.timeline = []
        self.reasons = []

    def note(self, event):
        self.timeline.append({"ms": int((self.clock() - self.started) * 1000), "event": event})

    def converge(self, check=False):
        """Do it all, or with check only say what would be done. Returns the module's result."""
        try:
            with self.tree.locked():
                return self._converge(check)
        except (GatehouseError, OSError) as error:
            failure = _as_failure(error)
            failure.facts.setdefault("outcome", "unchanged")
            failure.facts["timeline"] = self.timeline
            raise failure from error

    def reload(self, path):
        """After a change of a file that the configuration names, such as a certificate: test it all, and make nginx run it.

        Returns False, with nothing done, when nginx does not read the file or does not run.
        """
        with self.tree.locked():
            if self.host.unit().active not in ("active", "reloading"):
                return False
            dump = self._test_live()
            if path not in loaded_files(dump, self.tree.root):
                return False
            self._activate(dump)
            return True

    def certificates(self):
        """The pairs of files, certificate and key, that the configuration on disk names; none where nginx refuses it."""
        code, output, _messages = self.host.test(self.tree.main)
        return _nginx_blocks.certificates(_nginx_blocks.read(output), self.tree.root) if code == 0 else []

    def _converge(self, check):
        unit = self.host.unit()
        if unit.load != "loaded":
            raise GatehouseError(
                "systemd can't run %s: it is %s." % (self.host.service, unit.load or "unknown"),
                cause="not_installed",
                hint="install nginx, or name its unit with `service` (systemctl list-unit-files '*nginx*')",
            )
        change = self.tree.interrupted()
        if change:
            self.reasons.append("An earlier run was killed half-way.")
            if not check and not self.tree.reaches(change, self.files, self.main, self.absent):
                self._put_back(change)
                change = None
        live = self.tree.read(self.tree.pointed())
        if not change:
            change = self.tree.plan(self.files, self.main, self.absent)
        if change:
            self._explain(change, live)
            dump = self._test_staged(unit)
            if not self.allow_empty:
                self._refuse_nothing(live)
            outcome = "reloaded" if unit.active in ("active", "reloading") else "started"
            if not check:
                outcome = self._carry_out(change, dump)
        else:
            dump = self._test_live()
            outcome = self._keep_up(unit, dump, check)
        if not check:
            self.tree.prune(change.before if change else None)
        return self._result(outcome, change, live, dump)

    def _refuse_nothing(self, live):
        """A set that answers for no name, in place of one that does, takes everything down at once."""
        before, after = [
            {name for one in files.values() for names, _ports in _nginx_blocks.outward(_text(one)) for name in names}
            for files in (live, self.files)
        ]
        if before and not after:
            raise GatehouseError(
                "The set would answer for no name any more, and answers for %s now." % ", ".join(sorted(before)[:3]),
                cause="nothing_left",
                hint="see that the sites are read; when it is meant, say allow_empty: true (-e webapp_empty=true)",
            )

    def _explain(self, change, live):
        names = sorted(path for path in set(live) | set(self.files) if live.get(path) != self.files.get(path))
        if names:
            self.reasons.append("Files of the set differ: %s." % ", ".join(names))
        for path, _kept in change.removed:
            self.reasons.append("%s is to be absent." % self.tree.path(path))
        if change.main_kept is not None:
            self.reasons.append("%s is not the set's." % self.tree.main)

    # Tests

    def _test_staged(self, unit):
        """Test the folder as it would be, before anything in it is touched."""
        with Stage(self.tree, self.files, self.main, self.absent, self.stage_base) as stage:
            dump = self._test(stage.conf, stage.real)
        self._refuse_taken_ports(dump, unit)
        self.note("the new set passed nginx's test")
        return dump

    def _test_live(self):
        dump = self._test(self.tree.main, lambda text: text)
        self.note("the files on disk passed nginx's test")
        return dump

    def _test(self, conf, real):
        code, output, messages = self.host.test(conf)
        if code == 0:
            return parse_dump(real(output), real(messages))
        lines = error_lines(messages)
        shown, where = [], None
        for line in lines:
            where = error_location(line)
            if where:
                with contextlib.suppress(OSError), open(where[0], encoding="utf-8", errors="replace") as file:
                    shown = excerpt(real(file.read()), where[1])
                break
        raise GatehouseError(
            "nginx refuses the configuration: %s" % real("; ".join(lines)),
            cause="config_invalid",
            hint="mend %s" % (real("%s:%d" % where) if where else "what the message names"),
            excerpt=shown,
        )

    def _refuse_taken_ports(self, dump, unit):
        """nginx's test takes an address in use for its own; the reload would find out and keep trying for seconds."""
        for address, port in listen_addresses(dump):
            holders = self.host.strangers(address, port, unit.pid)
            if holders:
                raise _port_conflict(address, port, holders)

    # Activation

    def _keep_up(self, unit, dump, check):
        """Nothing to change on disk: see to it that nginx runs, and runs this."""
        if unit.active not in ("active", "reloading"):
            due = ["%s is %s." % (self.host.service, unit.active or "not running")]
            outcome = "started"
        else:
            due = self._stale(unit, dump)
            # A killed run that was put back has been reloaded by then.
            outcome = "reloaded" if due or self.reasons else "unchanged"
        self.reasons += due
        if due and not check:
            self._activate(dump)
        return outcome

    def _stale(self, unit, dump):
        root = self.tree.root
        paths = dump.files + include_folders(dump, root) + loaded_files(dump, root) + [self.tree.link]
        changed_at = {path: self.host.changed_at(path) for path in paths}
        workers = [self.host.started(process.pid) for process in serving(self.host.family(unit.pid))]
        known = {path: at for path, at in changed_at.items() if at is not None}
        return stale([at for at in workers if at is not None], known, self.host.now())

    def _activate(self, dump, heed_log=True):
        """Make nginx run what is on disk, and see it do so. Returns how: reloaded or started.

        heed_log: take a failure in the error log for one of this reload. After a reload that failed it may still be
        that one's: nginx tries to bind its addresses for two and a half seconds, and only then hears the next signal.
        """
        deadline = Deadline(self.timeout, self.clock)
        unit = self.host.unit()
        running = unit.active in ("active", "reloading")
        former = set(self.host.family(unit.pid)) if running else set()
        logs = {path: self.host.log_size(path) for path in error_logs(dump, self.host.build())}

        def complaints(pid=None):
            return [line for path in sorted(logs) for line in fatal_lines(self.host.log_since(path, logs[path]), pid)]

        verb, since = "reload" if running else "start", self.host.now()
        code, messages = self.host.systemctl(verb, deadline.remaining())
        self.note("systemctl %s %s" % (verb, self.host.service))
        if code != 0:
            # nginx that can't start says why in its error log, or, before it has opened one, to systemd.
            lines = complaints() or error_lines("\n".join(self.host.unit_log(since))) or [messages]
            raise self._not_activated(lines, "timed_out" if code == TIMED_OUT else "reload_failed", unit.pid)
        master = unit.pid if running else self.host.unit().pid
        if not master:
            raise self._not_activated(
                ["systemd knows no main process of it (has its unit a PIDFile?)"], "reload_failed"
            )

        def new_workers():
            lines = complaints(master) if heed_log else []
            if lines:
                raise self._not_activated(lines, "reload_failed", master)
            family = self.host.family(master)
            if master not in [process.pid for process in family]:
                raise self._not_activated(["the master process %d has ended" % master], "reload_failed")
            workers = serving(family)
            # One that has not taken its title yet has not read its settings yet.
            beginning = [each for each in family if each.pid != master and each.title.startswith("nginx: master")]
            return workers if workers and not beginning and not former.intersection(workers) else None

        workers = poll(new_workers, deadline, sleep=self.sleep)
        if workers is None:
            raise self._not_activated(["no new workers within %g s" % self.timeout], "timed_out")
        self.note("new workers: %s" % ", ".join(str(worker.pid) for worker in workers))
        return "reloaded" if running else "started"

    def _not_activated(self, lines, cause, master=0):
        for line in lines:
            taken = bind_failure(line)
            if taken:
                address, port = taken
                holders = self.host.strangers(address, port, master) if port else []
                return _port_conflict(address, port, holders)
        return GatehouseError(
            "nginx did not take up the configuration: %s" % ("; ".join(lines) or "no reason given"),
            cause=cause,
            hint="systemctl status %s; journalctl -u %s -n 50" % (self.host.service, self.host.service),
        )

    # The risky act

    def _carry_out(self, change, dump):
        """Flip, test in place, reload, see the new workers; whatever fails, put everything back."""
        self.tree.begin(change)
        try:
            if change.fresh and not os.path.lexists(self.tree.path(change.after)):
                self.tree.write(change.after, self.files)
            change.apply()
            self.note("the new set is in place")
            self._test_live()
            outcome = self._activate(dump)
        except (GatehouseError, OSError) as error:
            failure = _as_failure(error)
            self.note("failed: %s" % failure.message)
            self._put_back(change, failure)
            raise failure from error
        self.tree.end()
        return outcome

    def _put_back(self, change, failure=None):
        """Undo a change on disk and in nginx, and see that it runs what it ran before.

        failure: why, to be told how this ended; without it a set that can't be put back is an error of its own.
        """
        try:
            change.undo()
            self.tree.end()
            self.note("the former files are back in place")
            if self.host.unit().active in ("active", "reloading"):
                self._activate(self._test_live(), heed_log=False)
        except (GatehouseError, OSError) as error:
            second = _as_failure(error)
            if failure is None:
                raise second from error
            failure.facts["outcome"] = "failed"
            failure.message += "\nThe former files could not be brought back to life either: %s" % second.message
            return
        if failure is not None:
            failure.facts["outcome"] = "reverted"

    # The answer

    def _result(self, outcome, change, live, dump):
        unit = self.host.unit()
        unused = [path for path in sorted(self.files) if "%s/%s" % (self.tree.link, path) not in dump.files]
        if self.main and "nginx.conf" in unused:
            unused.remove("nginx.conf")  # it is read by its other name
        warnings = ["nginx: %s" % line for line in dump.warnings]
        warnings += ["nginx does not read %s/%s: no include names it." % (self.tree.link, path) for path in unused]
        shadowing = shadows(dump, self.tree.link)
        warnings += shadowing
        removed = ["%s/%s" % (self.tree.link, path) for path in sorted(set(live) - set(self.files))]
        removed += [self.tree.path(path) for path, _kept in change.removed] if change else []
        return {
            "changed": outcome != "unchanged",
            "outcome": outcome,
            "reasons": self.reasons,
            "set": self.tree.path(change.after if change else self.tree.pointed()),
            "removed": removed,
            "unused": unused,
            "shadows": shadowing,
            "workers": sorted(each.pid for each in serving(self.host.family(unit.pid))) if unit.pid else [],
            "timeline": self.timeline,
            "warnings": warnings,
            "diff": diff(live, self.files, self.tree.link),
        }


def _port_conflict(address, port, holders):
    if port is None:
        what, hint = (
            "%s is in use" % address,
            "ss -lxp; remove the socket if nothing answers on it (rm %s)" % address[5:],
        )
    else:
        what = "port %d (on %s) is held by %s" % (port, address, describe_all(holders))
        hint = "ss -ltnp 'sport = :%d'; stop the holder, or give the site another port" % port
    facts = {"listeners": [dict(holder._asdict()) for holder in holders]}
    return GatehouseError("nginx can't listen: %s." % what, cause="port_conflict", hint=hint, **facts)


def _as_failure(error):
    if isinstance(error, GatehouseError):
        return error
    return GatehouseError(
        "The files could not be changed: %s" % error, cause="unwritable", hint="run as root (become: true)"
    )


def _text(content):
    return content.decode("utf-8", "replace")
