#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: port_wait
short_description: Wait until TCP ports of this host are listening, free or drained
version_added: 0.1.0
description:
  - Reads the kernel's socket tables, so it opens no connection, and says which process, user and systemd unit holds a port
    and on which addresses.
  - With O(unit) it fails at once when that unit fails, instead of waiting for what cannot come, and a port counts as
    listening only while the unit itself holds it.
  - Sees the network namespace that it runs in. A service with a private network is not seen.
  - Changes nothing, so it runs in check mode too.
options:
  ports:
    description: The TCP ports to wait for. All of them must reach the state.
    type: list
    elements: int
    required: true
  state:
    description:
      - V(listening), something accepts connections.
      - V(free), nothing listens.
      - V(drained), no connection to the port is open any more. A listener may remain.
    type: str
    choices: [listening, free, drained]
    default: listening
  scope:
    description:
      - From where a listening port must be reachable. V(any) asks nothing. V(loopback) wants it bound to loopback addresses
        only. V(all) wants it bound to all addresses of IPv4 or IPv6.
    type: str
    choices: [any, loopback, all]
    default: any
  unit:
    description:
      - The systemd unit that must hold the ports, for example V(chat-api@8000.service).
    type: str
  timeout:
    description: Seconds after which it has failed, fractions allowed.
    type: float
    default: 60
  interval:
    description:
      - The longest pause between two looks, in seconds. The first pause is 5 ms, and pauses grow to a tenth of the time
        already waited, up to this.
    type: float
    default: 0.1
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
notes:
  - To name processes of other users it must run as root.
seealso:
  - module: gatehouse.webapp.health_restart
  - module: ansible.builtin.wait_for
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Wait until both instances listen
  gatehouse.webapp.port_wait:
    ports: [8000, 8001]

- name: Make sure that the port is free before a first deploy, and name who holds it if not
  gatehouse.webapp.port_wait:
    ports: [8000]
    state: free
    timeout: 0.1

- name: Wait until the database listens, or fail when its unit does
  gatehouse.webapp.port_wait:
    ports: [3306]
    unit: mariadb.service
    scope: loopback
"""

RETURN = r"""
ports:
  description: What was found on each port at the end.
  returned: always
  type: list
  elements: dict
  contains:
    port:
      description: The port.
      type: int
    addresses:
      description: The addresses that listeners are bound to.
      type: list
      elements: str
    scope:
      description: How far these addresses reach. V(all), V(loopback), V(address) for single addresses, V(none).
      type: str
    holders:
      description: The processes that hold the listeners, each with C(pid), C(exe), C(user) and C(unit).
      type: list
      elements: dict
    connections:
      description: How many connections to the port are open.
      type: int
elapsed:
  description: Seconds waited.
  returned: always
  type: float
cause:
  description:
    - Why it failed. V(not_listening), V(wrong_scope), V(port_conflict), V(not_drained), V(crashed), V(no_unit), V(bad_input).
  returned: on failure
  type: str
hint:
  description: The next command to type.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._port_wait import PortWait
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Systemd

ARGUMENTS = dict(
    ports=dict(type="list", elements="int", required=True),
    state=dict(type="str", choices=["listening", "free", "drained"], default="listening"),
    scope=dict(type="str", choices=["any", "loopback", "all"], default="any"),
    unit=dict(type="str"),
    timeout=dict(type="float", default=60.0),
    interval=dict(type="float", default=0.1),
)


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    wait = PortWait(module.params, Listeners(), Systemd(module.run_command))
    try:
        wait.run()
    except GatehouseError as error:
        module.fail_json(**dict(wait.result(), **error.result()))
    module.exit_json(changed=False, **wait.result())


if __name__ == "__main__":
    main()
