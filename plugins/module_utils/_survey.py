# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What one host says of itself before a deploy: evidence, as the diagnosis gathers it, and what only a deploy has to know."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import socket
import stat
import sys

from ansible_collections.gatehouse.webapp.plugins.module_utils import _database
from ansible_collections.gatehouse.webapp.plugins.module_utils._account import SEVERAL_USERS, foreign_owner, name_of
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._evidence import (
    INNER,
    ONE,
    SEVERAL,
    SOON,
    Witness,
    _read,
    ask,
    units_states,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline
from ansible_collections.gatehouse.webapp.plugins.module_utils._reachability import look
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw import (
    CONF_FILE,
    DEFAULTS_FILE,
    RULE_FILES,
    parse_policy,
)

# Who may keep the clock, and who else may keep a firewall.
SYSTEM_UNITS = (
    "nginx.service",
    "systemd-timesyncd.service",
    "chrony.service",
    "ntpsec.service",
    "firewalld.service",
)
# Of a unit that may reach no address, whether it does: by a datagram to nobody.
SEND = """
import socket
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 9))
except PermissionError:
    print("refused")
else:
    print("sent")
"""
# What every unit of a release says of itself (roles/app_release).
OUR_UNIT = "# Part of the release "


class Surveyor(Witness):
    """What a host can be asked before a deploy.

    databases: [{app, name, url, code}] as the action plugin gives them.   node: the program that runs JavaScript.
    """

    def __init__(self, databases, node, *given, **options):
        super().__init__(*given, **options)
        self.databases = databases
        self.node = node

    def survey(self):
        """All of it, as plain data."""
        deadline = Deadline(self.seconds)
        asked = {
            "units": (ONE, self.units),
            "listeners": (ONE, self.listeners),
            "view": (ONE, lambda: look([], Listeners(self.proc), self.run, self.find)),
            "disks": (SOON, self.disks),
            "memory": (SOON, self.room),
            "clock": (ONE, self.clock),
            "system": (SOON, self.system),
            "programs": (ONE, self.programs),
            "paths": (SOON, self.paths),
            "certified": (SOON, self.certified),
            "ufw": (SOON, ufw),
            "reboot": (SOON, reboot),
            "accounts": (SOON, self.accounts),
            "foreign": (SOON, self.foreign),
            "replaceable": (SOON, self.replaceable),
        }
        if any(app["local"] and app["services"] and not app["allow_network"] for app in self.apps):
            asked["filtered"] = (ONE, self.filtered)
        if self.sites:
            asked["nginx"] = (SEVERAL, self.nginx)
        for number, (part, probe) in enumerate(self.probes({})):
            asked["probe/%03d" % number] = (part, probe)
        for number, one in enumerate(self.databases):
            asked["database/%03d" % number] = (1, lambda one=one: self.database(one))
        answers, failures = ask(self._timed(asked), deadline)
        return dict(
            {name: answer for name, answer in answers.items() if "/" not in name},
            probes=[answers[name] for name in sorted(answers) if name.startswith("probe/")],
            databases=[answers[name] for name in sorted(answers) if name.startswith("database/")],
            apps=[{"name": app["name"], "live": self.live(app)} for app in self.apps if app["local"]],
            host=socket.gethostname(),
            now=self.now(),
            took=round(deadline.elapsed(), 3),
            unanswered=failures,
        )

    def probes(self, live):
        """Nothing is asked of apps but what they require: they may not be there yet."""
        return [
            (SOON, lambda app=app, address=address: self._tcp(app, address, "requires"))
            for app in self.apps
            if app["local"]
            for address in app["requires"]
        ]

    def units(self):
        """Units of the apps, those that a hand-made set-up may have in their place, and some of the system."""
        apps = [app for app in self.apps if app["local"] and app["services"]]
        names = [one["name"] for app in apps for one in app["services"] + app["green"]]
        names += [app["name"] + ".service" for app in apps]
        found = units_states(names + list(SYSTEM_UNITS), self.run)
        for state in found.values():
            path = (state["files"] or [""])[0]
            state["ours"] = bool(path) and OUR_UNIT in _read(path)
        return found

    def system(self):
        """What the host is, and as whom it is asked."""
        words = re.findall(r"^(?:ID|ID_LIKE)=\"?([^\"\n]*)", _read("/etc/os-release"), re.M)
        name = re.search(r"^PRETTY_NAME=\"?([^\"\n]*)", _read("/etc/os-release"), re.M)
        return {
            "name": name.group(1) if name else sys.platform,
            "debian": "debian" in " ".join(words).split(),
            "systemd": os.path.isdir("/run/systemd/system"),
            "container": os.path.exists("/run/systemd/container"),
            "root": os.geteuid() == 0,
            "hard_links": _read("/proc/sys/fs/protected_hardlinks").strip(),
        }

    def accounts(self):
        """{user: its comment, and whether there is a group of that name; None for what there is not}: who runs and builds the apps."""
        found = {}
        for user in [user for app in self.apps if app["local"] for user in app["users"]]:
            found[user] = {"comment": None, "group": False}
            with contextlib.suppress(KeyError):
                found[user]["comment"] = pwd.getpwnam(user).pw_gecos
            with contextlib.suppress(KeyError):
                found[user]["group"] = bool(grp.getgrnam(user))
        return found

    def foreign(self):
        """{folder: whose it is} of those folders that are to be an app's, and hold what is somebody else's."""
        found = {}
        for app in self.apps:
            for path in app["own_folders"] if app["local"] else []:
                whose = foreign_owner(path, app["users"][0])
                if whose:
                    found[path] = whose
        return found

    def replaceable(self):
        """{served folder: [a folder on the way to it, who else than root may put something else in its place]}."""
        found = {}
        for folder in [folder for site in self.sites for folder in site["folders"]]:
            above = os.path.dirname(folder.rstrip("/"))
            while above not in ("/", ""):
                with contextlib.suppress(OSError):
                    info = os.stat(above)
                    shared = info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX
                    if info.st_uid or shared:
                        found[folder] = [above, name_of(info.st_uid) if info.st_uid else SEVERAL_USERS]
                        break
                above = os.path.dirname(above)
        return found

    def filtered(self):
        """Whether a unit is kept from addresses that it may not reach; None where that is not known.

        By trying: systemd takes the directive also where it can't enforce it, as on cgroup v1 and in many containers.
        """
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
                own.sendto(b"", ("127.0.0.1", 9))
        except OSError:
            return None  # it could not be told who refuses
        unit = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--property=IPAddressDeny=any"]
        _status, output, _messages = self.run([*unit, sys.executable, "-I", "-c", SEND])
        return {"refused": True, "sent": False}.get(output.strip())

    def programs(self):
        """{name or path: its version as numbers; None where it is not there} of what runs the apps."""
        wanted = {app["interpreter"] for app in self.apps if app["local"] and app["interpreter"]}
        wanted |= (
            {self.node} if any(app["local"] and app["runtime"] in ("pm2", "static") for app in self.apps) else set()
        )
        found = {}
        for program in sorted(wanted):
            status, output, messages = self.run([program, "--version"])
            version = re.search(r"(\d+(?:\.\d+)+)", output + messages) if status == 0 else None
            found[program] = [int(part) for part in version.group(1).split(".")] if version else None
        return found

    def paths(self):
        """What is where an app's releases go: nothing, ours, or somebody's."""
        found = {}
        for app in self.apps:
            root = app["root"]
            if not app["local"] or not root or not os.path.lexists(root):
                continue
            # A mount point has lost+found, and where the app is to write may have been made for it.
            kept = {"lost+found"} | {os.path.relpath(path, root).split("/")[0] for path in app["writable_paths"]}
            names = sorted(set(os.listdir(root)) - kept) if os.path.isdir(root) else None
            current = os.path.join(root, "current")
            found[app["name"]] = {
                "folder": names is not None,
                "ours": not names or os.path.isdir(os.path.join(root, "releases")),
                "holds": (names or [])[:5],
                "link": os.path.islink(current) or not os.path.lexists(current),
            }
        return found

    def certified(self):
        """The sites whose certificate is there."""
        return [site["name"] for site in self.sites if site["certificate"] and os.path.exists(site["certificate"])]

    def database(self, one):
        app = next(app for app in self.apps if app["name"] == one["app"])
        told = _database.look(one["url"], app["name"], app["root"], one["code"], self.node, self.seconds * INNER)
        return dict(told, app=one["app"], name=one["name"])


def ufw():
    """{enabled, incoming, ports}: whether UFW filters, and the TCP ports that its rules let in; None: it is not installed."""
    if not os.path.exists(CONF_FILE):
        return None
    try:
        policy = parse_policy(_read(RULE_FILES[4]), _read(RULE_FILES[6]), _read(DEFAULTS_FILE), _read(CONF_FILE))
    except GatehouseError as error:
        return {"enabled": None, "incoming": None, "ports": [], "rules": 0, "error": error.message}
    let_in = [
        rule
        for rule in policy.rules[4]
        if rule.action in ("allow", "limit") and rule.direction == "in" and not rule.routed and rule.proto != "udp"
    ]
    return {
        "enabled": policy.enabled,
        "incoming": policy.incoming,
        "ports": sorted({part for rule in let_in for part in rule.port.split(",")}),
        "rules": len(policy.rules[4]) + len(policy.rules[6]),
    }


def reboot(run="/run"):
    """{required, packages, scheduled}: whether packages wait for a reboot, and when one is to come, in seconds since 1970."""
    scheduled = re.search(r"^USEC=(\d+)", _read(os.path.join(run, "systemd/shutdown/scheduled")), re.M)
    return {
        "required": os.path.exists(os.path.join(run, "reboot-required")),
        "packages": sorted(set(_read(os.path.join(run, "reboot-required.pkgs")).split())),
        "scheduled": int(scheduled.group(1)) / 1e6 if scheduled else None,
    }
