"""bin/test: lint, unit tests, sanity tests and Molecule scenarios, counted."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Callable

from . import engine, image, machine, node, paths, steps, toolchain

USAGE = """usage: bin/test [unit | lint | sanity | molecule [SCENARIO...]]
Without an argument, all of them. Logs are under .cache/logs. The last line counts: N passed, N failed."""

WORKERS = 2
PROGRESS_EVERY = 30
TIMEOUT = 40 * 60
# The longest part starts first: by what it took here, and where it never ran, by what it took where it was measured.
DURATIONS = paths.CACHE / "durations.json"
COSTS = Path(__file__).with_name("costs.json")
CALLBACKS = Path(__file__).with_name("callback")
# ansible-test fetches this script to put pip into its virtual environments, and keeps most of the environment to itself. Python's own
# ensurepip would take seconds for each.
PIP_BOOTSTRAP = """import subprocess
import sys

words = [word for word in sys.argv if "==" in word]
subprocess.check_call([{uv!r}, "pip", "install", "--quiet", "--python", sys.executable, *words], env={environment!r})
"""


@dataclasses.dataclass(frozen=True)
class Job:
    """A part of the suite; `count` reads passed and failed from the exit status and what was printed."""

    name: str
    command: tuple
    count: Callable[[int, str], tuple]
    environment: dict = dataclasses.field(default_factory=dict)
    cwd: Path = paths.ROOT
    prepare: Callable[[], None] = lambda: None

    @property
    def log(self):
        return paths.LOGS / f"{self.name.replace(' ', '-')}.log"


@dataclasses.dataclass(frozen=True)
class Running:
    process: subprocess.Popen
    begin: float


def one(status, printed):
    """A part that counts as one check."""
    return (0, 1) if status else (1, 0)


def junit(status, text):
    """Passed and failed of a JUnit report; a status that the report does not explain counts as one failure."""
    suites = ET.fromstring(text).iter("testsuite") if text else ()
    total = failed = skipped = 0
    for suite in suites:
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return total - failed - skipped, failed or (1 if status else 0)


def sanity(status, printed):
    """Passed and failed of what `ansible-test sanity` printed."""
    # A test whose program is not on this machine is announced and then skipped.
    ran = len(re.findall(r'^Running sanity test "', printed, re.MULTILINE))
    ran -= len(re.findall(r'^WARNING: Required program "\S+" not found', printed, re.MULTILINE))
    listed = re.search(r"The (\d+) sanity test\(s\) listed below", printed)
    failed = int(listed.group(1)) if listed else (1 if status else 0)
    return max(ran - failed, 0), failed


def unit_job():
    report = paths.CACHE / "unit.xml"

    def count(status, printed):
        return junit(status, report.read_text() if report.is_file() else "")

    command = (paths.VENV / "bin" / "python", "-m", "pytest", f"--junit-xml={report}")
    return Job("unit", command, count, prepare=lambda: report.unlink() if report.is_file() else None)


def tap(status, printed):
    """Passed and failed of what Node's test runner printed; a test that ran out of time is `cancelled`."""
    found = re.findall(r"^# (pass|fail|cancelled) (\d+)$", printed, re.MULTILINE)
    counts = {name: int(number) for name, number in found}
    failed = counts.get("fail", 0) + counts.get("cancelled", 0)
    return counts.get("pass", 0), failed or (1 if status else 0)


def node_jobs():
    """The unit tests of the examples that are written for Node."""

    def job(name, folder):
        return Job(f"unit {name}", ("npm", "test"), tap, cwd=folder, prepare=lambda: node.ensure(folder))

    return [job(name, folder) for name, folder in node.EXAMPLES.items()]


def lint_jobs():
    commands = {
        "ruff check": ("ruff", "check"),
        "ruff format": ("ruff", "format", "--check", "--diff"),
        "yamllint": ("yamllint", "--strict", "."),
        "ansible-lint": ("ansible-lint", "--offline", "--profile", "production"),
    }
    return [Job(name, command, one) for name, command in commands.items()]


