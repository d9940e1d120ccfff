# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""A command with a bound, which several threads may run at once. (AnsibleModule.run_command has neither.)"""

from __future__ import annotations

import os
import subprocess

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(argv, seconds, environment=None):
    """(status, output, messages) of a command; 124 for one that did not end in its time, 127 for one that is not there.

    environment: variables that are added to this process's own.
    """
    variables = dict(os.environ, LC_ALL="C", PATH=PATH, **(environment or {}))
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, env=variables, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, "", "%s did not end within %g s" % (argv[0], seconds)
    except OSError as error:
        return 127, "", str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
