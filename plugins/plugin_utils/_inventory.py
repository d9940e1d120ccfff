# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What an inventory and a command line say that can't be meant: names that nobody reads, and lists that are not there. Pure."""

from __future__ import annotations

import difflib
import re

from ansible.module_utils.parsing.convert_bool import BOOLEANS

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._served import listed_ports
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._timeline import SPECIAL_TAGS

# Every variable of the collection as a whole, in the order in which an error lists them.
VARIABLES = (
    "webapp_apps", "webapp_sites", "webapp_hosts", "webapp_proxies", "webapp_only", "webapp_serial", "webapp_node_version",
    "webapp_node_checksum", "webapp_release", "webapp_between", "webapp_version", "webapp_break_lock", "webapp_empty",
    "webapp_remove", "webapp_remove_data",
)  # fmt: skip
# Those that the playbooks work out themselves, for each host.
WORKED_OUT = ("webapp_here", "webapp_proxy_here")
# Those by which a play chooses its hosts, before there is a host whose variables could be read.
OF_PLAYS = {"webapp_hosts": "webapp", "webapp_proxies": "proxies", "webapp_serial": "1"}
SWITCHES = ("webapp_break_lock", "webapp_empty", "webapp_remove_data")
PREFIX = "webapp_"
LOOK = "ansible-playbook -i INVENTORY gatehouse.webapp.history"
REMOVAL = "-e webapp_remove=shop-old   # %s tells which apps hosts have and the model does not" % LOOK
# How many letters may be wrong in a name that is taken for another.
LETTERS = 2
# In names up to this length one letter may be wrong: two make another word of them.
SHORT = 8


def unknown_variables(names):
    """[sentence] about each name that begins as the collection's own do, and is none of them."""
    found = []
    for name in sorted(name for name in names if name.startswith(PREFIX)):
        if name in VARIABLES + WORKED_OUT:
            continue
        word = name[len(PREFIX) :]
        near = difflib.get_close_matches(word, [one[len(PREFIX) :] for one in VARIABLES], n=1, cutoff=0.65)
        told = (
            "Did you mean: %s%s" % (PREFIX, near[0])
            if near
            else "Names that begin with webapp_ are gatehouse.webapp's own: give yours another one, such as my_%s"
            % word
        )
        found.append("%s: unknown variable. %s" % (name, told))
    return found


def mistyped(names, known):
    """[sentence] about names of others that are one or two letters from one that is known, and are not known themselves."""
    known = sorted(set(known) | set(VARIABLES))
    found = []
    for name in sorted(set(names) - set(known)):
        if name.startswith((PREFIX, "ansible_", "_")):
            continue
        near = next((one for one in known if is_near(name, one, 1 if len(name) <= SHORT else LETTERS)), None)
        if near:
            found.append("%s: no role reads it. Did you mean: %s" % (name, near))
    return found


def is_near(one, other, letters=LETTERS):
    """Whether so many changes make one text the other: a letter more, less or another, or two neighbours changed about."""
    if abs(len(one) - len(other)) > letters:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    if not one or not other:
        return len(one) + len(other) <= letters
    if not letters:
        return False
    return (
        is_near(one[1:], other[1:], letters - 1)
        or is_near(one[1:], other, letters - 1)
        or is_near(one, other[1:], letters - 1)
        or (one[:2] == other[1::-1] and is_near(one[2:], other[2:], letters - 1))
    )


def unread(names):
    """[sentence] about variables of hosts by which plays choose their hosts: there is no host yet when they do."""
    return [
        "%s: is read from the command line or the vars of an import_playbook, not from the inventory. Write: -e %s=%s"
        % (name, name, OF_PLAYS[name])
        for name in OF_PLAYS
        if name in names
    ]


