#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Stage, seal and prune the release folders of an app
version_added: 0.1.0
description:
  - Keeps an app's releases in C(ROOT/releases/ID). A release is the whole truth of a version, which is its code, its dependencies, its
    environment file and its unit. M(gatehouse.webapp.health_restart) makes one of them the live one.
  - A release is named by what goes into it. The same source with the same inputs is the same release, so a second run finds it whole and
    has nothing to build.
  - What a killed build left behind is never taken for whole. It is removed and staged anew.
  - A build is refused before it begins when the disk has too little room for it, by what the app's largest release takes.
  - A release's folder is root's. The folders in it that a build fills belong to O(build_user) until the release is taken over, and to
    root from then on. So no build needs root, neither the build nor the app can write what root reads, and the app cannot change its
    own code.
  - Root takes over what a build made after all processes of O(build_user) have ended, by handles of folders, and follows no link.
    A file with several names is copied, setuid bits and access lists are dropped. Links that leave the release, devices, pipes,
    sockets, files of other users and files that a process still holds open are refused by name. A link to the system's Python or Node
    is not.
options:
  root:
    description: The app's folder, for example V(/srv/chat-api).
    type: path
    required: true
  user:
    description: The system user that runs the app. Its primary group gets to read the releases.
    type: str
    required: true
  home:
    description:
      - The home of O(user), for example V(/var/lib/chat-api). With it O(user) is the app's alone. It is made where it is missing, and one
        that is there for anything else is refused. Nobody can log in as this user, with no key either.
      - Without it O(user) has to be there, and may be anybody's.
    type: path
    version_added: 0.4.0
  own_folders:
    description:
      - Folders outside of O(root) that are O(user)'s, for example V(/var/lib/chat-api). One that is there and holds what is somebody
        else's is refused, as systemd would give all of it to O(user).
    type: list
    elements: path
    default: []
    version_added: 0.4.0
  build_user:
    description:
      - The system user that fetches and builds the releases, another one than O(user). It is made where it is missing; one that is
        there for anything else is refused. What runs as this user is ended before a release is staged and before it is taken over.
      - Required with O(state=staged), O(state=configured), O(state=owned) and O(state=sealed).
    type: str
    version_added: 0.4.0
  app:
    description: The app's name, which names the unit in which O(packed) is unpacked. The last part of O(root) when it is not given.
    type: str
    version_added: 0.4.0
  folders:
    description: The folders below the release that a build may fill.
    type: list
    elements: str
    choices: [src, venv]
    default: [src]
    version_added: 0.4.0
  sandbox:
    description: The sandbox of the unit in which O(packed) is unpacked, as directives of systemd and their values.
    type: dict
    default: {}
    version_added: 0.4.0
  state:
    description:
      - V(staged), the folder of the release is there, its C(src) filled from O(directory), O(archive) or O(packed).
      - V(configured), what root gives a staged release is in its folder, the files of O(files).
      - V(owned), what was built belongs to root. It can be tried out as the app's user.
      - V(sealed), V(owned), and the release is whole, its manifest written, and it is the one to go live next, which the link
        C(ROOT/staged) names.
      - V(chosen), a release that is whole already is the one to go live next.
      - V(live), a release of files alone is the live one, which the link C(ROOT/current) names. Of an app that runs,
        M(gatehouse.webapp.health_restart) makes it so.
      - V(pruned), old releases are gone, but for the O(keep) newest, the live one and the one to go back to.
    type: str
    choices: [staged, configured, owned, sealed, chosen, live, pruned]
    default: staged
  id:
    description:
      - The release's name. When it is not given, O(state=staged) makes it from the revision and O(inputs), and O(state=live) takes
        the one that C(ROOT/staged) names.
    type: str
  directory:
    description:
      - The source, a folder on the control node. What tools leave in it (C(.git), C(.venv), C(node_modules), C(__pycache__) and
        their like) stays behind.
    type: path
  archive:
    description:
      - The source, a tar or zip file on the control node. When it holds a single folder, as forges pack them, that folder is the source.
    type: path
  revision:
    description: What names the source when it comes from elsewhere, such as a commit or a checksum.
    type: str
  files:
    description:
      - With O(state=configured), the files that root writes, each name with its text, such as C(env) and C(shop@.service).
      - The file C(env) is root's alone, as it holds the app's environment; O(user) may read the others.
    type: dict
    default: {}
    version_added: 0.4.0
  inputs:
    description:
      - All else that makes this release another one, such as the environment and the build commands. It is used for the
        name only.
    type: dict
  manifest:
    description: What to write into the release's C(manifest.json) when it is sealed, besides who sealed it and when, and what is installed.
    type: dict
    default: {}
  environment:
    description:
      - The app's environment variables. The manifest gets their names and keyed digests of their values, so that a change is seen and no
        value can be.
    type: dict
  served:
    description:
      - The folder below the release that everybody may read once it is sealed, as the workers of a web server must, for example
        V(src/dist). A link in it that leads out of it is refused.
    type: str
  entry:
    description: With O(state=live), the entry page, a path below the release, for example V(src/dist/index.html). It must not be empty.
    type: str
  proxy:
    description:
      - With O(state=live), what to ask through the proxy after the switch. The switch is taken back unless the answer is the entry
        page. When the proxy gave no good answer before the switch either, it is not asked.
    type: dict
    suboptions:
      url:
        description: The full URL, for example V(http://127.0.0.1/).
        type: str
        required: true
      host:
        description: The site's name, for the Host header and the TLS handshake.
        type: str
  keep:
    description: How many releases to keep when pruning.
    type: int
    default: 5
  packed:
    description:
      - A tar or zip file on the host to fill the staged release from, unpacked by O(build_user). The module sets it by itself for a
        O(directory) or an O(archive).
    type: path
  strip_folder:
    description: Whether the single folder at the top of O(packed) is left out.
    type: bool
    default: false
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
seealso:
  - module: gatehouse.webapp.health_restart
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Stage a release of a folder on the control node
  gatehouse.webapp.release:
    root: /srv/chat-api
    user: chat-api
    build_user: chat-api-build
    directory: examples/chat/backend
    inputs: {python: "3.11"}
  register: staged

- name: Give it its environment
  gatehouse.webapp.release:
    root: /srv/chat-api
    user: chat-api
    build_user: chat-api-build
    state: configured
    id: "{{ staged.id }}"
    files: {env: "DATABASE_URL=\"{{ database_url }}\""}
  when: not staged.whole

- name: Seal it once it is built
  gatehouse.webapp.release:
    root: /srv/chat-api
    user: chat-api
    build_user: chat-api-build
    state: sealed
    id: "{{ staged.id }}"
  when: not staged.whole

- name: Keep the five newest
  gatehouse.webapp.release:
    root: /srv/chat-api
    user: chat-api
    state: pruned
"""

RETURN = r"""
id:
  description: The release's name.
  returned: unless O(state=pruned)
  type: str
  sample: 3f9a1c2b71d0
path:
  description: The release's folder.
  returned: unless O(state=pruned)
  type: str
  sample: /srv/chat-api/releases/3f9a1c2b71d0
whole:
  description: Whether the release is sealed. When it is not, it has to be built.
  returned: unless O(state=pruned)
  type: bool
revision:
  description: What names the source.
  returned: for O(state=staged)
  type: str
pruned:
  description: The releases that were removed, or would be.
  returned: for O(state=pruned)
  type: list
  elements: str
cause:
  description:
    - Why it failed, in a word. V(bad_source), V(bad_input), V(no_user), V(user_conflict), V(path_conflict), V(no_release),
      V(disk_full), V(not_switched), V(not_as_written), V(not_ended), V(no_systemd), V(locked).
  returned: on failure
  type: str
hint:
  description: What to type next, or the right input.
  returned: on failure
  type: str
"""

import os
import pwd

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._account import Accounts, refuse_foreign
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import Activation
from ansible_collections.gatehouse.webapp.plugins.module_utils._build_unit import BuildUnit
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import HTTP, http_probe
from ansible_collections.gatehouse.webapp.plugins.module_utils._release import Releases
from ansible_collections.gatehouse.webapp.plugins.module_utils._switch import Switch

ARGUMENTS = dict(
    root=dict(type="path", required=True),
    user=dict(type="str", required=True),
    home=dict(type="path"),
    own_folders=dict(type="list", elements="path", default=[]),
    build_user=dict(type="str"),
    app=dict(type="str"),
    folders=dict(type="list", elements="str", choices=["src", "venv"], default=["src"]),
    sandbox=dict(type="dict", default={}),
    state=dict(
        type="str", choices=["staged", "configured", "owned", "sealed", "chosen", "live", "pruned"], default="staged"
    ),
    id=dict(type="str"),
    directory=dict(type="path"),
    archive=dict(type="path"),
    revision=dict(type="str"),
    files=dict(type="dict", default={}, no_log=True),
    inputs=dict(type="dict", no_log=True),
    manifest=dict(type="dict", default={}),
    environment=dict(type="dict", no_log=True),
    served=dict(type="str"),
    entry=dict(type="str"),
    proxy=dict(type="dict", options=dict(url=dict(type="str", required=True), host=dict(type="str"))),
    keep=dict(type="int", default=5),
    packed=dict(type="path"),
    strip_folder=dict(type="bool", default=False),
)


def carry_out(params, check_mode):
    """Bring about the state. Returns the result's keys."""
    name = params["id"]
    if params["state"] == "live":
        return make_live(params, check_mode)
    if params["state"] != "pruned" and not name:
        raise GatehouseError(
            "there is nothing to name the release by", cause="bad_input", hint="directory, archive, revision or id"
        )
    if params["build_user"] in (params["user"], "root"):
        raise GatehouseError(
            "build_user is %s: it must be a user of its own, whose processes can be ended" % params["build_user"],
            cause="bad_input",
            hint="build_user: %s-build" % params["user"],
        )
    app = params["app"] or os.path.basename(params["root"])
    refuse_foreign(params["own_folders"], params["user"])
    accounts = Accounts(check_mode)
    builder = accounts.builder(params["build_user"], app) if params["build_user"] else (0, 0)
    user, home = params["user"], params["home"]
    reader = accounts.runner(user, app, home)[1] if home else group_of(user, check_mode)
    releases = Releases(params["root"], reader, builder)
    if params["state"] == "pruned":
        pruned = releases.superfluous(params["keep"])
        if not check_mode:
            releases.prune(pruned)
        return {"changed": bool(pruned), "pruned": pruned}

    found = {"id": name, "path": releases.path(name), "whole": releases.is_whole(name), "revision": params["revision"]}
    if check_mode:
        return dict(found, changed=not found["whole"])
    if params["state"] == "configured":
        return dict(found, changed=releases.configure(name, params["files"]))
    if params["state"] == "owned":
        return dict(found, changed=not found["whole"] and releases.take_over(name))
    if params["state"] in ("sealed", "chosen"):
        sealed = params["state"] == "sealed" and releases.seal(
            name, params["manifest"], params["environment"], params["served"]
        )
        return dict(found, changed=releases.choose(name) or sealed, whole=True)
    unit = BuildUnit(app, params["build_user"], params["sandbox"])
    if not found["whole"]:
        unit.clear()
    changed = releases.stage(name, params["folders"])
    if params["packed"] and not found["whole"]:
        with open(params["packed"], "rb") as archive:
            unit.unpack(archive, os.path.join(found["path"], "src"), params["strip_folder"])
    return dict(found, changed=changed)


def make_live(params, check_mode):
    folder = os.path.join(params["root"], "releases")
    target = os.path.join(folder, params["id"]) if params["id"] else os.path.join(params["root"], "staged")
    activation = Activation(os.path.join(params["root"], "current"), target)
    switch = Switch(activation, params["entry"], params["proxy"] and question(params["proxy"]))
    with activation.alone():
        changed = switch.plan()
        if changed and not check_mode:
            switch.run()
    return {"changed": changed, "id": os.path.basename(activation.target), "path": activation.target, "whole": True}


def question(proxy):
    """A page asked for through the proxy, as a function of the seconds it may take."""
    options = {name: entry.get("default") for name, entry in HTTP.items()}
    options.update(host=proxy["host"], server_name=proxy["host"], validate_certs=False)
    return http_probe(options, proxy["url"])


def group_of(user, check_mode):
    try:
        return pwd.getpwnam(user).pw_gid
    except KeyError:
        if check_mode:  # what would have made the user has not made it
            return 0
        raise GatehouseError("there is no user %s" % user, cause="no_user", hint="useradd --system %s" % user) from None


def main():
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[
            ("state", "live", ["entry"]),
            *(("state", state, ["build_user"]) for state in ("staged", "configured", "owned", "sealed")),
        ],
        supports_check_mode=True,
    )
    try:
        result = carry_out(module.params, module.check_mode)
    except GatehouseError as error:
        module.fail_json(**error.result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
