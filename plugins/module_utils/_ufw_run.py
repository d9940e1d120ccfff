# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The story of ufw_policy: plan, refuse what would shut us out, load it all at once, read it back; else put the old policy back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile

from ansible_collections.gatehouse.webapp.plugins.module_utils import _serves, _ufw, _ufw_kernel, _ufw_plan
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

INIT = "/lib/ufw/ufw-init"
PROFILES = "/etc/ufw/applications.d"
AROUND = {4: ("/etc/ufw/before.rules", "/etc/ufw/after.rules"), 6: ("/etc/ufw/before6.rules", "/etc/ufw/after6.rules")}
TOOLS = {4: "iptables", 6: "ip6tables"}
# A command that hangs must end some time.
COMMAND_SECONDS = 60

# What an unconfirmed policy leaves behind. Gone after a reboot, as is the policy itself: it is in the kernel alone until confirmed.
PENDING = "/run/gatehouse-ufw"
UNDO_UNIT = "gatehouse-ufw-undo"
UNDO_SCRIPT = """#!/bin/sh
# Puts the former firewall policy back, unless the new one was confirmed. Started by a timer.
cd %(folder)s || exit 1
mv armed undone || exit 0
%(commands)s
"""


class Host:
    """What is asked of the host. root: where its files lie; a test gives another."""

    def __init__(self, root=""):
        self.root = root

    def run(self, argv, text=None):
        """(exit code, standard output, standard error)."""
        environment = dict(os.environ, LC_ALL="C", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
        try:
            done = subprocess.run(
                argv,
                input=text.encode() if text is not None else b"",
                capture_output=True,
                env=environment,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            return 127, "", "there is no command %s" % argv[0]
        except subprocess.TimeoutExpired:
            return 124, "", "%s did not end within %d s" % (argv[0], COMMAND_SECONDS)
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    def ports_of_sites(self):
        """The ports on which nginx serves the sites of a deploy to others."""
        return _serves.outward(self.path(_serves.SITES), list(map(self.path, _serves.NGINX)))[1]

    def path(self, path):
        return self.root + path

    def exists(self, path):
        return os.path.exists(self.path(path))

    def read(self, path):
        with open(self.path(path), encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def names(self, folder):
        return sorted(os.listdir(self.path(folder))) if self.exists(folder) else []

    def write(self, path, text):
        """Replace a file by one rename, with the owner and the mode that it had."""
        place = self.path(path)
        had = os.stat(place)
        handle, name = tempfile.mkstemp(dir=os.path.dirname(place), prefix=".gatehouse-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, had.st_mode & 0o7777)
            os.chown(name, had.st_uid, had.st_gid)
            os.rename(name, place)
        except OSError:
            os.unlink(name)
            raise

    def table(self, family, name="filter"):
        """A table of the kernel, as text; None where there is none."""
        code, out, _error = self.run([TOOLS[family] + "-save", "-t", name])
        return out if code == 0 and (name != "filter" or ":INPUT" in out) else None

    def restore(self, family, text, *options):
        return self.run([TOOLS[family] + "-restore", "--noflush", "--wait=10", *options], text)

    def started_at_boot(self, unit):
        """What systemd says of that: enabled, disabled, masked, static and so on; empty where there is none to ask."""
        return self.run(["systemctl", "is-enabled", unit])[1].strip()

    @contextlib.contextmanager
    def alone(self):
        """Only one at a time."""
        with open(self.path("/run/gatehouse-ufw.lock"), "w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise GatehouseError(
                    "Another run is changing the firewall right now.", cause="busy", hint="wait for it, and run again"
                ) from None
            yield


class Look:
    """What the host has, read once."""

    def __init__(self, host):
        own = (*_ufw.RULE_FILES.values(), _ufw.DEFAULTS_FILE, _ufw.CONF_FILE)
        try:
            self.files = {path: host.read(path) for path in (*own, *AROUND[4], *AROUND[6])}
        except OSError as error:
            raise GatehouseError(
                "%s can't be read: %s" % (error.filename, error.strerror),
                cause="unreadable",
                hint="apt-get install --reinstall -o Dpkg::Options::=--force-confmiss ufw",
            ) from error
        self.policy = _ufw.parse_policy(*(self.files[path] for path in own))
        saved = {family: host.table(family) for family in (4, 6)}
        if saved[4] is None:
            raise GatehouseError(
                "The kernel's filter table can't be read: iptables-save tells nothing.",
                cause="no_kernel",
                hint="iptables-save -t filter   # as root; does the kernel have netfilter, and the container NET_ADMIN?",
            )
        if not host.exists("/proc/sys/net/ipv6"):
            saved[6] = None
        self.tables = {family: _ufw_kernel.read_table(text) for family, text in saved.items() if text is not None}
        self.states = {family: _ufw_kernel.state(table, family) for family, table in self.tables.items()}
        self.unit = host.started_at_boot(_ufw.UNIT)


class Run:
    """One change of the policy, from the look to the files.

    wish: the module's options. Its steps are `converge`, and after a policy that waits for its confirmation, `confirm` or `undone`.
    """

    def __init__(self, host, wish):
        self.host = host
        self.wish = wish
        self.warnings = []

    # The plan

    def _plan(self):
        """The policy to be, what it is to the kernel by family, and the files' new texts."""
        wish, has = self.wish, self.look.policy
        ipv6 = has.ipv6 if wish["ipv6"] is None else wish["ipv6"]
        filtered = ipv6 and 6 in self.look.tables
        texts = [
            self.host.read(PROFILES + "/" + name) for name in self.host.names(PROFILES) if not name.startswith(".")
        ]
        around = _ufw_plan.Surroundings(_ufw.parse_profiles(texts), self.host.names("/sys/class/net"), filtered)
        wanted = _ufw_plan.read_wish(wish["rules"], wish["tag"], around)
        rules = dict(has.rules)
        for family in (4, 6) if filtered else (4,):
            rules[family] = _ufw_plan.merge(has.rules[family], wanted[family], wish["purge"], wish["tag"])
        self.policy = _ufw.Policy(
            rules, wish["incoming"], wish["outgoing"], wish["routed"], wish["logging"], ipv6, enabled=True
        )
        self.docker = wish["docker"] == "close"
        self._plan_kernel(filtered)
        self._plan_files(rules)

    def _plan_kernel(self, filtered):
        docker = self._docker_of()
        self.filtered = (4, 6) if filtered else (4,)
        # What the kernel has to have in the end, and what brings it there.
        self.wanted = {family: _ufw_kernel.transaction(self.policy, family, docker) for family in self.filtered}
        if 6 in self.look.tables and not filtered:
            self.wanted[6] = _ufw_kernel.closed(self.look.tables[6])
        self.texts = dict(self.wanted)
        if self.look.states[4] != "absent":
            broken = [family for family in self.filtered if self.look.states[family] != "whole"]
            self.texts.update({family: self._rebuilt(family, self.look.tables[family]) for family in broken})
        self.stale = {
            family: _ufw_kernel.differences(text, self.look.tables[family]) for family, text in self.wanted.items()
        }

    def _docker_of(self):
        """Whether Docker's chain is closed, or opened again; None where it is not ours."""
        return True if self.docker else (False if self._had_block() else None)

    def _had_block(self):
        return any(_ufw_kernel.DOCKER_BEGIN in self.look.files[AROUND[family][1]] for family in (4, 6))

    def _rebuilt(self, family, table):
        files = (self.look.files[path] for path in AROUND[family])
        return _ufw_kernel.rebuild(self.policy, family, self._docker_of(), table, *files)

    def _plan_files(self, rules):
        look = self.look
        self.files = {
            _ufw.DEFAULTS_FILE: _ufw.render_defaults(look.files[_ufw.DEFAULTS_FILE], self.policy),
            _ufw.CONF_FILE: _ufw.render_conf(look.files[_ufw.CONF_FILE], self.policy),
        }
        for family, path in _ufw.RULE_FILES.items():
            text = _ufw.render_rules(self.policy, family)
            differs = _ufw_kernel.differences(text, _ufw_kernel.read_table(look.files[path]))
            # A file that says the same in another way is left as it is.
            if family in self.filtered and (differs or rules[family] != look.policy.rules[family]):
                self.files[path] = text
            lost = _ufw.strays(look.files[path], look.policy.rules[family], family) if path in self.files else []
            if lost:
                self.warnings.append("Lines of %s that UFW has not made are dropped: %s" % (path, "; ".join(lost)))
        for family in (4, 6):
            path = AROUND[family][1]
            self.files[path] = _ufw_kernel.set_docker_block(look.files[path], family, self.docker)
        self.files = {path: text for path, text in self.files.items() if text != look.files[path]}

    def _reasons(self):
        reasons = []
        if self.look.states[4] == "absent":
            reasons.append("The firewall is off.")
        if self.look.unit in _ufw.NOT_AT_BOOT:
            reasons.append("The firewall is not started at boot: %s is %s." % (_ufw.UNIT, self.look.unit))
        if self.files:
            reasons.append("Files differ: %s." % ", ".join(sorted(self.files)))
        for family, chains in self.stale.items():
            if self.look.states[4] != "absent" and (chains or self._is_broken(family)):
                named = ", ".join(chains) or "the way to its chains"
                reasons.append("The kernel's IPv%d rules are not those wanted: %s." % (family, named))
        return reasons

    def _is_broken(self, family):
        return family in self.filtered and self.look.states[family] != "whole"

    def _result(self, outcome, changed):
        before, after = _ufw.describe_policy(self._present()), _ufw.describe_policy(self.policy)
        result = {"changed": changed, "outcome": outcome, "reasons": self._reasons(), "warnings": self.warnings}
        result["added"], result["removed"] = [], []
        for family in self.filtered:
            added, removed = _ufw_plan.changes(self._present().rules[family], self.policy.rules[family])
            result["added"] += [_ufw.describe(rule, family) for rule in added]
            result["removed"] += [_ufw.describe(rule, family) for rule in removed]
        if self._had_block() != self.docker:
            lines = before if self._had_block() else after
            lines.append("%s: closed but for route rules" % _ufw_kernel.DOCKER_CHAIN)
        if self.look.unit in _ufw.NOT_AT_BOOT:
            before.append("At boot: %s is %s" % (_ufw.UNIT, self.look.unit))
            after.append("At boot: %s is enabled" % _ufw.UNIT)
        result["diff"] = {"before": "\n".join(before) + "\n", "after": "\n".join(after) + "\n"}
        result["published"] = self._published()
        return result

    def _present(self):
        """The policy before, which is inactive where the kernel has none."""
        return self.look.policy._replace(enabled=self.look.policy.enabled and self.look.states[4] != "absent")

    def _published(self):
        """What Docker publishes. With a warning while it is open to everybody."""
        ports = [
            dict(port, family="IPv%d" % family, closed=self.docker)
            for family in self.look.tables
            for port in _ufw_kernel.published(self.host.table(family, "nat") or "")
        ]
        if ports and not self.docker:
            named = ", ".join(sorted({"%(port)d/%(proto)s" % port for port in ports}))
            self.warnings.append(
                "Docker publishes %s past UFW, to everybody. Publish to 127.0.0.1, or set docker: close and open what is needed "
                "by rules with direction: routed." % named
            )
        return ports

    # The steps

    def converge(self, check):
        with self.host.alone() if not check else contextlib.nullcontext():
            if not check:
                self._undo_what_was_not_confirmed()
            self.look = Look(self.host)
            self._plan()
            if not self._reasons():
                return self._result("unchanged", False)
            self._refuse_what_shuts_us_out()
            self._refuse_what_closes_sites()
            self._refuse_to_take_dockers_chain()
            self._try()
            result = self._result("started" if self.look.states[4] == "absent" else "loaded", True)
            if check:
                return result
            self._apply()
            if self.wish["confirm_within"]:
                result["pending"] = True
            return result

    def confirm(self):
        """The new policy has shown that it lets us in: it becomes the one that lasts."""
        with self.host.alone():
            self.host.run(["systemctl", "stop", UNDO_UNIT + ".timer"])
            try:
                # The undoing renames the same file first: one of the two gets it.
                os.rename(self.host.path(PENDING + "/armed"), self.host.path(PENDING + "/confirmed"))
            except FileNotFoundError:
                raise GatehouseError(
                    "The new policy was not confirmed in time, and the former one is back.",
                    cause="not_confirmed",
                    hint="journalctl -u %s" % UNDO_UNIT,
                    outcome="reverted",
                ) from None
            self.look = Look(self.host)
            self._plan()
            try:
                self._write_files()
            except GatehouseError as error:
                os.rename(self.host.path(PENDING + "/confirmed"), self.host.path(PENDING + "/armed"))
                self._undo_what_was_not_confirmed()
                error.facts["outcome"] = "reverted"
                raise
            shutil.rmtree(self.host.path(PENDING))
        return {"changed": True, "outcome": "confirmed"}

    def undone(self):
        """The new policy did not let us in: the former one has to be there."""
        with self.host.alone():
            self._undo_what_was_not_confirmed()
            wrong = [family for family in (4, 6) if self._differs_from_undo(family)]
        if wrong:
            raise GatehouseError(
                "The former policy was put back, but the kernel has another one.",
                cause="not_confirmed",
                hint="journalctl -u %s; ufw reload" % UNDO_UNIT,
                outcome="failed",
            )
        return {"changed": False, "outcome": "reverted"}

    def _differs_from_undo(self, family):
        path, text = "%s/undo.%d" % (PENDING, family), self.host.table(family)
        if not self.host.exists(path) or text is None:
            return False
        return bool(_ufw_kernel.differences(self.host.read(path), _ufw_kernel.read_table(text)))

    def _undo_what_was_not_confirmed(self):
        if self.host.exists(PENDING + "/armed"):
            self.host.run(["systemctl", "stop", UNDO_UNIT + ".timer"])
            self.host.run(["/bin/sh", self.host.path(PENDING + "/undo")])
            self.warnings.append("A policy that was never confirmed was found, and the one before it was put back.")

    # Before anything is touched

    def _refuse_what_shuts_us_out(self):
        if not self.wish["guard"] or not self.wish["session"]:
            return
        connection = _ufw_plan.read_session(self.wish["session"], self._interfaces())
        if connection is None:
            if not self.wish["confirm_within"]:
                raise GatehouseError(
                    "It can't be told by which connection Ansible came (%s), so not whether this policy lets it in."
                    % self.wish["session"],
                    cause="would_shut_out",
                    hint="confirm_within: 60   # proves it by a new connection; or guard: false",
                )
            return
        allowed, rule = _ufw_plan.lets_in(self.policy, connection)
        if not allowed:
            family = connection.peer.version
            why = "by the rule: " + _ufw.describe(rule, family) if rule else "no rule lets it in"
            if family == 6 and not self.policy.ipv6:
                why = "UFW lets nothing in over IPv6 with IPV6=no"
            raise GatehouseError(
                "Under this policy the connection that Ansible came by would be shut out, from %s to port %d of %s: %s."
                % (connection.peer, connection.port, connection.address, why),
                cause="would_shut_out",
                hint="{rule: allow, port: %d, proto: tcp, from: %s}   # before what shuts it out"
                % (connection.port, connection.peer),
            )

    def _refuse_what_closes_sites(self):
        present = self._present()
        closing = [
            port
            for port in ([] if self.wish["close_sites"] else self.host.ports_of_sites())
            if _ufw_plan.is_open(present, port) and not _ufw_plan.is_open(self.policy, port)
        ]
        if closing:
            raise GatehouseError(
                "nginx serves sites on port %s, and this policy lets nobody in there." % ", ".join(map(str, closing)),
                cause="would_close_sites",
                hint="see that the sites are read; when it is meant, say close_sites: true (-e webapp_empty=true)",
            )

    def _interfaces(self):
        _code, out, _error = self.host.run(["ip", "-o", "address"])
        return {address: name for name, address in re.findall(r"(?m)^\d+: (\S+) +inet6? ([0-9a-f.:]+)/", out)}

    def _refuse_to_take_dockers_chain(self):
        if not self.docker or self._had_block():
            return
        for family in self.filtered:
            foreign = _ufw_kernel.foreign_docker_rules(self.look.tables[family], family)
            if foreign:
                raise GatehouseError(
                    "%s has rules already, which would be lost: %s" % (_ufw_kernel.DOCKER_CHAIN, "; ".join(foreign)),
                    cause="docker_rules",
                    hint="say them as rules with direction: routed, and empty it: %s -F %s"
                    % (TOOLS[family], _ufw_kernel.DOCKER_CHAIN),
                )

    def _try(self):
        """iptables-restore's own test. It finds what these tools don't know, and nothing is touched yet."""
        for family, text in self.texts.items():
            code, _out, error = self.host.restore(family, text, "--test")
            if code:
                raise self._refused(family, text, error, "unchanged", "Nothing was changed.")

    def _refused(self, family, text, error, outcome, what_now):
        number = re.search(r"line:? (\d+)", error)
        lines = text.splitlines()
        line = lines[int(number.group(1)) - 1] if number and int(number.group(1)) <= len(lines) else ""
        # The whole text went in at once: the line told is then its last one, and says nothing.
        named = " at: %s" % line if line not in ("", "COMMIT") else ""
        return GatehouseError(
            "The kernel does not take the IPv%d rules%s: %s\n%s" % (family, named, error.strip(), what_now),
            cause="kernel_refused",
            hint="/usr/share/ufw/check-requirements   # tells which match or target this kernel lacks",
            outcome=outcome,
        )

    # The risky part

    def _apply(self):
        off = self.look.states[4] == "absent"
        undo = {
            family: _ufw_kernel.undo(self.look.tables[family], text, without_chains=off)
            for family, text in self.texts.items()
        }
        if self.wish["confirm_within"]:
            self._arm(undo, off)
        try:
            if off:
                self._start()
            else:
                self._load()
            self._see_it_run()
            if not self.wish["confirm_within"]:
                self._write_files()
        except (GatehouseError, OSError) as error:
            raise self._put_back(undo, off, error) from error

    def _arm(self, undo, off):
        """A timer of the host's puts the former policy back, whatever becomes of us and of the connection."""
        folder = self.host.path(PENDING)
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder, 0o700)
        script = UNDO_SCRIPT % {"folder": folder, "commands": "\n".join(_undo_commands(undo, off))}
        files = {"undo.%d" % family: text for family, text in undo.items()}
        for name, text in dict(files, undo=script, armed="").items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        seconds = "%gs" % self.wish["confirm_within"]
        # A timer of a former run that has fired may still be known.
        self.host.run(["systemctl", "reset-failed", UNDO_UNIT + ".timer", UNDO_UNIT + ".service"])
        argv = ["systemd-run", "--unit=" + UNDO_UNIT, "--collect", "--on-active=" + seconds]
        argv += ["--timer-property=AccuracySec=100ms", "/bin/sh", os.path.join(folder, "undo")]
        code, _out, error = self.host.run(argv)
        if code:
            shutil.rmtree(folder)
            raise GatehouseError(
                "The timer that would put the former policy back can't be set: %s" % error.strip(),
                cause="no_timer",
                hint="confirm_within needs systemd on the host; without it, leave confirm_within out",
                outcome="unchanged",
            )

    def _start(self):
        """UFW's own start, from a copy of its files: those in /etc stay what they are until all is well."""
        stage = tempfile.mkdtemp(prefix="gatehouse-ufw-")
        try:
            shutil.copytree(self.host.path("/etc/ufw"), stage + "/etc/ufw")
            os.mkdir(stage + "/etc/default")
            shutil.copy2(self.host.path(_ufw.DEFAULTS_FILE), stage + _ufw.DEFAULTS_FILE)
            for path, text in self.files.items():
                with open(stage + path, "w", encoding="utf-8", errors="surrogateescape") as file:
                    file.write(text)
            code, out, error = self.host.run([self.host.path(INIT), "--datadir", stage, "start"])
        finally:
            shutil.rmtree(stage)
        if code:
            raise GatehouseError(
                "UFW does not start: %s" % " ".join((out + error).split()), cause="kernel_refused", hint="ufw enable"
            )
        for family in self.filtered:
            table = _ufw_kernel.read_table(self.host.table(family) or "")
            # Chains that somebody had unlinked are not linked again by that, and Docker's chain is not UFW's.
            broken = _ufw_kernel.state(table, family) == "broken"
            self._restore(family, self._rebuilt(family, table) if broken else self.wanted[family])

    def _load(self):
        for family, text in self.texts.items():
            self._restore(family, text)

    def _restore(self, family, text):
        code, _out, error = self.host.restore(family, text)
        if code:
            raise self._refused(family, text, error, "reverted", "The former policy holds.")

    def _see_it_run(self):
        for family, text in self.wanted.items():
            table = _ufw_kernel.read_table(self.host.table(family) or "")
            wrong = _ufw_kernel.differences(text, table)
            if family in self.filtered and _ufw_kernel.state(table, family) != "whole":
                wrong.append("the way to its chains")
            if wrong:
                raise GatehouseError(
                    "The kernel has other IPv%d rules than were loaded: %s." % (family, ", ".join(wrong)),
                    cause="not_loaded",
                    hint="%s-save -t filter   # does another program change them, such as firewalld?" % TOOLS[family],
                )

    def _write_files(self):
        """The files, and that they are loaded at boot."""
        written = []
        try:
            for path, text in self.files.items():
                self.host.write(path, text)
                written.append(path)
            self._enable_at_boot()
        except (OSError, GatehouseError) as error:
            for path in written:
                self.host.write(path, self.look.files[path])
            if isinstance(error, GatehouseError):
                raise
            raise GatehouseError(
                "%s can't be written: %s" % (error.filename or path, error.strerror),
                cause="unwritable",
                hint="df -h /etc",
            ) from error

    def _enable_at_boot(self):
        if self.look.unit not in _ufw.NOT_AT_BOOT:
            return
        unmask = [["systemctl", "unmask", _ufw.UNIT]] if self.look.unit == "masked" else []
        errors = [self.host.run(argv)[2] for argv in [*unmask, ["systemctl", "enable", _ufw.UNIT]]]
        unit = self.host.started_at_boot(_ufw.UNIT)
        if unit in _ufw.NOT_AT_BOOT:
            why, mend = _ufw.missing_at_boot(unit, None)
            raise GatehouseError(
                "UFW can't be started at boot: %s" % (" ".join(" ".join(errors).split()) or why),
                cause="not_at_boot",
                hint=mend,
            )

    def _put_back(self, undo, off, error):
        """The former policy, and the error to raise."""
        if self.wish["confirm_within"]:
            self.host.run(["systemctl", "stop", UNDO_UNIT + ".timer"])
            shutil.rmtree(self.host.path(PENDING))
        if off:
            self.host.run([self.host.path(INIT), "force-stop"])
        for family, text in undo.items():
            self.host.restore(family, text)
        wrong = [
            "IPv%d" % family
            for family, text in undo.items()
            if _ufw_kernel.differences(text, _ufw_kernel.read_table(self.host.table(family) or ""))
        ]
        if not isinstance(error, GatehouseError):
            error = GatehouseError(str(error), cause="unwritable")
        error.facts["outcome"] = "failed" if wrong else "reverted"
        if wrong:
            error.message += "\nThe former policy could not be put back for %s." % ", ".join(wrong)
            error.hint = "ufw reload"
        return error


def _undo_commands(undo, off):
    commands = [INIT + " force-stop"] if off else []
    return commands + ["%s-restore --noflush --wait=10 < undo.%d" % (TOOLS[family], family) for family in sorted(undo)]
