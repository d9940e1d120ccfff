#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Tell which releases of an app there are, which is live, and what changed between two
version_added: 0.2.0
description:
  - Reads the manifests of an app's releases, which M(gatehouse.webapp.release) wrote.
  - Names environment variables that were added, removed or changed between two releases, and never shows a value.
options:
  root:
    description: The app's folder, for example V(/srv/chat-api).
    type: path
    required: true
  id:
    description:
      - The release that is asked for, such as the one to go back to. Without it, that is the one that was live before the present one.
    type: str
  between:
    description:
      - Two releases to compare, the older first. Without it, the one to go back to and the live one.
    type: list
    elements: str
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
seealso:
  - module: gatehouse.webapp.release
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Look at the releases
  gatehouse.webapp.release_info:
    root: /srv/chat-api

- name: See what changed between two
  gatehouse.webapp.release_info:
    root: /srv/chat-api
    between: [3f9a1c2b71d0, 9e02d7a6c114]
"""

RETURN = r"""
releases:
  description:
    - The whole releases, the newest first. C(live) tells which is the live one, and C(sealed) when it was built, in seconds since 1970.
  returned: success
  type: list
  elements: dict
live:
  description: The live release's name.
  returned: success
  type: str
target:
  description: The release asked for by O(id), or the one to go back to. Null when there is none.
  returned: success
  type: str
path:
  description: The folder of RV(target).
  returned: success
  type: str
compared:
  description: The two releases compared, the older first. Empty when there are no two.
  returned: success
  type: list
  elements: str
changes:
  description: What changed between them, as sentences.
  returned: success
  type: list
  elements: str
  sample: ["revision: 41c2e7 -> 8d02f1", "dependency fastapi: 0.115.0 -> 0.116.1", "environment LOG_LEVEL: changed"]
cause:
  description: Why it failed, in a word. V(no_release), V(bad_input).
  returned: on failure
  type: str
hint:
  description: The right input.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._release import Releases, compare

ARGUMENTS = dict(
    root=dict(type="path", required=True),
    id=dict(type="str"),
    between=dict(type="list", elements="str"),
)


def look(params):
    releases = Releases(params["root"], 0, (0, 0))
    live = releases.live()
    target = params["id"] or (releases.to_go_back_to() or [None])[0]
    if params["id"]:
        releases.manifest(params["id"])
    compared = params["between"] if params["between"] is not None else [target, live]
    if len(compared) != 2:
        raise GatehouseError(
            "between names %d releases" % len(compared), cause="bad_input", hint="between: [OLDER, NEWER]"
        )
    if None in compared:
        compared = []
    return {
        "releases": releases.history(),
        "live": live,
        "target": target,
        "path": releases.path(target) if target else None,
        "compared": compared,
        "changes": compare(*map(releases.manifest, compared)) if compared else [],
    }


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = look(module.params)
    except GatehouseError as error:
        module.fail_json(**error.result())
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
