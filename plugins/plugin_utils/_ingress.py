# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What is let in from outside: the openings that the model and the user ask for, checked, and those of an AWS security group. Pure.

An opening is the same for every provider: {proto: tcp, ports: "80" or "6000-6007", from: a network, reason: what it is for}.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

TAG = "gatehouse: "
EXAMPLE = "{port: 9100, proto: tcp, from: 192.0.2.0/24, comment: metrics}"
KEYS = {"port", "proto", "from", "comment", "reason"}
EVERYWHERE = ("0.0.0.0/0", "::/0")
SSH_PORT = 22

# What AWS takes in a description: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpRange.html
DESCRIPTION = re.compile(r"[A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$*-]*\Z")
LONGEST = 255


def read(wanted, ssh_ports=(), ssh_from_anywhere=False):
    """The openings asked for, one for each network, or one GatehouseError that lists all that can't be.

    wanted: {port, proto, from, comment or reason}, only the port is needed.   ssh_ports: those that are not opened to everybody
    without ssh_from_anywhere; 22 is always one of them.
    """
    found, problems = [], []
    guarded = set() if ssh_from_anywhere else {SSH_PORT, *(int(port) for port in ssh_ports)}
    for given in wanted:
        try:
            found += _read(given, guarded)
        except ValueError as error:
            problems.append("  - %s: %s" % (given, error))
    if problems:
        raise GatehouseError(
            "These can't be let in:\n%s\nA right one: %s" % ("\n".join(problems), EXAMPLE), cause="bad_input"
        )
    return _once(found)


def _read(given, guarded):
    unknown = set(given) - KEYS
    if unknown:
        raise ValueError("there is no %s; there are %s" % (", ".join(sorted(unknown)), ", ".join(sorted(KEYS))))
    proto = given.get("proto") or "tcp"
    if proto not in ("tcp", "udp"):
        raise ValueError("proto is tcp or udp")
    low, high = _ports(given.get("port"))
    networks = _networks(given.get("from"))
    exposed = [str(port) for port in sorted(guarded) if low <= port <= high and proto == "tcp"]
    if exposed and set(networks) & set(EVERYWHERE):
        raise ValueError(
            "it opens SSH (port %s) to the whole internet; name the networks that may come, "
            "or set aws_ingress_ssh_from_anywhere: true" % ", ".join(exposed)
        )
    reason = TAG + str(given.get("comment") or given.get("reason") or "rule")
    if not DESCRIPTION.match(reason):
        raise ValueError("a comment has letters, digits, spaces and ._-:/()#,@[]+=&;{}!$* only")
    ports = str(low) if low == high else "%d-%d" % (low, high)
    return [{"proto": proto, "ports": ports, "from": network, "reason": reason[:LONGEST]} for network in networks]


def _ports(given):
    match = re.match(r"([0-9]{1,5})(?:[:-]([0-9]{1,5}))?\Z", str(given))
    if not match:
        raise ValueError("port %s is neither a port nor a range such as '6000:6007'" % given)
    low, high = int(match.group(1)), int(match.group(2) or match.group(1))
    if not 1 <= low <= high <= 65535:
        raise ValueError("port %s is not from 1 to 65535, the lower one first" % given)
    return low, high


def _networks(given):
    """The networks of a source: everything for none, and one address as the network of its own."""
    if given is None or given == "any":
        return list(EVERYWHERE)
    try:
        return [str(ipaddress.ip_network(str(given)))]
    except ValueError:
        pass
    try:
        right = ipaddress.ip_network(str(given), strict=False)
    except ValueError:
        raise ValueError("from %s is neither an address nor a network such as 192.0.2.0/24" % given) from None
    raise ValueError("from %s is an address within a network; the network is %s" % (given, right))


def _key(opening):
    return opening["proto"], opening["ports"], opening["from"]


def _once(openings):
    """Each network and port once. The first reason counts: a cloud keeps one description for them."""
    unique = {}
    for opening in openings:
        unique.setdefault(_key(opening), opening)
    return list(unique.values())


def lets_in(permissions):
    """The openings of a security group, as amazon.aws gives its ip_permissions. `from` may be a group or a prefix list too."""
    found = []
    for permission in permissions:
        low, high = permission.get("from_port"), permission.get("to_port")
        proto = permission["ip_protocol"]
        anything = proto == "-1" or low in (None, -1)
        for field, name in (
            ("ip_ranges", "cidr_ip"),
            ("ipv6_ranges", "cidr_ipv6"),
            ("prefix_list_ids", "prefix_list_id"),
            ("user_id_group_pairs", "group_id"),
        ):
            for source in permission.get(field) or []:
                found.append(
                    {
                        "proto": "any" if proto == "-1" else proto,
                        "ports": "any" if anything else str(low) if low == high else "%d-%d" % (low, high),
                        "from": source.get(name) or source.get("group_name"),
                        "reason": source.get("description") or "",
                    }
                )
    return sorted(found, key=_key)


def plan(wanted, permissions, exact=False, needs_ssh=()):
    """What to tell amazon.aws.ec2_security_group: {rules, purge_rules}; and what that means: {add, remove, lets_in}.

    Without `exact` only what is missing is told, so whatever a person wrote into the group stays as it is, descriptions included.
    needs_ssh: the ports of which one must stay open to somebody when `exact` takes away the rest: Ansible comes by them.
    """
    # Several hosts may be in one group, and want the same.
    wanted = _once(wanted)
    present = lets_in(permissions)
    has = {_key(opening) for opening in present}
    keys = {_key(opening) for opening in wanted}
    add = [opening for opening in wanted if _key(opening) not in has]
    remove = [opening for opening in present if _key(opening) not in keys] if exact else []
    if exact and needs_ssh and not any(_opens(opening, int(port)) for opening in wanted for port in needs_ssh):
        raise GatehouseError(
            "aws_ingress_exact would close SSH (port %s) to everybody. Say from where it is used: "
            "aws_ingress_ssh_from: [192.0.2.0/24]" % ", ".join(str(port) for port in needs_ssh),
            cause="bad_input",
        )
    return {
        "rules": [_rule(opening) for opening in (wanted if exact else add)],
        "purge_rules": bool(exact),
        "add": add,
        "remove": remove,
        "lets_in": present,
    }


def _opens(opening, port):
    low, _dash, high = opening["ports"].partition("-")
    return opening["proto"] == "tcp" and int(low) <= port <= int(high or low)


def _rule(opening):
    """An opening as amazon.aws.ec2_security_group takes it."""
    family = "cidr_ipv6" if ":" in opening["from"] else "cidr_ip"
    return {
        "proto": opening["proto"],
        "ports": [opening["ports"]],
        family: [opening["from"]],
        "rule_desc": opening["reason"],
    }
