# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The filter gatehouse.webapp.security_group_plan. What it does is in plugin_utils/_ingress.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: security_group_plan
short_description: Work out what an AWS security group lacks, and what it lets in
version_added: 0.2.0
author:
  - The gatehouse.webapp authors
description:
  - Compares openings, as P(gatehouse.webapp.openings#filter) gives them, with what a security group has.
  - What is there counts as there, whatever its description says, and is left alone.
options:
  _input:
    description: The openings wanted.
    type: list
    elements: dict
    required: true
  permissions:
    description: The C(ip_permissions) of the group, as M(amazon.aws.ec2_security_group_info) gives them.
    type: list
    elements: dict
    required: true
  exact:
    description: Whether what is not wanted is removed.
    type: bool
    default: false
  needs_ssh:
    description: Ports of SSH. Refuses an exact plan that opens none of them to anybody.
    type: list
    elements: int
    default: []
positional: permissions, exact, needs_ssh
"""

EXAMPLES = r"""
- name: Show what the group lets in
  ansible.builtin.debug:
    msg: "{{ ([] | gatehouse.webapp.security_group_plan(group.ip_permissions)).lets_in }}"
"""

RETURN = r"""
_value:
  description: What to tell the module that keeps the group, and what that means.
  type: dict
  contains:
    rules:
      description: The rules for M(amazon.aws.ec2_security_group).
      type: list
      elements: dict
    purge_rules:
      description: Whether it removes all others.
      type: bool
    add:
      description: The openings that are missing.
      type: list
      elements: dict
    remove:
      description: The openings that will be removed.
      type: list
      elements: dict
    lets_in:
      description: The openings that the group has. C(from) can be a group or a prefix list too.
      type: list
      elements: dict
"""

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._ingress import plan


def security_group_plan(wanted, permissions, exact=False, needs_ssh=()):
    try:
        return plan(wanted, permissions, boolean(exact), needs_ssh)
    except GatehouseError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    """The filters of this file, by name."""

    def filters(self):
        return {"security_group_plan": security_group_plan}
