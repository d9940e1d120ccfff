#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: deploy_lock
short_description: Hold an app's deploy lock, so that two deploys can't get in each other's way
version_added: 0.2.0
description:
  - The lock says who deploys which release of the app, and since when. Whoever comes second is told so.
  - The lock of a run that was killed is recognised and taken over when it was held on the same control node, by its boot and
    process. Any lock ends when the host is rebooted, and O(seconds) after it was taken or last renewed.
  - Taking a lock that one holds already renews it.
options:
  app:
    description: The app's name.
    type: str
    required: true
  state:
    description: V(held), it is ours. V(released), it is not.
    type: str
    choices: [held, released]
    default: held
  release:
    description: The release that is being deployed, as far as it is known.
    type: str
  seconds:
    description: For how long it is held without being renewed.
    type: int
    default: 3600
  break_lock:
    description: Whether it is taken from whoever holds it.
    type: bool
    default: false
  folder:
    description: Where locks lie on the host.
    type: path
    default: /run/gatehouse/deploy
  who:
    description: Who holds it. The module finds out by itself on the control node.
    type: dict
  instead_of:
    description: The holder that is known to be gone. The module finds out by itself on the control node.
    type: str
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Make sure that nobody else deploys the app
  gatehouse.webapp.deploy_lock:
    app: chat-api
"""

RETURN = r"""
holder:
  description: Who holds the lock, since when and until when at most (seconds since 1970), and for which release.
  returned: on failure
  type: dict
stale:
  description: Why the lock of another was taken over, when it was.
  returned: when it was
  type: str
cause:
  description: V(locked), another deploy holds it.
  returned: on failure
  type: str
hint:
  description: What to do.
  returned: on failure
  type: str
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._lock import Lock, refusal

ARGUMENTS = dict(
    app=dict(type="str", required=True),
    state=dict(type="str", choices=["held", "released"], default="held"),
    release=dict(type="str"),
    seconds=dict(type="int", default=3600),
    break_lock=dict(type="bool", default=False),
    folder=dict(type="path", default="/run/gatehouse/deploy"),
    who=dict(type="dict"),
    instead_of=dict(type="str"),
)


def carry_out(params, check_mode):
    lock = Lock(os.path.join(params["folder"], params["app"] + ".lock"))
    held = lock.holder()
    if not check_mode and params["state"] == "released":
        lock.leave(params["who"])
    if check_mode or params["state"] == "released":
        return
    instead_of = held["who"]["id"] if held and params["break_lock"] else params["instead_of"]
    held = lock.take(params["who"], params["release"], params["seconds"], instead_of)
    if held:
        raise refusal(params["app"], held, time.time())


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        carry_out(module.params, module.check_mode)
    except GatehouseError as error:
        module.fail_json(**error.result())
    # Nothing of the app has changed.
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
