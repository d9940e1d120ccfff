"""The one waiting loop, on a clock that only moves when it is told to."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll


class Clock:
    def __init__(self):
        self.now = 1000.0
        self.pauses = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def test_what_is_ready_at_once_costs_no_pause(clock):
    assert poll(lambda: "ready", Deadline(10, clock), sleep=clock.sleep) == "ready"
    assert clock.pauses == []


def test_pauses_start_at_5_ms_and_grow_with_the_time_waited_up_to_the_interval(clock):
    assert poll(lambda: None, Deadline(20, clock), interval=0.5, sleep=clock.sleep) is None
    assert clock.pauses[0] == 0.005
    assert clock.pauses == sorted(clock.pauses[:-1]) + clock.pauses[-1:]
    assert max(clock.pauses) == 0.5
    waited = 0.0
    for pause in clock.pauses[:-1]:
        assert pause == pytest.approx(min(0.5, max(0.005, waited / 10)))
        waited += pause


def test_nothing_is_asked_after_the_deadline(clock):
    asked = []
    poll(lambda: asked.append(clock.now), Deadline(1, clock), interval=0.3, sleep=clock.sleep)
    assert max(asked) < 1001.0
    assert sum(clock.pauses) == pytest.approx(1.0)


def test_it_is_asked_once_even_without_time(clock):
    asked = []
    assert poll(lambda: asked.append(1), Deadline(0, clock), sleep=clock.sleep) is None
    assert asked == [1]


def test_an_answer_that_is_false_is_an_answer(clock):
    assert poll(lambda: False, Deadline(1, clock), sleep=clock.sleep) is False


def test_what_is_raised_ends_the_wait(clock):
    def step():
        raise ValueError("crashed")

    with pytest.raises(ValueError, match="crashed"):
        poll(step, Deadline(10, clock), sleep=clock.sleep)
    assert clock.pauses == []


def test_a_deadline_counts_down_and_never_below_zero(clock):
    deadline = Deadline(2.5, clock)
    clock.now += 1
    assert (deadline.elapsed(), deadline.remaining(), deadline.expired()) == (1.0, 1.5, False)
    clock.now += 5
    assert (deadline.remaining(), deadline.expired()) == (0.0, True)
