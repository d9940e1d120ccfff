# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Who listens where: the kernel's TCP tables, and the process, user and systemd unit behind a socket.

Formats: proc(5) and the kernel's Documentation/networking/proc_net_tcp.rst, cgroups(7).
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import struct
from collections import namedtuple

Socket = namedtuple("Socket", "address port state inode")
Holder = namedtuple("Holder", "pid exe user unit")

# From the kernel's include/net/tcp_states.h. A connection counts as open until this host has nothing left to
# send or to close on it; TIME_WAIT (06) and FIN_WAIT2 (05) only keep the kernel busy.
LISTEN = "0A"
ESTABLISHED = "01"
OPEN = frozenset({"01", "03", "04", "08", "09", "0B"})

WILDCARDS = frozenset({"0.0.0.0", "::"})


def parse_tcp_table(text):
    """/proc/net/tcp or /proc/net/tcp6 as a list of Socket; the address family follows from the address's length."""
    sockets = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10:
            continue
        address, _colon, port = fields[1].partition(":")
        sockets.append(Socket(_address(address), int(port, 16), fields[3], int(fields[9])))
    return sockets


def _address(digits):
    """The kernel prints each 32-bit word of an address in the host's byte order."""
    words = [int(digits[i : i + 8], 16) for i in range(0, len(digits), 8)]
    packed = b"".join(struct.pack("=I", word) for word in words)
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    address = socket.inet_ntop(socket.AF_INET6, packed)
    return address[7:] if address.startswith("::ffff:") and "." in address else address


def is_loopback(address):
    return address == "::1" or address.startswith("127.")


def scope(addresses):
    """How far a port bound to these addresses can be reached: `all`, `loopback`, `address` or `none`."""
    if not addresses:
        return "none"
    if WILDCARDS.intersection(addresses):
        return "all"
    return "loopback" if all(is_loopback(address) for address in addresses) else "address"


def unit_of(cgroup):
    """The systemd unit that a process's /proc/PID/cgroup text puts it in, or None.

    A service may keep sub-groups of its own below its unit, so the last component that names a unit counts.
    """
    by_hierarchy = {}
    for line in cgroup.splitlines():
        _number, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        by_hierarchy[controllers] = path
    # systemd keeps its own tree on cgroup v1 and hybrid hosts, and shares the one tree on v2.
    path = by_hierarchy.get("name=systemd", by_hierarchy.get("", ""))
    units = [part for part in path.split("/") if re.search(r"\.(service|scope|socket)$", part)]
    return units[-1] if units else None


class Listeners:
    """The sockets of this host, as one network namespace sees them. `proc` is where procfs is mounted."""

    def __init__(self, proc="/proc"):
        self.proc = proc

    def sockets(self):
        found = []
        for table in ("net/tcp", "net/tcp6"):
            found += parse_tcp_table(self._read(table))
        return found

    def listening(self, port):
        return [s for s in self.sockets() if s.state == LISTEN and s.port == port]

    def connections(self, port):
        """How many connections to this local port are open."""
        return sum(1 for s in self.sockets() if s.state in OPEN and s.port == port)

    def established(self, port):
        """How many connections to this local port have both ends open."""
        return sum(1 for s in self.sockets() if s.state == ESTABLISHED and s.port == port)

    def ports_of(self, pids):
        """The ports on which these processes listen, as a sorted list."""
        inodes = set()
        for pid in pids:
            inodes |= self._socket_inodes(pid)
        return sorted({s.port for s in self.sockets() if s.state == LISTEN and s.inode in inodes})

    def accepted(self, port, pids):
        """{peer: pid}: which of these processes holds the open connection from each other port to this local one."""
        inodes = {inode: pid for pid in pids for inode in self._socket_inodes(pid)}
        # Not parsed whole: a busy host has tens of thousands of connections that are only waiting to be forgotten.
        line = re.compile(r":%04X [0-9A-F]+:([0-9A-F]{4}) %s \S+ \S+ \S+ +\d+ +\d+ (\d+)" % (port, ESTABLISHED))
        ends = [end for table in ("net/tcp", "net/tcp6") for end in line.findall(self._read(table))]
        return {int(peer, 16): inodes[int(inode)] for peer, inode in ends if int(inode) in inodes}

    def pids_of_unit(self, unit):
        return [pid for pid in self._pids() if unit_of(self._read("%d/cgroup" % pid)) == unit]

    def holders(self, sockets):
        """The processes that hold any of these sockets, oldest first."""
        return list(dict.fromkeys(holder for _socket, holder in self.held(sockets)))

    def held(self, sockets):
        """[(socket, one of its holders), ...], each process looked at once."""
        found = []
        for pid in self._pids():
            inodes = self._socket_inodes(pid)
            if any(one.inode in inodes for one in sockets):
                holder = self.holder(pid)
                # One that ended while it was looked at has no unit left to be read, and would pass for a stranger.
                inodes = self._socket_inodes(pid)
                found += [(one, holder) for one in sockets if one.inode in inodes]
        return found

    def holder(self, pid):
        try:
            exe = os.readlink("%s/%d/exe" % (self.proc, pid))
        except OSError:
            exe = self._read("%d/comm" % pid).strip() or "?"
        return Holder(pid, exe, self._user(pid), unit_of(self._read("%d/cgroup" % pid)))

    def _pids(self):
        return sorted(int(name) for name in os.listdir(self.proc) if name.isdigit())

    def _socket_inodes(self, pid):
        folder = "%s/%d/fd" % (self.proc, pid)
        inodes = set()
        try:
            names = os.listdir(folder)
        except OSError:  # the process has ended, or is another user's
            return inodes
        for name in names:
            try:
                target = os.readlink("%s/%s" % (folder, name))
            except OSError:  # closed while it was looked at
                continue
            if target.startswith("socket:["):
                inodes.add(int(target[8:-1]))
        return inodes

    def _user(self, pid):
        # Not the owner of /proc/PID: that is root for every process that may not be traced.
        match = re.search(r"^Uid:\s+(\d+)", self._read("%d/status" % pid), re.M)
        if not match:
            return "?"
        uid = int(match.group(1))
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return str(uid)

    def _read(self, path):
        try:
            with open("%s/%s" % (self.proc, path), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def describe(holder):
    """One holder as a person would name it: `pid 812 (/usr/bin/python3.11, user alice, unit old-api.service)`."""
    unit = "unit %s" % holder.unit if holder.unit else "no unit"
    return "pid %d (%s, user %s, %s)" % (holder.pid, holder.exe, holder.user, unit)


def describe_all(holders):
    return ", ".join(describe(holder) for holder in holders) or "a process that this user may not see"
