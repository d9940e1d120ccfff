"""The memory of a unit's instances, in MB: before and at the peak. Runs on the host until its standard input ends.

    python3 _memory.py NAME

Each page counts once: shared ones are divided among those who share them (PSS). So two processes of one program need less
than twice the memory of one.
"""

from __future__ import annotations

import json
import select
import sys
from pathlib import Path

INTERVAL = 0.25


def used(name):
    """MB of all processes in units called NAME@..."""
    kilobytes = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"/{name}@" in (process / "cgroup").read_text():
                rollup = (process / "smaps_rollup").read_text()
                kilobytes += int(rollup.split("\nPss:")[1].split()[0])
        except (OSError, IndexError):
            # It ended while it was looked at.
            continue
    return kilobytes / 1024


def main():
    name = sys.argv[1]
    before = peak = used(name)
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        peak = max(peak, used(name))
    print(json.dumps({"before": before, "peak": peak}))


main()
