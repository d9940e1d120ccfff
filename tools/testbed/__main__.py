"""The test bed's commands; bin/demo, bin/test and bin/bench are the first three."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from testbed import bench, demo, engine, host, image, steps, suite, toolchain

USAGE = """usage: python3 tools/testbed COMMAND
  demo, test, bench    what bin/demo, bin/test and bin/bench run
  image [SUITE]        start the engine and build the host image where missing; print the image's name
  boot NAME [SUITE]    boot a throw-away host in a container of that name; SUITE: trixie, or bookworm (the default)
  remove NAME          remove it
  run COMMAND...       run a command with the pinned tools, such as: run molecule converge --scenario-name ufw"""


def host_image(*suite):
    """The image's name; what is done for it goes to standard error, so that the name can be captured."""
    with contextlib.redirect_stdout(sys.stderr):
        engine.ensure()
        return image.ensure(*suite)


def main(arguments):
    command, *rest = arguments or [""]
    parts = {"demo": demo.main, "test": suite.main, "bench": bench.main}
    if command in parts:
        return parts[command](rest)
    if command == "image" and len(rest) <= 1:
        print(host_image(*rest))
    elif command == "boot" and 1 <= len(rest) <= 2:
        host.boot(rest[0], host_image(*rest[1:]))
    elif command == "remove" and len(rest) == 1:
        host.remove(rest[0])
    elif command == "run" and rest:
        toolchain.ensure()
        return steps.shown(rest, env=toolchain.environment())
    else:
        raise steps.Failure(USAGE)
    return 0


if __name__ == "__main__":
    sys.exit(steps.command_line(main, sys.argv[1:]))
