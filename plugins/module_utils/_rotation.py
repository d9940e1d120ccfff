# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Which parts of an app a proxy leaves out, as it looks up for each request.

FOLDER/follows          written by whoever sets up a proxy on this host, says what it looks for: `parts`, which are the files
                        below, or `green`, which is the file of that name in the live release
FOLDER/PART             while it is there, the proxy sends nothing to that part (an instance by its port, or a host)

It lies in /run: what a killed deploy left out is in again after a reboot.
"""

from __future__ import annotations

import os

from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import remove, write


class Rotation:
    def __init__(self, folder):
        self.folder = folder

    def follows(self):
        """What a proxy on this host looks for; None where none does."""
        try:
            with open(os.path.join(self.folder, "follows"), encoding="utf-8") as file:
                return file.read().strip()
        except OSError:
            return None

    def is_out(self, part):
        return os.path.lexists(os.path.join(self.folder, part))

    def take_out(self, part):
        write(os.path.join(self.folder, part), b"")

    def put_back(self, part):
        remove(os.path.join(self.folder, part))
