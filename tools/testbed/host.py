"""Throw-away hosts: containers that boot systemd, for the demo, the scenarios and the benchmarks."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time

from . import paths, steps, toolchain
from .image import LABEL

FILES = paths.CACHE / "hosts"
BOOT_TIMEOUT = 60
# What systemd needs and no more: privileged containers are refused by some machines, and reach too far on others.
FLAGS = (
    "--cap-add=SYS_ADMIN",
    "--cap-add=NET_ADMIN",
    # As root has it on a real host: without it nobody can see who holds a socket.
    "--cap-add=SYS_PTRACE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--cgroupns=private",
    # A virtual environment under /run must be able to execute.
    "--tmpfs=/run:exec",
)

# For a play whose output is read by a program: the checkout's own report is for people.
READABLE = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}


@contextlib.contextmanager
def booted(name, image):
    """A host for the length of a block: with booted("gatehouse-bench", image.ensure()): ..."""
    boot(name, image)
    try:
        yield name
    finally:
        remove(name)


def boot(name, image, publish=None):
    """Boot a host and wait until systemd is up. A host of that name from an earlier run is replaced.

    `publish` is a pair: the port of this machine's loopback address that leads to a port of the host.
    """
    remove(name)
    ports = [f"--publish=127.0.0.1:{publish[0]}:{publish[1]}"] if publish else []
    steps.output(["docker", "run", "--detach", "--name", name, "--hostname", name, *FLAGS, *ports, image])
    wait(name)


def wait(name):
    """Wait until the host's systemd has started what it starts at boot."""
    deadline = time.monotonic() + BOOT_TIMEOUT
    while True:
        state = execute(name, "systemctl", "is-system-running", "--wait").stdout.strip()
        if state in ("running", "degraded"):
            return
        if not is_running(name) or time.monotonic() > deadline:
            log = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=False)
            state = state or "no answer from systemd"
            raise steps.Failure(f"host {name} did not boot ({state}):\n{steps.tail(log.stdout + log.stderr, 20)}")
        time.sleep(0.1)


def is_running(name):
    result = subprocess.run(
        ["docker", "inspect", "--format", "{{.State.Running}}", name], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() == "true"


def image_of(name):
    """The image a host was booted from, or None where there is no such host."""
    result = subprocess.run(
        ["docker", "inspect", "--format", "{{.Config.Image}}", name], capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or None


def address(name):
    """The host's address on the machine's container network."""
    networks = json.loads(steps.output(["docker", "inspect", "--format", "{{json .NetworkSettings.Networks}}", name]))
    return next(network["IPAddress"] for network in networks.values())


def published_port(name, port):
    """The machine's port that leads to a port of the host, or None."""
    result = subprocess.run(["docker", "port", name, str(port)], capture_output=True, text=True, check=False)
    lines = result.stdout.split()
    return int(lines[0].rsplit(":", 1)[1]) if lines else None


def execute(name, *command):
    """Run a command on the host; the result carries returncode, stdout and stderr."""
    return subprocess.run(["docker", "exec", name, *map(str, command)], capture_output=True, text=True, check=False)


def inventory(name, alias=None, groups=("webapp",), variables=None):
    """An inventory, as JSON text, that holds this one host under `alias`."""
    facts = {"ansible_connection": "community.docker.docker", "ansible_host": name, **(variables or {})}
    return json.dumps({group: {"hosts": {alias or name: facts}} for group in groups}, indent=2) + "\n"


def inventory_file(name, **options):
    """The same as a file, for ansible-playbook's --inventory."""
    path = FILES / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(inventory(name, **options))
    return path


def play(name, *arguments, **options):
    """Run ansible-playbook against the host; `options` are those of inventory().

    The result carries returncode, stdout and stderr.
    """
    command = ["ansible-playbook", "--inventory", inventory_file(name, **options), *arguments]
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=paths.ROOT,
        env=toolchain.environment(**READABLE),
    )


def remove(name):
    """Remove a host, its volumes and its inventory; True when there was one."""
    (FILES / f"{name}.json").unlink(missing_ok=True)
    there = image_of(name) is not None
    if there:
        steps.output(["docker", "rm", "--force", "--volumes", name])
    return there


def remove_all():
    """Remove every host of the test bed, those of an interrupted run included; give their number."""
    names = steps.output(["docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}"]).split()
    if names:
        steps.output(["docker", "rm", "--force", "--volumes", *names])
    return len(names)


def free_port(preferred, attempts=100, is_free=None):
    """The preferred port of the loopback address, or the next one that nothing listens on."""
    check = is_free or loopback_port_is_free
    for port in range(preferred, min(preferred + attempts, 65536)):
        if check(port):
            return port
    raise steps.Failure(f"no free port from {preferred} to {preferred + attempts - 1}: choose another with --port")


def loopback_port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
