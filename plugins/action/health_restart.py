# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The control node's half of the module health_restart: of a gate that stays shut it says why, from what the host has seen."""

from __future__ import annotations

import json

from ansible.plugins.action import ActionBase

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._causes import DOWN
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._diagnosis import diagnose
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._wanted import wanted

NEXT = "\nNext: "


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        app = args.pop("app", None)
        # What goes on in the background comes back without this half.
        asked = wanted({"apps": [app], "sites": [], "probes": []}) if app and not self._task.async_val else None
        if asked:
            args["app"] = json.dumps({"app": asked["apps"][0], "headers": asked["headers"]})
        result.update(self._execute_module(module_args=args, task_vars=task_vars, wrap_async=self._task.async_val))
        evidence = result.pop("evidence", None)
        if asked and evidence:
            result.update(explained(result, asked, evidence))
        return result


def explained(result, asked, evidence):
    """The failure with its likeliest cause: what serves again after it is well, and tells nothing."""
    causes = [one for one in diagnose(asked, evidence)["causes"] if one["effect"] != "risk"]
    if not causes:
        return {}
    first = causes[0]
    told, _next, hint = result["msg"].partition(NEXT)
    lines = [told, "Cause (%d %% sure): %s" % (first["confidence"], first["message"])]
    if first["cause"] in DOWN:
        # That is but how the failure looks: the gate knows the better command.
        hint = result.get("hint", hint)
    else:
        new = [line for line in first["evidence"] if line not in told and line not in first["message"]]
        lines += ["Seen: %s" % line for line in new[-1:]]
        hint = first["mend"]
    return {"msg": "\n".join(lines) + NEXT + hint, "hint": hint, "causes": causes}
