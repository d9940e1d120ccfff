# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The filter gatehouse.webapp.ufw_plan. What it does is in module_utils/_ufw.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ufw_plan
short_description: Work out which rules UFW lacks and which it has to lose
version_added: 0.1.0
author:
  - The gatehouse.webapp authors
description:
  - Compares the rules wanted with those in UFW's own files, for IPv4 and IPv6 each.
  - Every rule wanted is checked, and one error lists all that can't work, each with the reason.
  - A rule made by hand that does what is wanted counts as there, and is left alone. Only rules whose comment begins with
    C(gatehouse:) are ever removed, and of these not the ones for SSH.
options:
  _input:
    description:
      - The rules wanted. Each has C(rule) and may have C(port), C(proto), C(from) and C(comment), or C(reason) in its place.
    type: list
    elements: dict
    required: true
  recorded:
    description: The text of C(/etc/ufw/user.rules) and C(/etc/ufw/user6.rules), one after the other.
    type: str
    required: true
positional: recorded
"""

EXAMPLES = r"""
- name: Show what would be opened
  ansible.builtin.debug:
    msg: "{{ [{'rule': 'allow', 'port': 80, 'proto': 'tcp'}] | gatehouse.webapp.ufw_plan(recorded) }}"
"""

RETURN = r"""
_value:
  description: The rules to make and those to remove.
  type: dict
  contains:
    add:
      description: The rules to make, in the order wanted.
      type: list
      elements: dict
      sample: [{rule: allow, port: "80", proto: tcp, from: any, comment: "gatehouse: site chat"}]
    remove:
      description: The rules to remove.
      type: list
      elements: dict
"""

from ansible.errors import AnsibleFilterError

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw import plan


def ufw_plan(wanted, recorded):
    try:
        return plan(wanted, recorded)
    except GatehouseError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    """The filters of this file, by name."""

    def filters(self):
        return {"ufw_plan": ufw_plan}