def wrong_serial(value):
    """[sentence] about what is none of a number of hosts, a part of them in percent, or a list of those."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if values and all(re.match(r"^[1-9][0-9]*%?$", str(one)) for one in values):
        return []
    return ["webapp_serial: %s is no number of hosts. Write: -e webapp_serial=1, or 25%%" % value]


def wrong_switches(values):
    """[sentence] about the values of switches that are neither true nor false. None is one that was not given."""
    found = []
    for name, value in sorted(values.items()):
        is_text = isinstance(value, str) and "{{" not in value
        if (is_text and value.lower() not in BOOLEANS) or isinstance(value, (list, dict)):
            found.append("%s: is neither true nor false. Write: -e %s=true" % (name, name))
    return found


def not_of_a_deploy():
    """The GatehouseError about a deploy that was given a release: it deploys what the sources have."""
    return GatehouseError(
        "webapp_release is for a rollback, and this is a deploy of what the sources have. Nothing was touched.",
        "bad_input",
        "ansible-playbook -i INVENTORY gatehouse.webapp.rollback -e webapp_release=ID",
    )


def names_nothing():
    """The GatehouseError about a removal that does not say of what."""
    return GatehouseError(
        "webapp_remove names no app to remove. Nothing was touched.",
        "bad_input",
        REMOVAL,
    )


def nearly(names, there):
    """{name: [those that are there under nearly that name]} of those that are not there."""
    found = {name: [one for one in sorted(there) if is_near(name, one)] for name in names if name not in there}
    return {name: alike for name, alike in found.items() if alike}


def no_name(names):
    """The GatehouseError about a removal of what is no name of an app."""
    return GatehouseError(
        "webapp_remove: %s: no app has such a name: it is of small letters, figures and -. Nothing was touched."
        % ", ".join(names),
        "bad_input",
        REMOVAL,
    )


def undefined(variable, host, why):
    """The GatehouseError about a host's variable whose value needs another one that is not there. why: Ansible's words for it.

    Of them only the end is told: older versions of Ansible begin with the whole value, secrets and all.
    """
    known = re.findall(r"'[^'\n]{1,80}' is undefined|has no (?:attribute|element) '?[^'\n]{1,80}'?", why)
    return GatehouseError(
        "%s can't be worked out: %s. Nothing was touched."
        % (variable, known[-1] if known else "it needs what is not there"),
        "undefined",
        "see that the file or group that has it is read: ansible-inventory -i INVENTORY --host %s" % host,
    )


def unknown_tags(run, skip, known):
    """(what is wrong, [warning]) with the tags of a command line. known: every tag that there is in what was started."""
    options = [("--tags", set(run) - SPECIAL_TAGS), ("--skip-tags", set(skip) - SPECIAL_TAGS)]
    known = sorted(set(known) - SPECIAL_TAGS)
    problems, warnings = [], []
    for option, given in options:
        unknown = sorted(given.difference(known))
        for tag in unknown:
            near = next((one for one in known if is_near(tag, one)), None)
            sentence = "%s %s: nothing has this tag. %s" % (
                option,
                tag,
                "Did you mean: %s" % near if near else "Tags: %s" % ", ".join(known) if known else "There are no tags",
            )
            # With no tag that there is, a run does nothing and looks like one that did.
            (problems if near or (option == "--tags" and set(unknown) == given) else warnings).append(sentence)
    return problems, warnings


def empty(name, names, groups):
    """The GatehouseError about a host whose model says nothing at all. names: of all its variables.   groups: those it is in."""
    near = [one for one in sorted(names) for known in VARIABLES[:2] if is_near(one, known) and one not in VARIABLES]
    return GatehouseError(
        "%s: the inventory has neither webapp_apps nor webapp_sites for it%s (its groups: %s). Nothing was touched."
        % (name, ", but %s" % ", ".join(near) if near else "", ", ".join(groups) or "none"),
        "empty_model",
        "write both into group_vars/%s.yml beside the inventory, and see them: ansible-inventory -i INVENTORY --host %s"
        % (groups[0] if groups else "all", name),
    )


def no_host(pattern, groups, variable="webapp_hosts"):
    """The GatehouseError about a pattern that no host of the inventory matches. groups: {group: its hosts}."""
    own = {group: hosts for group, hosts in groups.items() if group not in ("all", "ungrouped")}
    near = difflib.get_close_matches(pattern, own, n=1) or sorted(own)
    listed = "; ".join("%s (%s)" % (group, ", ".join(hosts) or "no host") for group, hosts in sorted(own.items()))
    others = groups.get("ungrouped") or []
    if others:
        listed += "%sin no group: %s" % ("; " if listed else "", ", ".join(others))
    if not listed:
        return GatehouseError("The inventory has no host", "no_host", "name it: -i INVENTORY")
    if pattern in own:
        return GatehouseError(
            "The group %s has no host. All groups: %s" % (pattern, listed),
            "no_host",
            "put a host into it, as in: %s: {hosts: {app1: {ansible_host: 192.0.2.10}}}" % pattern,
        )
    return GatehouseError(
        "No host of the inventory is in %s. Its groups: %s" % (pattern, listed),
        "no_host",
        "name the group that is meant: -e %s=%s%s"
        % (variable, (near or ["all"])[0], ", or call it webapp" if variable == "webapp_hosts" else ""),
    )


def only_hosted(apps, sites):
    """Whether these lists of apps, as they are written for each host, have apps, none that needs a host, and no site.

    apps, sites: the lists of each host; None where it has none.
    """
    found = [app for one in apps if isinstance(one, (list, tuple)) for app in one]
    return bool(found) and not any(sites) and all(isinstance(app, dict) and app.get("url") for app in found)


def listed(problems, cause):
    """The GatehouseError that lists problems. One alone is a sentence of its own."""
    if len(problems) == 1:
        return GatehouseError("%s. Nothing was touched." % problems[0], cause)
    lines = "\n".join("  - " + line for line in problems)
    return GatehouseError("There are %d problems. Nothing was touched.\n%s" % (len(problems), lines), cause)


def summary(model):
    """The model in one line."""
    ports = [port for app in model["apps"] for port in app["ports"]]
    opened = sorted({one["port"] for one in model["opened_ports"]})
    return "%s; %s" % (
        _counted(len(model["apps"]), "app", ports),
        _counted(len(model["sites"]), "site", opened),
    )


def _counted(count, noun, ports):
    return "%d %s%s%s" % (count, noun, "" if count == 1 else "s", " on " + listed_ports(ports) if ports else "")
