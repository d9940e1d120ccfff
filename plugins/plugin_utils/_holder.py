# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Who runs a deploy: a process of this control node, and whether one that is named still runs. Source: proc(5)."""

from __future__ import annotations

import getpass
import os
import socket


def describe(pid, proc="/proc"):
    """{id, user, host, machine, pid, started, boot, namespace} of a process of this machine."""
    found = {
        "user": _user(),
        "host": socket.gethostname(),
        "pid": pid,
        "started": _started(pid, proc),
        "machine": _read("/etc/machine-id").strip(),
        "boot": _read(proc + "/sys/kernel/random/boot_id").strip(),
        "namespace": _namespace(proc),
    }
    found["id"] = " ".join(str(found[key]) for key in ("boot", "namespace", "pid", "started"))
    return found


def why_gone(holder, me, proc="/proc"):
    """Why the holder can't be at work any more, as a sentence; None when it is, or when that can't be known from here.

    me: what describe() says of the process that asks.
    """
    if holder["boot"] != me["boot"]:
        # Machines made of one image may share their names: only what is surely the same one was rebooted.
        same = me["machine"] and all(holder[key] == me[key] for key in ("machine", "host"))
        return "%s was rebooted since" % holder["host"] if same else None
    # In another container of the same machine the same number means another process.
    if holder["namespace"] != me["namespace"]:
        return None
    if _started(holder["pid"], proc) != holder["started"]:
        return "the process %d on %s has ended" % (holder["pid"], holder["host"])
    return None


def _started(pid, proc):
    """When the process started, in ticks since boot; empty when there is none."""
    text = _read("%s/%d/stat" % (proc, pid))
    return text.rpartition(")")[2].split()[19] if text else ""


def _namespace(proc):
    try:
        return os.readlink(proc + "/self/ns/pid")
    except OSError:
        return ""


def _user():
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have it
        return str(os.getuid())


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
