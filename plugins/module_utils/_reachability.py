# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Why a port of a host can't be reached: what a client met, put beside what the host itself says.

The host's view is collected on the host (`look`). The verdict on it is pure.
"""

from __future__ import annotations

import ipaddress
import json
from collections import namedtuple

from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import (
    describe_all,
    is_loopback,
    scope,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._netfilter import Packet, decide, is_of_ufw, runs_ufw

# One question from the control node. name: as it was given.   address: what the name stands for; None where it stands for nothing.
# answer: an Answer of _probes.   source: where the question came from, as the host sees it; None where that is not known.
Question = namedtuple("Question", "name address port answer source")

LISTINGS = {"4": "iptables", "6": "ip6tables"}


def look(ports, listeners, run, find):
    """What the host says of itself: its addresses, who listens on these ports, and its packet filter.

    run(arguments) gives (status, output, error) of a command, find(name) the path of one, or None.
    """
    return {
        "interfaces": _interfaces(_output(run, find, "ip", "-json", "address", "show") or "[]"),
        "routes": {
            version: _interface_of_route(_output(run, find, "ip", "-" + version, "-json", "route", "show", "default"))
            for version in LISTINGS
        },
        "listeners": [_listener(port, listeners) for port in ports],
        "filters": {version: _output(run, find, command, "-w", "-S") for version, command in LISTINGS.items()},
    }


def _output(run, find, command, *arguments):
    """What the command prints; None where it is not there, or is refused."""
    path = find(command)
    if not path:
        return None
    status, output, _error = run([path] + list(arguments))
    return output if status == 0 else None


def _interfaces(text):
    return [
        {"name": link["ifname"], "addresses": [entry["local"] for entry in link["addr_info"] if "local" in entry]}
        for link in json.loads(text)
    ]


def _interface_of_route(text):
    return next((route["dev"] for route in json.loads(text or "[]") if "dev" in route), None)


def _listener(port, listeners):
    sockets = listeners.listening(port)
    return {
        "port": port,
        "addresses": sorted({s.address for s in sockets}),
        "holders": describe_all(listeners.holders(sockets)) if sockets else None,
    }


def judge(question, view, known=()):
    """The verdict on one question, as a dictionary: verdict, ok, message, evidence and hint, and what was asked.

    known: addresses that Ansible reaches the host by. It may not carry them itself, as those of a cloud's translation.
    """
    verdict, message, hint = _judge(question, view, known)
    return {
        "verdict": verdict,
        "ok": question.answer.ok,
        "name": question.name,
        "address": question.address,
        "port": question.port,
        "message": message,
        "evidence": _evidence(question, view, verdict),
        "hint": hint,
    }


def _judge(question, view, known):
    """The first that holds, beginning at the app: what comes later can't be right before it is."""
    address, port, answer = question.address, question.port, question.answer
    if address is None:
        return "no_name", "the name %s does not resolve" % question.name, _look_up(question.name)
    place = _place(question)
    # Whose loopback that would be is not told by the host's own list. Without a list nothing can be said.
    at_home = address in known or not view["interfaces"] or (is_host(address, view) and not is_loopback(address))
    if answer.ok:
        if not at_home:
            message = "%s is open, but %s is no address of this host: another one answers, as a load balancer does"
            return "elsewhere", message % (place, address), _look_up(question.name)
        return "open", "%s is open" % place, None
    if not at_home:
        told = address if question.name == address else "%s points to %s, which" % (question.name, address)
        return "elsewhere", "%s is no address of this host (%s)" % (told, _own(view)), _look_up(question.name)

    bound = _bound(port, view)
    sockets = "ss -ltn 'sport = :%d'" % port
    if not bound:
        return "not_listening", "nothing listens on port %d of the host" % port, "ss -ltnp   # what listens, and where?"
    if scope(bound) == "loopback":
        message = "port %d is bound to loopback only (%s), so only the host itself reaches it" % (port, _and(bound))
        return "loopback_only", message, sockets + "   # bind it to all addresses, or put nginx in front of it"
    if not _covers(bound, address, view):
        message = "port %d is bound to %s, and not to %s" % (port, _and(bound), address)
        return "other_address", message, sockets

    decision = decision_on(question, view)
    if decision and decision.action != "accept":
        does = "%ss connections to port %d from %s" % (decision.action, port, question.source)
        if is_of_ufw(decision, _runs_ufw(view)):
            return "ufw", "UFW %s" % does, "ufw status numbered   # and to open it: ufw allow %d/tcp" % port
        command = LISTINGS[_version(address)]
        return "packet_filter", "a rule of the host's packet filter that is not UFW's %s" % does, "%s -S" % command
    if answer.cause == "unreachable":
        return (
            "no_route",
            "the control node has no way to %s: %s" % (address, answer.message),
            "ip route get %s   # on the control node" % address,
        )
    return _in_front(question, decision)


