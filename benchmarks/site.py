"""site.yml on one fresh host, and again: seconds, tasks, changes. The second run must change nothing."""

from __future__ import annotations

import re
import subprocess
import time

from _common import figures, table

from testbed import host, image, paths, steps

NAME = "gatehouse-bench-site"


def run():
    # The second inventory says how to reach the host that the first one describes.
    reach = host.inventory_file(NAME, alias="app1", variables={"ansible_user": "root"})
    command = ["ansible-playbook", "--inventory", "inventory/example", "--inventory", str(reach), "site.yml"]
    begin = time.monotonic()
    result = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    elapsed = time.monotonic() - begin
    found = re.search(r"ok=(\d+) +changed=(\d+)", result.stdout)
    if result.returncode or not found:
        raise steps.Failure(result.stdout[-3000:] + result.stderr[-2000:])
    return elapsed, int(found.group(1)), int(found.group(2))


def main():
    with host.booted(NAME, image.ensure()):
        first, second = run(), run()
    table(
        ["run", "seconds", "tasks", "changed"],
        [["first", f"{first[0]:.1f}", *first[1:]], ["second", f"{second[0]:.1f}", *second[1:]]],
    )
    figures("site", first_s=first[0], second_s=second[0], tasks=first[1], changed=second[2])


main()