def sanity_job():
    """The sanity tests run on a copy: they take only a tree at ansible_collections/NAMESPACE/NAME, not a link."""
    work = paths.CACHE / "sanity"
    tree = work / "ansible_collections" / "gatehouse" / "webapp"
    home = work / "home"

    def prepare():
        shutil.rmtree(tree, ignore_errors=True)
        copy_tree(paths.ROOT, tree, work / "git")
        # A repository of its own: else they find this checkout's, which ignores the copy.
        steps.output(["git", "init", "--quiet", tree])
        bootstrap = home / ".ansible" / "test" / "cache"
        bootstrap.mkdir(parents=True, exist_ok=True)
        known = {**os.environ, **toolchain.index_settings()}
        of_uv = {name: value for name, value in known.items() if name.startswith(("UV_", "SSL_")) or name == "PATH"}
        (bootstrap / "get_pip_24_2.py").write_text(PIP_BOOTSTRAP.format(uv=toolchain.find_uv(), environment=of_uv))

    version = steps.output(
        [paths.VENV / "bin" / "python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    ).strip()
    environment = {"HOME": str(home), "XDG_CACHE_HOME": str(work / "cache"), "PIP_QUIET": "1"}
    settings = Path.home() / ".config" / "pip" / "pip.conf"
    if settings.is_file() and "PIP_CONFIG_FILE" not in os.environ:
        environment["PIP_CONFIG_FILE"] = str(settings)
    command = ("ansible-test", "sanity", "--local", "--python", version, "--color", "no")
    return Job("sanity", command, sanity, environment, tree, prepare)


def copy_tree(source, target, repository):
    """Copy what git does not ignore, as it stands in the work tree.

    An empty repository is asked, to which all is new: so the answer is the same for a checkout and an unpacked archive.
    """
    steps.output(["git", "init", "--quiet", "--bare", repository])
    command = [
        "git",
        f"--git-dir={repository}",
        f"--work-tree={source}",
        "ls-files",
        "-z",
        "--others",
        "--exclude-standard",
    ]
    for name in filter(None, steps.output(command, cwd=source).split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, target / name, follow_symlinks=False)


def scenarios():
    return sorted(path.parent.name for path in (paths.ROOT / "molecule").glob("*/molecule.yml"))


def suites(names):
    """The releases of Debian that the scenarios' hosts are of: what their platforms say, and the usual one."""
    texts = [(paths.ROOT / "molecule" / name / "molecule.yml").read_text() for name in names]
    named = {suite for text in texts for suite in re.findall(r"^\s+suite: (\w+)$", text, re.MULTILINE)}
    return sorted(named | {image.SUITE})


def molecule(status, printed):
    """A scenario passed when its tests did: Molecule is content, too, when it finds neither settings nor tests."""
    verified = re.search(r"^\S+ > verify: Executed: Successful", printed, re.MULTILINE)
    return (1, 0) if status == 0 and verified else (0, 1)


def molecule_jobs(names):
    shared = paths.ROOT / ".config" / "molecule" / "config.yml"
    command = ("molecule", "--base-config", shared, "test", "--scenario-name")
    needs = {"browser": node.ensure_browser}
    return [
        Job(f"molecule {name}", (*command, name), molecule, prepare=needs.get(name, lambda: None)) for name in names
    ]


def read_durations():
    """{part: seconds}, as measured here."""
    try:
        return json.loads(DURATIONS.read_text())
    except (OSError, ValueError):
        return {}


def expected_durations():
    """The same, and for what never ran here what costs.json says."""
    return {**json.loads(COSTS.read_text()), **read_durations()}


def table(measured):
    """What each part took, the longest first, and what all took together."""
    rows = [*sorted(measured.items(), key=lambda row: -row[1]), ("added up", sum(measured.values()))]
    width = max(len(name) for name, _elapsed in rows)
    return "\n".join(f"  {name:<{width}}  {steps.seconds(elapsed):>13}" for name, elapsed in rows)


class Runner:
    """Runs jobs a few at a time, shows their progress and adds up what they count."""

    def __init__(self, payloads):
        self.payloads = payloads
        self.passed = 0
        self.failed = 0
        self.expected = expected_durations()
        self.measured = {}
        self.running = {}
        self.lock = threading.Lock()
        self.pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
        self.futures = []

    def submit(self, jobs):
        for job in sorted(jobs, key=lambda job: -self.expected.get(job.name, 0)):
            self.futures.append(self.pool.submit(self.run, job))

    def run(self, job):
        begin = time.monotonic()
        try:
            passed, failed = self.attempt(job, begin)
        except Exception as error:  # one part that cannot run must not silence the others
            passed, failed = 0, 1
            steps.say(f"[{job.name}] {type(error).__name__}: {error}")
        elapsed = time.monotonic() - begin
        with self.lock:
            self.running.pop(job.name, None)
            self.passed += passed
            self.failed += failed
            self.measured[job.name] = round(elapsed, 1)
        self.show(job, passed, failed, elapsed)

    def attempt(self, job, begin):
        job.prepare()
        job.log.parent.mkdir(parents=True, exist_ok=True)
        settings = toolchain.environment(
            NO_COLOR="1",
            ANSIBLE_NOCOLOR="1",
            ANSIBLE_CALLBACK_PLUGINS=str(CALLBACKS),
            GATEHOUSE_PAYLOADS=self.payloads,
            MOLECULE_COMMAND_BORDERS="0",
            **job.environment,
        )
        with job.log.open("w") as log:
            process = subprocess.Popen(
                [str(part) for part in job.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=settings,
                cwd=job.cwd,
                start_new_session=True,
            )
            with self.lock:
                self.running[job.name] = Running(process, begin)
            try:
                status = process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                end(process)
                log.write(f"\nended: still running after {TIMEOUT} s\n")
                status = 1
        return job.count(status, job.log.read_text(errors="replace"))

    def show(self, job, passed, failed, elapsed):
        counts = f"{passed} passed, {failed} failed" if passed + failed > 1 else "failed" if failed else "passed"
        steps.say(f"[{job.name}] {counts} in {steps.seconds(elapsed)}")
        if failed and job.log.is_file():
            text = steps.tail(job.log.read_text(errors="replace"))
            steps.say(f"--- the end of {job.log.relative_to(paths.ROOT)}\n{text}\n---")

    def wait(self):
        pending = set(self.futures)
        while pending:
            pending = concurrent.futures.wait(pending, PROGRESS_EVERY).not_done
            now = time.monotonic()
            with self.lock:
                busy = [f"{name} ({steps.seconds(now - job.begin)})" for name, job in self.running.items()]
            if pending and busy:
                steps.say(f"[progress] {', '.join(busy)}; {len(pending) - len(busy)} waiting")
        self.remember()

    def remember(self):
        DURATIONS.parent.mkdir(parents=True, exist_ok=True)
        DURATIONS.write_text(json.dumps({**read_durations(), **self.measured}, indent=2, sort_keys=True) + "\n")

    def cancel(self):
        self.pool.shutdown(wait=False, cancel_futures=True)
        with self.lock:
            for job in self.running.values():
                end(job.process)


def end(process):
    """End a process and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except ProcessLookupError:
        return


def select(arguments):
    """The parts that the command line asks for, and the scenarios among them."""
    part, *names = arguments or ["all"]
    known = scenarios()
    unknown = sorted(set(names) - set(known))
    if part not in ("all", "unit", "lint", "sanity", "molecule") or (names and part != "molecule"):
        raise steps.Failure(USAGE)
    if unknown:
        raise steps.Failure(f"no scenario {', '.join(unknown)}: there are {', '.join(known)}")
    parts = ("unit", "lint", "sanity", "molecule") if part == "all" else (part,)
    return parts, names or known


def main(arguments):
    if set(arguments) & {"-h", "--help"}:
        print(USAGE)
        return 0
    parts, names = select(arguments)
    if not shutil.which("git"):
        if not machine.may_install():
            raise steps.Failure("git is missing: install it (Debian and Ubuntu: apt-get install git)")
        machine.install("git")
    toolchain.ensure()
    paths.CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="payloads-", dir=paths.CACHE) as payloads:
        return run(parts, names, Runner(payloads))


def run(parts, names, runner):
    """Run the parts and tell what they took and counted."""
    try:
        runner.submit(
            ([unit_job(), *node_jobs()] if "unit" in parts else []) + (lint_jobs() if "lint" in parts else [])
        )
        heavy = [sanity_job()] if "sanity" in parts else []
        if "molecule" in parts:
            begin = time.monotonic()
            try:
                engine.ensure()
                for suite in suites(names):
                    image.ensure(suite)
                heavy += molecule_jobs(names)
                runner.measured["engine and images"] = round(time.monotonic() - begin, 1)
            except steps.Failure as error:
                steps.say(f"[molecule] no scenario can run: {error}")
                runner.failed += len(names)
        runner.submit(heavy)
        runner.wait()
        print(table(runner.measured))
    except KeyboardInterrupt:
        runner.cancel()
        raise
    print(f"{runner.passed} passed, {runner.failed} failed", flush=True)
    return 0 if runner.passed and not runner.failed else 1
