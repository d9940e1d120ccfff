#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The whole policy of UFW in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ufw_policy
short_description: The whole policy of UFW in one call, without a moment without a firewall
version_added: 0.2.0
author: The gatehouse.webapp authors (@gatehouse)
description:
  - Brings UFW's rules, its default policy and its logging to what the options say, for IPv4 and IPv6, and switches it on.
  - >-
    What changes is loaded into the kernel at once, one transaction for each of IPv4 and IPv6. Unlike with C(ufw reload), there
    is no moment in which everything gets through, and connections that are open stay open. Then the kernel's rules are read
    back. Whatever fails, the former policy is put back.
  - >-
    UFW is started at boot. Where its unit was disabled or masked, it is enabled again.
  - >-
    What runs is compared too. A rule that somebody took out of the kernel, or chains that were flushed, are a reason to load
    the policy again, though the files say what they should.
  - UFW's own files stay UFW's. They are written as it writes them, and C(ufw) can be used beside this.
options:
  rules:
    description:
      - >-
        The rules, first match wins. Rules that stay keep their places, and new ones come after all others.
      - >-
        A rule without addresses holds for IPv4 and IPv6. One that you made by hand and that does the same is left as it is.
    type: list
    elements: dict
    default: []
    suboptions:
      rule:
        description:
          - What is done with a connection.
          - V(limit) refuses an address that connects 6 times in 30 seconds.
        type: str
        choices: [allow, deny, limit, reject]
        required: true
      direction:
        description: Whether it comes in, goes out, or is routed through the host (to a container, for instance).
        type: str
        choices: [in, out, routed]
        default: in
      port:
        description: >-
          The port that is connected to, a range such as V('6000:6007'), or a list such as V('80,443'). All when left out.
        type: str
      proto:
        description: The protocol. Ranges and lists of ports need V(tcp) or V(udp).
        type: str
        choices: [any, tcp, udp, ah, esp, gre, igmp, ipv6, vrrp]
        default: any
      from:
        description: The address or the network that connects.
        type: str
      from_port:
        description: The port that is connected from, like O(rules[].port).
        type: str
      to:
        description: The address or the network that is connected to.
        type: str
      app:
        description: >-
          An application profile of C(/etc/ufw/applications.d) in place of O(rules[].port) and O(rules[].proto).
        type: str
      from_app:
        description: An application profile in place of O(rules[].from_port) and O(rules[].proto).
        type: str
      interface_in:
        description: >-
          The interface it comes in by. It has to exist, unless the name ends in a plus, which stands for any end
          (C(wg0+) for C(wg0), C(br-+) for all bridges).
        type: str
      interface_out:
        description: The interface it goes out by, like O(rules[].interface_in).
        type: str
      log:
        description: Log new connections, or all packets.
        type: str
        choices: [none, new, all]
        default: none
      comment:
        description: What the rule is for. No quote, backslash or line break.
        type: str
  incoming:
    description: What is done with what comes in and no rule matches.
    type: str
    choices: [allow, deny, reject]
    default: deny
  outgoing:
    description: What is done with what goes out and no rule matches.
    type: str
    choices: [allow, deny, reject]
    default: allow
  routed:
    description: What is done with what is routed and no rule matches.
    type: str
    choices: [allow, deny, reject]
    default: deny
  logging:
    description: How much UFW logs.
    type: str
    choices: ["off", low, medium, high, full]
    default: low
  ipv6:
    description:
      - >-
        Whether UFW filters IPv6 too (C(IPV6) in C(/etc/default/ufw)). V(false) drops all IPv6 but on C(lo). As it is on the
        host when left out.
    type: bool
  purge:
    description:
      - Which rules that are not in O(rules) are removed.
      - V(managed) removes those made by this module with the same O(tag), V(all) all others too, V(none) no rule.
    type: str
    choices: [all, managed, none]
    default: managed
  tag:
    description: >-
      The comment of each rule begins with this word and a colon. It tells the rules of this module from those by hand, and
      the rules of two plays from one another.
    type: str
    default: gatehouse
  docker:
    description:
      - >-
        What becomes of the ports that Docker publishes, which it lets through before UFW is asked. V(report) tells of them
        in RV(published) and in a warning.
      - >-
        V(close) lets nothing through to them but what rules with V(rules[].direction=routed) allow, by the port that the
        container itself listens on. The chain C(DOCKER-USER) is then this module's.
    type: str
    choices: [report, close]
    default: report
  guard:
    description: >-
      Refuse a policy under which the connection that Ansible came by would be shut out. It is the real one, with the last jump
      host's address and sshd's own port. A connection that does not go through the network, as to a container, is not guarded.
    type: bool
    default: true
  close_sites:
    description:
      - Whether a port may be closed to everybody on which nginx serves the sites of a deploy. A list of sites that was mistyped, and is
        empty for that, would close it.
    type: bool
    default: false
    version_added: 0.4.0
  confirm_within:
    description:
      - >-
        Seconds within which a new connection has to prove that the policy lets Ansible in. A timer of the host's puts the
        former policy back when that fails, and also when Ansible is killed.
      - >-
        Until it is confirmed, the policy is in the kernel alone, so a reboot brings the former one back, too. Not done when
        V(0).
    type: float
    default: 0
  session:
    description: The connection that Ansible came by, as C(SSH_CONNECTION) tells it. Set by the action plugin.
    type: str
    default: ""
  step:
    description: Which half of a change that is confirmed this is. Set by the action plugin.
    type: str
    choices: [converge, confirm, undone]
    default: converge
requirements:
  - ufw 0.36 or newer on the managed host; systemd for O(confirm_within)
attributes:
  check_mode:
    description: The guard and the kernel's tools are asked, nothing is changed.
    support: full
  diff_mode:
    description: The policy before and after, as C(ufw status) shows it.
    support: full
