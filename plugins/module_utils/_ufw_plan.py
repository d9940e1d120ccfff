# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Which rules are wanted, what becomes of those that are there, and whom the outcome lets in. Pure."""

from __future__ import annotations

import collections
import ipaddress
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw import ANY, Rule, match_of

EXAMPLE = "{rule: allow, port: 9100, proto: tcp, from: 192.0.2.0/24, comment: metrics}"
PORT_PROTOCOLS = ("any", "tcp", "udp")
FOR_IPV4_ONLY = ("igmp", "ipv6")
# A port or a range takes one or two of the fifteen places that the kernel's match has.
PLACES = 15

# What the host has: its profiles ({name: [(ports, proto)]}), the names of its interfaces, and whether UFW filters IPv6 there.
# None where the host can't be asked.
Surroundings = collections.namedtuple("Surroundings", "profiles interfaces ipv6")


# The wish


def read_wish(given, tag, host):
    """The wanted rules by family, in order; or one error that tells of all that can't work."""
    wanted = {4: [], 6: []}
    problems = []
    seen = {}
    for entry in given:
        try:
            for family, rule in _read_rule(entry, tag, host):
                other, action = seen.setdefault((family, match_of(rule)), (entry, rule.action))
                if action != rule.action:
                    raise ValueError("it contradicts %s" % shown(other))
                if other is entry:
                    wanted[family].append(rule)
        except ValueError as error:
            problems.append("  - %s: %s" % (shown(entry), error))
    if problems:
        raise GatehouseError(
            "UFW can't have these rules:\n%s" % "\n".join(problems), cause="bad_input", hint="a right one is " + EXAMPLE
        )
    return wanted


def shown(entry):
    """A rule as a person gives it, without what was left out."""
    keys = ["rule", "direction", "port", "proto", "from"]
    keys += [key for key in entry if key not in keys]
    given = [(key, entry.get(key)) for key in keys]
    return "{%s}" % ", ".join("%s: %s" % pair for pair in given if pair[1] not in (None, "any", "none", "in"))


def _read_rule(entry, tag, host):
    """(family, rule), one for each family and each part of an application profile."""
    direction = entry.get("direction") or "in"
    interface_in, interface_out = _read_interfaces(entry, direction, host)
    to, source = _read_address(entry, "to"), _read_address(entry, "from")
    parts = _read_ports(entry, host)
    if parts == [("any", "any", "any")] and not (interface_in or interface_out or to[0] or source[0]):
        raise ValueError("it would hold for everything, which is what the default policy is for")
    comment = str(entry.get("comment") or "rule")
    if re.search(r"['\\\n]", comment):
        raise ValueError("a comment has no quote, backslash or line break")
    rules = []
    for family in _read_families(entry, to, source, host):
        for proto, port, from_port in parts:
            rules.append(
                (
                    family,
                    Rule(
                        direction == "routed",
                        entry["rule"],
                        {"all": "log-all", "new": "log"}.get(entry.get("log"), ""),
                        proto,
                        port,
                        to[1] or ANY[family],
                        from_port,
                        source[1] or ANY[family],
                        entry.get("app") or "",
                        entry.get("from_app") or "",
                        "out" if direction == "out" or (interface_out and not interface_in) else "in",
                        interface_in,
                        interface_out,
                        "%s: %s" % (tag, comment),
                    ),
                )
            )
    return rules


def _read_interfaces(entry, direction, host):
    names = entry.get("interface_in") or "", entry.get("interface_out") or ""
    if (direction == "in" and names[1]) or (direction == "out" and names[0]):
        raise ValueError("what comes in has an interface_in, what goes out an interface_out, only what is routed both")
    for name in names:
        if not name:
            continue
        if not re.match(r"[A-Za-z0-9_.,=%@-]{1,14}[A-Za-z0-9_.,=%@+-]?\Z", name):
            raise ValueError("interface %s can't be one: up to 15 letters, digits and signs, no colon" % name)
        # The kernel takes a plus for any end.
        if host.interfaces is not None and not name.endswith("+") and name not in host.interfaces:
            there = ", ".join(sorted(host.interfaces))
            raise ValueError(
                "there is no interface %s, but %s; %s+ holds for one that comes later" % (name, there, name)
            )
    return names


