"""Who runs a deploy, and whether one who did is gone."""

import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _holder

STAT = "%d (ansible (x) play) S " + " ".join(str(number) for number in range(4, 22)) + " %s 0\n"


@pytest.fixture
def proc(tmp_path):
    """A /proc with two processes, 10 and 11."""
    for pid, started in ((10, "5000"), (11, "6000")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(STAT % (pid, started))
    (tmp_path / "self" / "ns").mkdir(parents=True)
    os.symlink("pid:[4026531836]", tmp_path / "self" / "ns" / "pid")
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot-1\n")
    return str(tmp_path)


def who(pid, proc):
    return dict(_holder.describe(pid, proc), host="laptop", machine="m1")


def test_two_processes_are_two_holders(proc):
    one, other = who(10, proc), who(11, proc)
    assert one["id"] != other["id"]
    assert one == who(10, proc)
    assert (one["started"], one["boot"], one["namespace"]) == ("5000", "boot-1", "pid:[4026531836]")


def test_who_runs_is_not_gone(proc):
    assert _holder.why_gone(who(10, proc), who(11, proc), proc) is None


def test_who_has_ended_is_gone(proc):
    held = dict(who(10, proc), pid=12)
    assert _holder.why_gone(held, who(11, proc), proc) == "the process 12 on laptop has ended"


def test_another_process_with_the_same_number_is_not_taken_for_the_holder(proc):
    assert "has ended" in _holder.why_gone(dict(who(10, proc), started="4000"), who(11, proc), proc)


def test_a_control_node_that_was_rebooted_holds_nothing(proc):
    assert _holder.why_gone(dict(who(10, proc), boot="boot-0"), who(11, proc), proc) == "laptop was rebooted since"


@pytest.mark.parametrize(
    "changes",
    [
        {"boot": "boot-0", "host": "ci"},
        {"boot": "boot-0", "machine": "m2"},
        {"namespace": "pid:[1]", "pid": 12},
    ],
)
def test_of_another_machine_or_container_nothing_is_known(proc, changes):
    assert _holder.why_gone(dict(who(10, proc), **changes), who(11, proc), proc) is None


def test_machines_without_a_name_of_their_own_are_not_told_apart(proc):
    held = dict(who(10, proc), boot="boot-0", machine="")
    assert _holder.why_gone(held, dict(who(11, proc), machine=""), proc) is None
