# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The control node's half of the module diagnose_host: reads the model, asks from here, and draws the conclusions."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

from ansible.plugins.action import ActionBase

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.modules.diagnose_host import ARGUMENTS
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._diagnosis import diagnose
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._hosted import of_hosted
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._outside import SSH, ahead, from_outside, reached
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._served import names_of, orphans
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._wanted import wanted


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            if options["timeout"] <= 0:
                raise GatehouseError(
                    "timeout is %g" % options["timeout"], "bad_input", "give seconds, as in timeout: 10"
                )
            asked = wanted(resolve(options["apps"], options["sites"]), options["services"])
        except GatehouseError as error:
            result.update(error.result(), failed=True)
            return result
        headers = {**asked["headers"], **json.loads(options["headers"] or "{}")}
        begun = time.time()
        with ThreadPoolExecutor(1) as pool:
            hosted = pool.submit(of_hosted, asked["apps"] if options["outside"] else [], headers)
            seen = self._execute_module(
                module_args={**options, **asked, "headers": json.dumps(headers) if headers else None},
                task_vars=task_vars,
            )
            ended = time.time()
        evidence = seen.pop("evidence", None)
        result.update(seen)
        if evidence is None:
            return result
        evidence["ahead"] = ahead(evidence["now"], begun, ended)
        evidence["hosted"], more = hosted.result()
        evidence["probes"] += more
        evidence["outside"] = self._ask(options, asked, evidence, task_vars) if options["outside"] else None
        result.update(diagnose(asked, evidence), evidence=evidence, changed=False)
        result["orphans"] = orphans(names_of(asked["apps"]), evidence.get("remains", {}))
        return result

    def _ask(self, options, asked, evidence, task_vars):
        client = None
        if self._connection.transport.split(".")[-1] in SSH:
            told = self._low_level_execute_command("printenv SSH_CONNECTION", sudoable=False)
            client = (told["stdout"].split() or [None])[0]
        address = options["address"] or reached(self._connection.transport, task_vars)
        return from_outside(asked, evidence, address, client)
