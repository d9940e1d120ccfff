"""bin/demo: the example inventory on a throw-away host, shown in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

from . import engine, host, image, paths, steps, toolchain

USAGE = """usage: bin/demo [--port PORT]   serve the example chat app from a host in a container (port 8080 or the next)
       bin/demo down [--all]    remove the host; with --all every test host, the images and the tools"""

NAME = "gatehouse-demo"
# The host of inventory/example that the container stands in for.
ALIAS = "app1"
HTTP = 80
PORT = 8080
LOG = paths.LOGS / "demo-site.log"


def main(arguments):
    if set(arguments) & {"-h", "--help"}:
        print(USAGE)
        return 0
    if arguments in (["down"], ["down", "--all"]):
        return down(everything="--all" in arguments)
    if not arguments:
        return up()
    if len(arguments) == 2 and arguments[0] == "--port" and arguments[1].isdigit():
        return up(int(arguments[1]))
    raise steps.Failure(USAGE)


def up(wanted=None):
    timings = []
    with steps.timed("tools", timings):
        toolchain.ensure()
    with steps.timed("engine", timings):
        engine.ensure()
    with steps.timed("image", timings):
        base = image.ensure()
    with steps.timed("host", timings):
        port = ensure_host(base, wanted)
    steps.say(f"[host] {NAME}, its port {HTTP} is http://127.0.0.1:{port}")
    with steps.stage("site"), steps.timed("site", timings):
        play = run_site()
    address = f"http://127.0.0.1:{port}/"
    reach(address)
    report(address, play, timings)
    return 0


def ensure_host(base, wanted):
    """The demo's host, booted where it does not run yet as wanted; give the port that leads to it."""
    if host.image_of(NAME) == base and host.is_running(NAME):
        port = host.published_port(NAME, HTTP)
        if port and wanted in (None, port):
            return port
    host.remove(NAME)
    port = host.free_port(wanted or PORT)
    host.boot(NAME, base, publish=(port, HTTP))
    return port


def run_site():
    """Run site.yml against the host, with a line per task; everything it prints is in the log."""
    overrides = host.inventory_file(NAME, alias=ALIAS, variables={"ansible_user": "root"})
    # The second inventory says how to reach the host that the first one describes.
    command = ["ansible-playbook", "--inventory", "inventory/example", "--inventory", str(overrides), "site.yml"]
    LOG.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    begin = time.monotonic()
    with LOG.open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=paths.ROOT,
            env=toolchain.environment(**host.READABLE),
        )
        for line in process.stdout:
            log.write(line)
            log.flush()
            lines.append(line.rstrip("\n"))
            task = task_name(line)
            if task:
                steps.say(f"  {time.monotonic() - begin:5.1f} s  {task}")
        status = process.wait()
    if status:
        raise steps.Failure(
            f"site.yml failed, the end of {LOG.relative_to(paths.ROOT)}:\n{steps.tail(chr(10).join(lines))}"
        )
    return read_play(lines)


def task_name(line):
    """The name in a line that announces a task, without the collection's own name."""
    found = re.match(r"TASK \[(.*)\] \**$", line.rstrip())
    return found.group(1).replace("gatehouse.webapp.", "") if found else None


def read_play(lines):
    """What a play's output says: how many tasks ran and changed something, and the checks that passed."""
    verified = []
    totals = {"ok": 0, "changed": 0}
    for line in lines:
        # A row of the table that verify prints: mark, host, link, what, result and milliseconds.
        row = re.search(r"✔ \S+ +(\S.*\S)  +\S.*", line)
        if row:
            verified.append(re.sub(r"  +", "  ", row.group(1)))
        recap = re.match(r"\S+ +: ok=(\d+) +changed=(\d+)", line)
        if recap:
            totals["ok"] += int(recap.group(1))
            totals["changed"] += int(recap.group(2))
    return {**totals, "verified": verified}


def reach(address):
    """Fetch the page the way a browser on this machine will."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise steps.Failure(f"the site runs on the host, but {address} does not answer here: {error}") from error


def report(address, play, timings):
    steps.say("\nVerified on the host, in this order:")
    for name in play["verified"]:
        steps.say(f"  {name}")
    steps.say(f"  {address} answers on this machine")
    steps.say("\n" + ", ".join(f"{name} {steps.seconds(elapsed)}" for name, elapsed in timings))
    steps.say(f"site.yml: {play['ok']} tasks, changed={play['changed']}; its output: {LOG.relative_to(paths.ROOT)}")
    steps.say(f"\nThe chat app runs at {address}\nbin/demo down removes it.")


def down(everything):
    """Remove the host, and with `everything` all that the test bed has made."""
    if engine.answers():
        steps.say(f"host {NAME} removed" if host.remove(NAME) else f"there is no host {NAME}")
        if everything:
            steps.say(f"{host.remove_all()} other hosts and {image.remove_all()} images removed")
    stopped = engine.stop()
    if stopped:
        steps.say(stopped)
    if everything:
        for folder in (paths.VENV, paths.CACHE, paths.ROOT / ".ansible"):
            shutil.rmtree(folder, ignore_errors=True)
        steps.say("tools removed")
    else:
        steps.say("kept for the next run: images and tools (bin/demo down --all removes them too)")
    return 0
