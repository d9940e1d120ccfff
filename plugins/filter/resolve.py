# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The filter gatehouse.webapp.resolve. What it does is in plugin_utils/_model.py, what it takes in _schema.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: resolve
short_description: Work out the whole model from what the inventory says of apps and sites
version_added: 0.1.0
author:
  - The gatehouse.webapp authors
description:
  - Takes the list of apps and the list of sites, checks both, fills in every default, and derives what the parts share.
    That is users, units, ports, upstreams, firewall ports and probes. No part works any of this out by itself,
    so parts cannot disagree.
  - Every key of an app and a site, with its type, unit and default, is described in C(docs/model.md) of the collection.
  - A wrong model fails with one error. It lists all problems, each with its place and the right input.
    An error never shows the value of an environment variable, of a header, or of a repository's or archive's address.
  - The filter reads no file and asks no host. The input is not changed, and the same input gives the same result.
options:
  _input:
    description:
      - The apps. V(none) is an empty list.
      - A relative C(source.directory) or C(source.archive) becomes absolute. It is relative to the folder
        C(ansible-playbook) was started in.
    type: list
    elements: dict
    required: true
  sites:
    description: The sites. V(none) is an empty list.
    type: list
    elements: dict
positional: sites
seealso:
  - name: The model
    description: Reference of every key.
    link: https://example.com/gatehouse/webapp/docs/model.md
"""

EXAMPLES = r"""
- name: Bind the model once, in vars/main.yml of a role
  ansible.builtin.set_fact:
    model: "{{ webapp_apps | gatehouse.webapp.resolve(webapp_sites) }}"
  vars:
    webapp_apps:
      - name: chat-api
        runtime: uvicorn
        source: {directory: examples/chat/backend}
        uvicorn: {target: "app.main:app"}
        port: 8000
        instances: 2
        health: {path: /health}
    webapp_sites:
      - name: chat
        server_names: [chat.example.com]
        routes:
          - {path: /, app: chat-api}

- name: Show what the firewall opens, and why
  ansible.builtin.debug:
    msg: "{{ model.opened_ports }}"
"""

RETURN = r"""
_value:
  description: The model, made of mappings, lists, strings, numbers and booleans only.
  type: dict
  contains:
    apps:
      description: Each app with all its keys, and with what follows from them, like the user, the unit and the ports.
      type: list
      elements: dict
    sites:
      description: Each site with all its keys. Its routes are in the order given, after the exact routes for health.
      type: list
      elements: dict
    opened_ports:
      description: The TCP ports that clients use, in ascending order, each once.
      type: list
      elements: dict
      sample: [{port: 80, proto: tcp, reason: site chat}]
    probes:
      description: What to ask of each app through each site that leads to it.
      type: list
      elements: dict
"""

import os

from ansible.errors import AnsibleFilterError

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve


def resolve_filter(apps, sites=None):
    try:
        return resolve(apps, sites, directory=os.getcwd())
    except GatehouseError as error:
        raise AnsibleFilterError(error.message) from None


class FilterModule:
    """The filters of this file, by name."""

    def filters(self):
        return {"resolve": resolve_filter}
