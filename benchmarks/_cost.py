"""What a unit's processes pay for what a command asks of them. Runs on the host.

    python3 _cost.py UNIT COMMAND...

The command's last line must be a JSON object with its number of `requests`. It is printed with `cpu_us` added: microseconds of
CPU time of the unit, for each request. Where other work shares the CPUs, that changes much less than what got through.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


def ticks(stat):
    """CPU time of a process in a line of /proc/PID/stat: user and system. The name before them may hold blanks."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def used(unit):
    """Microseconds that the unit's processes have had so far."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"/{unit}.service" in (process / "cgroup").read_text():
                total += ticks((process / "stat").read_text())
        except OSError:
            # It ended while it was looked at.
            continue
    return total * TICK_US


def main():
    unit, *command = sys.argv[1:]
    before = used(unit)
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(result.stdout.splitlines()[-1])
    found["cpu_us"] = (used(unit) - before) / max(found["requests"], 1)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
