"""Fifty firewall rules: one ufw_policy task beside fifty calls of community.general.ufw, which has one rule in a call.

Both sides in turn, each on a firewall that is on and has one rule. What both pay (ansible-playbook's own start, a connection) is
measured with an empty play and taken off. `ratio_confirmed` is the same with confirm_within: a timer armed, a second call, and the
timer taken back.
"""

from __future__ import annotations

from _common import figures, median, play, table

from testbed import host, image, steps

NAME = "gatehouse-bench-firewall"
ROUNDS = 3
RULES = 50

EMPTY = "[]"
OURS = """
- gatehouse.webapp.ufw_policy:
    confirm_within: %d
    rules: "{{ range(10000, 10000 + RULES) | map('community.general.dict_kv', 'port')
               | map('combine', {'rule': 'allow', 'proto': 'tcp'}) | list }}"
"""
USUAL = """
- community.general.ufw:
    rule: allow
    port: "{{ item }}"
    proto: tcp
  loop: "{{ range(10000, 10000 + RULES) | list }}"
"""


def shell(script):
    result = host.execute(NAME, "sh", "-c", script)
    if result.returncode:
        raise steps.Failure(result.stdout + result.stderr)
    return result.stdout


def timed(tasks):
    """Seconds of a play on the firewall as it was at first. Unless the play is empty, all rules have to be there after it."""
    shell("cp /root/ufw/*.rules /etc/ufw/ && ufw reload")
    seconds = play(NAME, tasks.replace("RULES", str(RULES)))[0]
    there = int(shell("ufw show added | grep -c ' 10[0-9]*/tcp' || true"))
    if there != (0 if tasks == EMPTY else RULES):
        raise steps.Failure(f"there are {there} rules after the play")
    return seconds


def main():
    sides = {"empty": EMPTY, "one": OURS % 0, "confirmed": OURS % 60, "usual": USUAL}
    taken = {side: [] for side in sides}
    with host.booted(NAME, image.ensure()):
        shell("ufw allow 22/tcp && ufw --force enable && cp -a /etc/ufw /root/ufw")
        for _round in range(ROUNDS):
            for side, tasks in sides.items():
                taken[side].append(timed(tasks))
    ratios = {
        side: median(
            [
                (usual - empty) / (ours - empty)
                for usual, ours, empty in zip(taken["usual"], taken[side], taken["empty"], strict=True)
            ]
        )
        for side in ("one", "confirmed")
    }
    seconds = {side: median(values) for side, values in taken.items()}
    table(
        [
            "rules",
            "empty play",
            "ufw_policy",
            "ufw_policy, confirmed",
            "community.general.ufw",
            "ratio without empty play",
        ],
        [
            [
                RULES,
                *(f"{seconds[side]:.2f} s" for side in sides),
                f"{ratios['one']:.1f} ({ratios['confirmed']:.1f} confirmed)",
            ]
        ],
    )
    figures("firewall", ratio=ratios["one"], ratio_confirmed=ratios["confirmed"])


main()
