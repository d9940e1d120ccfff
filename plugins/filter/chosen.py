# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The filter gatehouse.webapp.chosen. What it does is in plugin_utils/_chosen.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: chosen
short_description: Those of the model's apps that a run is about
version_added: 0.4.0
author:
  - The gatehouse.webapp authors
description:
  - Takes the apps of a resolved model and gives those that are named, in the order of the model. Names must match in full.
  - A name that no app has is an error, and the error lists the names there are.
options:
  _input:
    description: The apps, as the filter P(gatehouse.webapp.resolve#filter) gives them in C(apps).
    type: list
    elements: dict
    required: true
  only:
    description: The names, as a list or a text that parts them by commas. Empty, all apps are given.
    type: raw
    required: true
positional: only
"""

EXAMPLES = r"""
- name: Show the ports of two apps
  ansible.builtin.debug:
    msg: "{{ model.apps | gatehouse.webapp.chosen('shop, chat-api') | map(attribute='ports') }}"
"""

RETURN = r"""
_value:
  description: The apps that are named.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._chosen import choose


def chosen(apps, only):
    try:
        return choose(apps, only)
    except GatehouseError as error:
        raise AnsibleFilterError(error.result()["msg"]) from None


class FilterModule:
    """The filters of this file, by name."""

    def filters(self):
        return {"chosen": chosen}
