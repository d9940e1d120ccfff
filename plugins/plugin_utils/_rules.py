# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What each cause looks like in the evidence: one rule for each family, from the resources up to the name. Pure."""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections import namedtuple

from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import is_loopback, scope
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_blocks import location_for, server_for
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._checks import is_local

Finding = namedtuple("Finding", "cause link effect app site confidence message evidence show mend")

DEPLOY = "ansible-playbook gatehouse.webapp.site   # on the control node"
DAY = 86400
EXPIRES_SOON = 14 * DAY
CLOCK = 30
# A port, and what mostly listens there.
WELL_KNOWN = {3306: "mariadb", 5432: "postgresql", 6379: "redis-server", 27017: "mongod", 5672: "rabbitmq-server"}
# Names that nobody can put into DNS (RFC 2606, RFC 6761, RFC 6762): what a test or a private network uses.
RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.com|\.net|\.org)?|test|localhost|local|internal|home\.arpa|lan)$")

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
NOT_YET, EXPIRED, SELF_SIGNED, NO_ISSUER, WRONG_NAME = (9,), (10,), (18, 19), (2, 20, 21), (62, 64)

REFUSED_LOGIN = re.compile(
    r"Access denied for user|password authentication failed|authentication failed for user|WRONGPASS|NOAUTH|\b28P01\b"
    r"|\(1045,|ER_ACCESS_DENIED_ERROR|SCRAM authentication|bad auth|Authentication failed\b",
    re.I,
)
NO_SPACE = re.compile(r"No space left on device|\bENOSPC\b|database or disk is full|Disk quota exceeded", re.I)
NO_FILES = re.compile(r"Too many open files|\bEMFILE\b|worker_connections are not enough", re.I)
IN_USE = re.compile(r"address already in use|\bEADDRINUSE\b", re.I)
NO_VARIABLE = re.compile(
    r"KeyError: '([A-Z][A-Z0-9_]+)'"
    r"|\b([A-Z][A-Z0-9_]{2,})\b[^.]{0,40}\b(?:is not set|not set|is missing|is required|must be set|is not defined|undefined)\b"
    r"|[Mm]issing (?:required )?(?:environment )?variable:? ['\"]?([A-Z][A-Z0-9_]+)"
)
EXCEPTION = re.compile(
    r"^\s*(?:\w+\.)*\w*(?:Error|Exception|Exit|Interrupt)\b(?::.*)?$|^ERROR:|^Error:|\bpanic:|Segmentation fault"
)


def finding(cause, link, effect, message, app=None, site=None, confidence=90, evidence=(), show="", mend=DEPLOY):
    return Finding(
        cause,
        link,
        effect,
        app and app["name"],
        site and site["name"],
        confidence,
        message,
        tuple(evidence),
        show,
        mend,
    )


class Case:
    """The evidence of one host, as the rules ask it."""

    def __init__(self, asked, evidence):
        self.apps = asked["apps"]
        self.sites = asked["sites"]
        self.evidence = evidence

    def app(self, name):
        return next(app for app in self.apps if app["name"] == name)

    def get(self, name, default=None):
        found = self.evidence.get(name)
        return default if found is None else found

    def about(self, app):
        return next((one for one in self.get("apps", []) if one["name"] == app["name"]), {})

    def live(self, app):
        return self.about(app).get("live") or []

    def unit(self, name):
        return self.get("units", {}).get(name)

    def processes(self, unit):
        return [one for one in self.get("processes", []) if unit and one["unit"] == unit]

    def listeners(self, port):
        return [one for one in self.get("listeners", []) if one["port"] == port]

    def probes(self, **about):
        return [one for one in self.get("probes", []) if all(one[key] == value for key, value in about.items())]

    def direct(self, app, port=None):
        found = self.probes(app=app["name"], via="direct", kind="health")
        return [one for one in found if port in (None, one["port"])]

    def sick(self, app):
        return any(not probe["ok"] for probe in self.direct(app))

    def dead(self, app):
        """Whether no instance is well."""
        found = self.direct(app)
        return bool(found) and not any(probe["ok"] for probe in found)

    def refused(self, app):
        """Whether requests through nginx fail, though the app is well."""
        return not self.sick(app) and any(
            not probe["ok"] for probe in self.probes(app=app["name"], via="nginx", kind="health")
        )

    def journal(self, app):
        return [line for one in self.live(app) for line in self.get("journal", {}).get(one["name"], [])]

    def said(self, app, pattern):
        """The app's last lines that match, in its journal and in its answers."""
        lines = self.journal(app) + [probe["excerpt"] for probe in self.direct(app) if probe["excerpt"]]
        return list(dict.fromkeys(line for line in lines if pattern.search(line)))[-3:]

    @property
    def nginx(self):
        return self.get("nginx", {})

    def outside(self):
        return self.get("outside", {})

    def routes(self, app):
        """(site, ask) for each site that leads to the app."""
        return [(site, ask) for site in self.sites for ask in site["asks"] if ask["app"] == app["name"]]

    def seen(self, link, site, app):
        """(whether the link holds, what was seen there); None for what can't be told."""
        return SEEN[link](self, site, app)


# --- Resources ---------------------------------------------------------------------------------------------------


