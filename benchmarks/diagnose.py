"""How good a diagnosis is: of the faults of the scenario `faults`, injected for real, those whose cause is the first that is named.

Beside that what it costs: a healthy host, a host on which everything hangs, and ten hosts at once. The ten are ten names of one host,
so that all of them share its processors: what ten machines of their own take is less. Times are those of the whole command, with
Ansible's own start, as one types it. There is no usual side: what is usual is a person with a checklist.
"""

from __future__ import annotations

import json
import os
import subprocess
import time

import _faults
from _common import figures, median, table

from testbed import host, image, paths, steps, toolchain

NAME = "gatehouse-bench-diagnose"
ROUNDS = 3
HOSTS = 10
TIMEOUT = 10


def run(script):
    return subprocess.run(["docker", "exec", NAME, "bash", "-c", script], capture_output=True, text=True, check=False)


def heal(undo):
    """Mend a fault, and wait until the host is well."""
    run(undo)
    if run(_faults.HEALTHY).returncode:
        raise steps.Failure(f"the host did not get well again after: {undo}")


def converge():
    for playbook in ("prepare.yml", "converge.yml"):
        result = host.play(NAME, paths.ROOT / "molecule" / "faults" / playbook)
        if result.returncode:
            raise steps.Failure(steps.tail(result.stdout + result.stderr))


def diagnose(change=_faults.no_change):
    """(seconds, what the diagnosis returns)"""
    begin = time.monotonic()
    found = _faults.diagnose(host.inventory_file(NAME), change, TIMEOUT)
    return time.monotonic() - begin, found


def first_cause(name):
    """The cause that is named first of a fault, and whether it is the right one, with the words that it must have."""
    inject, undo, words, change = _faults.FAULTS[name]
    try:
        if run(inject).returncode:
            raise steps.Failure(f"the fault {name} could not be injected")
        causes = diagnose(change)[1]["causes"]
    finally:
        heal(undo)
    first = causes[0] if causes else {"cause": "none", "message": "", "evidence": []}
    right = first["cause"] == name.partition(" ")[0] and words in first["message"] + " ".join(first["evidence"])
    return first["cause"], right


def at_worst():
    inject, undo = _faults.ALL_HANGS
    try:
        run(inject)
        return diagnose()[0]
    finally:
        heal(undo)


def fleet():
    """(seconds, causes that were named) of ten hosts at once, none of which has a fault."""
    inventory = host.FILES / f"{NAME}-fleet.json"
    facts = {"ansible_connection": "community.docker.docker", "ansible_host": NAME}
    inventory.write_text(json.dumps({"webapp": {"hosts": {f"host{number}": facts for number in range(HOSTS)}}}))
    document = host.FILES / f"{NAME}.report.json"
    variables = {**_faults.MODEL, "diagnose_json": str(document), "diagnose_timeout": 6 * TIMEOUT}
    command = ["ansible-playbook", "--forks", str(HOSTS), "--inventory", str(inventory), "playbooks/diagnose.yml"]
    begin = time.monotonic()
    result = subprocess.run(
        [*command, "--extra-vars", json.dumps(variables)],
        capture_output=True,
        text=True,
        check=False,
        cwd=paths.ROOT,
        env=toolchain.environment(**host.READABLE),
    )
    elapsed = time.monotonic() - begin
    if result.returncode:
        raise steps.Failure(steps.tail(result.stdout + result.stderr))
    told = json.loads(document.read_text())["hosts"]
    if len(told) != HOSTS or not all(told.values()):
        raise steps.Failure(f"{len(told)} of {HOSTS} hosts were diagnosed")
    return elapsed, sum(len(one["causes"]) for one in told.values())


def main():
    # The scenario's model asks for it.
    os.environ["MOLECULE_PROJECT_DIRECTORY"] = str(paths.ROOT)
    with host.booted(NAME, image.ensure()):
        converge()
        heal("true")
        healthy = [diagnose() for _round in range(ROUNDS)]
        fleet_seconds, fleet_alarms = fleet()
        worst = at_worst()
        named = {name: first_cause(name) for name in _faults.FAULTS}
    alarms = sum(len(found["causes"]) for _seconds, found in healthy) + fleet_alarms
    healthy_seconds = median([seconds for seconds, _found in healthy])
    gathering = median([found["evidence"]["took"] for _seconds, found in healthy])
    right = sum(1 for _cause, ok in named.values() if ok)
    wrong = [[name, cause] for name, (cause, ok) in named.items() if not ok]
    if wrong:
        table(["fault", "named first"], wrong)
    table(
        ["what", "measured"],
        [
            ["faults, each injected alone", len(named)],
            ["right cause named first", right],
            [f"causes named on healthy hosts ({ROUNDS} + {HOSTS} diagnoses)", alarms],
            ["a healthy host", f"{healthy_seconds:.1f} s, of it {gathering:.1f} s on the host"],
            ["a host on which everything hangs", f"{worst:.1f} s"],
            [f"{HOSTS} hosts at once (names of one host)", f"{fleet_seconds:.1f} s"],
        ],
    )
    figures(
        "diagnose",
        faults=len(named),
        named=right,
        false_alarms=alarms,
        healthy_s=healthy_seconds,
        worst_s=worst,
        hosts=HOSTS,
        hosts_s=fleet_seconds,
    )


main()
