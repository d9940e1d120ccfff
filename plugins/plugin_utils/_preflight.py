# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What would stop a deploy of a host, from the evidence that preflight_host has gathered. Pure.

Each rule tells all that it finds. What the diagnosis judges too (disks, clock, names) is judged by its rules.
"""

from __future__ import annotations

import re
from collections import namedtuple

from ansible_collections.gatehouse.webapp.plugins.module_utils._account import (
    BUILDS,
    RUNS,
    SEVERAL_USERS,
    folder_conflict,
    user_conflict,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import WILDCARDS, Holder, describe
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _rules_host, _rules_way
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import Case, end_of, size_words, span_words
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._checks import is_local
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._report import printable
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._rules_app import WELL_KNOWN

# level: refuse or warn.   cause: a word of CAUSES.   app: whose it is; None: the host's.   measured: what it follows from.
# next: the command to type.
Problem = namedtuple("Problem", "level cause app message measured next")

CAUSES = {
    "source_missing": "A source is not there, or may not be read, on the control node",
    "host_unfit": "The host is none that can be served: not of the Debian family, without systemd, or not asked as root",
    "port_taken": "A stranger has a port of an app (of either set), or of nginx",
    "unit_conflict": "A unit of the app's name was not made by a deploy",
    "user_conflict": "A user of the app's name was not made by a deploy",
    "path_conflict": "What is in /srv/APP was not put there by a deploy",
    "folder_replaceable": "An app may put something else in the place of a folder that a route serves",
    "site_shadowed": "A hand-made site of nginx has a name of the model's",
    "dependency_down": "A database, or what an app requires, does not answer",
    "database_refuses": "The database refuses the app's user, password or database",
    "database_unsure": "The login to the database failed for another reason",
    "program_missing": "The Python or Node that the app needs is not on the host, or is too old",
    "disk_full": "A disk has no room for a release, or none at all",
    "inodes_full": "A file system has too few inodes left",
    "read_only": "A file system is read-only",
    "disk_low": "A disk is filling up",
    "memory_low": "There is no memory for a second set of instances beside the one that serves",
    "clock_wrong": "The host's clock is wrong",
    "clock_alone": "Nothing keeps the host's clock right",
    "dns_missing": "A server name is not in DNS",
    "dns_wrong": "A server name leads elsewhere",
    "ssh_closed": "UFW does not let SSH in",
    "other_firewall": "Another firewall manager is at work",
    "network_open": "An app that may not use the network can: this host's systemd does not enforce it",
    "hard_links": "The kernel lets users link to other users' files",
    "reboot_required": "The host waits for a reboot",
    "reboot_scheduled": "The host is about to go down",
    "not_measured": "A question got no answer",
}
REFUSE, WARN = "refuse", "warn"

# As the role app_release refuses a build: plugins/module_utils/_release.py.
LEAST_SPACE, LEAST_FILES = 200 << 20, 10000
# The part of a disk below which it is said to be filling up; what is enough for ten builds is enough.
LOW = 0.05
# Seconds of skew that are worth a word. Beyond _rules_host.CLOCK, logins and certificates fail.
SKEW = 5
OLDEST_PYTHON = [3, 8]
# Seconds that a deploy may take.
DEPLOYING = 30 * 60
SET = "/etc/nginx/gatehouse/"


def judge(asked, evidence):
    """[Problem]. asked: what `wanted` makes of the model, its apps with what their sources ask for."""
    case = Case(asked, evidence)
    return list(dict.fromkeys(found for rule in RULES for found in rule(case)))


def report(name, problems, only_warn):
    """What the module tells of a host of that name: {ok, problems, msg}, and {failed, cause, hint} or {warnings}.

    only_warn: causes that do not refuse.
    """
    problems = [_told(one, WARN if one.cause in only_warn else one.level) for one in problems]
    problems.sort(key=lambda one: one.level != REFUSE)
    refused = [one for one in problems if one.level == REFUSE]
    told = {"ok": not refused, "problems": [dict(one._asdict(), measured=list(one.measured)) for one in problems]}
    warned = len(problems) - len(refused)
    if not refused:
        found = "; %d warning%s" % (warned, "" if warned == 1 else "s") if warned else ": nothing is in its way"
        warnings = ["%s: %s Next: %s" % (name, one.message, one.next) for one in problems]
        return dict(told, msg="%s is ready for a deploy%s." % (name, found), warnings=warnings)
    head = "%s is not ready for a deploy: %d problem%s%s. Nothing was touched." % (
        name,
        len(refused),
        "" if len(refused) == 1 else "s",
        ", and %d warning%s" % (warned, "" if warned == 1 else "s") if warned else "",
    )
    lines = [line for one in problems for line in _lines(one)]
    return dict(told, failed=True, msg="\n".join([head] + lines), cause=refused[0].cause, hint=refused[0].next)


def _told(one, level):
    """What programs and servers have said is hostile input: it must not move anybody's cursor."""
    return one._replace(level=level, message=printable(one.message), measured=tuple(map(printable, one.measured)))


