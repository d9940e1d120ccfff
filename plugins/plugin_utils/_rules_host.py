# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What is wrong with the host itself: disks, memory, open files, the clock, the firewall. Pure."""

from __future__ import annotations

import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._netfilter import runs_ufw
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw import (
    AFTER_A_REBOOT,
    CONF_FILE,
    UNIT,
    missing_at_boot,
)
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import DEPLOY, finding, size_words, span_words

CLOCK = 30
NO_SPACE = re.compile(r"No space left on device|\bENOSPC\b|database or disk is full|Disk quota exceeded", re.I)
NO_FILES = re.compile(r"Too many open files|\bEMFILE\b|worker_connections are not enough", re.I)


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
            size_words(disk["free"]),
            size_words(size),
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
            # Between two starts the unit itself has forgotten how it ended; its log has not.
            log = case.get("journal", {}).get(one["name"], [])
            said = [line for line in log if re.search(r"oom-kill|killed by the OOM killer", line)]
            killed = [line for line in log if "code=killed, status=9/KILL" in line] if unit["restarts"] else []
            limited = bool(app["memory_max"]) and (by_signal or killed)
            sure = unit["result"] == "oom-kill" or counted or lines or (said and case.sick(app))
            if not (sure or limited):
                continue
            evidence = ["%s: %s, restarted %d times" % (one["name"], unit["exit"], unit["restarts"])]
            evidence += (lines + said + killed)[-4:]
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
            % (span_words(abs(ahead)), "ahead of" if ahead > 0 else "behind"),
            confidence=85,
            evidence=[
                "difference: %+.1f s" % ahead,
                "synchronised: %s"
                % {True: "yes", False: "no", None: "not known"}[case.get("clock", {}).get("synchronized")],
            ],
            show="timedatectl; date -u   # on both",
            mend="timedatectl set-ntp true   # or repair the one of the two that is wrong",
        )


def firewall(case):
    """UFW where it is used: it runs, or it is to run at boot."""
    found, listing = case.get("ufw"), case.get("view", {}).get("filters", {}).get("4")
    if not found or listing is None:
        return
    missing = missing_at_boot(found["unit"], found["enabled"])
    told = ["systemctl is-enabled %s: %s" % (UNIT, found["unit"] or "no answer")]
    told.append("%s: ENABLED=%s" % (CONF_FILE, "yes" if found["enabled"] else "no"))
    common = dict(link="tcp", effect="risk", confidence=95, show="ufw status verbose; systemctl status %s" % UNIT)
    if runs_ufw(listing) and missing:
        yield finding(
            "firewall_not_at_boot",
            message=AFTER_A_REBOOT % missing[0],
            evidence=told,
            mend=missing[1],
            **common,
        )
    elif found["enabled"] and not runs_ufw(listing):
        yield finding(
            "firewall_off",
            message="UFW is set up, and does not run: every port is open.",
            evidence=told + ["iptables: there is no chain ufw-user-input"],
            mend="%sufw reload" % (missing[1] + " && " if missing else ""),
            **common,
        )