def _in_front(question, decision):
    """The host would take the connection, and it never comes to it."""
    how = "is refused" if question.answer.cause == "refused" else "gets no answer"
    judged = "the host listens there and lets it through" if decision else "the host listens there"
    message = "%s %s, though %s: something in front of the host stops it, as a cloud's security group does"
    hint = "tcpdump -ni any 'tcp port %d'   # on the host: when nothing comes in, open tcp %d in the cloud's firewall"
    return "in_front", message % (_place(question), how, judged), hint % (question.port, question.port)


def decision_on(question, view):
    """What the host's packet filter does with the connection; None where that can't be told."""
    listing = view["filters"][_version(question.address)]
    packet = _packet(question, view)
    return decide(listing, packet) if listing and packet else None


def _packet(question, view):
    """The connection as it comes in at the host. A cloud translates a public address to the interface's own."""
    address, source = question.address, question.source
    if source is None:
        return None
    interface = view["routes"][_version(address)]
    for link in view["interfaces"]:
        if address in link["addresses"]:
            interface = link["name"]
            break
    else:
        address = next((own for own in _addresses_of(interface, view) if _version(own) == _version(address)), address)
    # What a host asks of itself never leaves it.
    return Packet(source, address, "lo" if is_host(source, view) else interface or "", question.port)


def _addresses_of(interface, view):
    return [own for link in view["interfaces"] if link["name"] == interface for own in link["addresses"]]


def _evidence(question, view, verdict):
    """What led to the verdict, one line each."""
    if question.address is None:
        return [question.answer.message]
    lines = ["from the control node: %s" % question.answer.message]
    if verdict == "elsewhere":
        return lines + ["on the host: its addresses are %s" % _own(view)]
    bound = _bound(question.port, view)
    if bound:
        holders = next(entry["holders"] for entry in view["listeners"] if entry["port"] == question.port)
        lines.append("on the host: port %d is held by %s at %s" % (question.port, holders, _and(bound)))
    else:
        lines.append("on the host: nothing listens on port %d" % question.port)
    decision = decision_on(question, view)
    if decision:
        packet = _packet(question, view)
        told = (decision.action, packet.source, packet.interface, decision.rule)
        lines.append("packet filter: %s for %s on %s, by: %s" % told)
        lines += ["packet filter, not judged: %s" % rule for rule in decision.skipped]
    else:
        lines.append("packet filter: could not be asked")
    return lines


def is_host(address, view):
    return any(address.partition("%")[0] in link["addresses"] for link in view["interfaces"])


def _bound(port, view):
    return next(entry["addresses"] for entry in view["listeners"] if entry["port"] == port)


def _covers(bound, address, view):
    """Whether a port bound to these addresses is bound to this one. `::` may be for IPv4 too, and mostly is."""
    if "::" in bound or (_version(address) == "4" and "0.0.0.0" in bound):
        return True
    if not is_host(address, view):
        # Of a translated address it is not known to which of the host's it leads.
        return any(_version(one) == _version(address) for one in bound)
    return address in bound


def _runs_ufw(view):
    return runs_ufw(view["filters"]["4"] or "")


def _own(view):
    own = [one for link in view["interfaces"] for one in link["addresses"]]
    return _and([one for one in own if not _is_private_to_it(one)]) or "none known"


def _is_private_to_it(address):
    parsed = ipaddress.ip_address(address)
    return parsed.is_loopback or parsed.is_link_local


def _version(address):
    return "6" if ":" in address else "4"


def _place(question):
    host = "[%s]" % question.address if ":" in question.address else question.address
    named = "" if question.name == question.address else "%s, " % question.name
    return "%s%s:%d" % (named, host, question.port)


def _look_up(name):
    return "getent ahosts %s   # on the control node; then correct the record where the name is kept" % name


def _and(words):
    return ", ".join(words)


def failures(verdicts):
    """The verdicts that count as failures: not that of an address to which the control node has no way, as IPv6 on many networks,
    where another address of the same name was asked."""
    asked = {(one["name"], one["port"]) for one in verdicts if one["verdict"] != "no_route"}
    return [
        one
        for one in verdicts
        if not one["ok"] and not (one["verdict"] == "no_route" and (one["name"], one["port"]) in asked)
    ]
