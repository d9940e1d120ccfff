# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Files in a folder that another user writes, read as root: as that user's own, or not at all."""

from __future__ import annotations

import errno
import os
import stat


def open_owned(path, *owners):
    """The file, open for reading, when it is a plain one of one of these user ids. Raises OSError.

    A name there may lead anywhere: by a link to what root alone may read, or to a pipe or a device, of which the very opening does
    something. So what it leads to is looked at before it is opened, and that is then opened, whatever the name means by now. A lease by
    which its owner would hold up whoever opens it is not waited for.
    """
    seen = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        info = os.fstat(seen)
        if not stat.S_ISREG(info.st_mode) or info.st_uid not in owners:
            raise OSError(errno.EPERM, "it is no plain file of the user whose folder it is in", path)
        return os.fdopen(os.open("/proc/self/fd/%d" % seen, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    finally:
        os.close(seen)
