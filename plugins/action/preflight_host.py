# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The control node's half of the module preflight_host: reads the model, asks from here, and judges what was found."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

from ansible.plugins.action import ActionBase

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.modules.preflight_host import ARGUMENTS
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _outside
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._chosen import about
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._preflight import CAUSES, judge, report, sources
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._source import least_versions, unreadable
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._wanted import databases, wanted

# What a host has told of its addresses that could not be asked for them.
NO_VIEW = {"routes": {"4": None}, "interfaces": []}


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            check(options)
            model = about(resolve(options["apps"], options["sites"], directory=os.getcwd()), options["only"])
        except GatehouseError as error:
            result.update(error.result(), failed=True)
            return result
        asked = wanted(model, options["services"])
        given = dict(options, apps=asked["apps"], sites=asked["sites"], databases=databases(model, options["services"]))
        names, balancers = _outside.names_of(asked["sites"]), options["load_balancers"]
        with ThreadPoolExecutor(_outside.AT_ONCE) as pool:
            # While the host is asked.
            found = {name: pool.submit(_outside.look_up, name) for name in names + balancers}
            begun = time.time()
            seen = self._execute_module(module_args=given, task_vars=task_vars)
            ended = time.time()
        evidence = seen.pop("evidence", None)
        result.update(seen)
        if evidence is None:
            return result
        home = options["address"] or _outside.reached(self._connection.transport, task_vars)
        home = home or _outside.own_address(evidence.get("view") or NO_VIEW)
        evidence["ahead"] = _outside.ahead(evidence["now"], begun, ended)
        evidence.update(node=options["node"], node_version=options["node_version"])
        found = {name: answer.result() for name, answer in found.items()}
        evidence["outside"] = {
            "address": home,
            "homes": _outside.addresses(home) if home else [],
            "names": {name: found[name][0] for name in names if not found[name][1]},
            "unanswered": {name: found[name][1] for name in names if found[name][1]},
            "balancers": [address for name in balancers for address in found[name][0]],
        }
        for app, of_model in zip(asked["apps"], model["apps"]):
            app.update(least_versions(of_model), packages=of_model["packages"])
        problems = sources(unreadable(model["local_sources"])) + judge(asked, evidence)
        told = report(task_vars["inventory_hostname"], problems, options["only_warn"])
        told["warnings"] = result.get("warnings", []) + told.get("warnings", [])
        # Its message is for people, as that of a debug.
        result.update(told, changed=False, _ansible_verbose_always=True)
        return result


def check(options):
    if options["timeout"] <= 0:
        raise GatehouseError("timeout is %g" % options["timeout"], "bad_input", "give seconds, as in timeout: 10")
    unknown = [cause for cause in options["only_warn"] if cause not in CAUSES]
    if unknown:
        raise GatehouseError(
            "only_warn: %s is no cause that a preflight knows" % unknown[0],
            "bad_input",
            "take some of: %s" % ", ".join(sorted(CAUSES)),
        )
