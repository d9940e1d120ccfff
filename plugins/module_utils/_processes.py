# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What a process runs: since when, from which folder, and what it has started. Source: proc(5)."""

from __future__ import annotations

import contextlib
import os
import signal
import time


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


def end_those_in(folder, proc="/proc", kill=os.kill):
    """End the processes that work in the folder or below it, at once. Returns their ids."""
    ended = []
    for name in os.listdir(proc):
        where = working_directory(int(name), proc) if name.isdigit() else None
        if where and (where + "/").startswith(folder + "/"):
            with contextlib.suppress(ProcessLookupError):
                kill(int(name), signal.SIGKILL)
                ended.append(int(name))
    return ended


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