def _lines(one):
    yield "%s %s: %s" % ("✘" if one.level == REFUSE else "!", one.cause, one.message)
    yield from ("    %s" % line for line in one.measured[:4] if line.rstrip(".") not in one.message)
    yield "    Next: %s" % one.next


def problem(level, cause, message, measured=(), next=None, app=None):
    return Problem(level, cause, app and app["name"], message, tuple(measured), next)


def _of_diagnosis(one, level, **change):
    return Problem(level, one.cause, one.app, one.message, one.evidence, one.mend or one.show)._replace(**change)


def sources(unreadable):
    """[Problem] of what `_source.unreadable` has found on the control node."""
    return [problem(REFUSE, "source_missing", sentence, next=mend) for sentence, mend in unreadable]


def here(case):
    return [app for app in case.apps if app["local"]]


def host(case):
    system = case.get("system", {})
    for wrong, message, mend in (
        (not system.get("debian", True), "The host runs %s, which is not of the Debian family." % system.get("name"),
         "take Debian 12, Ubuntu 22.04 or newer"),
        (not system.get("systemd", True), "The host was not booted with systemd.",
         "boot it with systemd (in a container: /lib/systemd/systemd as its command)"),
        (not system.get("root", True), "Tasks do not run as root.", "write ansible_become: true into the inventory"),
    ):  # fmt: skip
        if wrong:
            yield problem(REFUSE, "host_unfit", message, next=mend)


def ports(case):
    for app in here(case):
        for one in app["services"] + app["green"]:
            strangers = [
                each
                for each in case.listeners(one["port"])
                if each["unit"] != one["name"] and _meet(each["address"], app["listen"])
            ]
            former = app["renamed_from"] and [each for each in strangers if is_of(each["unit"], app["renamed_from"])]
            if former and not app["green"]:
                yield problem(
                    REFUSE,
                    "port_taken",
                    "port %d is held by %s, in whose place %s comes, and with strategy: restart there is no second set of ports beside it."
                    % (one["port"], former[0]["unit"], app["name"]),
                    ["%s:%d: %s" % (each["address"], one["port"], _described(each)) for each in former],
                    "give %s another port; or, with a gap until it is up: systemctl stop %s"
                    % (app["name"], " ".join(sorted({each["unit"] for each in former}))),
                    app,
                )
            elif strangers and strangers != former:
                yield _taken(strangers, one["port"], "belongs to %s" % one["name"], app)
    for port in sorted({port for site in case.sites for port in (site["port"], site["http_port"]) if port}):
        strangers = [
            each
            for each in case.listeners(port)
            if each["unit"] != "nginx.service" and each["exe"].rpartition("/")[2] != "nginx"
        ]
        if strangers:
            yield _taken(strangers, port, "is nginx's")


