# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The workers of an app in PM2's cluster mode, and the port that they share.

The daemon accepts the connections to the port and deals them out. What it has dealt to a worker that ends before it took it is
lost: its client waits for ever. That befalls a worker that ends with the last of its connections, as PM2's documentation has
it (`server.close(() => process.exit(0))`): it closes, and what was dealt to it meanwhile goes with it. A worker that still has
a connection goes on living, hands back what it is dealt, and the daemon deals that to another. So one is held here.
"""

from __future__ import annotations

import time

from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import ProbeFailure, open_connection

# Seconds in which the daemon must have handed a connection to a worker.
HANDOVER_TIMEOUT = 1.0
# Seconds to get a connection to hold, and to see a worker take no more.
HOLD_TIMEOUT = 2.0
END_TIMEOUT = 30.0
# Were nobody else served meanwhile, one connection to each worker would find any of them. So many to each find it
# whenever the gate asks; and so many are sure to.
ROUNDS = 3
ALL_ROUNDS = 12


class Cluster:
    """address: (host, port) of theirs.   pids: of all workers.   listeners: Listeners."""

    def __init__(self, address, pids, listeners, clock=time.monotonic, sleep=time.sleep):
        self.host, self.port = address
        self.pids = pids
        self.listeners = listeners
        self.clock = clock
        self.sleep = sleep

    def connect(self, pid, deadline, rounds=ROUNDS):
        """A connection that this very worker has got."""
        opened = {}
        try:
            for _each in range(rounds * len(self.pids)):
                connection = open_connection(self.host, self.port, deadline)
                opened[connection.getsockname()[1]] = connection
            handed = Deadline(min(HANDOVER_TIMEOUT, deadline.remaining()), self.clock)
            peer = poll(lambda: self._dealt(pid, opened), handed, 0.01, self.sleep)
            if not peer:
                raise ProbeFailure("refused", "none of %d connections came to it: it does not listen" % len(opened))
            return opened.pop(peer)
        finally:
            for connection in opened.values():
                connection.close()

    def _dealt(self, pid, peers):
        """The first of these ports whose connection the worker holds; 0 when others hold all; None while some are to be dealt."""
        accepted = self.listeners.accepted(self.port, self.pids)
        mine = [peer for peer in peers if accepted.get(peer) == pid]
        return mine[0] if mine else (0 if all(peer in accepted for peer in peers) else None)

    def end(self, pid, tell):
        """Have this worker end, and lose nothing that is dealt to it. tell: begins it, and returns the Command."""
        held = self._hold(pid) if pid else None
        try:
            command = tell()
            if held:
                poll(lambda: self._has_ended(pid, command), Deadline(END_TIMEOUT, self.clock), 0.01, self.sleep)
            return command
        finally:
            if held:
                held.close()

    def _has_ended(self, pid, command):
        """True once PM2 has done as it was told, or the worker takes no more; else None."""
        if command.ended() is not None:
            return True
        another = self._hold(pid)
        if another is None:
            return True
        another.close()
        return None

    def _hold(self, pid):
        """A connection of this worker, or None: it gets none."""
        try:
            return self.connect(pid, Deadline(HOLD_TIMEOUT, self.clock), ALL_ROUNDS)
        except (OSError, ProbeFailure):
            return None
