"""The kernel's tables as recorded on hosts, and a /proc that the tests build."""

import os
import shutil

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import (
    Holder,
    Listeners,
    Socket,
    describe,
    describe_all,
    parse_tcp_table,
    scope,
    unit_of,
)

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
REST = "00000000:00000000 00:00000000 00000000     0        0 %d 1 0000000000000000 100 0 0 10 0\n"
TCP = (
    HEAD
    + "   0: 0100007F:1F40 00000000:0000 0A "
    + REST % 101
    + "   1: 00000000:0050 00000000:0000 0A "
    + REST % 102
    + "   2: 0100007F:1F40 0100007F:C350 01 "
    + REST % 103
    + "   3: 0100007F:C350 0100007F:1F40 01 "
    + REST % 104
    + "   4: 0100007F:1F40 0100007F:C351 06 "
    + REST % 0
    + "   5: 0100007F:1F40 0100007F:C352 08 "
    + REST % 105
    + "   6: garbled\n"
)
TCP6 = (
    HEAD
    + "   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A " + REST % 201
    + "   1: 00000000000000000000000001000000:1F40 00000000000000000000000000000000:0000 0A " + REST % 202
    + "   2: 0000000000000000FFFF00000100007F:1F41 0000000000000000FFFF00000100007F:C350 01 " + REST % 203
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sockets"),
    [
        ("", []),
        (HEAD, []),
        (
            TCP,
            [
                Socket("127.0.0.1", 8000, "0A", 101),
                Socket("0.0.0.0", 80, "0A", 102),
                Socket("127.0.0.1", 8000, "01", 103),
                Socket("127.0.0.1", 50000, "01", 104),
                Socket("127.0.0.1", 8000, "06", 0),
                Socket("127.0.0.1", 8000, "08", 105),
            ],
        ),
        (
            TCP6,
            [Socket("::", 22, "0A", 201), Socket("::1", 8000, "0A", 202), Socket("127.0.0.1", 8001, "01", 203)],
        ),
    ],
    ids=["empty", "head", "tcp", "tcp6"],
)
def test_tables_are_read(text, sockets):
    assert parse_tcp_table(text) == sockets


@pytest.mark.parametrize(
    ("addresses", "reach"),
    [
        ([], "none"),
        (["127.0.0.1"], "loopback"),
        (["::1", "127.0.0.53"], "loopback"),
        (["0.0.0.0"], "all"),
        (["127.0.0.1", "::"], "all"),
        (["192.0.2.1"], "address"),
        (["127.0.0.1", "192.0.2.1"], "address"),
    ],
)
def test_how_far_addresses_reach(addresses, reach):
    assert scope(addresses) == reach


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/system-chat.slice/chat@8000.service\n", "chat@8000.service"),
        ("12:cpu:/\n1:name=systemd:/system.slice/nginx.service\n0::/system.slice/nginx.service\n", "nginx.service"),
        ("4:memory:/system.slice/other.service\n1:name=systemd:/docker/abc/system.slice/a.service\n", "a.service"),
        ("0::/system.slice/app.service/payload/worker\n", "app.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/dev.service\n", "dev.service"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"),
        ("0::/init.scope\n", "init.scope"),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_the_unit_of_a_process(text, unit):
    assert unit_of(text) == unit


@pytest.fixture
def proc(tmp_path):
    """A /proc of three processes: one holds 8000, one holds 80, one holds nothing and is not root's."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TCP)
    (tmp_path / "net" / "tcp6").write_text(TCP6)

    def process(pid, unit, inodes, uid=0, exe="/usr/bin/app"):
        folder = tmp_path / str(pid)
        (folder / "fd").mkdir(parents=True)
        for number, inode in enumerate(inodes):
            os.symlink("socket:[%d]" % inode, folder / "fd" / str(number))
        os.symlink("/dev/null", folder / "fd" / "99")
        (folder / "cgroup").write_text("0::/system.slice/%s\n" % unit)
        (folder / "status").write_text("Name:\tapp\nUid:\t%d\t%d\t%d\t%d\n" % (uid, uid, uid, uid))
        (folder / "comm").write_text("app\n")
        if exe:
            os.symlink(exe, folder / "exe")

    process(10, "chat.service", [101, 103])
    process(11, "nginx.service", [102], uid=4294967294, exe=None)
    process(12, "chat.service", [300])
    return Listeners(str(tmp_path))


def test_listening_sockets_are_told_from_connections(proc):
    assert [s.inode for s in proc.listening(8000)] == [101, 202]
    assert proc.listening(8001) == []


def test_connections_are_counted_on_the_servers_side(proc):
    assert proc.connections(8000) == 2
    assert proc.connections(8001) == 1
    assert proc.connections(80) == 0


def test_holders_are_named(proc):
    assert proc.holders(proc.listening(8000)) == [Holder(10, "/usr/bin/app", "root", "chat.service")]
    assert proc.holders(proc.listening(80)) == [Holder(11, "app", "4294967294", "nginx.service")]
    assert proc.holders(proc.listening(22)) == []


def test_sockets_are_told_with_each_of_their_holders(proc):
    told = proc.held([s for s in proc.sockets() if s.state == "0A"])
    assert sorted((one.port, holder.pid) for one, holder in told) == [(80, 11), (8000, 10)]


def test_a_unit_and_its_ports(proc):
    assert proc.pids_of_unit("chat.service") == [10, 12]
    assert proc.ports_of([10, 12]) == [8000]


def test_a_connection_is_found_at_the_process_that_took_it(proc):
    assert proc.accepted(8000, [10, 11, 12]) == {50000: 10}
    assert proc.accepted(8000, [11]) == proc.accepted(80, [10]) == {}
    os.symlink("socket:[203]", os.path.join(proc.proc, "12/fd/7"))
    assert proc.accepted(8001, [10, 12]) == {50000: 12}


def test_a_process_that_vanishes_is_no_error(proc):
    assert proc.holder(4711) == Holder(4711, "?", "?", None)
    assert proc.ports_of([4711]) == []
    assert proc.accepted(8000, [4711]) == {}


def test_a_process_that_ends_while_it_is_looked_at_holds_nothing(proc, monkeypatch):
    look = proc.holder

    def ends_first(pid):
        shutil.rmtree("%s/%d" % (proc.proc, pid))
        return look(pid)

    monkeypatch.setattr(proc, "holder", ends_first)
    assert proc.holders(proc.listening(8000)) == []


def test_holders_are_told_as_a_person_would():
    holder = Holder(812, "/usr/bin/python3.11", "alice", "old.service")
    assert describe(holder) == "pid 812 (/usr/bin/python3.11, user alice, unit old.service)"
    assert describe(holder._replace(unit=None)).endswith("user alice, no unit)")
    assert describe_all([]) == "a process that this user may not see"
