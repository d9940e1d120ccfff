# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The filter gatehouse.webapp.diagnosis_lines. What it does is in plugin_utils/_report.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: diagnosis_lines
short_description: Write a diagnosis out as lines of text
version_added: 0.3.0
author:
  - The gatehouse.webapp authors
description:
  - Takes what the module P(gatehouse.webapp.diagnose_host#module) returned. Gives the chain of each app
    link by link, and then the causes with their evidence and commands.
options:
  _input:
    description: What C(diagnose_host) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ diagnosis | gatehouse.webapp.diagnosis_lines }}"
"""

RETURN = r"""
_value:
  description: The lines, without control characters, and each cut at 150 characters.
  type: list
"""

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._report import lines


def diagnosis_lines(found):
    return lines(found)


class FilterModule:
    """The filters of this file, by name."""

    def filters(self):
        return {"diagnosis_lines": diagnosis_lines}
