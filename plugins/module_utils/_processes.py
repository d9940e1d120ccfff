# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What a process runs: since when, from which folder, and what it has started. Source: proc(5)."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

# Seconds in which processes that are killed must be gone: some end a disk access first.
PATIENCE = 5.0


def start_time(pid, proc="/proc"):
    """When the process started, in seconds since 1970, to about 10 ms; None when it has ended.

    The kernel counts in ticks since boot. Boot time in /proc/stat is rounded to a second, so the clock that has run
    since boot is used instead.
    """
    fields = _fields(pid, proc)
    if fields is None:
        return None
    since_boot = int(fields[19]) / float(os.sysconf("SC_CLK_TCK"))
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)


def tree(pid, proc="/proc"):
    """The process and all that it, and those, have started and that still run, as a set of pids."""
    children = {}
    for name in os.listdir(proc):
        fields = _fields(int(name), proc) if name.isdigit() else None
        if fields:
            children.setdefault(int(fields[1]), []).append(int(name))
    found, left = set(), [pid]
    while left:
        one = left.pop()
        found.add(one)
        left += children.get(one, [])
    return found


def _fields(pid, proc):
    """The fields of /proc/PID/stat from the third on, or None when the process has ended."""
    try:
        with open("%s/%d/stat" % (proc, pid), encoding="utf-8", errors="replace") as file:
            # The name, in parentheses, may hold spaces and parentheses itself.
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def working_directory(pid, proc="/proc"):
    """The folder that the process works in, with every link resolved; None when it can't be seen."""
    try:
        return os.readlink("%s/%d/cwd" % (proc, pid))
    except OSError:
        return None


def workers(pid, proc="/proc"):
    """The processes that PM2 in the foreground (pm2-runtime) keeps running, or None: this process is no pm2-runtime.

    PM2 starts a worker that has ended anew by itself, so what manages PM2 does not hear of it.
    """
    try:
        with open("%s/%d/cmdline" % (proc, pid), "rb") as file:
            words = file.read().split(b"\0")
        if not any(os.path.basename(word) == b"pm2-runtime" for word in words[1:2]):
            return None
        with open("%s/%d/task/%d/children" % (proc, pid, pid), encoding="ascii") as file:
            children = [int(child) for child in file.read().split()]
        program = os.readlink("%s/%d/exe" % (proc, pid))
    except OSError:
        return None
    # It asks small tools too (getconf); its workers are Node, as it is itself.
    return {child for child in children if _program(child, proc) == program}


def _program(pid, proc):
    try:
        return os.readlink("%s/%d/exe" % (proc, pid))
    except OSError:
        return None


def end_those_of(uid, proc="/proc", kill=os.kill, clock=time.monotonic, sleep=time.sleep):
    """End all processes of a user, at once, and see them gone. Returns their ids; an error when some are left after PATIENCE."""
    if uid == 0:
        raise ValueError("root's processes are not ended")
    ended, deadline = set(), clock() + PATIENCE
    while True:
        left = [pid for pid in map(int, filter(str.isdigit, os.listdir(proc))) if uid in users(pid, proc)]
        if not left:
            return sorted(ended)
        if clock() > deadline:
            raise GatehouseError(
                "processes of user id %d do not end: %s" % (uid, ", ".join(map(str, left[:5]))),
                cause="not_ended",
                hint="ps -f -U %d" % uid,
            )
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
                ended.add(pid)
        sleep(0.01)


def users(pid, proc="/proc"):
    """The user ids that a process has, or may take on again; none of one that has ended and is not yet collected."""
    try:
        with open("%s/%d/status" % (proc, pid), encoding="utf-8", errors="replace") as file:
            told = dict(line.split(":", 1) for line in file if line.startswith(("Uid:", "State:")))
    except OSError:
        return set()
    return set() if told["State"].split()[0] in "ZX" else set(map(int, told["Uid"].split()))


def environment(pid, proc="/proc"):
    """The variables that the process was started with; none when they can't be seen."""
    try:
        with open("%s/%d/environ" % (proc, pid), "rb") as file:
            pairs = [item.decode("utf-8", "replace").partition("=") for item in file.read().split(b"\0") if item]
    except OSError:
        return {}
    return {name: value for name, _equals, value in pairs}


def changed_at(path):
    """When the file's content last changed, in seconds since 1970; None when there is no such file."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None
