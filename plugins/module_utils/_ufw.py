# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""UFW's files: its rules and settings, read and written in UFW's own format, and shown as a person writes them. Pure."""

from __future__ import annotations

import binascii
import collections
import ipaddress
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

ANY = {4: "0.0.0.0/0", 6: "::/0"}
PREFIX = {4: "ufw", 6: "ufw6"}
RULE_FILES = {4: "/etc/ufw/user.rules", 6: "/etc/ufw/user6.rules"}
DEFAULTS_FILE = "/etc/default/ufw"
CONF_FILE = "/etc/ufw/ufw.conf"

# The unit that starts UFW at boot, and what `systemctl is-enabled` says of it when it does not. (A mask at runtime ends with a reboot.)
UNIT = "ufw.service"
NOT_AT_BOOT = ("disabled", "enabled-runtime", "linked", "linked-runtime", "masked", "static")

# What that means, with its reason.
AFTER_A_REBOOT = "UFW is active, and is not started at boot (%s): after a reboot every port is open."

POLICIES = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}
DIRECTIONS = (("incoming", "INPUT", "input"), ("outgoing", "OUTPUT", "output"), ("routed", "FORWARD", "forward"))
# Each logs what the one before it logs, and more.
LEVELS = ("off", "low", "medium", "high", "full")

# `direction` is in or out, also of a rule for routed packets (`routed`); `log` is "", "log" (new connections) or "log-all".
# Ports and addresses are as UFW writes them: any, 80,6000:6007, 192.0.2.0/24.
Rule = collections.namedtuple(
    "Rule", "routed action log proto port to from_port source app from_app direction interface_in interface_out comment"
)


def match_of(rule):
    """What a rule matches, without what it then does: two rules with the same match can't both hold."""
    return rule._replace(action="", log="", comment="")


# What UFW has: its rules by family ({4: [Rule], 6: [Rule]}) and its settings. `ipv6`: whether it filters IPv6 too.
Policy = collections.namedtuple("Policy", "rules incoming outgoing routed logging ipv6 enabled")


# Reading


def parse_rules(text, family):
    """The rules of a user.rules (family 4) or user6.rules (6)."""
    return [
        _parse_tuple(line, family, number)
        for number, line in enumerate(text.splitlines(), 1)
        if line.startswith("### tuple ###")
    ]


def _parse_tuple(line, family, number):
    words, _comment, comment = line[len("### tuple ###") :].partition(" comment=")
    words = words.split()
    try:
        # Very old files have no direction.
        way = words.pop() if len(words) in (7, 9) else "in"
        action, proto, port, to, from_port, source = words[:6]
        app, from_app = words[6:] or ("-", "-")
        routed, action = action.startswith("route:"), action.split(":")[-1]
        action, _log, log = action.partition("_")
        if action not in ("allow", "deny", "limit", "reject"):
            raise ValueError(action)
        direction, interface_in, interface_out = _parse_way(way)
        return Rule(
            routed,
            action,
            log,
            proto,
            _sorted_ports(port),
            _normal_address(to, family),
            _sorted_ports(from_port),
            _normal_address(source, family),
            "" if app == "-" else app.replace("%20", " "),
            "" if from_app == "-" else from_app.replace("%20", " "),
            direction,
            interface_in,
            interface_out,
            binascii.unhexlify(comment.strip()).decode("utf-8", "replace"),
        )
    except ValueError as error:
        raise GatehouseError(
            "Line %d of %s can't be read: %s" % (number, RULE_FILES[family], line.strip()),
            cause="unreadable",
            hint="ufw show added   # UFW itself skips such a line, and drops it with the next change",
        ) from error


def _parse_way(way):
    """in, out, in_eth0, out_eth0 or in_eth0!out_eth1."""
    direction = way.split("_")[0]
    if direction not in ("in", "out"):
        raise ValueError(way)
    interfaces = dict(part.split("_", 1) for part in way.split("!") if "_" in part)
    return direction, interfaces.get("in", ""), interfaces.get("out", "")


def _sorted_ports(ports):
    return ",".join(sorted(ports.split(","), key=lambda part: int(part.split(":")[0]))) if "," in ports else ports


