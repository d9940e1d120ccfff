# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""UFW's rules as the kernel has them: texts for iptables-restore, each one transaction, and what iptables-save tells. Pure.

UFW's own reload empties all chains and lets everything through for a moment. These texts are for iptables-restore --noflush, which
puts all that they name into the kernel at once, or nothing: the chains they declare are emptied and filled again, all others
stay, and so do established connections.
"""

from __future__ import annotations

import collections
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw import DIRECTIONS, POLICIES, PREFIX, render_rules

DOCKER_CHAIN = "DOCKER-USER"
# In the order in which a packet passes them.
PRIMARY = ("before-logging", "before", "after", "after-logging", "reject", "track")

# policies: {chain: ACCEPT, DROP, or - for a chain that is no built-in one}, rules: {chain: [rule as in a text for iptables-restore]}.
Table = collections.namedtuple("Table", "policies rules")


# The texts


def transaction(policy, family, docker):
    """All that a policy is beyond UFW's before.rules and after.rules. docker: None leaves DOCKER-USER alone."""
    prefix = PREFIX[family]
    heads, rules = [], []
    for name, chain, suffix in DIRECTIONS:
        verdict = POLICIES[getattr(policy, name)]
        heads.append(":%s %s [0:0]" % (chain, "DROP" if verdict == "REJECT" else verdict))
        heads += [":%s-%s-%s - [0:0]" % (prefix, kind, suffix) for kind in ("reject", "track", "skip-to-policy")]
        rules.append("-A %s-skip-to-policy-%s -j %s" % (prefix, suffix, verdict))
        if verdict == "REJECT":
            rules.append("-A %s-reject-%s -j REJECT" % (prefix, suffix))
        elif verdict == "ACCEPT":
            accept = "-A %s-track-%s -p %s -m conntrack --ctstate NEW -j ACCEPT"
            rules += [accept % (prefix, suffix, proto) for proto in ("tcp", "udp")]
    if docker is not None:
        heads.append(":%s - [0:0]" % DOCKER_CHAIN)
        rules += docker_rules(family) if docker else ["-A %s -j RETURN" % DOCKER_CHAIN]
    user = render_rules(policy, family).splitlines()
    heads += [line for line in user if line.startswith(":")]
    rules += [line for line in user if line.startswith("-")]
    return _text(heads, rules)


def rebuild(policy, family, docker, table, before, after):
    """A family's chains from the ground up, with UFW's before.rules and after.rules (their texts) and the jumps that lead to them.

    For a family that UFW did not filter until now, or whose chains somebody has flushed. table: what the kernel has.
    """
    prefix = PREFIX[family]
    own = transaction(policy, family, docker).splitlines()
    heads = [
        ":%s-%s-%s - [0:0]" % (prefix, kind, suffix) for kind in PRIMARY[:4] for _name, _chain, suffix in DIRECTIONS
    ]
    rules = []
    for _name, chain, suffix in DIRECTIONS:
        jumps = ["-j %s-%s-%s" % (prefix, kind, suffix) for kind in PRIMARY]
        rules += [
            "-D %s %s" % (chain, jump) for jump in jumps if "-A %s %s" % (chain, jump) in table.rules.get(chain, [])
        ]
        rules += ["-A %s %s" % (chain, jump) for jump in jumps]
    for text in (before, after):
        given = filter_lines(text)
        heads += [line for line in given if line.startswith(":") and DOCKER_CHAIN not in line]
        rules += [line for line in given if line.startswith("-") and DOCKER_CHAIN not in line]
    for _name, _chain, suffix in DIRECTIONS:
        rules.append("-A %s-before-%s -j %s-user-%s" % (prefix, suffix, prefix, suffix))
    heads += [line for line in own if line.startswith(":")]
    rules += [line for line in own if line.startswith("-")]
    return _text(dict.fromkeys(re.sub(r"\s+.*", " - [0:0]", head) if " - " in head else head for head in heads), rules)


