# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What is wrong with an app whose processes somebody else than systemd keeps, or ends: PM2 and Monit. Pure."""

from __future__ import annotations

import re

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import finding

# What PM2 says of a process that it then starts again.
PM2_EXIT = re.compile(r"\bApp \[.*\] exited with code \[(?!0\])\d+\]")


def pm2(case):
    for app in case.apps:
        for one in case.live(app):
            own = case.processes(one["name"]) if one["name"] else case.serving(one["port"])
            children = [each for each in own if each["kind"] == "pm2 child"]
            daemons = [each for each in own if each["kind"] == "pm2"]
            name = one["name"] or app["name"]
            # Outside of a unit, children without a parent of PM2's are those that it has left.
            parents = {each["pid"] for each in case.get("processes", []) if each["kind"] == "pm2"}
            left = [each for each in children if each["parent"] not in parents] if not one["name"] else children
            if left and not daemons:
                yield finding(
                    "pm2_daemon_gone",
                    "unit",
                    "risk" if case.well(app, one["port"]) else "outage",
                    "The PM2 daemon of %s is gone: nothing watches over its processes." % name,
                    app,
                    confidence=94,
                    evidence=["pid %d: %s, parent %d" % (each["pid"], each["title"], each["parent"]) for each in left],
                    show="pgrep -af 'PM2|pm2-runtime'",
                    mend="systemctl restart %s" % name
                    if one["name"]
                    else "kill %s; pm2 resurrect   # as the user whose PM2 it is"
                    % " ".join(str(each["pid"]) for each in left),
                )
                continue
            if children or case.well(app, one["port"]):
                continue
            # Mostly its processes do not outlive it.
            for dead in [each for each in case.get("pm2", []) if not one["name"] and not each["alive"]]:
                if app["name"] in dead["apps"] and not case.listeners(one["port"]):
                    yield finding(
                        "pm2_daemon_gone",
                        "unit",
                        "outage",
                        "The PM2 daemon of %s is gone, and its processes with it." % name,
                        app,
                        confidence=94,
                        evidence=[
                            "%s/pm2.pid says %d, and that is no daemon of PM2" % (dead["home"], dead["pid"]),
                            "%s/pm2.log: it has run %s" % (dead["home"], ", ".join(dead["apps"])),
                        ],
                        show="pgrep -af 'God Daemon'; tail %s/pm2.log; journalctl -k | grep -i 'killed process'"
                        % dead["home"],
                        mend="PM2_HOME=%s pm2 resurrect   # as its user; pm2 startup starts it at boot" % dead["home"],
                    )
            logs = [each.get("pm2_log", []) for each in daemons or case.get("processes", [])]
            yield from _told_by_pm2(case, app, one["name"], logs)


def _told_by_pm2(case, app, unit, logs):
    """What the daemons' logs say of an app without a process. Outside of a unit it is known by its name in PM2."""
    name = unit or app["name"]
    common = dict(
        show="journalctl -u %s -n 50" % unit
        if unit
        else "pm2 logs %s --nostream --lines 50   # as the user whose PM2 it is" % name,
        mend="mend what the last lines say, then: %s"
        % ("systemctl restart %s" % unit if unit else "pm2 restart %s" % name),
    )
    for log in logs:
        given_up = _given_up(log)
        lines = [line for each in given_up for line in given_up[each] if unit or each == name]
        falls = [line for line in log if PM2_EXIT.search(line) and "[%s:" % name in line]
        if lines:
            yield finding(
                "pm2_errored",
                "unit",
                "outage",
                "PM2 has given %s up: its processes ended too often." % name,
                app,
                confidence=95,
                evidence=lines[-3:] + (case.last(unit) if unit else []),
                **common,
            )
        elif len(falls) > 2:
            yield finding(
                "crash_loop",
                "unit",
                "outage",
                "%s crashes, and PM2 starts it again and again, %d times in its last lines." % (name, len(falls)),
                app,
                confidence=91,
                evidence=falls[-3:],
                **common,
            )


def monitor(case):
    """Monit tells what it does, with the command; whether that is the last that it did of the unit is what counts."""
    found = case.get("monitor", {})
    if not found.get("pid"):
        return
    for app in case.apps:
        for one in case.live(app):
            unit = case.unit(one["name"]) or {}
            if unit.get("active") not in ("inactive", "failed"):
                continue
            words = re.compile(r"\b%s\b" % re.escape(one["name"].replace(".service", "")))
            lines = [
                line for line in found["lines"] if words.search(line) and re.search(r"\b(?:re)?st(?:op|art)\b", line)
            ]
            if lines and re.search(r"\bstop\b", lines[-1]):
                yield finding(
                    "held_by_monitor",
                    "unit",
                    "outage" if case.dead(app) else "degraded",
                    "%s was stopped by Monit (pid %d), which watches over it." % (one["name"], found["pid"]),
                    app,
                    confidence=96,
                    evidence=lines[-3:],
                    show="tail /var/log/monit.log; grep -rn '%s' /etc/monit" % one["name"].replace(".service", ""),
                    mend="correct the check in /etc/monit, then: monit reload && systemctl start %s" % one["name"],
                )


def _given_up(log):
    """{app: the lines that say so} of the apps that PM2's log says it starts no more, and has not started since."""
    found, fallen, lines = {}, None, []
    for line in log:
        match = re.search(r"\bApp \[(.+):\d+\] (exited|online|starting)", line)
        if match and match.group(2) != "exited":
            found.pop(match.group(1), None)
        elif match:
            fallen, lines = match.group(1), [line]
        elif re.search(r"too many unstable restarts|errored", line):
            found[fallen] = lines + [line]
    return found
