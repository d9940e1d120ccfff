# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The filter gatehouse.webapp.diagnosis_page. What it does is in plugin_utils/_report.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: diagnosis_page
short_description: Write the diagnosis of some hosts out as one HTML page
version_added: 0.3.0
author:
  - The gatehouse.webapp authors
description:
  - The page needs nothing from elsewhere, and everything in it that came from a host is escaped.
options:
  _input:
    description: A mapping of each host's name to what C(diagnose_host) returned there, or to an empty one where it could not be asked.
    type: dict
    required: true
  now:
    description: When the page is made, in seconds since 1970.
    type: float
    required: true
positional: now
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ {inventory_hostname: diagnosis} | gatehouse.webapp.diagnosis_page(now().timestamp()) }}"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._report import page


def diagnosis_page(hosts, now):
    return page({name: found or None for name, found in hosts.items()}, now)


class FilterModule:
    """The filters of this file, by name."""

    def filters(self):
        return {"diagnosis_page": diagnosis_page}