def closed(table):
    """What UFW makes of IPv6 when it does not filter it: nothing but lo gets through."""
    heads = [":%s DROP [0:0]" % chain for _name, chain, _suffix in DIRECTIONS]
    ours = [chain for chain in table.policies if chain.startswith(PREFIX[6] + "-")]
    heads += [":%s - [0:0]" % chain for chain in ours]
    if "ufw6-before-input" in ours:
        rules = ["-A ufw6-before-input -i lo -j ACCEPT", "-A ufw6-before-output -o lo -j ACCEPT"]
    else:
        rules = ["-A INPUT -i lo -j ACCEPT", "-A OUTPUT -o lo -j ACCEPT"]
        # The chains of the kernel itself are not emptied.
        rules = [rule for rule in rules if rule not in table.rules.get(rule.split()[1], [])]
    return _text(heads, rules)


def undo(table, loaded, without_chains=False):
    """What brings the chains of UFW back to what a table had, after the text `loaded` went in.

    Where there were none, the policies of the built-in chains are all: UFW takes a host with chains for one that filters.
    """
    heads = [":%s %s [0:0]" % (chain, table.policies[chain]) for _name, chain, _suffix in DIRECTIONS]
    if without_chains:
        return _text(heads, [])
    chains = [chain for chain in table.policies if _is_ufws(chain)]
    chains += [chain for chain in read_table(loaded).policies if chain not in table.policies and _is_ufws(chain)]
    heads += [":%s - [0:0]" % chain for chain in chains]
    return _text(heads, [rule for chain in chains for rule in table.rules.get(chain, [])])


def _is_ufws(chain):
    return chain.startswith(("ufw-", "ufw6-")) or chain == DOCKER_CHAIN


def _text(heads, rules):
    return "\n".join(["*filter", *heads, *rules, "COMMIT", ""])


def filter_lines(text):
    """The lines of the filter tables in a file of UFW's, without comments."""
    lines = []
    inside = False
    for line in text.splitlines():
        if line.startswith("*"):
            inside = line.strip() == "*filter"
        elif inside and line.startswith((":", "-")):
            lines.append(line.strip())
    return lines


# Reading


def read_table(text):
    """The filter table of a text, from iptables-save or for iptables-restore."""
    policies, rules = {}, {}
    for line in filter_lines(text):
        words = line.split(None, 2)
        if line.startswith(":"):
            policies[words[0][1:]] = words[1]
            rules.setdefault(words[0][1:], [])
        elif words[0] == "-A":
            rules.setdefault(words[1], []).append(line)
        elif words[0] == "-I":
            rules.setdefault(words[1], []).insert(0, "-A" + line[2:])
    return Table(policies, rules)


def differences(text, table):
    """The chains that the kernel has otherwise than a transaction wants them."""
    wanted = read_table(text)
    return [
        chain
        for chain, policy in wanted.policies.items()
        if table.policies.get(chain) != policy
        or (policy == "-" and canonical_all(wanted.rules[chain]) != canonical_all(table.rules[chain]))
    ]


def state(table, family):
    """absent: no chains of UFW; whole: packets get to all of its chains; broken: some of the way is missing."""
    prefix = PREFIX[family]
    if "%s-user-input" % prefix not in table.policies:
        return "absent"
    for _name, chain, suffix in DIRECTIONS:
        jumps = [rule for rule in table.rules[chain] if " -j %s-" % prefix in rule]
        if jumps != ["-A %s -j %s-%s-%s" % (chain, prefix, kind, suffix) for kind in PRIMARY]:
            return "broken"
        before = "%s-before-%s" % (prefix, suffix)
        if "-A %s -j %s-user-%s" % (before, prefix, suffix) not in table.rules.get(before, []):
            return "broken"
    return "whole"


