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

from ansible_collections.gatehouse.webapp.plugins.module_utils import _processes
from ansible_collections.gatehouse.webapp.plugins.module_utils._agreement import (
    agreement,
    describe,
    next_step,
    upstream_ports,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import Service
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Systemd

ARGUMENTS = dict(
    instances=dict(
        type="list",
        elements="dict",
        required=True,
        options=dict(name=dict(type="str", required=True), port=dict(type="int", required=True)),
    ),
    upstream=dict(type="str"),
)


def compare(params, run):
    """[agreement, ...] of the services, as they run now."""
    proxied = ports_of_nginx(params["upstream"], run) if params["upstream"] else None
    manager, listeners = Systemd(run), Listeners()
    found = []
    for instance in params["instances"]:
        service = Service(instance["name"], instance["port"])
        manager.check_name(service.name)
        pid = manager.state(service.name).pid
        told = _processes.environment(pid).get("PORT") if pid else None
        found.append(agreement(service, told, listeners.ports_of(listeners.pids_of_unit(service.name)), proxied))
    return found


def ports_of_nginx(upstream, run):
    status, out, err = run(["nginx", "-T", "-q"])
    if status:
        raise GatehouseError("nginx can't tell its configuration: %s" % err.strip(), cause="no_nginx", hint="nginx -t")
    ports = upstream_ports(out, upstream)
    if ports is None:
        raise GatehouseError(
            "nginx has no upstream %s" % upstream,
            cause="no_upstream",
            hint="ansible-playbook site.yml --tags nginx_proxy   # or: nginx -T | grep upstream",
        )
    return ports


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        found = compare(module.params, module.run_command)
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
