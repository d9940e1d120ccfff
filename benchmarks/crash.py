"""How long until a service that crashes at start is reported: health_restart beside systemd restarted and wait_for with its defaults.

The usual side waits out wait_for's own timeout of 300 s, so this benchmark takes five minutes.
"""

from __future__ import annotations

from _common import figures, install_service, play, table

from testbed import host, image

NAME = "gatehouse-bench-crash"

OURS = """
- gatehouse.webapp.health_restart:
    name: bench.service
    port: 8000
    http: {path: /health}
"""
USUAL = """
- ansible.builtin.systemd_service:
    name: bench.service
    state: restarted
- ansible.builtin.wait_for:
    port: 8000
"""


def said(output):
    """What the failed play says of it: the line after `msg: |-`, or the rest of the line."""
    text = output.split("msg:", 1)[1].replace("|-", "", 1)
    return text.strip().splitlines()[0][:110]


def main():
    with host.booted(NAME, image.ensure()):
        install_service(NAME, "bench", 8000, -1)
        ours, ours_output = play(NAME, OURS, expect_failure=True)
        usual, usual_output = play(NAME, USUAL, expect_failure=True)
    table(
        ["side", "reported after", "as"],
        [
            ["health_restart", f"{ours:.2f} s", said(ours_output)],
            ["systemd, wait_for", f"{usual:.2f} s", said(usual_output)],
        ],
    )
    figures("crash", ours_s=ours, builtin_s=usual)


main()
