"""Playbooks as a test runs them: to the end, told by Ansible's JSON output, or killed at a moment of its choice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

PATIENCE = 120


class Run:
    """A playbook's run, to its end."""

    def __init__(self, inventory, playbook, variables=None, arguments=()):
        done = subprocess.run(
            _command(inventory, playbook, variables, arguments),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        )
        self.status = done.returncode
        self.text = done.stdout + done.stderr
        self.results = []
        for play in json.loads(done.stdout[done.stdout.index("{") :])["plays"]:
            for task in play["tasks"]:
                name = task["task"]["name"].split(" : ")[-1]
                self.results += [(name, result) for result in task["hosts"].values()]

    @property
    def failure(self):
        return next(result for _task, result in self.results if result.get("failed") or _failed_item(result))

    @property
    def changed(self):
        return [task for task, result in self.results if result.get("changed")]

    def did(self, task):
        return task in [name for name, result in self.results if not result.get("skipped")]


def kill(inventory, playbook, variables, arguments, now):
    """Run a playbook and end it with SIGKILL, all its processes, as soon as now(line) is true.

    line: what it has just printed; empty while it prints nothing, about ten times a second.
    """
    process = subprocess.Popen(
        _command(inventory, playbook, variables, arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "PYTHONUNBUFFERED": "1"},
    )
    os.set_blocking(process.stdout.fileno(), False)
    deadline = time.monotonic() + PATIENCE
    told = ""
    try:
        while process.poll() is None and time.monotonic() < deadline:
            line = process.stdout.readline()
            told += line
            if now(line):
                return
            if not line:
                time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    raise AssertionError(f"the moment to kill it never came:\n{told}")


def _command(inventory, playbook, variables, arguments):
    return ["ansible-playbook", "-i", inventory, playbook, "-e", json.dumps(variables or {}), *arguments]


def _failed_item(result):
    return any(item.get("failed") for item in result.get("results", []))