def is_of(unit, app):
    """Whether a unit is an instance of the app."""
    return (unit or "").startswith(app + "@")


def _meet(address, other):
    """Whether sockets on one port can't have these addresses at once."""
    return address == other or bool(WILDCARDS.intersection((address, other)))


def _taken(strangers, port, whose, app=None):
    first = strangers[0]
    return problem(
        REFUSE,
        "port_taken",
        "port %d is held by %s, and %s." % (port, _described(first), whose),
        ["%s:%d: %s" % (one["address"], port, _described(one)) for one in strangers],
        "%s   # or give it another port in the model" % end_of(first),
        app,
    )


def _described(listener):
    return describe(Holder(listener["pid"], listener["exe"], listener["user"], listener["unit"]))


def units(case):
    for app in here(case):
        theirs = [
            (one["name"], case.unit(one["name"]))
            for one in app["services"] + app["green"]
            if (case.unit(one["name"]) or {}).get("files") and not case.unit(one["name"])["ours"]
        ]
        if theirs:
            name, path = theirs[0][0], theirs[0][1]["files"][0]
            yield problem(
                REFUSE,
                "unit_conflict",
                "%s is a unit that no deploy has made (%s), and a deploy would put its own in its place."
                % (name, path),
                ["%s: %s, %s" % (each, state["files"][0], state["active"]) for each, state in theirs],
                "systemctl disable --now %s && mv %s /root/" % (name, path),
                app,
            )
        beside = case.unit(app["name"] + ".service") if app["services"] else None
        if beside and beside["files"] and (beside["active"] == "active" or beside["enabled"] == "enabled"):
            yield problem(
                WARN,
                "unit_conflict",
                "%s.service is a unit of the same name, made by hand: will it run beside what is deployed?"
                % app["name"],
                ["%s: %s, %s" % (beside["files"][0], beside["active"], beside["enabled"])],
                "systemctl disable --now %s.service   # when the deploy is to take its place" % app["name"],
                app,
            )


def accounts(case):
    for app in here(case):
        for user, wanted in zip(app["users"], (RUNS % app["users"][0], BUILDS % app["name"]) if app["users"] else ()):
            found = case.get("accounts", {}).get(user)
            conflict = found and user_conflict(user, app["name"], wanted, found["comment"], found["group"])
            if conflict:
                told = "its comment is %r, and not %r" % (found["comment"], wanted) if found["comment"] else "a group"
                yield _conflict("user_conflict", conflict, "%s: %s" % (user, told), app)


def folders(case):
    for app in here(case):
        for path in app["own_folders"]:
            whose = case.get("foreign", {}).get(path)
            if whose:
                yield _conflict(
                    "path_conflict", folder_conflict(path, app["users"][0], whose), "%s: %s" % (path, whose), app
                )
    # Of an app's user, whose code is others' too. Somebody who has the host in his care may do more than that.
    users = {user for app in case.apps for user in app["users"]} | {SEVERAL_USERS}
    for folder, (above, who) in sorted(case.get("replaceable", {}).items()):
        if who not in users:
            continue
        yield problem(
            WARN,
            "folder_replaceable",
            "%s is served, and %s may put a link to another folder in its place: all that nginx can read would be served."
            % (folder, who),
            ["%s is not root's alone" % above],
            "chown root: %s && chmod go-w %s   # what is to be written goes below the served folder" % (above, above),
        )


def _conflict(cause, conflict, measured, app):
    why, what_to_do = conflict
    return problem(REFUSE, cause, why[0].upper() + why[1:] + ".", [measured], what_to_do, app)


