# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What an inventory and a command line say that can't be meant: names that nobody reads, and lists that are not there. Pure."""

from __future__ import annotations

import difflib
import re

from ansible.module_utils.parsing.convert_bool import BOOLEANS

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._timeline import SPECIAL_TAGS

# Every variable of the collection as a whole, in the order in which an error lists them.
VARIABLES = (
    "webapp_apps", "webapp_sites", "webapp_hosts", "webapp_proxies", "webapp_only", "webapp_serial", "webapp_node_version",
    "webapp_node_checksum", "webapp_release", "webapp_between", "webapp_version", "webapp_break_lock", "webapp_empty",
)  # fmt: skip
# Those that the playbooks work out themselves, for each host.
WORKED_OUT = ("webapp_here", "webapp_proxy_here")
# Those by which a play chooses its hosts, before there is a host whose variables could be read.
OF_PLAYS = {"webapp_hosts": "webapp", "webapp_proxies": "proxies", "webapp_serial": "1"}
SWITCHES = ("webapp_break_lock", "webapp_empty")
PREFIX = "webapp_"
# How many letters may be wrong in a name that is taken for another.
LETTERS = 2
# Of names shorter than this, two wrong letters make another word: up to there one letter may be wrong.
SHORT = 8

# What a stage's tags are, of the stages that must know of each other.
STAGES = {
    "activate": ("activate", "uvicorn_app", "pm2_app", "static_app"),
    "nginx_proxy": ("nginx_proxy",),
    "ufw": ("ufw",),
}


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


def unread(names):
    """[sentence] about variables of hosts by which plays choose their hosts: there is no host yet when they do."""
    return [
        "%s: is read from the command line or the vars of an import_playbook, not from the inventory. Write: -e %s=%s"
        % (name, name, OF_PLAYS[name])
        for name in OF_PLAYS
        if name in names
    ]


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
    return "%d %s%s%s" % (count, noun, "" if count == 1 else "s", " on " + _ports(ports) if ports else "")


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


def is_to_run(stage, run, skip):
    """Whether a stage of that name is part of a run with these tags."""
    tags = set(STAGES[stage])
    chosen = {"all", "tagged"} & set(run) or tags & set(run)
    return bool(chosen) and not tags & set(skip) and not {"all", "tagged"} & set(skip)


def left_out(name, apps, sites, serves):
    """(the GatehouseError about a model that has none of the apps or names that a host serves now, or None; [warning] about some).

    apps, sites: of the resolved model, those that are to be on this host.   serves: as module_utils/_serves.look gives it.
    """
    wanted = {app["name"] for app in apps}
    names = {one for site in sites for one in site["server_names"] or ["_"]}
    gone, unanswered = sorted(set(serves["apps"]) - wanted), sorted(set(serves["names"]) - names)
    parts = []
    if unanswered and len(unanswered) == len(serves["names"]):
        parts.append("answers for %s now, and webapp_sites has no site for it" % _some(unanswered))
    if gone and len(gone) == len(serves["apps"]):
        parts.append("runs %s now, and webapp_apps has no app for it" % _some(gone))
    if parts:
        error = GatehouseError(
            "%s %s. A deploy would take that down. Nothing was touched." % (name, "; it ".join(parts)),
            "nothing_left",
            "ansible-inventory -i INVENTORY --host %s   # shows what is read for it. When it is meant: -e webapp_empty=true"
            % name,
        )
        return error, []
    warnings = []
    if unanswered:
        warnings.append("answers for %s now, and no site of the model does" % _some(unanswered))
    if gone:
        warnings.append("runs %s now, which the model does not have: it is left as it is" % _some(gone))
    return None, warnings


def moved(apps, serves):
    """[(app, its ports now, its ports in the model)] of apps that a deploy takes to other ports."""
    found = []
    for app in apps:
        now = set(serves["apps"].get(app["name"], []))
        sets = [ports for ports in (set(app["ports"]), {one["port"] for one in app["green"]}) if ports]
        # An instance more or less, or the other set of ports, is no move: nginx knows the rest of them.
        if sets and now.difference(*sets) and all(ports - now for ports in sets):
            found.append((app["name"], sorted(now), app["ports"]))
    return found