def disks(case):
    for disk in case.get("disks", []):
        place, size = disk["path"], disk["size"]
        if disk["read_only"] and place in ("/", "/var", "/srv") and size:
            yield finding(
                "read_only",
                "resources",
                "outage",
                "The file system of %s is read-only." % place,
                evidence=["%s: mounted read-only" % place],
                show="findmnt -T %s; journalctl -k -b | grep -i remount" % place,
                mend="check the disk, then: mount -o remount,rw %s" % place,
            )
        full = size and disk["free"] < min(size // 100, 50 << 20)
        no_inodes = disk["inodes"] and disk["inodes_free"] < max(1, disk["inodes"] // 200)
        told = "%s: %s of %s free, %d of %d inodes free" % (
            place,
            _size(disk["free"]),
            _size(size),
            disk["inodes_free"],
            disk["inodes"],
        )
        for cause, here in (("disk_full", full), ("inodes_full", no_inodes)):
            if not here:
                continue
            apps = [app for app in case.apps if app["local"] and case.sick(app)]
            evidence = [told] + [line for app in apps for line in case.said(app, NO_SPACE)]
            inodes = cause == "inodes_full"
            yield finding(
                cause,
                "resources",
                "outage" if apps else "risk",
                "%s on %s." % ("No inode is left" if inodes else "No space is left", place),
                confidence=97,
                evidence=evidence,
                show="df %s %s; du %s -x -d 2 %s | sort -n | tail"
                % ("-i" if inodes else "-h", place, "--inodes" if inodes else "-m", place),
                mend="make room, as with journalctl --vacuum-size=200M, apt-get clean, and a smaller keep_releases",
            )


def _size(count):
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return "%d %s" % (count, unit)
        count /= 1024.0
    return "%.1f TB" % count


def memory(case):
    kills = case.get("memory", {}).get("kills", [])
    limits = case.get("memory", {}).get("limits", {})
    for app in case.apps:
        for one in case.live(app):
            unit = case.unit(one["name"])
            if not unit:
                continue
            counted = (limits.get(one["name"]) or {}).get("kills", 0)
            lines = [line for line in kills if one["name"] in line.replace("\\x2d", "-").replace("\\x40", "@")]
            by_signal = (
                unit["exit_code"] in (2, 3)
                and unit["exit_status"] == 9
                and unit["result"] not in ("success", "timeout")
            )
            limited = bool(app["memory_max"]) and by_signal
            sure = unit["result"] == "oom-kill" or counted or lines
            if not (sure or limited):
                continue
            evidence = ["%s: %s, restarted %d times" % (one["name"], unit["exit"], unit["restarts"])] + lines
            if app["memory_max"]:
                evidence.append("memory_max of %s is %s" % (app["name"], app["memory_max"]))
            if counted:
                evidence.append("the unit's control group counts %d kills for want of memory" % counted)
            yield finding(
                "out_of_memory",
                "resources",
                "outage" if case.sick(app) or unit["active"] != "active" else "degraded",
                "%s was killed for want of memory." % one["name"],
                app,
                confidence=95 if sure else 75,
                evidence=evidence,
                show="journalctl -k -b | grep -i 'out of memory'; systemctl show -p MemoryMax,MemoryCurrent %s"
                % one["name"],
                mend="raise memory_max of %s, or find what takes the memory; then: %s" % (app["name"], DEPLOY),
            )


def open_files(case):
    for app in case.apps:
        lines = case.said(app, NO_FILES) if case.sick(app) else []
        near = [
            "pid %d of %s has %d of %d files open" % (one["pid"], one["unit"], one["files"], one["files_max"])
            for each in case.live(app)
            for one in case.processes(each["name"])
            if one["files"] and one["files_max"] and one["files"] >= one["files_max"] * 0.95
        ]
        if lines or near:
            unit = (case.live(app) or [{"name": app["name"]}])[0]["name"]
            yield finding(
                "open_files",
                "resources",
                "outage" if case.sick(app) else "risk",
                "%s has as many files and connections open as it may." % app["name"],
                app,
                confidence=95 if near else 88,
                evidence=near + lines,
                show="ls /proc/$(systemctl show -P MainPID %s)/fd | wc -l; systemctl show -p LimitNOFILE %s"
                % (unit, unit),
                mend="systemctl restart %s   # then find what it does not close, or raise LimitNOFILE" % unit,
            )
    lines = [line for line in case.nginx.get("errors", []) if NO_FILES.search(line)]
    if lines:
        yield finding(
            "open_files",
            "resources",
            "degraded",
            "nginx has as many files and connections open as it may.",
            evidence=lines[-3:],
            show="tail /var/log/nginx/error.log",
            mend="raise nginx_proxy_worker_connections, then: " + DEPLOY,
        )


def clock(case):
    ahead = case.evidence.get("ahead")
    if ahead is not None and abs(ahead) > CLOCK:
        yield finding(
            "clock_wrong",
            "resources",
            "degraded",
            "The host's clock is %s %s that of the control node."
            % (_span(abs(ahead)), "ahead of" if ahead > 0 else "behind"),
            confidence=85,
            evidence=[
                "difference: %+.1f s" % ahead,
                "synchronised: %s"
                % {True: "yes", False: "no", None: "not known"}[case.get("clock", {}).get("synchronized")],
            ],
            show="timedatectl; date -u   # on both",
            mend="timedatectl set-ntp true   # or repair the one of the two that is wrong",
        )


def _span(seconds):
    for size, word in ((DAY, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return "%d %s" % (seconds / size, word)
    return "%d seconds" % seconds


# --- Dependencies ------------------------------------------------------------------------------------------------


def dependencies(case):
    for app in case.apps:
        for probe in case.probes(app=app["name"], kind="requires", ok=False):
            host, _colon, _port = probe["url"].rpartition(":")
            service = WELL_KNOWN.get(probe["port"])
            here = is_local(host)
            yield finding(
                "dependency_down",
                "dependencies",
                "outage" if case.sick(app) else "risk",
                "%s needs %s%s, and it does not answer: %s."
                % (app["name"], probe["url"], " (%s)" % service if service else "", probe["cause"]),
                app,
                confidence=96,
                evidence=[probe["message"]] + [one["message"] for one in case.direct(app) if not one["ok"]][:1],
                show="ss -ltnp 'sport = :%d'" % probe["port"] if here else "nc -vz %s %d" % (host, probe["port"]),
                mend="systemctl start %s" % service if service and here else "start what listens on %s" % probe["url"],
            )
        lines = case.said(app, REFUSED_LOGIN) if case.sick(app) else []
        if lines:
            yield finding(
                "database_refuses",
                "dependencies",
                "outage",
                "The database refuses the user or password of %s." % app["name"],
                app,
                confidence=93,
                evidence=lines,
                show="journalctl -u '%s@*' -n 50" % app["name"],
                mend="correct the password in webapp_apps (env), or in the database; then: " + DEPLOY,
            )


# --- The app -----------------------------------------------------------------------------------------------------


def environment(case):
    for app in case.apps:
        if not app["local"] or not app["services"]:
            continue
        told = case.about(app).get("environment") or {}
        unit = (case.live(app) or [{"name": app["name"]}])[0]["name"]
        common = dict(
            show="systemctl show -p EnvironmentFiles %s; grep -c . %s/current/env" % (unit, app["root"]),
            mend="set it in webapp_apps[%s].env, then: %s" % (app["name"], DEPLOY),
        )
        named = set()
        for name in app["required_env"]:
            states = [told[name]] if name in told else ["missing"] if told else []
            for each in case.live(app):
                # A process's own is what it runs with, and nothing but what it was started with.
                states += [
                    one["environment"].get(name, "missing")
                    for one in case.processes(each["name"])
                    if one["environment"]
                ][:1]
            worst = "missing" if "missing" in states else "empty" if "empty" in states else None
            if worst:
                named.add(name)
                yield finding(
                    "env_" + worst,
                    "health",
                    "outage" if case.sick(app) else "risk",
                    "%s is %s in the environment of %s, which requires it." % (name, worst, app["name"]),
                    app,
                    confidence=94,
                    evidence=["%s/current/env: %s" % (app["root"], told.get(name, "missing"))]
                    + case.said(app, re.compile(re.escape(name))),
                    **common,
                )
        if case.sick(app):
            for line in case.said(app, NO_VARIABLE):
                name = next(group for group in NO_VARIABLE.search(line).groups() if group)
                if name not in named and told.get(name) != "set":
                    named.add(name)
                    yield finding(
                        "env_" + ("empty" if told.get(name) == "empty" else "missing"),
                        "health",
                        "outage",
                        "%s does without %s, and can't." % (app["name"], name),
                        app,
                        confidence=88,
                        evidence=[line],
                        **common,
                    )


def build(case):
    for app in case.apps:
        found = case.about(app).get("build_id")
        said = case.said(app, re.compile(r"Could not find a production build|BUILD_ID")) if case.sick(app) else []
        if (found and not found["there"]) or said:
            yield finding(
                "build_id_missing",
                "health",
                "outage" if case.sick(app) else "risk",
                "%s has no production build: .next/BUILD_ID is missing." % app["name"],
                app,
                confidence=96,
                evidence=(["%s is not there" % found["path"]] if found else []) + said,
                show="ls -l %s" % (found["path"] if found else app["root"] + "/current"),
                mend="put `npm run build` into webapp_apps[%s].build, then: %s" % (app["name"], DEPLOY),
            )


def answers(case):
    """What the app's own answers tell: hung, or not well."""
    for app in case.apps:
        if not app["local"]:
            continue
        for probe in case.direct(app):
            processes = case.processes(probe["unit"])
            name = probe["unit"] or app["name"]
            stopped = [one for one in processes if one["state"] in "Tt"]
            if not probe["unit"]:
                pids = [one["pid"] for one in case.listeners(probe["port"])]
                stopped = [one for one in case.get("processes", []) if one["pid"] in pids and one["state"] in "Tt"]
            if stopped:
                pids = " ".join(str(one["pid"]) for one in stopped)
                child = stopped[0]["kind"] == "pm2 child"
                yield finding(
                    "pm2_child_stopped" if child else "process_stopped",
                    "unit" if child else "listener",
                    "outage" if not probe["ok"] else "degraded",
                    "%s is stopped by a signal (SIGSTOP)%s: process %s."
                    % (name, ", and PM2 still says online" if child else ", and its unit still says active", pids),
                    app,
                    confidence=97,
                    evidence=["pid %d: state %s, %s" % (one["pid"], one["state"], one["title"]) for one in stopped]
                    + [probe["message"]],
                    show="ps -o pid,stat,etime,cmd -p %s" % pids.replace(" ", ","),
                    mend="kill -CONT %s   # or: systemctl restart %s" % (pids, name),
                )
            if probe["ok"]:
                continue
            if probe["cause"] in ("timed_out", "reset"):
                waits = [one for one in processes if one["state"] == "D"]
                yield finding(
                    "hung",
                    "health",
                    "outage",
                    "%s accepts connections on port %d and %s."
                    % (name, probe["port"], "does not answer" if probe["cause"] == "timed_out" else "cuts them"),
                    app,
                    confidence=70,
                    evidence=[probe["message"]] + ["pid %d waits for a disk (state D)" % one["pid"] for one in waits],
                    show="curl -sim 5 %s; ps -o pid,stat,wchan:20,cmd -C python3,node" % probe["url"],
                    mend="systemctl restart %s" % name
                    if probe["unit"]
                    else "restart what listens on port %d" % probe["port"],
                )
            elif probe["cause"] in ("bad_status", "bad_body", "not_http"):
                yield finding(
                    "unhealthy",
                    "health",
                    "outage",
                    "%s answers on port %d that it is not well: %s" % (name, probe["port"], probe["message"]),
                    app,
                    confidence=60,
                    evidence=[probe["message"]]
                    + ([probe["excerpt"]] if probe["excerpt"] else [])
                    + _last(case, probe["unit"]),
                    show="curl -si %s" % probe["url"],
                    mend="journalctl -u %s -n 50   # the app says why" % name
                    if probe["unit"]
                    else "look into the app's own log",
                )
        for probe in case.probes(app=app["name"], via="direct", kind="websocket", ok=False):
            if not case.sick(app):
                yield finding(
                    "websocket_refused",
                    "health",
                    "degraded",
                    "%s is healthy, and refuses the WebSocket %s." % (app["name"], app["websocket"]),
                    app,
                    confidence=75,
                    evidence=[probe["message"]],
                    show="journalctl -u '%s@*' -n 50" % app["name"],
                    mend="has the app a WebSocket at that path, and its server a WebSocket library (websockets, ws)?",
                )


def _last(case, unit, count=3):
    return case.get("journal", {}).get(unit, [])[-count:]


def units(case):
    for app in case.apps:
        for one in case.live(app):
            unit = case.unit(one["name"])
            if not unit:
                continue
            name = one["name"]
            common = dict(show="systemctl status %s; journalctl -u %s -n 50" % (name, name))
            told = ["%s: %s (%s), result %s" % (name, unit["active"], unit["sub"], unit["result"])]
            effect = "outage" if case.dead(app) else "degraded"
            if unit["load"] in ("not-found", "masked", "bad-setting", "error"):
                yield finding(
                    "unit_missing",
                    "unit",
                    effect,
                    "systemd has no unit %s: %s." % (name, unit["load"]),
                    app,
                    confidence=97,
                    evidence=told,
                    **common,
                )
                continue
            looping = unit["sub"] == "auto-restart" or unit["result"] == "start-limit-hit"
            # Once restarted it may just be up, and about to fall again.
            looping = looping or (
                unit["restarts"] > 1 and unit["active"] != "inactive" and not _well(case, app, one["port"])
            )
            if looping:
                why = [line for line in _last(case, name, 40) if EXCEPTION.search(line)][-1:]
                yield finding(
                    "crash_loop",
                    "unit",
                    effect,
                    "%s crashes and is started again, %d times so far%s"
                    % (name, unit["restarts"], ": %s" % why[0].strip() if why else "."),
                    app,
                    confidence=92,
                    evidence=told + ["%s: %s" % (name, unit["exit"])] + (_last(case, name, 6)),
                    mend="mend what the last lines say, then: %s" % DEPLOY,
                    **common,
                )
            elif unit["active"] == "failed":
                yield finding(
                    "service_failed",
                    "unit",
                    effect,
                    "%s has failed: %s." % (name, unit["exit"]),
                    app,
                    confidence=90,
                    evidence=told + _last(case, name, 6),
                    mend="mend what the last lines say, then: systemctl restart %s" % name,
                    **common,
                )
            elif unit["active"] in ("inactive", "deactivating"):
                yield finding(
                    "service_stopped",
                    "unit",
                    effect,
                    "%s is stopped: somebody, or something, stopped it." % name,
                    app,
                    confidence=95,
                    evidence=told + _last(case, name),
                    mend="systemctl start %s" % name,
                    **common,
                )
            if unit["active"] == "active" and unit["enabled"] in ("disabled", "masked"):
                yield finding(
                    "disabled_at_boot",
                    "unit",
                    "risk",
                    "%s runs, and will not start at the next boot: it is %s." % (name, unit["enabled"]),
                    app,
                    confidence=98,
                    evidence=["%s: UnitFileState=%s" % (name, unit["enabled"])],
                    show="systemctl is-enabled %s" % name,
                    mend="systemctl enable %s" % name,
                )
            if unit["stale"]:
                yield finding(
                    "unit_not_reloaded",
                    "unit",
                    "risk",
                    "%s was changed on disk, and systemd has not read it." % name,
                    app,
                    evidence=["%s: NeedDaemonReload=yes" % name] + unit["files"],
                    show="systemctl cat %s" % name,
                    mend="systemctl daemon-reload && systemctl restart %s" % name,
                )


def _well(case, app, port):
    return any(probe["ok"] for probe in case.direct(app, port))


def held(case):
    for app in case.apps:
        lock = case.about(app).get("lock")
        down = [one["name"] for one in case.live(app) if (case.unit(one["name"]) or {}).get("active") == "inactive"]
        if lock and (down or lock["since"] < case.evidence["now"] - 3600):
            minutes = (case.evidence["now"] - lock["since"]) / 60
            yield finding(
                "held_by_deploy",
                "unit",
                "outage" if down else "risk",
                "%s is held by a deploy of %s on %s, for %d minutes."
                % (app["name"], lock["user"], lock["host"], minutes),
                app,
                confidence=96 if down else 70,
                evidence=["/run/gatehouse/deploy/%s.lock: release %s" % (app["name"], lock["release"])]
                + ["%s is stopped" % name for name in down],
                show="cat /run/gatehouse/deploy/%s.lock" % app["name"],
                mend="wait for it; when you know that it has ended: ansible-playbook gatehouse.webapp.site -e webapp_break_lock=true",
            )
        out = case.about(app).get("out") or []
        if out and not lock:
            yield finding(
                "out_of_rotation",
                "upstream",
                "risk",
                "nginx leaves out %s of %s, and no deploy is under way that would put it back."
                % (", ".join(app["rotation"][path] for path in out), app["name"]),
                app,
                confidence=85,
                evidence=["%s is there" % path for path in out],
                show="ls -l %s" % " ".join(out),
                mend=DEPLOY,
            )


def pm2(case):
    for app in case.apps:
        for one in case.live(app):
            own = case.processes(one["name"])
            if not one["name"]:
                pids = [each["pid"] for each in case.listeners(one["port"])]
                own = [each for each in case.get("processes", []) if each["pid"] in pids or each["kind"] == "pm2"]
            daemons = [each for each in own if each["kind"] == "pm2"]
            children = [each for each in own if each["kind"] == "pm2 child"]
            name = one["name"] or app["name"]
            log = [line for each in daemons for line in each.get("pm2_log", [])]
            errored = [line for line in log if re.search(r"too many unstable restarts|errored", line)]
            if children and not daemons:
                yield finding(
                    "pm2_daemon_gone",
                    "unit",
                    "risk" if _well(case, app, one["port"]) else "outage",
                    "The PM2 daemon of %s is gone: nothing watches over its processes." % name,
                    app,
                    confidence=94,
                    evidence=[
                        "pid %d: %s, parent %d" % (each["pid"], each["title"], each["parent"]) for each in children
                    ],
                    show="pgrep -af 'PM2|pm2-runtime'",
                    mend="systemctl restart %s" % name,
                )
            elif daemons and not children and errored and not _well(case, app, one["port"]):
                yield finding(
                    "pm2_errored",
                    "unit",
                    "outage",
                    "PM2 has given %s up: its processes ended too often." % name,
                    app,
                    confidence=95,
                    evidence=errored[-3:] + _last(case, one["name"]),
                    show="journalctl -u %s -n 50" % name,
                    mend="mend what the last lines say, then: systemctl restart %s" % name,
                )


# --- Listeners ---------------------------------------------------------------------------------------------------


def ports(case):
    for app in case.apps:
        for one in case.live(app) if "listeners" in case.evidence else []:
            port, name = one["port"], one["name"]
            bound = case.listeners(port)
            strangers = [each for each in bound if name and each["unit"] != name]
            show = "ss -ltnp 'sport = :%d'" % port
            if strangers and not any(each["unit"] == name for each in bound):
                who = strangers[0]
                yield finding(
                    "port_taken",
                    "listener",
                    "outage",
                    "Port %d of %s is held by a stranger: pid %d (%s, user %s, %s)."
                    % (port, name, who["pid"], who["exe"], who["user"], who["unit"] or "no unit"),
                    app,
                    confidence=98,
                    evidence=["%s:%d is held by pid %d" % (each["address"], port, each["pid"]) for each in strangers]
                    + case.said(app, IN_USE),
                    show=show,
                    mend="stop %s, then: systemctl restart %s" % (who["unit"] or "pid %d" % who["pid"], name),
                )
                continue
            if not bound:
                yield from _unbound(case, app, one, show)
                continue
            for_others = app["apart"] or app["expose"]
            addresses = [each["address"] for each in bound]
            if for_others and scope(addresses) == "loopback":
                yield finding(
                    "loopback_only",
                    "listener",
                    "outage",
                    "%s listens on %s alone, so the proxy on another host does not reach it."
                    % (name or app["name"], ", ".join(sorted(set(addresses)))),
                    app,
                    confidence=97,
                    evidence=["port %d is bound to %s" % (port, address) for address in addresses],
                    show=show,
                    mend="set webapp_apps[%s].listen to the host's address, then: %s" % (app["name"], DEPLOY),
                )


def _unbound(case, app, one, show):
    port, name = one["port"], one["name"]
    strays = [stray for stray in case.get("strays", []) if stray["app"] == app["name"]]
    own = [each for each in case.get("listeners", []) if name and each["unit"] == name]
    well = [stray for stray in strays if stray["ok"] and stray["unit"] == (name or stray["unit"])]
    elsewhere = well[0]["port"] if well else own[0]["port"] if own else None
    if elsewhere:
        yield finding(
            "wrong_port",
            "upstream",
            "outage",
            "%s listens on port %d, and %s expects it on %d."
            % (name or app["name"], elsewhere, "nginx" if case.routes(app) else "the model", port),
            app,
            confidence=96 if well else 88,
            evidence=["port %d: nothing listens" % port]
            + ["port %d: %s" % (elsewhere, well[0]["message"] if well else "bound by %s" % name)],
            show="ss -ltnp | grep -E ':(%d|%d) '" % (port, elsewhere),
            mend="let the app listen on $PORT, or say port: %d in webapp_apps[%s]; then: %s"
            % (elsewhere, app["name"], DEPLOY),
        )
        return
    unit = case.unit(name) if name else None
    if name is None or (unit and unit["active"] == "active"):
        yield finding(
            "not_listening",
            "listener",
            "outage" if case.dead(app) else "degraded",
            "%s opens no port: nothing listens on %d." % (name, port)
            if name
            else "Nothing listens on port %d, where %s should." % (port, app["name"]),
            app,
            confidence=65 if name else 90,
            evidence=["port %d: nothing listens" % port] + _last(case, name),
            show=show,
            mend="journalctl -u %s -n 50" % name if name else "start %s" % app["name"],
        )


# --- nginx -------------------------------------------------------------------------------------------------------


def nginx_process(case):
    nginx = case.nginx
    if not nginx:
        return
    unit = case.unit("nginx.service") or {}
    status = "systemctl status nginx; journalctl -u nginx -n 30"
    told = ["nginx.service: %s (%s), result %s" % (unit.get("active"), unit.get("sub"), unit.get("result"))]
    if not nginx["installed"]:
        yield finding(
            "nginx_missing", "nginx", "outage", "nginx is not installed.", confidence=99, show="command -v nginx"
        )
    elif nginx["orphans"] and not nginx["masters"]:
        yield finding(
            "nginx_master_dead",
            "nginx",
            "degraded",
            "nginx's master process is dead, and %d workers serve on without it: no reload, no restart and no new worker will come."
            % len(nginx["orphans"]),
            confidence=98,
            evidence=["orphans: %s" % ", ".join(str(pid) for pid in nginx["orphans"])] + told,
            show="ps -o pid,ppid,cmd -C nginx",
            mend="kill -QUIT %s; systemctl restart nginx" % " ".join(str(pid) for pid in nginx["orphans"]),
        )
    elif not nginx["masters"]:
        yield finding(
            "nginx_stopped",
            "nginx",
            "outage",
            "nginx does not run.",
            confidence=95,
            evidence=told,
            show=status,
            mend="systemctl start nginx",
        )
    if nginx["installed"] and not nginx["masters"] and not nginx["orphans"]:
        for port in sorted(
            {site["port"] for site in case.sites} | {site["http_port"] or site["port"] for site in case.sites}
        ):
            for one in case.listeners(port)[:1]:
                yield finding(
                    "nginx_port_taken",
                    "nginx",
                    "outage",
                    "Port %d, which nginx needs, is held by pid %d (%s, %s)."
                    % (port, one["pid"], one["exe"], one["unit"] or "no unit"),
                    confidence=97,
                    evidence=["%s:%d is held by %s" % (one["address"], port, one["exe"])] + told,
                    show="ss -ltnp 'sport = :%d'" % port,
                    mend="stop %s, then: systemctl start nginx" % (one["unit"] or "pid %d" % one["pid"]),
                )
    if nginx["masters"] and unit.get("enabled") == "disabled":
        yield finding(
            "disabled_at_boot",
            "nginx",
            "risk",
            "nginx runs, and will not start at the next boot.",
            confidence=98,
            evidence=["nginx.service: UnitFileState=disabled"],
            show="systemctl is-enabled nginx",
            mend="systemctl enable nginx",
        )


def nginx_config(case):
    nginx = case.nginx
    test = nginx.get("test") or {}
    if test and not test["ok"] and test["code"] != 124:
        missing = [
            line for line in test["lines"] if re.search(r"cannot load certificate|BIO_new_file|No such file", line)
        ]
        certificate = next(
            (site for site in case.sites if site["tls"] and any(site["certificate"] in line for line in missing)), None
        )
        if certificate:
            yield finding(
                "certificate_missing",
                "tls",
                "risk" if nginx["masters"] else "outage",
                "The certificate %s can't be read." % certificate["certificate"],
                site=certificate,
                confidence=96,
                evidence=missing,
                show="ls -lL %s" % certificate["certificate"],
                mend="put the certificate there, then: nginx -t && systemctl reload nginx",
            )
        yield finding(
            "nginx_config_broken",
            "config",
            "risk" if nginx["masters"] else "outage",
            "nginx's configuration on disk is broken%s: %s"
            % (", and only what it read before still runs" if nginx["masters"] else "", "; ".join(test["lines"][:2])),
            confidence=97,
            evidence=test["lines"] + test["excerpt"],
            show="nginx -t",
            mend="mend %s, then: nginx -t && systemctl reload-or-restart nginx" % (test["where"] or "the file"),
        )
    elif nginx.get("stale"):
        refused = any(case.refused(app) for app in case.apps)
        yield finding(
            "nginx_not_reloaded",
            "config",
            "outage" if refused else "risk",
            "nginx runs something else than what is on disk: it was not reloaded after a change.",
            confidence=92,
            evidence=nginx["stale"][:4],
            show="stat -c '%z %n' /etc/nginx/nginx.conf /etc/nginx/*/*; ps -o pid,lstart,cmd -C nginx",
            mend="nginx -t && systemctl reload nginx",
        )


def routes(case):
    """Who answers for each site's name, by the configuration on disk, and whether that leads to the app."""
    servers = case.nginx.get("servers")
    if servers is None:
        return
    for app in case.apps:
        for site, ask in case.routes(app):
            path = ask["path"] or next((one["path"] for one in site["routes"] if one["app"] == app["name"]), "/")
            server, by_name = server_for(servers, site["port"], site["host"])
            others = [one for one in servers if one is not server and site["host"] in one["names"]]
            show = "nginx -T | grep -nE 'configuration file|server_name|listen '"
            if server is None or not (by_name or site["default"]):
                who = "no server" if server is None else "the default one (%s, %s)" % (_names(server), server["file"])
                yield finding(
                    "site_missing",
                    "route",
                    "outage",
                    "nginx has no site for %s on port %d: %s answers." % (site["host"], site["port"], who),
                    app,
                    site,
                    confidence=95,
                    evidence=["port %d is served for: %s" % (site["port"], _all_names(servers, site["port"]))],
                    show=show,
                )
                continue
            location = location_for(server, path)
            targets = location["targets"] if location else []
            if not set(targets) & set(app["upstream"]):
                right = [one for one in others if set(_leads(one, path)) & set(app["upstream"])]
                shadowed = right or (not by_name and site["names"])
                yield finding(
                    "site_shadowed" if shadowed else "wrong_upstream",
                    "route" if shadowed else "upstream",
                    "outage",
                    (
                        "Another server answers for %s: that of %s, and not the one that leads to %s."
                        % (site["host"], server["file"], app["name"])
                    )
                    if shadowed
                    else "nginx sends %s%s to %s, and %s listens on %s."
                    % (site["host"], path, ", ".join(targets) or "no app", app["name"], ", ".join(app["upstream"][:2])),
                    app,
                    site,
                    confidence=95,
                    evidence=["%s: server_name %s" % (server["file"], _names(server))]
                    + ["%s: server_name %s" % (one["file"], _names(one)) for one in right]
                    + case.nginx["test"]["warnings"][:2],
                    show=show,
                    mend="remove the server of %s; or: %s" % (server["file"], DEPLOY) if shadowed else DEPLOY,
                )
                continue
            if ask["websocket"]:
                location = location_for(server, ask["websocket"])
                probe = (
                    case.probes(app=app["name"], site=site["name"], kind="websocket") or [{"ok": None, "message": ""}]
                )[0]
                if location and not location["upgrade"] and not probe["ok"]:
                    yield finding(
                        "upgrade_missing",
                        "route",
                        "degraded",
                        "The route %s of %s does not pass on WebSocket upgrades." % (location["path"], site["host"]),
                        app,
                        site,
                        confidence=96,
                        evidence=["location %s in %s sets no Upgrade header" % (location["path"], server["file"])]
                        + ([probe["message"]] if probe["message"] else []),
                        show="nginx -T | grep -n -A15 'location.*%s'" % location["path"],
                        mend="set websocket: true on the route, then: " + DEPLOY,
                    )


def _names(server):
    return " ".join(server["names"]) or "without a name"


def _all_names(servers, port):
    here = [one for one in servers if any(listen["port"] == port for listen in one["listens"])]
    return "; ".join("%s (%s)" % (_names(one), one["file"]) for one in here) or "nobody"


def _leads(server, path):
    location = location_for(server, path)
    return location["targets"] if location else []


def nginx_errors(case):
    """What nginx has met in the last minutes, under the configuration that runs: requests that it gave up or refused."""
    found = {}
    for line in case.nginx.get("errors", []):
        app = _app_of(case, line)
        if re.search(r"upstream timed out .* while reading", line):
            cause = "proxy_timeout"
        elif "client intended to send too large body" in line:
            cause = "body_too_large"
        elif re.search(r"limiting requests, (?!dry run)", line) and "delaying" not in line:
            cause = "rate_limited"
        elif re.search(r"upstream prematurely closed connection|recv\(\) failed .*upstream", line):
            cause = "upstream_cut"
        else:
            continue
        found.setdefault((cause, app and app["name"]), []).append(line)
    words = {
        "proxy_timeout": (
            "route",
            "nginx gave up waiting for %s: 504, %d times.",
            "raise read_timeout of the route, or make the app faster; then: ",
        ),
        "body_too_large": (
            "route",
            "nginx refused bodies too large for %s: 413, %d times.",
            "raise client_max_body_size of the site, or body_size of the route; then: ",
        ),
        "rate_limited": (
            "route",
            "nginx refused requests over the rate for %s: 429, %d times. That is no outage.",
            "raise rate or burst of the route; then: ",
        ),
        "upstream_cut": (
            "health",
            "%s cut connections before its answer was complete: 502, %d times.",
            "look into the app's log for a crash; then: ",
        ),
    }
    for (cause, name), lines in found.items():
        app = case.app(name) if name else None
        if cause == "upstream_cut" and not (app and (case.sick(app) or len(lines) > 2)):
            continue  # one cut is what every restart costs
        if cause == "proxy_timeout" and app and case.sick(app):
            continue  # it hangs: that is told already
        link, sentence, mend = words[cause]
        request = re.search(r'request: "([^"]*)"', lines[-1])
        yield finding(
            cause,
            link,
            "degraded",
            sentence % (name or "a site", len(lines)) + (" The last one: %s." % request.group(1) if request else ""),
            app,
            confidence=90,
            evidence=lines[-3:],
            show="grep -c . /var/log/nginx/error.log; tail -20 /var/log/nginx/error.log",
            mend=mend + DEPLOY,
        )


def _app_of(case, line):
    """The app that a line of nginx's error log is about: by its upstream's address, else by its server's name and path."""
    address = re.search(r'upstream: "\w+://([^/"]+)', line)
    for app in case.apps:
        if address and address.group(1) in app["upstream"]:
            return app
    name = re.search(r"server: ([^,]+),", line)
    path = re.search(r'request: "\S+ (\S+)', line)
    host = re.search(r'host: "([^":]+)', line)
    asked = {match.group(1) for match in (name, host) if match}
    for site in case.sites:
        if asked & set(site["names"]) or (site["default"] and name and name.group(1) in ("_", "")):
            covering = [one for one in site["routes"] if path and path.group(1).startswith(one["path"])]
            if covering:
                return case.app(max(covering, key=lambda one: len(one["path"]))["app"])
    return None


def upstreams(case):
    """What a proxy on a host of its own sees of the apps' hosts."""
    for app in case.apps:
        found = case.probes(app=app["name"], kind="upstream")
        bad = [probe for probe in found if not probe["ok"]]
        # The set of instances that does not serve may well be off.
        if bad and len(bad) == len(found):
            dropped = all(probe["cause"] == "timed_out" for probe in bad)
            yield finding(
                "upstream_unreachable",
                "upstream",
                "outage",
                "The proxy reaches no instance of %s: %s."
                % (app["name"], "packets are dropped on the way" if dropped else bad[0]["cause"]),
                app,
                confidence=80,
                evidence=[probe["message"] for probe in bad[:4]],
                show="nc -vz %s" % bad[0]["url"].replace(":", " "),
                mend="ansible-playbook gatehouse.webapp.diagnose   # for the app's own host: it says why",
            )


# --- TLS, TCP, DNS -----------------------------------------------------------------------------------------------


def certificates(case):
    served_outside = case.outside().get("served", {})
    now = case.evidence["now"]
    if case.evidence.get("ahead"):
        now -= case.evidence["ahead"]  # the clients' clock is taken for the right one
    for one in case.get("certificates", []):
        site = next(site for site in case.sites if site["name"] == one["site"])
        code = one["served"]["code"]
        told = ["%s: %s" % (one["host"], one["served"]["message"])]
        if one["site"] in served_outside:
            told.append("from the control node: %s" % served_outside[one["site"]]["message"])
        if "ends" in one:
            told.append(
                "%s: for %s, from %s to %s"
                % (one["path"], ", ".join(one["names"]) or one["subject"], _day(one["begins"]), _day(one["ends"]))
            )
        common = dict(
            site=site,
            evidence=told,
            show="openssl s_client -connect 127.0.0.1:%d -servername %s </dev/null | openssl x509 -noout -dates -ext subjectAltName"
            % (site["port"], site["host"]),
        )
        renew = "put a valid certificate at %s, then: nginx -t && systemctl reload nginx" % one["path"]
        ends, begins, names = one.get("ends"), one.get("begins"), one.get("names") or []
        if code in EXPIRED or (ends and ends <= now):
            yield finding(
                "certificate_expired",
                "tls",
                "outage",
                "The certificate of %s expired on %s." % (one["host"], _day(ends)),
                confidence=98,
                mend=renew,
                **common,
            )
        elif code in NOT_YET or (begins and begins > now):
            yield finding(
                "certificate_not_yet_valid",
                "tls",
                "outage",
                "The certificate of %s is valid only from %s." % (one["host"], _day(begins)),
                confidence=90,
                mend=renew,
                **common,
            )
        elif ends and ends - now < EXPIRES_SOON:
            yield finding(
                "certificate_expiring",
                "tls",
                "risk",
                "The certificate of %s expires in %s." % (one["host"], _span(ends - now)),
                confidence=95,
                mend=renew,
                **common,
            )
        if code in WRONG_NAME or (names and site["names"] and not _covers(names, one["host"])):
            yield finding(
                "certificate_wrong_name",
                "tls",
                "outage",
                "The certificate served for %s is for %s." % (one["host"], ", ".join(names) or "another name"),
                confidence=96,
                mend=renew,
                **common,
            )
        elif code in SELF_SIGNED or (code in NO_ISSUER and one.get("subject") == one.get("issuer")):
            yield finding(
                "certificate_self_signed",
                "tls",
                "degraded",
                "The certificate of %s is signed by nobody that clients know." % one["host"],
                confidence=85,
                mend=renew,
                **common,
            )
        elif code in NO_ISSUER:
            yield finding(
                "certificate_chain",
                "tls",
                "degraded",
                "The chain of %s is incomplete: clients find no way from its certificate to an issuer that they know (%s)."
                % (one["host"], one.get("issuer", "unknown")),
                confidence=88,
                mend="append the intermediate certificates to %s, then: nginx -t && systemctl reload nginx"
                % one["path"],
                **common,
            )


def _covers(names, host):
    return any(
        name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])
        for name in [one.lower() for one in names]
    )


def _day(seconds):
    return (
        "an unknown day"
        if seconds is None
        else datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d")
    )


def schemes(case):
    """URLs in the apps' settings that say https where a site is served by http alone, or the reverse."""
    for app in case.apps:
        for url in app["urls"]:
            for site in case.sites:
                if url["host"] not in site["names"] or (url["scheme"] == "https") == site["tls"]:
                    continue
                told = "%s of %s says %s://%s" % (url["name"], app["name"], url["scheme"], url["host"])
                yield finding(
                    "scheme_mismatch",
                    "tls",
                    "degraded",
                    "%s, and the site %s is served by %s."
                    % (told, site["name"], "https" if site["tls"] else "http alone"),
                    app,
                    site,
                    confidence=90,
                    evidence=[told, "site %s: tls.mode is %s" % (site["name"], "files" if site["tls"] else "none")],
                    show="curl -sI %s://%s/" % (url["scheme"], url["host"]),
                    mend="say the same scheme in webapp_apps[%s].env.%s and in the site's tls; then: %s"
                    % (app["name"], url["name"], DEPLOY),
                )
    spoken = case.nginx.get("tls_on_plain", 0)
    if spoken:
        yield finding(
            "scheme_mismatch",
            "tls",
            "degraded",
            "Clients speak TLS to a port of plain http: %d requests of late." % spoken,
            confidence=72,
            evidence=["/var/log/nginx/access.log: %d requests that begin with a TLS handshake, answered 400" % spoken],
            show=r"grep -c '\\x16\\x03' /var/log/nginx/access.log",
            mend="let the clients ask http://, or give the site a certificate (tls)",
        )


TCP = {
    "ufw": ("ufw_closed", 97),
    "packet_filter": ("packet_filter", 95),
    "in_front": ("dropped_in_front", 85),
    "loopback_only": ("nginx_loopback_only", 95),
    "other_address": ("nginx_loopback_only", 80),
}


def ways(case):
    asked = case.outside().get("verdicts", [])
    told = set()
    for verdict in asked:
        if verdict["ok"] or verdict["verdict"] not in TCP or verdict["port"] in told:
            continue
        told.add(verdict["port"])
        cause, confidence = TCP[verdict["verdict"]]
        here = [site for site in case.sites if verdict["port"] in (site["port"], site["http_port"])]
        allow = "ufw allow %d/tcp   # or: %s" % (verdict["port"], DEPLOY)
        yield finding(
            cause,
            "tcp",
            "outage",
            verdict["message"][0].upper() + verdict["message"][1:] + ".",
            site=here[0] if len(here) == 1 and len(case.sites) > 1 else None,
            confidence=confidence,
            evidence=verdict["evidence"],
            show=verdict["hint"].partition("   #")[0],
            mend=allow if cause == "ufw_closed" else verdict["hint"].partition("#")[2].strip() or verdict["hint"],
        )


def names(case):
    outside = case.outside()
    own = set(outside.get("homes", []))
    own |= {
        one for link in case.get("view", {}).get("interfaces", []) for one in link["addresses"] if not is_loopback(one)
    }
    for site in case.sites:
        for name in site["names"]:
            if name not in outside.get("names", {}):
                continue
            found = outside["names"][name]
            show = "getent ahosts %s   # on the control node" % name
            if not found:
                if not RESERVED.search(name):
                    yield finding(
                        "dns_missing",
                        "dns",
                        "outage",
                        "%s is not in DNS." % name,
                        site=site,
                        confidence=96,
                        evidence=["the control node gets no address for %s" % name],
                        show=show,
                        mend="add a record for %s, to %s" % (name, outside["address"]),
                    )
            elif own and not own & set(found):
                private = all(ipaddress.ip_address(one).is_private for one in own)
                yield finding(
                    "dns_wrong",
                    "dns",
                    "outage",
                    "%s leads to %s, and that is none of this host's addresses (%s)."
                    % (name, ", ".join(found), ", ".join(sorted(own))),
                    site=site,
                    # A host behind a translation does not know its public address; nor one behind a load balancer.
                    confidence=55 if private else 75,
                    evidence=["the control node gets %s for %s" % (", ".join(found), name)],
                    show=show,
                    mend="point %s to %s, unless a load balancer or a CDN stands there" % (name, outside["address"]),
                )


RULES = (
    disks, memory, open_files, clock, dependencies, environment, build, answers, units, held, pm2, ports, nginx_process, nginx_config,
    routes, nginx_errors, upstreams, certificates, schemes, ways, names,
)  # fmt: skip


def last_resort(case, findings):
    """What fails though no rule has found why: told as it is, and not passed over."""
    for app in case.apps:
        if any(one.effect == "outage" and one.app in (None, app["name"]) for one in findings):
            continue
        told = [probe for probe in case.probes(app=app["name"]) if not probe["ok"] and probe["kind"] == "health"]
        if told and not any(one.app == app["name"] and one.effect == "degraded" for one in findings):
            through = all(probe["via"] == "nginx" for probe in told)
            yield finding(
                "unexplained",
                "route" if through else "health",
                "outage",
                "%s does not answer as it should%s: %s"
                % (app["name"], " through nginx, and does on its own port" if through else "", told[0]["message"]),
                app,
                confidence=40,
                evidence=[probe["message"] for probe in told[:3]] + case.nginx.get("errors", [])[-3:],
                show="curl -si %s" % told[0]["url"].partition(" ")[0],
                mend="journalctl -u '%s@*' -n 50; tail -20 /var/log/nginx/error.log" % app["name"],
            )


# --- What is seen at each link, where no cause is found -------------------------------------------------------------


def _see_dns(case, site, _app):
    found = case.outside().get("names", {})
    known = [name for name in site["names"] if found.get(name)]
    if not known:
        return None, "not judged: %s" % ("no name is told" if not site["names"] else "the names are not in public DNS")
    return True, ", ".join("%s is %s" % (name, ", ".join(found[name])) for name in known)


def _see_tcp(case, site, _app):
    found = [
        one
        for one in case.outside().get("verdicts", [])
        if one["port"] == site["port"] and one["verdict"] != "no_route"
    ]
    if not found:
        return None, "not asked from outside"
    return all(one["ok"] for one in found), found[0]["message"]


def _see_tls(case, site, _app):
    if not site["tls"]:
        return True, "plain http"
    one = next((one for one in case.get("certificates", []) if one["site"] == site["name"]), None)
    if not one:
        return None, "not asked"
    return one["served"]["ok"], one["served"]["message"] + (", until %s" % _day(one["ends"]) if one.get("ends") else "")


def _see_nginx(case, _site, _app):
    nginx = case.nginx
    if not nginx:
        return None, "not asked"
    return bool(nginx["masters"]), "%d workers" % len(nginx["workers"])


def _see_config(case, _site, _app):
    test = case.nginx.get("test")
    return (test["ok"], "nginx -t is content, and that runs") if test and test["ok"] else (None, "not asked")


def _see_route(case, site, app):
    found = case.probes(app=app["name"], site=site["name"], via="nginx")
    if not found:
        return None, "no route leads to the app's health"
    bad = [probe for probe in found if not probe["ok"]]
    return not bad, (bad or found)[0]["message"]


def _see_upstream(case, _site, app):
    found = case.probes(app=app["name"], kind="upstream")
    if found:
        return any(probe["ok"] for probe in found), found[0]["message"]
    return True, ", ".join(str(one["port"]) for one in case.live(app))


def _see_listener(case, _site, app):
    found = [one for each in case.live(app) for one in case.listeners(each["port"])]
    if not found:
        return (False if app["local"] else None), "nothing listens" if app["local"] else "on another host"
    return True, ", ".join(sorted({"%s:%d" % (one["address"], one["port"]) for one in found}))


def _see_unit(case, _site, app):
    found = [(one["name"], case.unit(one["name"])) for one in case.live(app) if case.unit(one["name"])]
    if not found:
        return None, "no unit of ours"
    bad = [(name, unit) for name, unit in found if unit["active"] != "active"]
    name, unit = (bad or found)[0]
    return not bad, "%s is %s" % (name, unit["active"])


def _see_health(case, _site, app):
    found = case.direct(app)
    if not found:
        return None, "not asked on this host"
    bad = [probe for probe in found if not probe["ok"]]
    return not bad, bad[0]["message"] if bad else "%s in %.0f ms" % (found[0]["status"], found[0]["ms"])


def _see_dependencies(case, _site, app):
    found = case.probes(app=app["name"], kind="requires")
    if not found:
        return None, "none is told (requires)"
    return all(probe["ok"] for probe in found), ", ".join(probe["url"] for probe in found)


def _see_resources(case, _site, _app):
    found = case.get("disks", [])
    if not found:
        return None, "not asked"
    least = min(found, key=lambda disk: disk["free"] / max(disk["size"], 1))
    memory = case.get("memory", {})
    return True, "%s free on %s, %s of memory" % (
        _size(least["free"]),
        least["path"],
        _size(memory.get("available", 0)),
    )


SEEN = {
    "dns": _see_dns,
    "tcp": _see_tcp,
    "tls": _see_tls,
    "nginx": _see_nginx,
    "config": _see_config,
    "route": _see_route,
    "upstream": _see_upstream,
    "listener": _see_listener,
    "unit": _see_unit,
    "health": _see_health,
    "dependencies": _see_dependencies,
    "resources": _see_resources,
}