def kernel(case):
    """What the host's kernel, or its systemd, does not keep apart."""
    if case.get("system", {}).get("hard_links") == "0":
        yield problem(
            WARN,
            "hard_links",
            "A user may link to files that are not its own, and have them served or archived in its place.",
            ["fs.protected_hardlinks is 0"],
            "echo fs.protected_hardlinks=1 > /etc/sysctl.d/60-hardlinks.conf && sysctl --system",
        )
    closed = [app for app in here(case) if app["services"] and not app["allow_network"]]
    if case.get("filtered") is False:
        for app in closed:
            yield problem(
                WARN,
                "network_open",
                "%s says sandbox.allow_network: false, and can reach every address all the same." % app["name"],
                ["a unit with IPAddressDeny=any sent a datagram: its systemd has no cgroup v2, or no BPF"],
                "add systemd.unified_cgroup_hierarchy=1 to the kernel's command line and reboot; or close it by the firewall",
                app,
            )


def paths(case):
    for app in here(case):
        found = case.get("paths", {}).get(app["name"])
        if not found or (found["folder"] and found["ours"] and found["link"]):
            continue
        root = app["root"]
        if not found["folder"]:
            message, mend = "%s is a file, and releases go there." % root, "mv %s %s.old" % (root, root)
        elif not found["ours"]:
            message = "%s holds what no deploy has put there, and a deploy would take it over." % root
            mend = "mv %s %s.old   # what is needed of it goes into the source, or into %s" % (
                root,
                root,
                app["state_dir"],
            )
        else:
            message = "%s/current is a folder, and has to be a link to a release." % root
            mend = "mv %s/current %s/current.old" % (root, root)
        yield problem(
            REFUSE, "path_conflict", message, ["%s: %s" % (root, ", ".join(found["holds"]) or "a file")], mend, app
        )


def hand_made_sites(case):
    servers = case.nginx.get("servers") or []
    if any(server["file"].startswith(SET) for server in servers):
        told = case.nginx.get("shadows", [])
    else:
        names = {name for site in case.sites for name in site["names"]}
        told = [
            "%s has the name %s, which the model serves: nginx will never ask it." % (server["file"], name)
            for server in servers
            for name in server["names"]
            if name.lower() in names
        ]
    if told:
        yield problem(
            WARN,
            "site_shadowed",
            told[0] + (" (And %d more.)" % (len(told) - 1) if len(told) > 1 else ""),
            told,
            "nginx -T | grep -n 'configuration file\\|server_name'   # then take the hand-made site out, or its name out of the model",
        )


def databases(case):
    for one in case.get("databases", []):
        app = case.app(one["app"])
        place = "%s of %s (%s at %s)" % (one["name"], app["name"], one["kind"], one["where"])
        logged_in = "as %s to %s" % (one["user"] or "nobody", one["database"] or "no database")
        measured = [one["told"]]
        host_name, _colon, port = one["where"].rpartition(":")
        by_port = WELL_KNOWN.get(int(port)) if port.isdigit() else None
        local = host_name in ("localhost", "127.0.0.1", "[::1]", "")
        # Without a driver, as before the first deploy, the greeting is all that can be known; of a socket not even that.
        if one["ok"] or one["cause"] == "no_driver":
            continue
        if one["cause"] in ("login_refused", "no_database"):
            yield problem(
                REFUSE,
                "database_refuses",
                "%s refuses the login %s: %s." % (place, logged_in, one["told"].rstrip(".")),
                measured,
                "correct webapp_apps[%s].env.%s, or the user and its rights in the database"
                % (app["name"], one["name"]),
                app,
            )
        elif one["how"] == "greeting":
            yield problem(
                REFUSE,
                "dependency_down",
                "%s does not answer: %s." % (place, one["cause"]),
                measured,
                "systemctl start %s" % by_port
                if local and by_port
                else "nc -vz %s %s   # on the host" % (host_name, port),
                app,
            )
        elif one["cause"] == "login_unsure":
            yield problem(
                WARN,
                "database_unsure",
                "%s refuses the login %s, of which its URL leaves out the password or the host: %s."
                % (place, logged_in, one["told"].rstrip(".")),
                measured,
                "see that the app may have what it lacks from elsewhere (.pgpass, PGPASSWORD, PGHOST)",
                app,
            )
        else:
            yield problem(
                WARN,
                "database_unsure",
                "A login %s at %s failed, and not for its user or password: %s."
                % (logged_in, place, one["told"].rstrip(".")),
                measured,
                "see that the app's own settings (TLS, socket) are what the database wants",
                app,
            )
    for one in case.probes(kind="requires", ok=False):
        name, port = one["url"].rpartition(":")[::2]
        if any(_starts(app, one["url"]) for app in here(case)):
            continue
        if any(each["where"] == one["url"] and not each["ok"] for each in case.get("databases", [])):
            continue
        yield problem(
            REFUSE,
            "dependency_down",
            "%s requires %s, and it does not answer: %s." % (one["app"], one["url"], one["cause"]),
            [one["message"]],
            "systemctl start %s" % WELL_KNOWN[one["port"]]
            if one["port"] in WELL_KNOWN and name in ("localhost", "127.0.0.1")
            else "nc -vz %s %s   # on the host" % (name, port),
            case.app(one["app"]),
        )


