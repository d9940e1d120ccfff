# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Which parts of an app a proxy leaves out, as it looks up for each request.

FOLDER                  made by the role that set the proxy up: its being there says that a proxy on this host looks
FOLDER/PART             while it is there, the proxy sends nothing to that part (an instance by its port, or a host)

It lies in /run: what a killed deploy left out is in again after a reboot.
"""

from __future__ import annotations

import os

from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import write


class Rotation:
    def __init__(self, folder):
        self.folder = folder

    def is_heeded(self):
        return os.path.isdir(self.folder)

    def is_out(self, part):
        return os.path.lexists(os.path.join(self.folder, part))

    def take_out(self, part):
        write(os.path.join(self.folder, part), b"")

    def put_back(self, part):
        if self.is_out(part):
            os.unlink(os.path.join(self.folder, part))
