"""Build the payload of each module once, and not once in each run of the suite.

Ansible packs a module with all that it imports when a run first needs it, and forgets that when the run ends. The suite makes some
hundred runs of the same modules. This callback leads Ansible's folder of payloads to GATEHOUSE_PAYLOADS, a folder that all runs of
one `bin/test` share, and there to one for the state of the files that payloads are made of. Only `bin/test` names this folder of
callbacks: benchmarks, the demo and people have what Ansible does by itself.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from ansible import constants
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__

ROOT = Path(__file__).resolve().parents[3]
# Modules and what they import: ours, those of tests, and by the pins those of Ansible and of other collections.
SOURCES = ("plugins", "molecule", "tools/requirements.txt")


def key(root):
    """A name for the state of all that payloads are made of."""
    digest = hashlib.sha256(repr((__version__, sys.version)).encode())
    for source in SOURCES:
        for path in sorted([root / source, *(root / source).rglob("*.py")]):
            if path.is_file():
                found = path.stat()
                digest.update(repr((str(path), found.st_size, found.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "payloads"

    def __init__(self):
        super().__init__()
        kept = Path(os.environ["GATEHOUSE_PAYLOADS"]) / key(ROOT)
        kept.mkdir(parents=True, exist_ok=True)
        # Ansible's own name for its folder, in the temporary folder of this run.
        (Path(constants.DEFAULT_LOCAL_TMP) / "ansiballz_cache").symlink_to(kept)
