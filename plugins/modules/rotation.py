#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation
short_description: Take a part of an app out of this proxy's rotation, or put it back
version_added: 0.2.0
description:
  - Tells the proxy on this host, which looks at each request, to send nothing more to a part of an app. Nothing is reloaded, and
    connections that are open go on.
  - It works with a proxy that the role P(gatehouse.webapp.nginx_proxy#role) has set up. On a host without one it does nothing.
  - What is out is in again after a reboot of the proxy.
options:
  path:
    description:
      - The file by which the proxy is told, C(when) of one of the app's C(upstream.alternatives).
    type: path
    required: true
  state:
    description: V(out), nothing more is sent there. V(in), it is one of many again.
    type: str
    choices: ["in", "out"]
    required: true
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Send nothing more to the host that is about to change
  gatehouse.webapp.rotation:
    path: /run/gatehouse/rotation/chat-api/192.0.2.10
    state: out
"""

RETURN = r"""
follows:
  description: Whether a proxy on this host looks there.
  returned: always
  type: bool
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._rotation import Rotation

ARGUMENTS = dict(
    path=dict(type="path", required=True),
    state=dict(type="str", choices=["in", "out"], required=True),
)


def bring_about(path, state, check_mode):
    folder, part = os.path.split(path)
    rotation = Rotation(folder)
    follows = rotation.follows() == "parts"
    out = state == "out" and follows
    changed = rotation.is_out(part) != out
    if changed and not check_mode:
        rotation.take_out(part) if out else rotation.put_back(part)
    return {"changed": changed, "follows": follows}


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.exit_json(**bring_about(module.params["path"], module.params["state"], module.check_mode))


if __name__ == "__main__":
    main()
