"""Run commands and stages so that a person can follow them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time

from . import paths

HEARTBEAT = 20
TAIL = 60


class Failure(Exception):
    """A step failed; the message says what to do, without a traceback."""


def say(text):
    print(text, flush=True)


def tail(text, lines=TAIL):
    return "\n".join(text.rstrip().splitlines()[-lines:])


def seconds(value):
    """How long, for people: 0.4 s, 12 s, 3 min 5 s."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    return f"{value // 60:.0f} min {value % 60:.0f} s"


@contextlib.contextmanager
def timed(name, timings):
    """Add how long a block took to a list of (name, seconds)."""
    begin = time.monotonic()
    yield
    timings.append((name, time.monotonic() - begin))


@contextlib.contextmanager
def stage(name):
    """Announce a stage, show that it still runs, and say how long it took."""
    begin = time.monotonic()
    done = threading.Event()

    def beat():
        while not done.wait(HEARTBEAT):
            say(f"[{name}] still running after {seconds(time.monotonic() - begin)}")

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    except BaseException:
        say(f"[{name}] failed after {seconds(time.monotonic() - begin)}")
        raise
    finally:
        done.set()
    say(f"[{name}] done in {seconds(time.monotonic() - begin)}")


def output(command, **options):
    """Standard output of a command that must succeed."""
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    if result.returncode:
        raise Failure(f"{' '.join(map(str, command))} failed:\n{tail(result.stderr or result.stdout)}")
    return result.stdout


def succeeds(command):
    """Whether a command exists and ends with status 0; what it prints is dropped."""
    try:
        return subprocess.run([str(part) for part in command], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def logged(command, log, env=None, cwd=paths.ROOT):
    """Run a command with everything it prints in a log file; give its status."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        return subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            check=False,
        ).returncode


def must(command, log, env=None, cwd=paths.ROOT):
    """Run a logged command; on failure show the end of its log."""
    if logged(command, log, env=env, cwd=cwd):
        raise Failure(
            f"{' '.join(map(str, command))} failed, the end of {log}:\n{tail(log.read_text(errors='replace'))}"
        )


def shown(command, env=None, cwd=paths.ROOT):
    """Run a command on the terminal; give its status."""
    sys.stdout.flush()
    return subprocess.run([str(part) for part in command], env=env, cwd=cwd, check=False).returncode


def command_line(main, arguments):
    """Run a command's main(), with a failure as one message and status 1."""
    try:
        return main(arguments)
    except Failure as error:
        sys.stdout.flush()
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