def _normal_address(text, family):
    """As UFW writes it: a network without host bits, a single address without its length."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return text.lower()
    if network.prefixlen == 0:
        return ANY[family]
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def strays(text, rules, family):
    """Lines of the chains that no rule of UFW has made. UFW loads them, and drops them with its next change."""
    made = {line for rule in rules for line in lines_of(rule, family)}
    chain = re.compile(r"-[AI] ufw6?-user-(input|output|forward) ")
    return [line for line in text.splitlines() if chain.match(line) and line not in made]


def parse_settings(text):
    """The settings of /etc/default/ufw and ufw.conf, {KEY: value}."""
    return dict(re.findall(r"(?m)^(\w+)=[\"']?(\w+)[\"']?\s*$", text))


def is_enabled(conf):
    """Whether ufw.conf, given as its text, says that UFW filters."""
    return parse_settings(conf).get("ENABLED", "no").lower() == "yes"


def missing_at_boot(unit, enabled):
    """(why, the command that mends it) when UFW is not there after a reboot; None when it is, or that is not known.

    unit: what `systemctl is-enabled ufw.service` says.   enabled: what ufw.conf says; None where it could not be read.
    """
    if unit in NOT_AT_BOOT:
        mend = {
            "masked": "systemctl unmask %s && systemctl enable %s" % (UNIT, UNIT),
            "static": "rm /etc/systemd/system/%s && systemctl daemon-reload && systemctl enable %s" % (UNIT, UNIT),
        }
        return "%s is %s" % (UNIT, unit), mend.get(unit, "systemctl enable %s" % UNIT)
    if enabled is False:
        return "%s says ENABLED=no" % CONF_FILE, "ufw --force enable"
    return None


def parse_policy(rules4, rules6, defaults, conf):
    """What the four files say, each given as its text."""
    settings = parse_settings(defaults)
    settings.update(parse_settings(conf))
    names = {word: name for name, word in POLICIES.items()}
    level = settings.get("LOGLEVEL", "low").lower()
    return Policy(
        {4: parse_rules(rules4, 4), 6: parse_rules(rules6, 6)},
        *(names.get(settings.get("DEFAULT_%s_POLICY" % chain, "DROP").upper(), "deny") for _n, chain, _s in DIRECTIONS),
        level if level in LEVELS else "low",
        settings.get("IPV6", "no").lower() == "yes",
        is_enabled(conf),
    )


def parse_profiles(texts):
    """The application profiles of the files of applications.d: {name: [(ports, proto)]}."""
    profiles = {}
    for text in texts:
        name = None
        for line in text.splitlines():
            section = re.match(r"\[(.+)\]\s*$", line)
            ports = re.match(r"ports\s*[=:]\s*(\S+)\s*$", line)
            if section:
                name = section.group(1)
            elif ports and name:
                profiles[name] = [_profile_part(part) for part in ports.group(1).split("|")]
    return profiles


def _profile_part(part):
    ports, _slash, proto = part.partition("/")
    return _sorted_ports(ports), proto or "any"


# Writing


def set_setting(text, key, value):
    """A settings file with one setting changed, and every other line as it was."""
    line = "%s=%s" % (key, value)
    changed, found = re.subn(r"(?m)^%s=.*$" % re.escape(key), line, text)
    if found:
        return changed
    return text + ("" if text.endswith("\n") or not text else "\n") + line + "\n"


def render_defaults(text, policy):
    for name, chain, _suffix in DIRECTIONS:
        text = set_setting(text, "DEFAULT_%s_POLICY" % chain, '"%s"' % POLICIES[getattr(policy, name)])
    return set_setting(text, "IPV6", "yes" if policy.ipv6 else "no")


def render_conf(text, policy):
    return set_setting(set_setting(text, "ENABLED", "yes" if policy.enabled else "no"), "LOGLEVEL", policy.logging)


def render_rules(policy, family):
    """A user.rules or user6.rules, to the letter as UFW writes it."""
    prefix = PREFIX[family]
    lines = ["*filter"]
    lines += [":%s-user-%s - [0:0]" % (prefix, suffix) for _name, _chain, suffix in DIRECTIONS]
    for kind in ("before-logging", "user-logging", "after-logging"):
        lines += [":%s-%s-%s - [0:0]" % (prefix, kind, suffix) for _name, _chain, suffix in DIRECTIONS]
    lines += [":%s-%s - [0:0]" % (prefix, kind) for kind in ("logging-deny", "logging-allow")]
    lines += [":%s-%s - [0:0]" % (prefix, kind) for kind in ("user-limit", "user-limit-accept")]
    lines.append("### RULES ###")
    for rule in policy.rules[family]:
        lines += ["", _tuple_of(rule)] + lines_of(rule, family)
    lines += ["", "### END RULES ###", "", "### LOGGING ###"] + _logging_lines(policy, prefix) + ["### END LOGGING ###"]
    lines += ["", "### RATE LIMITING ###"]
    if policy.logging != "off":
        lines.append('-A %s-user-limit -m limit --limit 3/minute -j LOG --log-prefix "[UFW LIMIT BLOCK] "' % prefix)
    lines += ["-A %s-user-limit -j REJECT" % prefix, "-A %s-user-limit-accept -j ACCEPT" % prefix]
    return "\n".join(lines + ["### END RATE LIMITING ###", "COMMIT", ""])


def _tuple_of(rule):
    action = ("route:" if rule.routed else "") + rule.action + ("_" + rule.log if rule.log else "")
    words = [action, rule.proto, rule.port, rule.to, rule.from_port, rule.source]
    if rule.app or rule.from_app:
        words += [name.replace(" ", "%20") or "-" for name in (rule.app, rule.from_app)]
    if rule.interface_in and rule.interface_out:
        words.append("in_%s!out_%s" % (rule.interface_in, rule.interface_out))
    elif rule.interface_in or rule.interface_out:
        words.append("%s_%s" % (rule.direction, rule.interface_in or rule.interface_out))
    else:
        words.append(rule.direction)
    if rule.comment:
        words.append("comment=" + binascii.hexlify(rule.comment.encode()).decode())
    return "### tuple ### " + " ".join(words)


LIMITED = "-m limit --limit 3/min --limit-burst 10"
NEW = "-m conntrack --ctstate NEW"


def lines_of(rule, family):
    """What a rule is to iptables-restore."""
    prefix = PREFIX[family]
    suffix = "forward" if rule.routed else {"in": "input", "out": "output"}[rule.direction]
    chain, log_chain = "%s-user-%s" % (prefix, suffix), "%s-user-logging-%s" % (prefix, suffix)
    lines = []
    # A port belongs to a protocol: without one, there is a line for each of the two that have ports.
    has_port = rule.port != "any" or rule.from_port != "any"
    for proto in ("tcp", "udp") if rule.proto == "any" and has_port else (rule.proto,):
        match = _match_words(rule, proto)
        if rule.log:
            label = {"allow": "ALLOW", "limit": "LIMIT"}.get(rule.action, "BLOCK")
            words = match + ([NEW] if rule.log == "log" else []) + [LIMITED, '-j LOG --log-prefix "[UFW %s] "' % label]
            lines += [_line(log_chain, words), _line(log_chain, match + ["-j RETURN"])]
            lines.append(_line(chain, match + ["-j " + log_chain]))
        lines += [_line(chain, match + words + _app_words(rule)) for words in _verdict_words(rule, proto, prefix)]
    return lines


def _line(chain, words):
    return " ".join(["-A", chain] + words)


def _match_words(rule, proto):
    words = ["-i " + rule.interface_in] if rule.interface_in else []
    words += ["-o " + rule.interface_out] if rule.interface_out else []
    words += ["-p " + proto] if proto != "any" else []
    several = any(sign in rule.port + rule.from_port for sign in ",:")
    if several:
        words += ["-m multiport --dports " + rule.port] if rule.port != "any" else []
        words += ["-m multiport --sports " + rule.from_port] if rule.from_port != "any" else []
    words += ["-d " + rule.to] if rule.to not in ANY.values() else []
    words += ["--dport " + rule.port] if rule.port != "any" and not several else []
    words += ["-s " + rule.source] if rule.source not in ANY.values() else []
    words += ["--sport " + rule.from_port] if rule.from_port != "any" and not several else []
    return words


def _verdict_words(rule, proto, prefix):
    if rule.action == "limit":
        return (
            [NEW, "-m recent --set"],
            [NEW, "-m recent --update --seconds 30 --hitcount 6", "-j %s-user-limit" % prefix],
            ["-j %s-user-limit-accept" % prefix],
        )
    if rule.action == "reject":
        return (["-j REJECT --reject-with tcp-reset" if proto == "tcp" else "-j REJECT"],)
    return (["-j " + POLICIES[rule.action]],)


def _app_words(rule):
    names = [kind + name.replace(" ", "%20") for kind, name in (("dapp_", rule.app), ("sapp_", rule.from_app)) if name]
    return ["-m comment --comment '%s'" % ",".join(names)] if names else []


def _logging_lines(policy, prefix):
    level = LEVELS.index(policy.logging)
    if policy.logging == "off":
        # A rule that logs goes to these chains: it then comes back at once.
        return ["-I %s-user-logging-%s -j RETURN" % (prefix, suffix) for _name, _chain, suffix in DIRECTIONS]
    limited = " " + LIMITED if policy.logging in ("low", "medium") else ""
    medium = level >= LEVELS.index("medium")
    lines = []
    for name, _chain, suffix in DIRECTIONS:
        refuses = getattr(policy, name) != "allow"
        if refuses or medium:
            label = "BLOCK" if refuses else "ALLOW"
            words = (prefix, suffix, label, limited)
            lines.append('-A %s-after-logging-%s -j LOG --log-prefix "[UFW %s] "%s' % words)
    invalid = '-j LOG --log-prefix "[UFW AUDIT INVALID] "' if medium else "-j RETURN"
    words = ("-A" if medium else "-I", prefix, invalid, limited)
    lines.append("%s %s-logging-deny -m conntrack --ctstate INVALID %s%s" % words)
    for kind, label in (("deny", "BLOCK"), ("allow", "ALLOW")):
        lines.append('-A %s-logging-%s -j LOG --log-prefix "[UFW %s] "%s' % (prefix, kind, label, limited))
    if medium:
        limited = {"medium": " %s %s" % (NEW, LIMITED), "high": " " + LIMITED, "full": ""}[policy.logging]
        for _name, _chain, suffix in DIRECTIONS:
            words = (prefix, suffix, limited)
            lines.append('-I %s-before-logging-%s -j LOG --log-prefix "[UFW AUDIT] "%s' % words)
    return lines


# Showing


def describe(rule, family):
    """A rule as UFW shows it: 80/tcp ALLOW IN Anywhere  # gatehouse: site chat."""
    to = _describe_end(rule, rule.to, rule.port, rule.app, family)
    source = _describe_end(rule, rule.source, rule.from_port, rule.from_app, family)
    # Of a routed packet, the interfaces belong to the ends; of others, to the host, which is the other end.
    at_to, at_source = rule.interface_in, rule.interface_out
    if rule.routed:
        at_to, at_source = rule.interface_out, rule.interface_in
    words = [to + (" on " + at_to if at_to else ""), rule.action.upper()]
    words += ["FWD" if rule.routed else rule.direction.upper(), source + (" on " + at_source if at_source else "")]
    text = " ".join(words)
    text += " (%s)" % rule.log if rule.log else ""
    return text + ("  # " + rule.comment if rule.comment else "")


def _describe_end(rule, address, port, app, family):
    anywhere = address in ANY.values()
    words = [] if anywhere else [address]
    if port != "any":
        words.append(port + ("/" + rule.proto if rule.proto != "any" else "") + (" (%s)" % app if app else ""))
    elif anywhere:
        words.append("Anywhere")
    if port == "any" and rule.port == rule.from_port and rule.proto != "any":
        words[-1] += "/" + rule.proto
    if family == 6 and anywhere:
        words.append("(v6)")
    return " ".join(words)


def describe_policy(policy):
    """A policy as lines, for a diff."""
    lines = [
        "Status: " + ("active" if policy.enabled else "inactive"),
        "Logging: " + policy.logging,
        "Default: %s (incoming), %s (outgoing), %s (routed)" % (policy.incoming, policy.outgoing, policy.routed),
        "IPv6: " + ("yes" if policy.ipv6 else "no"),
    ]
    families = (4, 6) if policy.ipv6 else (4,)
    return lines + [describe(rule, family) for family in families for rule in policy.rules[family]]
