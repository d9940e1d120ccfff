# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The filter gatehouse.webapp.verify_lines. What it does is in plugin_utils/_verify_report.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: verify_lines
short_description: Write what was measured on some hosts out as a table of text
version_added: 0.3.0
author:
  - The gatehouse.webapp authors
description:
  - Takes what the module P(gatehouse.webapp.verify_host#module) returned on each host.
options:
  _input:
    description: A mapping of each host's name to what C(verify_host) returned there, or to an empty one where it could not be asked.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ {inventory_hostname: verified} | gatehouse.webapp.verify_lines }}"
"""

RETURN = r"""
_value:
  description: The lines, without control characters. None but a command to type is wider than 88 characters.
  type: list
"""

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._verify_report import table


def verify_lines(hosts):
    return table({name: found if found and "checks" in found else None for name, found in hosts.items()})


class FilterModule:
    """The filters of this file, by name."""

    def filters(self):
        return {"verify_lines": verify_lines}
