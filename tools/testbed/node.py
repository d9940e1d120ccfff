"""Node's side of the tests: npm, what a folder's lock file names, and a browser."""

from __future__ import annotations

import os
import shutil
import threading

from . import machine, paths, steps

# Folders with unit tests of their own, `npm test`.
EXAMPLES = {
    "realtime": paths.ROOT / "examples" / "realtime",
    "chat-web": paths.ROOT / "examples" / "chat" / "frontend",
}
BROWSER_TESTS = paths.ROOT / "tests" / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# Parts of the suite run side by side, and apt does one thing at a time.
_one_at_a_time = threading.Lock()


def ensure(folder):
    """Bring npm and what the folder's lock file names; nothing is done for what is there."""
    need(("npm",), "npm")
    lock = folder / "package-lock.json"
    # npm's own record of what it has installed.
    installed = folder / "node_modules" / ".package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        steps.must(command, paths.LOGS / f"npm-{folder.name}.log", cwd=folder)


def ensure_browser():
    """Bring a Chromium and what drives it."""
    if not os.environ.get("GATEHOUSE_CHROMIUM"):
        need(BROWSERS, "chromium")
    ensure(BROWSER_TESTS)


def need(programs, package):
    """Make sure of one of these programs; where there is none, by a Debian package that brings one."""
    with _one_at_a_time:
        if any(shutil.which(program) for program in programs):
            return
        if not machine.may_install():
            raise steps.Failure(f"{programs[0]} is missing: install it (Debian and Ubuntu: apt-get install {package})")
        machine.install(package)
