# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The control node's half of the module release: names the release by what goes into it, and brings the source."""

from __future__ import annotations

import os
import shutil
import tempfile

from ansible.plugins.action import ActionBase

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _holder, _source


class ActionModule(ActionBase):
    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        if args.get("state") == "sealed":
            me = _holder.describe(os.getppid())
            args["manifest"] = dict(args.get("manifest") or {}, who="%s on %s" % (me["user"], me["host"]))
        if args.get("state", "staged") != "staged":
            return self._execute_module(module_args=args, task_vars=task_vars)
        try:
            folder, archive = args.pop("directory", None), args.pop("archive", None)
            inputs = args.pop("inputs", None) or {}
            if folder:
                args["revision"] = _source.digest(folder)
            elif archive:
                args["revision"] = _source.archive_digest(archive, args.get("revision"))
            if not args.get("id") and args.get("revision"):
                args["id"] = _source.release_id(args["revision"], inputs)
            result.update(self._execute_module(module_args=args, task_vars=task_vars))
            here = folder or archive
            if here and not result.get("failed") and not result["whole"] and not self._task.check_mode:
                result.update(self._bring(here, args, task_vars), changed=True)
        except GatehouseError as error:
            result.update(error.result(), failed=True)
        return result

    def _bring(self, source, args, task_vars):
        """Send the source, packed if it is a folder, and have it unpacked in the staged release."""
        handle, packed = tempfile.mkstemp(prefix="gatehouse-", suffix=".tar.gz")
        os.close(handle)
        try:
            if os.path.isdir(source):
                _source.pack(source, packed)
            else:
                args = dict(args, strip_folder=True)
                shutil.copyfile(source, packed)
            remote = self._connection._shell.join_path(self._make_tmp_path(), "source")
            self._transfer_file(packed, remote)
            return self._execute_module(module_args=dict(args, packed=remote), task_vars=task_vars)
        finally:
            os.unlink(packed)
            self._remove_tmp_path(self._connection._shell.tmpdir)
