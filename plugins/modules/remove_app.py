#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: remove_app
short_description: Take away what deploys have put on a host for apps
version_added: 0.4.0
description:
  - Ends an app's instances once nobody is connected to them any more, and takes away their units, its releases in C(/srv/APP), the
    user that builds it, and what copies and rotates its log.
  - What the app has written (C(/var/lib/APP), C(/var/log/APP)) is kept, and with it the app's user, whose it is, unless O(data) says
    otherwise. Both are kept in any case where another app's units run as that user, as after a rename.
  - Only what a deploy has made is taken away, by its mark, which is a manifest in C(/srv/APP), the comment of a user, the app's folder in a
    unit. What an administrator has added (drop-ins and masks of units, other disks that links lead to) stays, and is told.
  - An app that nginx on this host still leads to is refused before any is touched. Nothing is changed where nothing of an app is there.
    Whether it is being deployed is for M(gatehouse.webapp.deploy_lock) to tell, before. In check mode nginx is not looked at, since the
    run may be one that would lead it elsewhere.
  - A run that was cut short is completed by the next.
options:
  names:
    description: The names of the apps.
    type: list
    elements: str
    required: true
  data:
    description: Whether to take away what the apps have written too. There is no way back.
    type: bool
    default: false
  drain_timeout:
    description: Seconds that connections to its instances are waited for.
    type: float
    default: 30
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
seealso:
  - module: gatehouse.webapp.deploy_lock
  - module: gatehouse.webapp.release
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Remove an app that the model no longer has, and keep its data
  gatehouse.webapp.remove_app:
    names: [shop-old]
"""

RETURN = r"""
removed:
  description: Of each app, the units, files, folders and users that are gone, or in check mode would be.
  returned: success
  type: dict
  sample: {shop-old: ["shop-old@8000.service", "/srv/shop-old", "user shop-old-build"]}
kept:
  description: Of each app, what is kept, and why.
  returned: success
  type: dict
  sample: {shop-old: {"/var/lib/shop-old": "the app has written it", "user shop-old": "what is kept belongs to it"}}
cause:
  description: V(bad_input), V(in_use), V(not_ended) or V(not_removed).
  returned: on failure
  type: str
hint:
  description: What to do.
  returned: on failure
  type: str
"""

import contextlib

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._port_wait import PortWait
from ansible_collections.gatehouse.webapp.plugins.module_utils._remains import APP, Host

ARGUMENTS = dict(
    names=dict(type="list", elements="str", required=True),
    data=dict(type="bool", default=False),
    drain_timeout=dict(type="float", default=30),
)


def carry_out(params, check_mode, host, drain):
    """Take the apps away. drain: waits for the connections to ports. Returns the result's keys."""
    names = list(dict.fromkeys(name.strip() for name in params["names"]))
    # A run that would lead nginx elsewhere has not done so in check mode.
    refuse(names, [] if check_mode else host.led())
    ports = [port for name in names for port in host.what(name)["ports"]]
    if ports and not check_mode:
        drain(ports)
    # What one wrote as the user of another is known by that user, who goes after it.
    names.sort(key=lambda name: name in host.what(name)["users"])
    taken = {name: host.take_away(name, params["data"], check_mode) for name in names}
    removed = {name: removed for name, (removed, _kept) in taken.items() if removed}
    return {
        "changed": bool(removed),
        "removed": removed,
        "kept": {name: kept for name, (_removed, kept) in taken.items() if kept},
    }


def refuse(names, led):
    """Refuse what is no name, and what nginx leads to."""
    wrong = [name for name in names if not APP.match(name)]
    if wrong:
        raise GatehouseError("%r is no name of an app" % wrong[0], "bad_input", "names: [shop-old]")
    still = [name for name in names if name in led]
    if still:
        raise GatehouseError(
            "nginx on this host leads requests to %s. Nothing was touched." % ", ".join(still),
            "in_use",
            "take it out of webapp_apps and webapp_sites, then: ansible-playbook -i INVENTORY gatehouse.webapp.site",
        )


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)

    def drain(ports):
        params = {"ports": ports, "state": "drained", "unit": None, "interval": 0.1}
        # Whoever is still connected then has had the time.
        with contextlib.suppress(GatehouseError):
            PortWait(dict(params, timeout=module.params["drain_timeout"]), Listeners(), None).run()

    try:
        result = carry_out(module.params, module.check_mode, Host(), drain)
    except GatehouseError as error:
        module.fail_json(**error.result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
