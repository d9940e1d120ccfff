#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_inventory
short_description: Refuse an inventory and a command line that can't be meant, before anything is touched
version_added: 0.4.0
description:
  - Reads what the inventory and the command line say for a host, and refuses what can't be meant. That is a variable that begins with
    C(webapp_) and that nobody reads, a variable that another one was to give, which is not there, a wrong model, a model that says
    nothing, an unknown app in C(webapp_only), and tags that nothing has.
  - Variables of the roles, whose prefixes others use too, are only warned of, and only when they are one or two letters from a known one.
  - Where the run is to change the host (O(stages)), it also looks at what the host serves now. It refuses a model that has none of it,
    and a run that takes an app to other ports without what leads to it, or the other way round. Of a rollback it refuses one that
    does not name its apps where there are several, and one of which an app has no release to go back to. Of a removal it refuses one
    of an app that the model has, or that nginx still leads to.
  - It refuses an app that has the ports or the source of one that the host has and the model does not, until C(renamed_from) or a removal
    says what is meant.
  - Tells all that is wrong with names at once. Changes nothing, so it runs in check mode too.
options:
  apps:
    description:
      - The name of the variable that has the apps, in the dialect of C(webapp_apps), described in docs/model.md. By its name, so that
        one whose value can't be worked out is told plainly.
    type: str
    default: webapp_apps
  sites:
    description: The name of the variable that has the sites that this host serves.
    type: str
    default: webapp_sites
  services:
    description: Whether the apps run on this host.
    type: bool
    default: true
  only:
    description: The apps that the run is about, by name, as a list or a text that parts them by commas. Empty, all of them.
    type: raw
  stages:
    description:
      - What the playbook does to the host, for which the host is asked what it has. V(read) changes nothing, and tells of apps that the
        host has and the model does not. Empty, the host is not asked.
    type: list
    elements: str
    choices: [activate, nginx_proxy, ufw, rollback, remove, read]
    default: []
  release:
    description: The release that a rollback goes back to. Without it, that is the one that was live before the present one.
    type: str
  empty:
    description: Whether a model may have none of what the host serves.
    type: bool
    default: false
  remove:
    description:
      - With O(stages=remove), the apps to remove, by name, as a list or a text that parts them by commas. With O(stages=activate), those
        that the deploy removes at its end.
    type: raw
  remove_data:
    description: Whether what they have written is to go too.
    type: bool
    default: false
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
seealso:
  - module: gatehouse.webapp.preflight_host
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Refuse what can't be meant, on a host that is a proxy alone
  gatehouse.webapp.preflight_inventory:
    services: false

- name: The same before a deploy of one app
  gatehouse.webapp.preflight_inventory:
    only: [chat-api]
    stages: [activate, nginx_proxy, ufw]
"""

RETURN = r"""
msg:
  description: What the model has, or what is wrong.
  returned: always
  type: str
known:
  description: The apps that the host has anything of.
  returned: when the host was asked
  type: list
  elements: str
orphans:
  description: Those of them that the model does not have.
  returned: when the host was asked
  type: list
  elements: str
near:
  description: Of each app to remove of which this host has nothing, the apps that it has under nearly that name.
  returned: when the host was asked
  type: dict
  sample: {shop-odl: [shop-old]}
removes:
  description: The apps to remove.
  returned: when the host was asked
  type: list
  elements: str
cause:
  description:
    - V(bad_input), V(bad_model), V(empty_model), V(in_use), V(no_release), V(nothing_left), V(port_changed), V(renamed),
      V(undefined) or V(unknown_variable).
  returned: on failure
  type: str
hint:
  description: The right input.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._remains import Host
from ansible_collections.gatehouse.webapp.plugins.module_utils._serves import look, targets

STAGES = ["activate", "nginx_proxy", "ufw", "rollback", "remove", "read"]

ARGUMENTS = dict(
    apps=dict(type="str", default="webapp_apps"),
    sites=dict(type="str", default="webapp_sites"),
    services=dict(type="bool", default=True),
    only=dict(type="raw"),
    stages=dict(type="list", elements="str", choices=STAGES, default=[]),
    release=dict(type="str"),
    empty=dict(type="bool", default=False),
    remove=dict(type="raw"),
    remove_data=dict(type="bool", default=False),
)


def main():
    # This half says what the host serves. The action plugin of the same name, on the control node, does all else.
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        # Every manifest on the host is read for these.
        back = targets(module.params["release"]) if "rollback" in module.params["stages"] else {}
        host = Host()
        found = {"serves": look(), "targets": back, "remains": host.find(), "led": sorted(host.led())}
    except GatehouseError as error:
        module.fail_json(**error.result())
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
