# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The filter gatehouse.webapp.diagnosis_document. What it does is in plugin_utils/_report.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: diagnosis_document
short_description: Write the diagnosis of some hosts out as one document for programs
version_added: 0.3.0
author:
  - The gatehouse.webapp authors
description:
  - The document's schema is described in docs/diagnosis.md.
options:
  _input:
    description: A mapping of each host's name to what C(diagnose_host) returned there, or to an empty one where it could not be asked.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ {inventory_hostname: diagnosis} | gatehouse.webapp.diagnosis_document }}"
"""

RETURN = r"""
_value:
  description: The document.
  type: dict
"""

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._report import document


def diagnosis_document(hosts):
    return document({name: found or None for name, found in hosts.items()})


class FilterModule:
    """The filters of this file, by name."""

    def filters(self):
        return {"diagnosis_document": diagnosis_document}
