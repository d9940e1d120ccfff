#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_host
short_description: Measure the whole chain of a host's apps and sites, link by link
version_added: 0.3.0
description:
  - Measures the services on their own ports, nginx, the firewall, the certificates and the sites on the host, in one pass there. Then the
    sites, their WebSockets, the preflight requests of their routes with C(cors), and their own checks (C(verify)), from the control node.
  - A stage stands on the one before. All of a stage is measured and told. After a stage with a broken link the later ones are not measured.
  - A limit of requests that is met (429) is waited out as long as O(timeout) lets it, and is told as that, not as an outage.
  - What is sent along by the model (headers, bodies) and what looks like a secret is taken out of everything that is returned.
  - Changes nothing by itself, so it runs in check mode too. What the sites' own checks do is theirs.
  - Succeeds whatever it finds. Only wrong input and a host that can't be asked are failures.
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
  services:
    description: Whether the apps run on this host. Then each is measured on its own port.
    type: bool
    default: true
  only:
    description: The apps that are measured, by name, as a list or a text that parts them by commas. Empty, all of them.
    type: raw
    version_added: 0.4.0
  address:
    description: Where the control node reaches the host, an address or a name. Needed where there are sites.
    type: str
  firewall:
    description: Whether the firewall is measured. Without UFW on the host it is left out too.
    type: bool
    default: true
  validate_certs:
    description:
      - Whether certificates must be valid for the sites' names, and of an authority that is trusted. Those of a site with a
        self-signed or a staging certificate need not.
    type: bool
    default: true
  ca_path:
    description:
      - A file on the control node with the authorities (PEM) to trust there instead of its own, for sites whose certificates are of an
        authority of your own. The host trusts whom it trusts.
    type: path
  fail_days:
    description: A served certificate with fewer days left is a broken link.
    type: float
    default: 3
  warn_days:
    description: A served certificate with fewer days left is warned of.
    type: float
    default: 14
  successes:
    description: How many times running each question over HTTP or a WebSocket must be answered well. The first bad answer decides.
    type: int
    default: 1
  timeout:
    description: Seconds that each question may take, fractions allowed. For as long a service is waited for on its own port.
    type: float
    default: 10
  plan:
    description:
      - What is asked on the host itself. It follows from the other options, and is put there by the module's own half on the control
        node.
    type: json
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
requirements:
  - On the managed host systemd, and where there are sites nginx.
notes:
  - Runs as root (C(become)). Without that it can't see other users' sockets, nginx's configuration and the firewall.
seealso:
  - module: gatehouse.webapp.diagnose_host
  - module: gatehouse.webapp.http_probe
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Measure the whole chain
  gatehouse.webapp.verify_host:
    apps: "{{ webapp_apps }}"
    sites: "{{ webapp_sites }}"
    address: "{{ ansible_host }}"
  register: verified

- name: Ask everything three times running, on a host that is a proxy alone
  gatehouse.webapp.verify_host:
    apps: "{{ webapp_apps }}"
    sites: "{{ webapp_sites }}"
    address: 192.0.2.10
    services: false
    successes: 3
"""

RETURN = r"""
ok:
  description: Whether no link is broken.
  returned: success
  type: bool
broken:
  description: The first link that is broken. Null where none is.
  returned: success
  type: str
checks:
  description: What was measured, in the order of the chain.
  returned: success
  type: list
  elements: dict
  contains:
    stage:
      description: The stage, 1 to 8.
      type: int
    link:
      description:
        - The link of the chain. V(port), V(health), V(nginx), V(agreement), V(firewall), V(certificate), V(proxy), V(outside),
          V(websocket), V(cors) or V(check).
      type: str
    state:
      description:
        - V(ok), V(broken), V(risk), which is well for now, V(unknown), which could not be judged and is no failure, or
          V(unjudged), which was not measured as it lies behind a broken link.
      type: str
    site:
      description: The site. Null where it is about none.
      type: str
    app:
      description: The app. Null where it is about none.
      type: str
    port:
      description: The port. Null where it is about none.
      type: int
    what:
      description: What was measured.
      type: str
    result:
      description: What came out, in a word or two.
      type: str
    ms:
      description: Milliseconds that it took, of several answers the slowest. Null where nothing was measured.
      type: float
    attempts:
      description: How many times it was asked.
      type: int
    cause:
      description:
        - Why it is broken, a word such as V(refused), V(bad_status), V(cors_refused), V(cors_open) or V(rate_limited). Null where it
          is not.
      type: str
    message:
      description: The same as a sentence.
      type: str
    next:
      description: The next command to type. Null where there is none.
      type: str
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

from ansible_collections.gatehouse.webapp.plugins.module_utils._commands import run
from ansible_collections.gatehouse.webapp.plugins.module_utils._verify import Host

ARGUMENTS = dict(
    apps=dict(type="list", elements="dict", default=[]),
    sites=dict(type="list", elements="dict", default=[]),
    services=dict(type="bool", default=True),
    only=dict(type="raw"),
    address=dict(type="str"),
    firewall=dict(type="bool", default=True),
    validate_certs=dict(type="bool", default=True),
    ca_path=dict(type="path"),
    fail_days=dict(type="float", default=3.0),
    warn_days=dict(type="float", default=14.0),
    successes=dict(type="int", default=1),
    timeout=dict(type="float", default=10.0),
    # One text, so that the values in it are neither logged on the host nor masked one by one in what is returned.
    plan=dict(type="json", no_log=True),
)


def main():
    # This half measures on the host, what the action plugin of the same name has planned. That one measures from the control node.
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.exit_json(changed=False, checks=Host(json.loads(module.params["plan"]), run).measure())


if __name__ == "__main__":
    main()