def _starts(app, address):
    """Whether a deploy starts what listens there: an instance of the app, on this host or on another of its own."""
    host, _colon, port = address.rpartition(":")
    services = [one for one in app["services"] + app["green"] if one["port"] == int(port)]
    return bool(services) and (is_local(host) or host == app["listen"] or address in app["upstream"])


def programs(case):
    for app in here(case):
        name = app["interpreter"]
        if not name or name not in case.get("programs", {}):
            continue
        version = case.get("programs")[name]
        least = app.get("least_python") or OLDEST_PYTHON
        if version is None:
            # The deploy installs what is called python3, and the packages of the app.
            base = name.rpartition("/")[2]
            if name != "python3" and not any(package.startswith(base) for package in app.get("packages", [])):
                yield problem(
                    REFUSE,
                    "program_missing",
                    "The model runs %s by %s, and the host has no such program." % (app["name"], name),
                    ["%s --version: not found" % name],
                    "apt-get install %s-venv   # or name another in webapp_apps[%s].uvicorn.python"
                    % (base, app["name"]),
                    app,
                )
        elif version < least:
            yield problem(
                REFUSE,
                "program_missing",
                "%s of the host is Python %s, and %s needs %s." % (name, _dotted(version), app["name"], _dotted(least)),
                ["%s --version: %s" % (name, _dotted(version))],
                "name a newer one in webapp_apps[%s].uvicorn.python, as in python: python%s"
                % (app["name"], _dotted(least[:2])),
                app,
            )
    node, wanted = case.evidence["node"], case.evidence["node_version"]
    version = case.get("programs", {}).get(node)
    for app in here(case):
        least = app.get("least_node")
        if version and app["runtime"] in ("pm2", "static") and least and version < least and not wanted:
            yield problem(
                REFUSE,
                "program_missing",
                "Node of the host is %s, and the package of %s needs %s (engines)."
                % (_dotted(version), app["name"], _dotted(least)),
                ["%s --version: %s" % (node, _dotted(version))],
                "set webapp_node_version, as in webapp_node_version: 22.12.0",
                app,
            )
    if version and wanted and _dotted(version) != wanted:
        yield problem(
            REFUSE,
            "program_missing",
            "%s is Node %s, and webapp_node_version asks for %s." % (node, _dotted(version), wanted),
            ["%s --version: %s" % (node, _dotted(version))],
            "rm -r %s   # the next deploy installs it anew" % node.rpartition("/bin/")[0],
        )


def _dotted(version):
    return ".".join(map(str, version))


