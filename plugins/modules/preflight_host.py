#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_host
short_description: Say all that would stop a deploy of a host, before anything is touched
version_added: 0.3.0
description:
  - Compares the model with the host. It looks at ports and who holds them, units and folders of hand-made set-ups, room on disks
    and in memory, Python and Node, the clock, UFW, and whether a reboot is due. From the control node it looks up the server names.
  - Databases whose URL is in an app's C(env) (PostgreSQL, MySQL, MariaDB) are logged in to, with the driver of the app's live
    release and as the app's user. Where there is no driver yet, the server's greeting has to do. What an app requires (C(requires))
    must accept connections, unless it is an app that the deploy starts.
  - Tells everything at once. A problem either refuses, and then the module fails, or warns.
  - All questions are asked at once. Each has its own bound, and all of them have one. What does not answer is a warning.
  - Passwords are in no output. A login's are given to the driver by standard input, never in an argument or the environment.
  - Changes nothing, so it runs in check mode too.
options:
  apps:
    description: The apps, in the dialect of C(webapp_apps), described in docs/model.md.
    type: list
    elements: dict
    default: []
  sites:
    description: The sites that this host serves, in the dialect of C(webapp_sites).
    type: list
    elements: dict
    default: []
  services:
    description: Whether the apps run on this host.
    type: bool
    default: true
  only:
    description: The apps that the deploy is about, by name, as a list or a text that parts them by commas. Empty, all of them.
    type: raw
    version_added: 0.4.0
  databases:
    description: Filled from the apps' C(env). It can't be given.
    type: list
    elements: dict
    default: []
    suboptions:
      app:
        description: The app.
        type: str
      name:
        description: The variable.
        type: str
      url:
        description: Its value.
        type: str
      code:
        description: The folder of the app's code below a release.
        type: str
  address:
    description:
      - Where clients reach the host, an address or a name. Server names should lead there.
      - When empty, it is C(ansible_host) where Ansible comes by SSH. The host's own addresses are right in any case.
    type: str
    default: ""
  load_balancers:
    description: Addresses or names of what stands in front of the host. Server names may lead there too.
    type: list
    elements: str
    default: []
  node:
    description: The program that runs JavaScript.
    type: str
    default: /usr/bin/node
  node_version:
    description: The version of Node that a deploy installs. Empty, that of the distribution.
    type: str
    default: ""
  only_warn:
    description: Causes that do not refuse, such as V(memory_low). The README of the role P(gatehouse.webapp.preflight#role) lists all.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds for all questions on the host together. Fractions are allowed.
    type: float
    default: 10
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
requirements:
  - On the managed host systemd, and for parts of it C(ip), C(nginx) and C(setpriv).
notes:
  - Runs as root (C(become)). Without that it can't see who holds a port.
seealso:
  - module: gatehouse.webapp.diagnose_host
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Expect that a deploy can work
  gatehouse.webapp.preflight_host:
    apps: "{{ webapp_apps }}"
    sites: "{{ webapp_sites }}"

- name: The same on a host behind a load balancer, which is small
  gatehouse.webapp.preflight_host:
    apps: "{{ webapp_apps }}"
    sites: "{{ webapp_sites }}"
    load_balancers: [lb.example.com]
    only_warn: [memory_low]
"""

RETURN = r"""
ok:
  description: Whether nothing refuses.
  returned: always
  type: bool
problems:
  description: All that was found, what refuses first.
  returned: always
  type: list
  elements: dict
  contains:
    level:
      description: V(refuse) or V(warn).
      type: str
    cause:
      description: A word of the list in the README of the role P(gatehouse.webapp.preflight#role), such as V(port_taken).
      type: str
    app:
      description: The app it is about. Null where it is about the host or a site.
      type: str
    message:
      description: The problem as a sentence.
      type: str
    measured:
      description: What it follows from, one line each, without secrets.
      type: list
      elements: str
    next:
      description: The next command to type.
      type: str
msg:
  description: All of it for people, with what was measured and the next commands.
  returned: always
  type: str
cause:
  description: The first cause that refuses. Also V(bad_input), V(bad_model).
  returned: on failure
  type: str
hint:
  description: The next command for it.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._survey import Surveyor

ARGUMENTS = dict(
    apps=dict(type="list", elements="dict", default=[]),
    sites=dict(type="list", elements="dict", default=[]),
    services=dict(type="bool", default=True),
    only=dict(type="raw"),
    databases=dict(
        type="list",
        elements="dict",
        default=[],
        options=dict(
            app=dict(type="str"),
            name=dict(type="str"),
            url=dict(type="str", no_log=True),
            code=dict(type="str"),
        ),
    ),
    address=dict(type="str", default=""),
    load_balancers=dict(type="list", elements="str", default=[]),
    node=dict(type="str", default="/usr/bin/node"),
    node_version=dict(type="str", default=""),
    only_warn=dict(type="list", elements="str", default=[]),
    timeout=dict(type="float", default=10.0),
)


def main():
    # This half gathers what the host says, of apps and sites that the action plugin of the same name has resolved. That one asks from the
    # control node, and judges.
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)

    def find(command):
        return module.get_bin_path(command, opt_dirs=["/usr/sbin", "/sbin"])

    options = module.params
    surveyor = Surveyor(
        options["databases"], options["node"], options["apps"], options["sites"], {}, find, options["timeout"]
    )
    module.exit_json(changed=False, evidence=surveyor.survey())


if __name__ == "__main__":
    main()
