# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The filter gatehouse.webapp.verify_failure. What it does is in plugin_utils/_verify_report.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: verify_failure
short_description: Say which links of the chain are broken on a host, why, and what to type
version_added: 0.3.0
author:
  - The gatehouse.webapp authors
description:
  - Takes what the module P(gatehouse.webapp.verify_host#module) returned.
options:
  _input:
    description: What C(verify_host) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Fail where a link is broken
  ansible.builtin.fail:
    msg: "{{ verified | gatehouse.webapp.verify_failure }}"
  when: not verified.ok
"""

RETURN = r"""
_value:
  description: The message. Empty where no link is broken.
  type: str
"""

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._verify_report import failure


def verify_failure(found):
    return failure(found["checks"])


class FilterModule:
    """The filters of this file, by name."""

    def filters(self):
        return {"verify_failure": verify_failure}