def disks(case):
    told = set()
    for one in _rules_host.disks(case):
        told.add((one.cause, one.evidence[0].partition(":")[0]))
        yield _of_diagnosis(one, REFUSE)
    builds = {place: app for app in here(case) if app["root"] for place in [_place(case, app["root"])]}
    for disk in case.get("disks", []):
        path = disk["path"]
        measured = [
            "%s: %s of %s free, %d of %d inodes free"
            % (path, size_words(disk["free"]), size_words(disk["size"]), disk["inodes_free"], disk["inodes"])
        ]
        room = (
            "df -h -i %s   # then make room: journalctl --vacuum-size=200M, apt-get clean, a smaller keep_releases"
            % path
        )
        app = builds.get(path)
        for cause, free, whole, least, words in (
            ("disk_full", disk["free"], disk["size"], LEAST_SPACE, "%s are free" % size_words(disk["free"])),
            (
                "inodes_full",
                disk["inodes_free"],
                disk["inodes"],
                LEAST_FILES,
                "%d inodes are free" % disk["inodes_free"],
            ),
        ):
            if (cause, path) in told or not whole:
                continue
            if app and free < least:
                message = "On the disk of %s %s, and a build may take more." % (app["root"], words)
                yield problem(REFUSE, cause, message, measured, room, app)
            elif free < min(whole * LOW, 10 * least) and path != "/run":
                yield problem(WARN, "disk_low", "On the disk of %s only %s." % (path, words), measured, room)


def _place(case, root):
    """The path by which the evidence names the disk that holds, or will hold, this folder."""
    for place in (root, "/srv", "/"):
        for disk in case.get("disks", []):
            if place in disk["places"]:
                return disk["path"]
    return None


def memory(case):
    """A second set of instances takes what the first has, or may have."""
    found = case.get("memory", {})
    room = found.get("available", 0) + found.get("swap", 0)
    for app in here(case):
        if not app["green"] or not room:
            continue
        live = [found["limits"].get(one["name"]) or {} for one in case.live(app)]
        used = [each["used"] - each["cache"] for each in live if each.get("used") is not None]
        most = size(app["memory_max"], found["total"]) if app["memory_max"] else None
        if used:
            need, how = sum(used), "the %d that serve use %s" % (len(used), size_words(sum(used)))
        elif most:
            need, how = most * len(app["services"]), "%d of memory_max %s" % (len(app["services"]), app["memory_max"])
        else:
            continue
        if need > room:
            yield problem(
                REFUSE if used else WARN,
                "memory_low",
                "%s of memory are free, and a second set of %s, beside the one that serves, takes %s."
                % (size_words(room), app["name"], size_words(need)),
                [how, "available: %s, swap: %s" % (size_words(found["available"]), size_words(found["swap"]))],
                "set strategy: restart in webapp_apps[%s], or fewer instances, or give the host more memory"
                % app["name"],
                app,
            )


def size(text, total):
    """Bytes of a size as systemd writes it (512M, 50%)."""
    number, unit = re.match(r"(\d+)(\D?)", text).groups()
    return (
        int(number) * total // 100 if unit == "%" else int(number) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[unit]
    )


def clock(case):
    wrong = [_of_diagnosis(one, REFUSE) for one in _rules_host.clock(case)]
    ahead, kept = case.get("ahead", 0), case.get("clock", {}).get("synchronized")
    keepers = [
        name
        for name in ("systemd-timesyncd", "chrony", "ntpsec")
        if (case.unit(name + ".service") or {}).get("active") == "active"
    ]
    measured = [
        "difference from the control node: %+.1f s" % ahead,
        "synchronised: %s, kept by %s"
        % ({True: "yes", False: "no", None: "not known"}[kept], ", ".join(keepers) or "nobody"),
    ]
    yield from wrong
    if not wrong and abs(ahead) > SKEW:
        message = "The host's clock is %s %s that of the control node." % (
            span_words(abs(ahead)),
            "ahead of" if ahead > 0 else "behind",
        )
        yield problem(WARN, "clock_wrong", message, measured, "timedatectl   # on both")
    # A container has the clock of its machine.
    if kept is False and not case.get("system", {}).get("container", True):
        mend = (
            "timedatectl set-ntp true"
            if not keepers
            else "journalctl -u %s -n 20   # it reaches no server" % keepers[0]
        )
        yield problem(WARN, "clock_alone", "The host's clock is not synchronised.", measured, mend)


