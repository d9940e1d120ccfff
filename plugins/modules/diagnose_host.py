#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnose_host
short_description: Say what is broken on a host, which link of the chain it is, why, and what to type
version_added: 0.3.0
description:
  - Gathers all evidence of a host in one pass, from within and from the control node, and turns it into a ranked list of causes. One
    cause explains its consequences, so a dead database is not told of as five problems.
  - Walks the chain from the name to the resources. Its links are DNS, the TCP connection, TLS, nginx's process, its configuration, the
    route, the upstream, the listener, the unit, the health of the app, its dependencies and the host's resources.
  - All questions are asked at once. Each has its own bound, and all of them have one. What does not answer is missing from the
    evidence, and is told in RV(evidence.unanswered).
  - Passwords, tokens, cookies and keys are taken out of all evidence on the host itself. Environment variables are told by name, as
    V(set) or V(empty), never by value.
  - Changes nothing, so it runs in check mode too. It succeeds whatever it finds. Only wrong input and a host that can't be asked are
    failures.
options:
  apps:
    description: The apps, in the dialect of C(webapp_apps), described in docs/model.md.
    type: list
    elements: dict
    default: []
  sites:
    description: The sites, in the dialect of C(webapp_sites).
    type: list
    elements: dict
    default: []
  headers:
    description:
      - More headers for the health question of an app, as a mapping of the app's name to a mapping of headers. Those of
        C(health.headers) are sent in any case.
    type: json
  services:
    description: Whether the apps run on this host. When not, they are only asked over the network, as by a proxy on a host of its own.
    type: bool
    default: true
  address:
    description:
      - Where the control node should reach the host, an address or a name. What is asked from outside is asked there.
      - When empty, it is C(ansible_host) where Ansible comes by SSH. Otherwise it is the host's own address, as it tells it.
    type: str
    default: ""
  outside:
    description: Whether the control node asks too. Without it the links DNS and TCP are not judged.
    type: bool
    default: true
  timeout:
    description: Seconds for all questions on the host together. Fractions are allowed.
    type: float
    default: 10
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
requirements:
  - On the managed host systemd, and for parts of the evidence C(nginx), C(openssl), C(ip) and C(iptables).
notes:
  - Runs as root (C(become)). Without that it can't see other users' processes, the journal and the packet filter.
seealso:
  - module: gatehouse.webapp.reachability
  - module: gatehouse.webapp.health_restart
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Find out what is wrong
  gatehouse.webapp.diagnose_host:
    apps: "{{ webapp_apps }}"
    sites: "{{ webapp_sites }}"
  register: diagnosis

- name: Diagnose a proxy whose apps run elsewhere
  gatehouse.webapp.diagnose_host:
    apps: "{{ webapp_apps }}"
    sites: "{{ webapp_sites }}"
    services: false
"""

RETURN = r"""
ok:
  description: Whether no cause was found.
  returned: success
  type: bool
causes:
  description: What is wrong, the most likely cause of the worst first. Empty on a healthy host.
  returned: success
  type: list
  elements: dict
  contains:
    cause:
      description: A word from the list in docs/diagnosis.md, such as V(service_stopped) or V(dependency_down).
      type: str
    link:
      description: The link of the chain that is broken.
      type: str
    effect:
      description: V(outage), something does not work because of it. V(risk), it will not work after the next restart, request or hour.
      type: str
    app:
      description: The app it is about. Null where it is about the host or a site.
      type: str
    site:
      description: The site it is about. Null where it is about no single one.
      type: str
    confidence:
      description: How sure that is, from 1 to 100.
      type: int
    message:
      description: The cause as a sentence.
      type: str
    evidence:
      description: What it follows from, one line each, without secrets.
      type: list
      elements: str
    show:
      description: The command that shows it, on the host where it does not say otherwise.
      type: str
    mend:
      description: The command or playbook that mends it.
      type: str
    consequences:
      description: The sentences of what follows from it, and is no cause of its own.
      type: list
      elements: str
chain:
  description: The walk, one for each site and app, and one for each app without a site.
  returned: success
  type: list
  elements: dict
  contains:
    site:
      description: The site. Null for an app without one.
      type: str
    app:
      description: The app.
      type: str
    links:
      description: The links in order, each with C(link), C(state) and C(told), a sentence.
      type: list
      elements: dict
      contains:
        link:
          description: The name of the link.
          type: str
        state:
          description: V(ok), V(broken), V(risk), V(unknown) or V(unjudged), which lies behind a broken one.
          type: str
        told:
          description: What was seen there.
          type: str
orphans:
  description: What the host has of apps that the model does not have. It is no cause of anything.
  returned: success
  type: dict
  contains:
    names:
      description: The apps, also those of which only data is there.
      type: list
      elements: str
    told:
      description: What there is, as a sentence. Empty where there is only data.
      type: str
    command:
      description: What to type to remove it. Empty where there is only data.
      type: str
evidence:
  description: All that was gathered. docs/diagnosis.md describes its schema.
  returned: success
  type: dict
  contains:
    unanswered:
      description: The questions that have no answer, and why.
      type: dict
cause:
  description: V(bad_input), V(bad_model).
  returned: on failure
  type: str
hint:
  description: What a right input looks like.
  returned: on failure
  type: str
"""

import json

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._evidence import Witness

ARGUMENTS = dict(
    apps=dict(type="list", elements="dict", default=[]),
    sites=dict(type="list", elements="dict", default=[]),
    # One text, so that its values are not masked one by one in the evidence.
    headers=dict(type="json", no_log=True),
    services=dict(type="bool", default=True),
    address=dict(type="str", default=""),
    outside=dict(type="bool", default=True),
    timeout=dict(type="float", default=10.0),
)


def main():
    # This half gathers what the host says, of apps and sites that the action plugin of the same name has resolved. That one asks from the
    # control node, and draws the conclusions.
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)

    def find(command):
        return module.get_bin_path(command, opt_dirs=["/usr/sbin", "/sbin"])

    options = module.params
    headers = json.loads(options["headers"] or "{}")
    witness = Witness(options["apps"], options["sites"], headers, find, options["timeout"])
    module.exit_json(changed=False, evidence=witness.testify())


if __name__ == "__main__":
    main()