def half_moved(name, apps, chosen, serves, activates, configures):
    """The GatehouseError about a run that moves an app or what leads to it, but not both; None where all is well.

    chosen: the names of the apps that the run is about.   activates, configures: whether it has those stages.
    """
    for app, now, then in moved(apps, serves):
        moves = activates and app in chosen
        if moves == configures:
            continue
        ports = "from %s to %s" % (_ports(now), _ports(then))
        if moves:
            sentence = "this run would take %s %s, and nginx would go on sending to where it is now" % (app, ports)
        else:
            sentence = "the model takes %s %s. This run would lead nginx there, and start nothing there" % (app, ports)
        return GatehouseError(
            "%s: %s. Nothing was touched." % (name, sentence),
            "port_changed",
            "ansible-playbook -i INVENTORY gatehouse.webapp.site   # with no tags, and with %s among webapp_only" % app,
        )
    return None


def half_opened(name, opened, serves, configures, opens):
    """(the GatehouseError, or None; [warning]) about a run that leads nginx to other ports, and does not open them.

    opened: the ports of the model's sites.   configures, opens: whether the run has the stages nginx_proxy and ufw.
    """
    new, old = sorted(set(opened) - set(serves["ports"])), sorted(set(serves["ports"]) - set(opened))
    if not (new and serves["ports"] and serves["firewall"] and configures and not opens):
        return None, []
    sentence = "nginx would answer on %s, which this run does not open in UFW" % _ports(new)
    if not old:
        return None, [sentence]
    error = GatehouseError(
        "%s: %s, and no longer on %s. Nothing was touched." % (name, sentence, _ports(old)),
        "port_changed",
        "ansible-playbook -i INVENTORY gatehouse.webapp.site   # with no tags",
    )
    return error, []


def no_way_back(name, apps, only, targets):
    """The GatehouseError about a rollback that does not say which apps, or of which an app has no release; None where all have one.

    apps: the names of those it is about.   only: those that were named.   targets: as module_utils/_serves.targets gives them.
    """
    if not only and len(apps) > 1:
        return GatehouseError(
            "There are several apps, and a rollback takes back those that are named. Nothing was touched.",
            "bad_input",
            "-e webapp_only=%s   # or all of them: -e webapp_only=%s" % (apps[0], ",".join(apps)),
        )
    without = [app for app in apps if not targets.get(app, {}).get("target")]
    if without:
        known = [
            "%s (it has %s)" % (app, ", ".join(targets.get(app, {}).get("releases", [])) or "none") for app in without
        ]
        return GatehouseError(
            "%s: there is no release to go back to of %s. Nothing was touched." % (name, "; ".join(known)),
            "no_release",
            "ansible-playbook -i INVENTORY gatehouse.webapp.history   # shows the releases of each app, for -e webapp_release=ID",
        )
    return None


def _ports(ports):
    return "port%s %s" % ("" if len(ports) == 1 else "s", ", ".join(map(str, ports)))


def _some(names):
    """Some of the names, as part of a sentence."""
    names = ["any name" if name == "_" else name for name in names]
    return ", ".join(names[:3]) + (" and %d more" % (len(names) - 3) if len(names) > 3 else "")


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


def not_of_a_deploy():
    """The GatehouseError about a deploy that was given a release: it deploys what the sources have."""
    return GatehouseError(
        "webapp_release is for a rollback, and this is a deploy of what the sources have. Nothing was touched.",
        "bad_input",
        "ansible-playbook -i INVENTORY gatehouse.webapp.rollback -e webapp_release=ID",
    )


def wrong_switches(values):
    """[sentence] about the values of switches that are neither true nor false. None is one that was not given."""
    found = []
    for name, value in sorted(values.items()):
        is_text = isinstance(value, str) and "{{" not in value
        if (is_text and value.lower() not in BOOLEANS) or isinstance(value, (list, dict)):
            found.append("%s: is neither true nor false. Write: -e %s=true" % (name, name))
    return found


def wrong_serial(value):
    """[sentence] about what is none of a number of hosts, a part of them in percent, or a list of those."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if values and all(re.match(r"^[1-9][0-9]*%?$", str(one)) for one in values):
        return []
    return ["webapp_serial: %s is no number of hosts. Write: -e webapp_serial=1, or 25%%" % value]
