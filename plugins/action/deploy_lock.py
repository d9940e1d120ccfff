# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The control node's half of the module deploy_lock: says who holds the lock, and whether another holder still runs."""

from __future__ import annotations

import os

from ansible.plugins.action import ActionBase

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _holder


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        # Tasks run in forked workers; the process that lives as long as the deploy is their parent.
        me = _holder.describe(os.getppid())
        args = dict(self._task.args, who=me)
        result.update(self._execute_module(module_args=args, task_vars=task_vars))
        if result.get("cause") == "locked":
            gone = _holder.why_gone(result["holder"]["who"], me)
            if gone:
                args["instead_of"] = result["holder"]["who"]["id"]
                result = self._execute_module(module_args=args, task_vars=task_vars)
                result["stale"] = gone
        return result
