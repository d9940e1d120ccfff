# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The control node's half of the module verify_host: reads the model, has the host measured, and measures the rest from here."""

from __future__ import annotations

import json

from ansible.plugins.action import ActionBase

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._verify import Cleaner, from_here
from ansible_collections.gatehouse.webapp.plugins.modules.verify_host import ARGUMENTS
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._chosen import about
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._plan import host_plan, outside_plan, secrets_of
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._verify_report import summary


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            _check(options)
            model = about(resolve(options["apps"], options["sites"]), options["only"])
        except GatehouseError as error:
            result.update(error.result(), failed=True)
            return result
        plan = json.dumps(host_plan(model, options))
        seen = self._execute_module(module_args={"plan": plan}, task_vars=task_vars)
        # It has the plan in it.
        seen.pop("invocation", None)
        findings = seen.pop("checks", None)
        result.update(seen)
        if findings is None:
            return result
        findings += from_here(outside_plan(model, options["address"]), options, findings)
        clean = Cleaner(secrets_of(model)).clean
        findings = [clean(one) for one in findings]
        result.update(summary(findings), changed=False)
        warnings = [one["message"] for one in findings if one["state"] == "risk"]
        if warnings:
            result["warnings"] = result.get("warnings", []) + warnings
        return result


def _check(options):
    if options["timeout"] <= 0:
        raise GatehouseError("timeout is %g" % options["timeout"], "bad_input", "give seconds, as in timeout: 10")
    if options["successes"] < 1:
        raise GatehouseError("successes is %d" % options["successes"], "bad_input", "1 or more, as in successes: 3")
    if options["sites"] and not options["address"]:
        raise GatehouseError("there is no address to ask the sites at", "bad_input", "address: 192.0.2.10")