def _read_address(entry, key):
    """(family, address) as UFW writes it; nothing for anywhere."""
    text = entry.get(key)
    if text in (None, "", "any"):
        return None, None
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        try:
            loose = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError("%s %s is neither an address nor a network such as 192.0.2.0/24" % (key, text)) from None
        raise ValueError("%s %s has host bits: the network is %s" % (key, text, loose)) from None
    if network.prefixlen == 0:
        return network.version, ANY[network.version]
    whole = network.prefixlen == network.max_prefixlen
    return network.version, str(network.network_address) if whole else str(network)


def _read_families(entry, to, source, host):
    named = {family for family, _address in (to, source) if family}
    if len(named) > 1:
        raise ValueError("from and to are of two families")
    only4 = entry.get("proto") in FOR_IPV4_ONLY
    if 6 in named and only4:
        raise ValueError("proto %s belongs to IPv4" % entry["proto"])
    if 6 in named and host.ipv6 is False:
        raise ValueError(
            "UFW does not filter IPv6 here: IPV6=no in /etc/default/ufw (set ipv6: true), or a kernel without it"
        )
    if named:
        return named
    return (4,) if only4 or host.ipv6 is False else (4, 6)


def _read_ports(entry, host):
    """[(proto, port, from_port)]: one, or as many as the application profile has parts."""
    proto = entry.get("proto") or "any"
    ports = {key: _read_port(key, entry.get(key), proto) for key in ("port", "from_port")}
    for key, app in (("port", entry.get("app")), ("from_port", entry.get("from_app"))):
        if app and ports[key] != "any":
            raise ValueError("%s and a profile's ports exclude one another" % key)
    if not entry.get("app") and not entry.get("from_app"):
        return [(proto, ports["port"], ports["from_port"])]
    if proto != "any":
        raise ValueError("a profile has a protocol of its own: leave proto out")
    if entry.get("app") and entry.get("from_app"):
        to_parts, from_parts = _profile(entry["app"], host), _profile(entry["from_app"], host)
        return [(proto, port, other) for port, proto in to_parts for other, same in from_parts if proto == same]
    if entry.get("app"):
        return [(proto, port, ports["from_port"]) for port, proto in _profile(entry["app"], host)]
    return [(proto, ports["port"], port) for port, proto in _profile(entry["from_app"], host)]


def _profile(name, host):
    if host.profiles is None:
        return []
    if name not in host.profiles:
        there = ", ".join(sorted(host.profiles)) or "none"
        raise ValueError("there is no application profile %s in /etc/ufw/applications.d, but %s" % (name, there))
    return host.profiles[name]


def _read_port(key, given, proto):
    if given in (None, "", "any"):
        return "any"
    text = str(given)
    parts = text.split(",")
    places = 0
    for part in parts:
        found = re.match(r"([0-9]{1,5})(?::([0-9]{1,5}))?\Z", part)
        if not found:
            raise ValueError("%s %s is neither a port nor a range such as '6000:6007' nor a list of them" % (key, text))
        ends = [int(end) for end in found.groups() if end]
        places += len(ends)
        if not all(1 <= end <= 65535 for end in ends):
            raise ValueError("%s %s is not from 1 to 65535" % (key, part))
        if len(ends) == 2 and ends[0] >= ends[1]:
            raise ValueError("%s %s has to go from the lower port to the higher one" % (key, part))
    if proto not in PORT_PROTOCOLS:
        raise ValueError("proto %s has no ports" % proto)
    if places > 1 and proto == "any":
        raise ValueError("%s %s needs proto: tcp or udp" % (key, text))
    if places > PLACES:
        raise ValueError("%s holds %d ports, of which the kernel takes %d in a rule" % (key, places, PLACES))
    return ",".join(sorted((_plain(part) for part in parts), key=lambda part: int(part.split(":")[0])))


def _plain(part):
    return ":".join(str(int(end)) for end in part.split(":"))


# The plan


