# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The lookup gatehouse.webapp.hosts. What it says of a pattern without hosts is in plugin_utils/_inventory.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hosts
short_description: The host patterns of a play, each of which must match a host
version_added: 0.4.0
author:
  - The gatehouse.webapp authors (@gatehouse)
description:
  - Ansible passes over a play whose pattern matches no host, and the run looks like one that did its work. With this lookup in
    C(hosts) it ends with an error, which lists the groups of the inventory.
  - C(--limit) has no say in it. Neither has a run that only lists (C(--list-hosts), C(--list-tags)) or checks the syntax.
  - An inventory whose apps are all hosted elsewhere (V(runtime=external) with C(url)) needs no host, and is no error.
options:
  _terms:
    description: Host patterns, as in C(hosts) of a play. Empty ones are passed over.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: A play that must have hosts
  hosts: "{{ query('gatehouse.webapp.hosts', webapp_hosts | default('webapp')) }}"
  tasks:
    - name: Ask them
      ansible.builtin.ping:
"""

RETURN = r"""
_raw:
  description: The patterns, as they were given.
  type: list
  elements: str
"""

from ansible import context
from ansible.errors import AnsibleLookupError
from ansible.inventory.manager import InventoryManager
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase
from ansible.vars.manager import VariableManager

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._inventory import no_host, only_hosted

LISTING = ("syntax", "listhosts", "listtasks", "listtags")


class LookupModule(LookupBase):
    """The patterns, or an error where one matches nothing."""

    def run(self, terms, variables=None, **kwargs):
        for term in terms:
            if term and not isinstance(term, str):
                raise AnsibleLookupError(
                    "A list is no pattern of hosts. Write one text, as in -e webapp_hosts=app1:app2"
                )
        terms = [term for term in terms if term]
        if any(context.CLIARGS.get(name) for name in LISTING):
            return terms
        matching = lookup_loader.get("ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar)
        for term in terms:
            if not matching.run([term], variables) and not self._is_only_hosted():
                variable = "webapp_proxies" if term == variables.get("webapp_proxies") else "webapp_hosts"
                raise AnsibleLookupError(no_host(term, variables["groups"], variable).result()["msg"])
        return terms

    def _is_only_hosted(self):
        """Whether all that the inventory has is hosted elsewhere. No host's variables are at hand here, so it is read once more."""
        inventory = InventoryManager(loader=self._loader, sources=context.CLIARGS.get("inventory"))
        manager = VariableManager(loader=self._loader, inventory=inventory)
        hosts = inventory.get_hosts() or [inventory.localhost]
        found = [manager.get_vars(host=host, include_hostvars=False) for host in hosts]
        return only_hosted([one.get("webapp_apps") for one in found], [one.get("webapp_sites") for one in found])