# What iptables-save adds to a rule, or leaves out, without a change of its meaning.
IMPLIED = {"--name", "--mask", "--rsource", "-m"}
DEFAULT_REJECTS = ("icmp-port-unreachable", "icmp6-port-unreachable")
NUMBERED = {"2": "igmp", "41": "ipv6", "47": "gre", "50": "esp", "51": "ah", "112": "vrrp"}


def canonical_all(rules):
    return [canonical(rule) for rule in rules]


def canonical(rule):
    """A rule as a set of options, the same for what was written and for what iptables-save makes of it."""
    options = []
    for word in re.findall(r'"(?:[^"\\]|\\.)*"|\S+', rule):
        if word == "!" or (word.startswith("-") and not (options and options[-1] == ["!"])):
            options.append([word])
        else:
            options[-1].append(re.sub(r"[\"'\\]", "", word).strip())
    return frozenset(filter(None, map(_canonical_option, options)))


def _canonical_option(option):
    name, values = option[0], option[1:]
    if name in IMPLIED or (name == "--reject-with" and values[0] in DEFAULT_REJECTS):
        return None
    if name in ("-s", "-d"):
        values = [re.sub(r"/(32|128)\Z", "", values[0])]
    elif name == "-p":
        values = [NUMBERED.get(values[0], values[0])]
    elif name == "--limit":
        values = [values[0].replace("minute", "min")]
    elif name == "--ctstate":
        values = sorted(values[0].split(","))
    return (name, *values)


# Docker

DOCKER_BEGIN = "# BEGIN gatehouse: what Docker publishes is reached by route rules alone"
DOCKER_END = "# END gatehouse"


def docker_rules(family):
    """Docker lets through what it publishes before UFW is asked. It asks this chain first."""
    words = (
        "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        # What is published is the only traffic that is redirected to containers. They may reach one another, and what is outside.
        "-m conntrack ! --ctstate DNAT -j RETURN",
        "-i docker0 -j RETURN",
        "-i br-+ -j RETURN",
        "-j %s-user-forward" % PREFIX[family],
        "-j DROP",
    )
    return ["-A %s %s" % (DOCKER_CHAIN, word) for word in words]


def set_docker_block(after, family, docker):
    """UFW's after.rules with or without the lines that put the chain there when the host starts, long before Docker."""
    begin, end = re.escape(DOCKER_BEGIN), re.escape(DOCKER_END)
    text = re.sub(r"(?ms)^%s$.*?^%s\n" % (begin, end), "", after)
    if not docker:
        return text
    heads = [":%s-user-forward - [0:0]" % PREFIX[family], ":%s - [0:0]" % DOCKER_CHAIN]
    block = _text(heads, docker_rules(family))
    return "%s%s\n%s%s\n" % (text if text.endswith("\n") or not text else text + "\n", DOCKER_BEGIN, block, DOCKER_END)


def foreign_docker_rules(table, family):
    """Rules in Docker's chain that are neither Docker's nor ours."""
    known = canonical_all(docker_rules(family) + ["-A %s -j RETURN" % DOCKER_CHAIN])
    return [rule for rule in table.rules.get(DOCKER_CHAIN, []) if canonical(rule) not in known]


def published(nat):
    """What Docker publishes, from the nat table as iptables-save tells it."""
    ports = []
    for line in nat.splitlines():
        if not line.startswith("-A DOCKER ") or " -j DNAT" not in line:
            continue
        options = dict(re.findall(r"(-d|-p|--dport|--to-destination) (\S+)", line))
        container, _colon, container_port = options["--to-destination"].rpartition(":")
        address = re.sub(r"/(32|128)\Z", "", options.get("-d", "any"))
        # What is published to the host's own loopback can't be reached from outside.
        if not address.startswith("127.") and address != "::1":
            ports.append(
                {
                    "address": address,
                    "port": int(options["--dport"].split(":")[0]),
                    "proto": options["-p"],
                    "container": container.strip("[]"),
                    "container_port": int(container_port.split("-")[0]),
                }
            )
    return ports
