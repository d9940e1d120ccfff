# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The one waiting loop. Everything that waits in this collection waits here."""

from __future__ import annotations

import time

FIRST_PAUSE = 0.005


class Deadline:
    """A point on a monotonic clock, over everything that is done before it.

    seconds: how far away it is, fractions allowed.
    """

    def __init__(self, seconds, clock=time.monotonic):
        self._clock = clock
        self.started = clock()
        self.seconds = seconds

    def elapsed(self):
        return self._clock() - self.started

    def remaining(self):
        return max(0.0, self.seconds - self.elapsed())

    def expired(self):
        return self.elapsed() >= self.seconds


def poll(step, deadline, interval=0.1, sleep=time.sleep):
    """Call step() until it answers something other than None, or the deadline has passed.

    The pause between calls starts at 5 ms and grows with the time already waited (a tenth of it), up to
    `interval` seconds: what is ready at once is seen at once, and what takes long costs little to watch.
    step() is called at least once, and never after the deadline.
    Returns the answer, or None when the deadline passed without one. What step() raises ends the wait.
    """
    while True:
        answer = step()
        if answer is not None:
            return answer
        pause = min(interval, max(FIRST_PAUSE, deadline.elapsed() / 10))
        sleep(min(pause, deadline.remaining()))
        if deadline.expired():
            return None
