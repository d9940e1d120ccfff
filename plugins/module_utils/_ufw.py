# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The rules of UFW: those wanted, those it has, and what makes the one into the other. Pure."""

from __future__ import annotations

import binascii
import collections
import ipaddress
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

# Rules of ours carry this at the start of their comment: that is how a rule that is no longer wanted is told.
TAG = "gatehouse: "
# Rules for SSH are made and never removed: what is the wrong port today may be the only way in.
SSH = TAG + "SSH"

EXAMPLE = "{rule: allow, port: 9100, proto: tcp, from: 192.0.2.0/24, comment: metrics}"
ACTIONS = ("allow", "deny", "limit", "reject")
ANY = {4: "0.0.0.0/0", 6: "::/0"}

# Of which family a rule is, what it matches (proto, port, source: all as UFW writes them) and what it then does.
Rule = collections.namedtuple("Rule", "family proto port source action comment")


def plan(wanted, recorded):
    """What is to be added, and what is to be removed, as arguments of UFW: {"add": [...], "remove": [...]}.

    wanted: {rule, port, proto, from, comment}, all but the first optional, in the order to add them. A port of the model has a
    reason in place of a comment.
    recorded: the text of UFW's user.rules and user6.rules.
    """
    wanted = _read_wanted(wanted)
    existing = {rule[:4]: rule for rule in _read_recorded(recorded)}
    keys = {rule[:4] for _part, rules in wanted for rule in rules}
    return {
        "add": [arguments for arguments, rules in wanted if not all(_holds(rule, existing) for rule in rules)],
        "remove": [_arguments(rule) for key, rule in existing.items() if _is_ours(rule) and key not in keys],
    }


def _holds(rule, existing):
    """Whether UFW has what is wanted. A rule made by hand may have any comment, and may log."""
    has = existing.get(rule[:4])
    if has is None or has.action.split("_")[0] != rule.action:
        return False
    return has.comment == rule.comment or not has.comment.startswith(TAG)


def _is_ours(rule):
    return rule.action in ACTIONS and rule.comment.startswith(TAG) and rule.comment != SSH


def _arguments(rule):
    return {"rule": rule.action, "port": rule.port, "proto": rule.proto, "from": rule.source, "comment": rule.comment}


def _read_wanted(wanted):
    """[(a rule's arguments, what UFW makes of it: a rule for each family)], or one error that tells of all wrong ones."""
    parts = []
    problems = []
    for given in wanted:
        try:
            rules = _read_rule(given)
        except ValueError as error:
            problems.append("  - %s: %s" % (given, error))
        else:
            # One call of UFW makes a rule of both families.
            parts.append((dict(_arguments(rules[0]), **({"from": "any"} if len(rules) > 1 else {})), rules))
    if problems:
        raise GatehouseError(
            "UFW can't have these rules:\n%s\nA right one: %s" % ("\n".join(problems), EXAMPLE), cause="bad_input"
        )
    return parts


def _read_rule(given):
    if given.get("rule") not in ACTIONS:
        raise ValueError("rule is one of %s" % ", ".join(ACTIONS))
    proto = given.get("proto") or "any"
    if proto not in ("any", "tcp", "udp"):
        raise ValueError("proto is one of any, tcp, udp")
    port = _read_port(given.get("port"), proto)
    families, source = _read_source(given.get("from"))
    if port == "any" and source in (None, ANY[families[0]]):
        raise ValueError("without port and from it would hold for everything")
    comment = str(given.get("comment") or given.get("reason") or "rule")
    if re.search(r"['\\\n]", comment):
        raise ValueError("a comment has no quote, backslash or line break")
    return [Rule(family, proto, port, source or ANY[family], given["rule"], TAG + comment) for family in families]


def _read_port(given, proto):
    if given is None:
        return "any"
    text = str(given)
    found = re.match(r"([0-9]{1,5})(?::([0-9]{1,5}))?\Z", text)
    if not found:
        raise ValueError("port %s is neither a port nor a range such as '6000:6007'" % text)
    ends = [int(end) for end in found.groups() if end]
    if not all(1 <= end <= 65535 for end in ends):
        raise ValueError("port %s is not from 1 to 65535" % text)
    if len(ends) == 2 and (proto == "any" or ends[0] >= ends[1]):
        raise ValueError("range %s goes from the lower port to the higher one, and needs proto: tcp or udp" % text)
    return ":".join(str(end) for end in ends)


def _read_source(given):
    """The families, and the network as UFW writes it: without host bits, one address without its length."""
    if given is None or given == "any":
        return (4, 6), None
    try:
        network = ipaddress.ip_network(str(given), strict=False)
    except ValueError:
        raise ValueError("from %s is neither an address nor a network such as 192.0.2.0/24" % given) from None
    single = network.num_addresses == 1
    return (network.version,), str(network.network_address if single else network)


def _read_recorded(text):
    """The incoming rules of UFW's files, which keep each one as
    `### tuple ### ACTION PROTO PORT TO SOURCE-PORT FROM in [comment=HEX]`. Rules of any other shape are made by hand."""
    for line in text.splitlines():
        found = re.match(r"### tuple ### (\w+) (\w+) (\S+) (\S+) any (\S+) in(?: comment=([0-9a-f]+))?\Z", line.strip())
        if not found:
            continue
        action, proto, port, target, source, comment = found.groups()
        family = 6 if ":" in target else 4
        if target == ANY[family]:
            yield Rule(
                family, proto, port, source, action, binascii.unhexlify(comment or "").decode("utf-8", "replace")
            )
