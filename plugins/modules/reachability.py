#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: reachability
short_description: Say from the control node which ports of a host are open, and why the others are not
version_added: 0.2.0
description:
  - Opens a TCP connection to each port, from the control node, over IPv4 and IPv6, all at once, and asks the host itself for its
    addresses, its listeners and its packet filter. From both follows one verdict for each port and address.
  - Fails when a port is not open. The message says what stops it, and what to type next.
  - The rules of the packet filter are read as they run (C(iptables -S), C(ip6tables -S)), and walked for a new connection from the
    control node. So rules made by UFW, by hand and by other tools are all seen. Those of nftables alone are not.
  - Changes nothing, so it runs in check mode too.
options:
  ports:
    description: The TCP ports to ask for, each from 1 to 65535.
    type: list
    elements: int
    required: true
  addresses:
    description:
      - Where the host should be reached, IPv4 addresses, IPv6 addresses and names. All addresses of a name are asked.
      - When empty, it is C(ansible_host).
    type: list
    elements: str
    default: []
  source:
    description:
      - The address that the questions come from, as the host sees it. The rules of the packet filter are judged for it.
      - When it is not set, it is the client address of Ansible's own SSH connection, and the control node's own address where Ansible comes
        another way or over the other family of addresses. Set it where Ansible comes through a jump host.
    type: str
  timeout:
    description: Seconds after which a connection that is neither open nor refused counts as filtered. Fractions are allowed.
    type: float
    default: 3
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
requirements:
  - The command C(ip), and to judge the packet filter C(iptables) and C(ip6tables), on the managed host.
notes:
  - To read the packet filter and to name other users' processes it must run as root. Without that it judges by the rest, and says so.
  - The questions are asked on the control node, not on a host that the task is delegated to.
seealso:
  - module: gatehouse.webapp.port_wait
  - module: gatehouse.webapp.http_probe
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Make sure that the site's ports are open from here
  gatehouse.webapp.reachability:
    ports: [80, 443]

- name: Ask by name and by address, and go on whatever comes out
  gatehouse.webapp.reachability:
    ports: [443]
    addresses: [chat.example.com, "2001:db8::10"]
  register: reached
  failed_when: false
"""

RETURN = r"""
verdicts:
  description: One for each address and port.
  returned: unless the input was refused
  type: list
  elements: dict
  contains:
    verdict:
      description:
        - V(open), it accepts connections.
        - V(not_listening), nothing on the host listens there.
        - V(loopback_only), it is bound to loopback addresses only.
        - V(other_address), it is bound, and not to the address asked.
        - V(ufw), UFW drops or rejects it.
        - V(packet_filter), another rule of the host's packet filter does.
        - V(in_front), the host would accept it, and something in front stops it, as a cloud's security group does.
        - V(no_name), the name does not resolve.
        - V(elsewhere), the address is none of this host's.
        - V(no_route), the control node has no way to the address.
      type: str
    ok:
      description: Whether a connection was opened.
      type: bool
    name:
      description: The address or name as it was given.
      type: str
    address:
      description: The address that was asked. Null where a name does not resolve.
      type: str
    port:
      description: The port.
      type: int
    message:
      description: The verdict as a sentence.
      type: str
    evidence:
      description: What was seen from the control node, and what the host says. One line each.
      type: list
      elements: str
    hint:
      description: The next command to type. On the host, where it does not say otherwise.
      type: str
cause:
  description:
    - The first verdict that is not well. V(bad_input) where the input was refused.
    - An address to which the control node has no way counts only where no other address of the same name could be asked.
  returned: on failure
  type: str
hint:
  description: The next command to type.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import check_port
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._reachability import look

ARGUMENTS = dict(
    ports=dict(type="list", elements="int", required=True),
    addresses=dict(type="list", elements="str", default=[]),
    source=dict(type="str"),
    timeout=dict(type="float", default=3.0),
)


def main():
    # This half gives the host's view. The action plugin of the same name asks from the control node, and judges.
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)

    def find(command):
        return module.get_bin_path(command, opt_dirs=["/usr/sbin", "/sbin"])

    try:
        for port in module.params["ports"]:
            check_port(port)
        view = look(module.params["ports"], Listeners(), module.run_command, find)
    except GatehouseError as error:
        module.fail_json(**error.result())
    module.exit_json(changed=False, view=view)


if __name__ == "__main__":
    main()
