"""A gated restart: one health_restart task beside the usual three (systemd restarted, wait_for, uri until 200).

Both sides in turn, with an app that starts at once and one that takes 1.5 s. What both pay (ansible-playbook's own start, a
connection) is measured with an empty play and taken off. `added_s` is what health_restart takes beyond a no-op task and the app's
own 1.5 s.
"""

from __future__ import annotations

from _common import figures, install_service, median, play, table

from testbed import host, image

NAME = "gatehouse-bench-restart"
ROUNDS = 5

EMPTY = "[]"
NOTHING = "- ansible.builtin.ping:"
OURS = """
- gatehouse.webapp.health_restart:
    name: bench.service
    port: 8000
    http: {path: /health, json: {status: healthy}}
"""
USUAL = """
- ansible.builtin.systemd_service:
    name: bench.service
    state: restarted
- ansible.builtin.wait_for:
    port: 8000
- ansible.builtin.uri:
    url: http://127.0.0.1:8000/health
  register: health
  until: health.status == 200
  retries: 60
  delay: 1
"""


def measure(start):
    """Median seconds by side, and the median of the ratios pair by pair."""
    install_service(NAME, "bench", 8000, start)
    sides = {"empty": EMPTY, "no-op task": NOTHING, "ours": OURS, "usual": USUAL}
    taken = {side: [] for side in sides}
    for _round in range(ROUNDS):
        for side, tasks in sides.items():
            taken[side].append(play(NAME, tasks)[0])
    ratio = median(
        [
            (usual - empty) / (ours - empty)
            for usual, ours, empty in zip(taken["usual"], taken["ours"], taken["empty"], strict=True)
        ]
    )
    return {side: median(values) for side, values in taken.items()}, ratio


def main():
    with host.booted(NAME, image.ensure()):
        results = {start: measure(start) for start in (0, 1.5)}
    table(
        ["start-up", "empty play", "no-op task", "health_restart", "systemd+wait_for+uri", "ratio without empty play"],
        [
            [
                f"{start} s",
                *(f"{taken[side]:.2f} s" for side in ("empty", "no-op task", "ours", "usual")),
                f"{ratio:.2f}",
            ]
            for start, (taken, ratio) in results.items()
        ],
    )
    slow = results[1.5][0]
    figures(
        "restart",
        ratio_0s=results[0][1],
        ratio_1_5s=results[1.5][1],
        added_s=slow["ours"] - slow["no-op task"] - 1.5,
    )


main()
