"""The workers behind one port, told with a daemon that deals connections out as it is told to."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _pm2_cluster
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2_cluster import Cluster
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import ProbeFailure

OLD, NEW = 100, 110


class Connection:
    def __init__(self, peer):
        self.peer = peer
        self.closed = False

    def getsockname(self):
        return ("127.0.0.1", self.peer)

    def close(self):
        self.closed = True


class Daemon:
    """Deals connections out to these pids in turn; None: it keeps the connection."""

    def __init__(self):
        self.time = 0.0
        self.opened = []
        self.pids = [OLD, NEW]

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds

    def open_connection(self, _host, _port, _deadline):
        if not self.pids:
            raise ConnectionRefusedError
        self.opened.append(Connection(40000 + len(self.opened)))
        self.opened[-1].pid = self.pids[len(self.opened) % len(self.pids)]
        return self.opened[-1]

    def accepted(self, _port, pids):
        return {c.peer: c.pid for c in self.opened if not c.closed and c.pid in pids}

    def left(self):
        return [connection for connection in self.opened if not connection.closed]


class Told:
    def __init__(self, status=None):
        self.ended = lambda: status


@pytest.fixture
def daemon(monkeypatch):
    daemon = Daemon()
    monkeypatch.setattr(_pm2_cluster, "open_connection", daemon.open_connection)
    return daemon


@pytest.fixture
def cluster(daemon):
    return Cluster(("127.0.0.1", 3000), [OLD, NEW], daemon, daemon.now, daemon.sleep)


def test_a_connection_of_the_worker_that_is_meant(daemon, cluster):
    connection = cluster.connect(OLD, Deadline(5, daemon.now))
    assert connection.pid == OLD
    assert daemon.left() == [connection]


def test_a_worker_that_gets_no_connection_does_not_listen(daemon, cluster):
    daemon.pids = [NEW]
    with pytest.raises(ProbeFailure) as caught:
        cluster.connect(OLD, Deadline(5, daemon.now))
    assert caught.value.cause == "refused" and "none of 6 connections came to it" in caught.value.message
    assert (daemon.left(), daemon.time) == ([], 0)


def test_a_connection_that_nobody_takes_is_not_waited_for_for_ever(daemon, cluster):
    daemon.pids = [None]
    with pytest.raises(ProbeFailure):
        cluster.connect(OLD, Deadline(5, daemon.now))
    assert daemon.left() == [] and daemon.time <= 1.1


def test_a_connection_of_the_worker_is_held_until_it_takes_no_more(daemon, cluster):
    closed_at = []

    def tell():
        held.extend(daemon.left())
        return Told()

    def accepted(port, pids, deal=daemon.accepted):
        if len(daemon.opened) > 200 and OLD in daemon.pids:
            daemon.pids.remove(OLD)
            closed_at.append(held[0].closed)
        return deal(port, pids)

    held, daemon.accepted = [], accepted
    cluster.end(OLD, tell)
    assert [connection.pid for connection in held] == [OLD]
    assert closed_at == [False] and daemon.left() == []


def test_once_pm2_has_done_as_it_was_told_nothing_is_held(daemon, cluster):
    command = Told(0)
    assert cluster.end(OLD, lambda: command) is command
    assert daemon.left() == [] and daemon.time == 0


def test_a_worker_that_goes_on_taking_connections_is_not_waited_for_for_ever(daemon, cluster):
    cluster.end(OLD, Told)
    assert daemon.left() == [] and 30 <= daemon.time < 31


@pytest.mark.parametrize(("pid", "pids"), [(0, [NEW]), (OLD, [NEW]), (OLD, [])])
def test_a_worker_that_takes_nothing_is_ended_without_more_ado(daemon, cluster, pid, pids):
    daemon.pids = pids
    command = Told()
    assert cluster.end(pid, lambda: command) is command
    assert daemon.time == 0


def test_what_is_held_is_let_go_when_pm2_is_told_in_vain(daemon, cluster):
    def tell():
        raise GatehouseError("no", cause="no_pm2")

    with pytest.raises(GatehouseError):
        cluster.end(OLD, tell)
    assert daemon.left() == []
