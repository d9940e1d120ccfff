#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: port_agreement
short_description: Compare the port of a service in the model, its environment, its socket and nginx's upstream
version_added: 0.3.0
description:
  - The layers of a web app each have a port written down somewhere. nginx sends to 3003, the app listens on 3000. This module
    reads all four places and fails, showing all four, when they do not say the same.
  - Of the environment only C(PORT) is read. Who listens is told by the service's control group, so a stranger's socket does not
    count as the service's.
  - Reads only.
options:
  instances:
    description: The services, and the port that the model gives each.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The unit, for example V(chat-api@8000.service).
        type: str
        required: true
      port:
        description: The TCP port of the model.
        type: int
        required: true
  upstream:
    description:
      - The name of nginx's upstream for them, in the configuration as C(nginx -T) tells it. Without it, nginx is not asked.
    type: str
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
seealso:
  - module: gatehouse.webapp.port_wait
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Expect that app, unit and nginx mean the same port
  gatehouse.webapp.port_agreement:
    instances:
      - {name: shop-web@3000.service, port: 3000}
    upstream: shop-web
"""

RETURN = r"""
agreements:
  description: What each place says, for each service.
  returned: always
  type: list
  elements: dict
  sample:
    - {service: shop-web@3000.service, model: 3000, environment: "3000", listening: [3000], proxied: [3000], ok: true, wrong: []}
cause:
  description:
    - V(ports_disagree), the places differ. V(no_upstream), nginx has no upstream of that name. V(no_nginx), its configuration
      can't be read.
  returned: on failure
  type: str
hint:
  description: The next command to type.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._agreement import compare, describe, next_step
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

ARGUMENTS = dict(
    instances=dict(
        type="list",
        elements="dict",
        required=True,
        options=dict(name=dict(type="str", required=True), port=dict(type="int", required=True)),
    ),
    upstream=dict(type="str"),
)


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        found = compare(module.params["instances"], module.params["upstream"], module.run_command)
    except GatehouseError as error:
        module.fail_json(**error.result())
    wrong = [each for each in found if not each["ok"]]
    if wrong:
        module.fail_json(
            msg="%s\nNext: %s" % ("\n".join(describe(each) for each in wrong), next_step(wrong[0])),
            cause="ports_disagree",
            hint=next_step(wrong[0]),
            agreements=found,
        )
    module.exit_json(changed=False, agreements=found)


if __name__ == "__main__":
    main()