"""

EXAMPLES = r"""
- name: Let in SSH from the office, and the web from everywhere
  gatehouse.webapp.ufw_policy:
    purge: all
    confirm_within: 60
    rules:
      - {rule: limit, port: 22, proto: tcp, from: 192.0.2.0/24, comment: SSH}
      - {rule: allow, port: '80,443', proto: tcp, comment: web}

- name: Let in one's own metrics, and leave all other rules alone
  gatehouse.webapp.ufw_policy:
    tag: metrics
    rules:
      - {rule: allow, port: 9100, proto: tcp, from: 10.0.0.0/8}

- name: Close what Docker publishes, but for one container's port 8080
  gatehouse.webapp.ufw_policy:
    docker: close
    rules:
      - {rule: allow, direction: routed, port: 8080, proto: tcp, to: 172.17.0.2, comment: shop}
      - {rule: allow, port: 22, proto: tcp, comment: SSH}
"""

RETURN = r"""
outcome:
  description:
    - >-
      V(unchanged), V(loaded), V(started) if the firewall was off, or V(confirmed) with O(confirm_within).
    - >-
      On failure V(unchanged) if nothing was touched, V(reverted) if the former policy is back, V(failed) if it could not be
      put back.
  returned: always
  type: str
  sample: loaded
reasons:
  description: Why something was done, as sentences. Empty when nothing was.
  returned: success
  type: list
  elements: str
  sample: ["Files differ: /etc/ufw/user.rules."]
added:
  description: The new rules, as UFW shows them.
  returned: success
  type: list
  elements: str
  sample: ["80/tcp ALLOW IN Anywhere  # gatehouse: site chat"]
removed:
  description: The rules that went away.
  returned: success
  type: list
  elements: str
published:
  description: The ports that Docker publishes to others than the host itself, and whether UFW's rules hold for them.
  returned: success
  type: list
  elements: dict
  sample: [{"address": "any", "port": 8080, "proto": "tcp", "container": "172.17.0.2", "container_port": 80, "family": "IPv4",
            "closed": false}]
cause:
  description:
    - What kind of failure it was.
    - >-
      V(bad_input), V(not_installed), V(would_shut_out), V(would_close_sites), V(docker_rules), V(unreadable),
      V(no_kernel), V(kernel_refused), V(not_loaded), V(unwritable), V(not_at_boot), V(no_timer), V(not_confirmed),
      or V(busy) if another run is at work.
  returned: failure
  type: str
hint:
  description: What to type next.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw_plan import Surroundings, read_wish
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw_run import INIT, Host, Run

RULE = {
    "rule": {"type": "str", "choices": ["allow", "deny", "limit", "reject"], "required": True},
    "direction": {"type": "str", "choices": ["in", "out", "routed"], "default": "in"},
    "port": {"type": "str"},
    "proto": {
        "type": "str",
        "choices": ["any", "tcp", "udp", "ah", "esp", "gre", "igmp", "ipv6", "vrrp"],
        "default": "any",
    },
    "from": {"type": "str"},
    "from_port": {"type": "str"},
    "to": {"type": "str"},
    "app": {"type": "str"},
    "from_app": {"type": "str"},
    "interface_in": {"type": "str"},
    "interface_out": {"type": "str"},
    "log": {"type": "str", "choices": ["none", "new", "all"], "default": "none"},
    "comment": {"type": "str"},
}
POLICIES = ["allow", "deny", "reject"]


def converge(params, host, check):
    """Bring the host to what the options ask for. Returns the module's result."""
    if params["confirm_within"] < 0:
        raise GatehouseError(
            "`confirm_within` is %g." % params["confirm_within"],
            cause="bad_input",
            hint="give seconds, as in confirm_within: 60",
        )
    if not host.exists(INIT):
        # What can be told without the host is told first.
        read_wish(params["rules"], params["tag"], Surroundings(None, None, params["ipv6"]))
        sentence = "UFW is not installed: there is no %s." % INIT
        if check:
            # The play that would have installed it was only checked too.
            return {"changed": True, "outcome": "started", "reasons": [sentence], "warnings": [sentence]}
        raise GatehouseError(sentence, cause="not_installed", hint="apt-get install ufw")
    run = Run(host, params)
    if params["step"] == "confirm":
        return run.confirm()
    if params["step"] == "undone":
        return run.undone()
    return run.converge(check)


def main():
    module = AnsibleModule(
        argument_spec={
            "rules": {"type": "list", "elements": "dict", "options": RULE, "default": []},
            "incoming": {"type": "str", "choices": POLICIES, "default": "deny"},
            "outgoing": {"type": "str", "choices": POLICIES, "default": "allow"},
            "routed": {"type": "str", "choices": POLICIES, "default": "deny"},
            "logging": {"type": "str", "choices": ["off", "low", "medium", "high", "full"], "default": "low"},
            "ipv6": {"type": "bool"},
            "purge": {"type": "str", "choices": ["all", "managed", "none"], "default": "managed"},
            "tag": {"type": "str", "default": "gatehouse"},
            "docker": {"type": "str", "choices": ["report", "close"], "default": "report"},
            "guard": {"type": "bool", "default": True},
            "close_sites": {"type": "bool", "default": False},
            "confirm_within": {"type": "float", "default": 0},
            "session": {"type": "str", "default": ""},
            "step": {"type": "str", "choices": ["converge", "confirm", "undone"], "default": "converge"},
        },
        supports_check_mode=True,
    )
    try:
        result = converge(module.params, Host(), module.check_mode)
    except GatehouseError as error:
        module.fail_json(**dict({"outcome": "unchanged"}, **error.result()))
    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