def merge(existing, wanted, purge, tag):
    """The rules of one family after the change, in order.

    Rules that stay keep their places. Ours fill the places that they have among them, in the wanted order, and new ones come after
    all others. So a second time nothing moves, and a rule made by hand never does.
    """
    if purge == "all":
        return list(wanted)
    left = {match_of(rule): rule for rule in wanted}
    places, seen = [], set()
    for rule in existing:
        key = match_of(rule)
        if key in seen:
            # What comes later with the same match has no effect.
            continue
        if key not in left:
            if purge == "none" or not is_ours(rule, tag):
                places.append(rule)
            continue
        seen.add(key)
        if rule.action == left[key].action and not is_ours(rule, tag):
            # A rule made by hand that does what is wanted is left as it is: it may have any comment, and may log.
            del left[key]
            places.append(rule)
        else:
            places.append(None)
    line = iter(left.values())
    return [next(line) if place is None else place for place in places] + list(line)


def is_ours(rule, tag):
    return rule.comment.startswith(tag + ": ")


def changes(before, after):
    """(added, removed), each rule as often as it has to be."""
    added = collections.Counter(after) - collections.Counter(before)
    removed = collections.Counter(before) - collections.Counter(after)
    return [rule for rule in after if _take(added, rule)], [rule for rule in before if _take(removed, rule)]


def _take(counter, rule):
    counter[rule] -= 1
    return counter[rule] >= 0


# The guard

# A connection to the host: who opens it, to which of the host's addresses and ports, and by which interface (None: not known).
Connection = collections.namedtuple("Connection", "peer address port interface")


def read_session(text, interfaces_of):
    """The connection that SSH_CONNECTION tells of: the peer, its port, the host's address, its port.

    interfaces_of: {address: interface} of the host. Returns None for text that is none.
    """
    words = text.split()
    if len(words) != 4:
        return None
    try:
        peer, scope = _plain_address(words[0])
        address, own_scope = _plain_address(words[2])
        return Connection(peer, address, int(words[3]), scope or own_scope or interfaces_of.get(str(address)))
    except ValueError:
        return None


def _plain_address(text):
    text, _percent, scope = text.partition("%")
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address, scope or None


def lets_in(policy, connection):
    """(whether a new connection like this one gets through, the rule that says so or None for the default)."""
    if connection.peer.is_loopback or connection.peer == connection.address:
        # UFW accepts what comes over lo before all rules.
        return True, None
    if connection.peer.version == 6 and not policy.ipv6:
        return False, None
    for rule in policy.rules[connection.peer.version]:
        match = _matches(rule, connection)
        # What may match is taken for the worse: it does not let in for sure, and it may shut out.
        if rule.action in ("allow", "limit") and match is True:
            return True, rule
        if rule.action in ("deny", "reject") and match is not False:
            return False, rule
    return policy.incoming == "allow", None


def is_open(policy, port):
    """Whether the policy lets clients in to that port, over TCP and IPv4: from anywhere, or by a rule about ports.

    A rule for all ports is about who may come, such as an administrator's network.
    """
    if not policy.enabled or policy.incoming == "allow":
        return True
    return any(
        rule.action in ("allow", "limit") and _is_about(rule, port) and (rule.port != "any" or rule.source == ANY[4])
        for rule in policy.rules[4]
    )


def _matches(rule, connection):
    """True, False, or None where that depends on what is not known."""
    if not _is_about(rule, connection.port):
        return False
    if not _covers(rule.source, connection.peer) or not _covers(rule.to, connection.address):
        return False
    if rule.interface_in and connection.interface:
        name = rule.interface_in
        if not (connection.interface.startswith(name[:-1]) if name.endswith("+") else connection.interface == name):
            return False
    # The port at the other end changes with every connection.
    unknown = (rule.interface_in and not connection.interface) or rule.from_port != "any"
    return None if unknown else True


def _is_about(rule, port):
    """Whether the rule is about what comes to this port of the host over TCP."""
    if rule.routed or rule.direction != "in" or rule.proto not in ("any", "tcp"):
        return False
    return _covers_port(rule.port, port)


def _covers_port(ports, port):
    if ports == "any":
        return True
    ranges = [[int(end) for end in part.split(":")] for part in ports.split(",")]
    return any(ends[0] <= port <= ends[-1] for ends in ranges)


def _covers(text, address):
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        # A mask that is not a length: taken for one that covers.
        return True
    return address.version == network.version and address in network
