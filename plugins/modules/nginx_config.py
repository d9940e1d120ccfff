#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Keep a managed set of nginx files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_config
short_description: Keep a managed set of nginx files, tested, flipped in whole, and seen to run
version_added: 0.1.0
author: The gatehouse.webapp authors (@gatehouse-webapp)
description:
  - Keeps one folder of nginx's configuration equal to a set of files. Files that are not in the set are removed.
  - >-
    A changed set is first tested with nginx's own test, in a copy of the whole configuration as it would be. Then
    is it flipped in, by renaming one link, tested again in place, and reloaded. The module ends when all of nginx's
    workers are new ones.
  - >-
    Whatever fails after the flip, the former set is put back and seen to run. A run that was killed half-way is found
    by the next one, and finished or undone.
  - >-
    Whether a reload is due is judged by what runs: if a configuration file or a certificate changed after the oldest
    worker had started, nginx is reloaded, whoever changed it. No handler is needed.
  - Files outside the set are left alone, except O(main) and O(absent).
options:
  files:
    description:
      - The whole set. Each key is a path below the folder, such as V(sites/chat.conf), each value the file's text.
      - No secrets belong here. The files are world-readable, and C(--diff) shows them.
    type: dict
    required: true
  root:
    description: The folder of the nginx configuration.
    type: path
    default: /etc/nginx
  set:
    description:
      - The name of the managed folder in O(root). It is a link to the live set, which lies in a hidden folder beside it.
      - The configuration has to include it, as in C(include gatehouse/*.conf;), unless O(main) is set.
    type: str
    default: gatehouse
  main:
    description:
      - Make the set's C(nginx.conf) the host's. The one that was there is kept as C(nginx.conf.before-gatehouse).
    type: bool
    default: false
  absent:
    description:
      - Paths below O(root) that must not be there, such as V(sites-enabled/default).
      - What is taken away is kept in the hidden folder beside the set, below C(before-gatehouse).
    type: list
    elements: str
    default: []
  allow_empty:
    description:
      - Whether the set may answer for no name any more when the live one answers for some. A list of sites that was mistyped, and is empty
        for that, would take all of them down.
    type: bool
    default: false
    version_added: 0.4.0
  service:
    description: The systemd unit that runs nginx. It is started if it is not running.
    type: str
    default: nginx.service
  timeout:
    description: Seconds within which the reload or the start must have led to new workers. Fractions are allowed.
    type: float
    default: 10
requirements:
  - nginx 1.14 or newer and systemd on the managed host, nothing else
notes:
  - nginx's test opens the log files that the configuration names, as nginx itself does.
attributes:
  check_mode:
    description: The set is tested on the host in full, nothing is changed.
    support: full
  diff_mode:
    description: One unified diff per file of the set.
    support: full
"""

EXAMPLES = r"""
- name: Keep the sites
  gatehouse.webapp.nginx_config:
    set: gatehouse
    files:
      chat.conf: "{{ lookup('ansible.builtin.template', 'chat.conf.j2') }}"

- name: Own the whole configuration of a proxy
  gatehouse.webapp.nginx_config:
    main: true
    absent:
      - sites-enabled/default
    files:
      nginx.conf: "{{ lookup('ansible.builtin.template', 'nginx.conf.j2') }}"
      sites/chat.conf: "{{ lookup('ansible.builtin.template', 'site.conf.j2') }}"
    timeout: 20
"""

RETURN = r"""
outcome:
  description:
    - V(unchanged), V(reloaded) or V(started).
    - >-
      On failure V(unchanged) if nothing was touched, V(reverted) if the former files are back and run, V(failed) if
      they could not be brought back to life.
  returned: always
  type: str
  sample: reloaded
reasons:
  description: Why something was done, as sentences. Empty when nothing was.
  returned: success
  type: list
  elements: str
  sample: ["Files of the set differ: sites/chat.conf."]
set:
  description: The folder that holds the live set.
  returned: success
  type: str
  sample: /etc/nginx/.gatehouse/2f0c94d1a35be877
removed:
  description: Files that went away, those of the set and those of O(absent).
  returned: success
  type: list
  elements: str
unused:
  description: Files of the set that no include names. Each is a warning too.
  returned: success
  type: list
  elements: str
shadows:
  description:
    - Servers outside the set that answer in place of those in it, or never answer because of them. Each is a warning too.
  returned: success
  type: list
  elements: str
  version_added: 0.3.0
workers:
  description: The pids of the workers that take new connections.
  returned: success
  type: list
  elements: int
timeline:
  description: What happened at which millisecond.
  returned: always
  type: list
  elements: dict
  sample: [{"ms": 31, "event": "the new set passed nginx's test"}]
cause:
  description:
    - What kind of failure it was.
    - >-
      V(bad_input), V(not_installed), V(config_invalid), V(port_conflict), V(reload_failed), V(timed_out),
      V(unwritable), V(nothing_left) without O(allow_empty), V(busy) if another run is at work, or V(bad_journal) if what
      a killed run left can't be read.
  returned: failure
  type: str
hint:
  description: What to type next.
  returned: failure
  type: str
excerpt:
  description: The line nginx refuses and the two lines around it, with their numbers.
  returned: failure with cause V(config_invalid)
  type: list
  elements: str
listeners:
  description: Who holds the address nginx can't bind.
  returned: failure with cause V(port_conflict)
  type: list
  elements: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx import check_wish
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_run import Host, Run
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_tree import Tree


def converge(params, nginx, check):
    """Bring the host to what the options ask for. Returns the module's result."""
    files = check_wish(params["files"], params["set"], params["main"], params["absent"], params["service"])
    if params["timeout"] <= 0:
        raise GatehouseError(
            "`timeout` is %g." % params["timeout"], cause="bad_input", hint="give seconds, as in timeout: 10"
        )
    if not nginx or not os.path.isdir(params["root"]):
        missing = "there is no folder %s" % params["root"] if nginx else "no nginx command was found"
        if check:
            # The play that would have installed it was only checked too.
            sentence = "nginx is not installed yet (%s), so the set can't be tested." % missing
            return {"changed": True, "outcome": "started", "reasons": [sentence], "warnings": [sentence]}
        raise GatehouseError(
            "nginx is not installed: %s." % missing, cause="not_installed", hint="apt-get install nginx"
        )
    tree = Tree(params["root"], params["set"])
    host = Host(nginx, params["service"])
    return Run(tree, files, params["main"], params["absent"], host, params["timeout"], params["allow_empty"]).converge(
        check
    )


def main():
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "required": True},
            "root": {"type": "path", "default": "/etc/nginx"},
            "set": {"type": "str", "default": "gatehouse"},
            "main": {"type": "bool", "default": False},
            "absent": {"type": "list", "elements": "str", "default": []},
            "allow_empty": {"type": "bool", "default": False},
            "service": {"type": "str", "default": "nginx.service"},
            "timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    nginx = module.get_bin_path("nginx", opt_dirs=["/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin"])
    try:
        result = converge(module.params, nginx, module.check_mode)
    except GatehouseError as error:
        module.fail_json(**error.result())
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