def names(case):
    balancers = set(case.get("outside", {}).get("balancers", []))
    for one in _rules_way.names(case):
        name = one.message.split()[0]
        found = set(case.outside()["names"].get(name, []))
        if one.cause == "dns_wrong" and found & balancers:
            continue
        change = {}
        if one.cause == "dns_wrong":
            change["next"] = "%s; if one does, say so: preflight_load_balancers: [%s]" % (one.mend, sorted(found)[0])
        # Without its name no CA issues a certificate. All else works already, and may wait for DNS.
        without = [site for site in case.sites if site["acme"] and site["name"] not in case.get("certified", [])]
        needs = any(name in site["names"] for site in without)
        yield _of_diagnosis(one, REFUSE if one.cause == "dns_missing" and needs else WARN, **change)

    for name, why in case.outside().get("unanswered", {}).items():
        if not _rules_way.RESERVED.search(name):
            message = "Whether %s is in DNS is not known: the control node got no answer." % name
            yield problem(WARN, "not_measured", message, [why], "getent ahosts %s   # on the control node" % name)


def firewall(case):
    found = case.get("ufw")
    others = [name for name in ("firewalld",) if (case.unit(name + ".service") or {}).get("active") == "active"]
    if others:
        yield problem(
            WARN,
            "other_firewall",
            "%s keeps the packet filter, and UFW would write into it too." % others[0],
            ["%s.service is active" % others[0]],
            "systemctl disable --now %s   # or leave UFW out: --skip-tags ufw" % others[0],
        )
    if not found or found["incoming"] == "allow" or (not found["enabled"] and not found["rules"]):
        return
    ssh = sorted({one["port"] for one in case.get("listeners", []) if one["unit"] in ("ssh.service", "ssh.socket")})
    closed = [port for port in ssh if not any(_lets(part, port) for part in found["ports"])]
    if closed:
        yield problem(
            WARN,
            "ssh_closed",
            "UFW is %s, and none of its rules lets SSH in (port %s)."
            % ("active" if found["enabled"] else "off, but has rules", ", ".join(map(str, closed))),
            ["rules let in: %s" % (", ".join(found["ports"]) or "nothing")],
            "ufw allow %d/tcp   # before anybody types ufw enable; a deploy does so by itself" % closed[0],
        )


def _lets(part, port):
    """Whether a port of a rule, as UFW writes it (22, 6000:6007, any), is this one too."""
    first, _colon, last = part.partition(":")
    return part == "any" or int(first) <= port <= int(last or first)


def reboots(case):
    found = case.get("reboot", {})
    left = (found.get("scheduled") or 0) - case.evidence["now"]
    # One that was called off, or is over, may have left its file.
    if left >= 0:
        yield problem(
            REFUSE if left <= DEPLOYING else WARN,
            "reboot_scheduled",
            "The host goes down in %s." % span_words(left),
            ["/run/systemd/shutdown/scheduled"],
            "shutdown -c   # or deploy when it is back",
        )
    if found.get("required"):
        yield problem(
            WARN,
            "reboot_required",
            "The host waits for a reboot%s."
            % (", for %s" % ", ".join(found["packages"][:4]) if found["packages"] else ""),
            ["/run/reboot-required is there"],
            "reboot   # at a time of your choice: every app is down meanwhile",
        )


def unanswered(case):
    for name, why in sorted(case.get("unanswered", {}).items()):
        words = name.partition("/")[0]
        yield problem(
            WARN,
            "not_measured",
            "Not measured: %s." % words,
            [why],
            "raise preflight_timeout, or see why the host is so slow",
        )


RULES = (
    host, ports, units, accounts, folders, paths, databases, programs, disks, memory, clock, names, hand_made_sites, firewall, kernel,
    reboots, unanswered,
)  # fmt: skip
