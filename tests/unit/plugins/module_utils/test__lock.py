"""One deploy at a time: who holds the lock, for how long, and who may take it over."""

import json
import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._lock import Lock, refusal

ALICE = {"id": "a", "user": "alice", "host": "laptop", "pid": 4711}
BOB = {"id": "b", "user": "bob", "host": "ci", "pid": 12}


@pytest.fixture
def lock(tmp_path):
    made = Lock(str(tmp_path / "deploy" / "shop.lock"))
    made.time = 1000.0
    made._now = lambda: made.time
    return made


def test_the_second_is_told_who_was_first(lock):
    assert lock.take(ALICE, "r1", 60) is None
    lock.time += 10
    held = lock.take(BOB, "r2", 60)
    assert (held["who"], held["since"], held["release"]) == (ALICE, 1000.0, "r1")


def test_whoever_holds_it_may_take_it_again_and_renews_it(lock):
    lock.take(ALICE, None, 60)
    lock.time += 50
    assert lock.take(ALICE, "r1", 60) is None
    lock.time += 50
    held = lock.holder()
    assert (held["since"], held["release"]) == (1000.0, "r1")


def test_it_ends_when_it_is_not_renewed(lock):
    lock.take(ALICE, "r1", 60)
    lock.time += 61
    assert lock.holder() is None
    assert lock.take(BOB, "r2", 60) is None
    assert lock.holder()["since"] == 1061.0


def test_it_is_taken_over_from_the_one_who_is_gone_and_from_nobody_else(lock):
    lock.take(ALICE, "r1", 60)
    assert lock.take(BOB, "r2", 60, instead_of="x")["who"] == ALICE
    assert lock.take(BOB, "r2", 60, instead_of="a") is None
    assert lock.holder()["who"] == BOB


def test_only_its_holder_gives_it_up(lock):
    lock.take(ALICE, "r1", 60)
    lock.leave(BOB)
    assert lock.holder()["who"] == ALICE
    lock.leave(ALICE)
    assert lock.holder() is None
    lock.leave(ALICE)


def test_a_lock_that_can_not_be_read_is_none(lock):
    os.makedirs(os.path.dirname(lock.path))
    with open(lock.path, "w", encoding="utf-8") as file:
        file.write('{"who"')
    assert lock.take(BOB, "r2", 60) is None
    with open(lock.path, encoding="utf-8") as file:
        assert json.load(file)["who"] == BOB


def test_the_refusal_says_who_and_what_to_type(lock):
    lock.take(ALICE, "r1", 600)
    lock.time += 240
    error = refusal("shop", lock.take(BOB, "r2", 60), lock.time)
    assert error.message == "shop is being deployed by alice on laptop (pid 4711), for 4 min, release r1"
    assert "webapp_break_lock=true" in error.hint
