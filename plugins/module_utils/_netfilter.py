# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What a host's packet filter does with one new TCP connection: its rules are walked as the kernel walks them. Pure.

Input is what `iptables -S` or `ip6tables -S` prints, so it is what runs, whoever made it: UFW, fail2ban or a person.
Format: iptables(8), iptables-extensions(8).
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections import namedtuple

# The first packet of a connection, as it comes in.
Packet = namedtuple("Packet", "source destination interface port")

# action: accept, drop or reject.   chain, rule: where that was decided, and the rule as iptables prints it.
# skipped: rules that may have matched, by something that can't be told from here.
Decision = namedtuple("Decision", "action chain rule skipped")

# A client's own port is some high one.
SOURCE_PORT = 50000

VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject"}


def decide(listing, packet):
    """The Decision of the chain INPUT, or None where the listing has no such chain."""
    policies, chains = _read(listing)
    if "INPUT" not in policies:
        return None
    skipped = []
    found = _walk(chains, "INPUT", packet, skipped)
    if found is None:
        policy = policies["INPUT"]
        found = (VERDICTS[policy], "INPUT", "-P INPUT %s" % policy)
    return Decision(*(found + (skipped,)))


def _read(listing):
    """{base chain: its policy}, {chain: [its rules, as text]}"""
    policies, chains = {}, {}
    for line in listing.splitlines():
        kind, _space, rest = line.strip().partition(" ")
        name, _space, what = rest.partition(" ")
        if kind == "-P":
            policies[name] = what
            chains.setdefault(name, [])
        elif kind == "-N":
            chains.setdefault(name, [])
        elif kind == "-A":
            chains.setdefault(name, []).append(line.strip())
    return policies, chains


def _walk(chains, name, packet, skipped):
    """(action, chain, rule) of what ends the packet's way through a chain; None when it comes back out of it."""
    for rule in chains[name]:
        conditions, jump, target = _split(rule)
        matches = _matches(conditions, packet)
        if matches is None:
            if target in VERDICTS or target in chains:
                skipped.append(rule)
        elif matches:
            if target in VERDICTS:
                return VERDICTS[target], name, rule
            if target == "RETURN":
                return None
            if target in chains:
                found = _walk(chains, target, packet, skipped)
                if found or jump == "-g":
                    return found
    return None


def _split(rule):
    """A rule's conditions, as [(option, negated, values)], how it goes on (-j, -g or None), and to where."""
    conditions, negated = [], False
    words = shlex.split(rule)[2:]
    while words:
        word = words.pop(0)
        if word in ("-j", "-g"):
            return conditions, word, words[0]
        if word == "!":
            negated = True
        elif word.startswith("-"):
            conditions.append((word, negated, []))
            negated = False
        else:
            conditions[-1][2].append(word)
    return conditions, None, None


def _matches(conditions, packet):
    """Whether all conditions hold. None: that depends on one that can't be told."""
    answers = []
    for option, negated, values in conditions:
        known = CONDITIONS.get(option)
        answer = known(packet, values) if known else None
        answers.append(answer if answer is None else answer != negated)
    if False in answers:
        return False
    return None if None in answers else True


def _within(address, network):
    return ipaddress.ip_address(address.partition("%")[0]) in ipaddress.ip_network(network, strict=False)


def _on(interface, pattern):
    return interface.startswith(pattern[:-1]) if pattern.endswith("+") else interface == pattern


def _in_ports(port, text):
    for part in text.split(","):
        low, colon, high = part.partition(":")
        if int(low or 0) <= port <= (int(high or 65535) if colon else int(low)):
            return True
    return False


def _new(_packet, values):
    return "NEW" in values[0].split(",")


def _is_syn(_packet, values):
    """--tcp-flags MASK SET: of the flags in the mask just these are set. A new connection has SYN alone."""
    mask, expected = ({flag for flag in value.split(",") if flag != "NONE"} for value in values)
    return expected == mask & {"SYN"}


def _holds(_packet, _values):
    return True


def _fails(_packet, _values):
    return False


# What each option asks of the packet. A module's name asks nothing; what its other options do to a first packet is told by these.
CONDITIONS = {
    "-p": lambda packet, values: values[0] in ("tcp", "6", "all"),
    "-s": lambda packet, values: _within(packet.source, values[0]),
    "-d": lambda packet, values: _within(packet.destination, values[0]),
    "-i": lambda packet, values: _on(packet.interface, values[0]),
    "-o": _fails,
    "-f": _fails,
    "-m": _holds,
    "--comment": _holds,
    "--dport": lambda packet, values: _in_ports(packet.port, values[0]),
    "--dports": lambda packet, values: _in_ports(packet.port, values[0]),
    "--sport": lambda packet, values: _in_ports(SOURCE_PORT, values[0]),
    "--sports": lambda packet, values: _in_ports(SOURCE_PORT, values[0]),
    "--ctstate": _new,
    "--state": _new,
    "--tcp-flags": _is_syn,
    "--dst-type": lambda packet, values: "LOCAL" in values[0].split(","),
    # Rates: that of one who asks once is low.
    "--limit": _holds,
    "--limit-burst": _holds,
    "--set": _holds,
    "--update": _fails,
    "--rcheck": _fails,
    "--remove": _fails,
    "--seconds": _holds,
    "--hitcount": _holds,
    "--name": _holds,
    "--mask": _holds,
    "--rsource": _holds,
    "--rdest": _holds,
    # Of other protocols, or of packets of a kind that a first one is not.
    "--icmp-type": _fails,
    "--icmpv6-type": _fails,
    "--rt-type": _fails,
    "--hl-eq": _fails,
}


def is_of_ufw(decision, runs_ufw):
    """Whether it was UFW that decided: in a chain of its own, or by the policy, which is UFW's where it runs."""
    return bool(re.match(r"ufw6?-", decision.chain)) or (runs_ufw and decision.rule.startswith("-P "))


def runs_ufw(listing):
    """Whether UFW is on, told by the IPv4 listing: without IPV6=yes it sets only policies for IPv6."""
    return "-N ufw-user-input" in listing.splitlines()
