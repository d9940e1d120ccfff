# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The filter gatehouse.webapp.openings. What it does is in plugin_utils/_ingress.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: openings
short_description: Check what should be let in from outside, and write it out network by network
version_added: 0.2.0
author:
  - The gatehouse.webapp authors
description:
  - Takes rules as the model and users write them, and gives openings as clouds' firewalls want them, one for each network. A rule
    without a source becomes two, for IPv4 and IPv6.
  - Every rule is checked, and one error lists all that can't work, each with the reason.
  - Knows nothing of any cloud, so a role for another one can be built on it.
options:
  _input:
    description:
      - The rules. Each has C(port), a number or a range such as V('6000:6007'), and may have C(proto) (V(tcp) or V(udp)), C(from), an
        address or a network, and C(comment), or C(reason) in its place.
    type: list
    elements: dict
    required: true
  ssh_ports:
    description: Ports that are not opened to everybody. V(22) is always one of them.
    type: list
    elements: int
    default: []
  ssh_from_anywhere:
    description: Whether they may be.
    type: bool
    default: false
positional: ssh_ports, ssh_from_anywhere
"""

EXAMPLES = r"""
- name: Show what a cloud's firewall should let in
  ansible.builtin.debug:
    msg: "{{ (webapp_apps | gatehouse.webapp.resolve(webapp_sites)).opened_ports | gatehouse.webapp.openings }}"
"""

RETURN = r"""
_value:
  description: The openings, each with C(proto), C(ports), C(from) and C(reason).
  type: list
  elements: dict
  sample: [{proto: tcp, ports: "80", from: "0.0.0.0/0", reason: "gatehouse: site chat"}]
"""

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._ingress import read


def openings(wanted, ssh_ports=(), ssh_from_anywhere=False):
    try:
        return read(wanted, ssh_ports, boolean(ssh_from_anywhere))
    except GatehouseError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    """The filters of this file, by name."""

    def filters(self):
        return {"openings": openings}
