# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What a run would do to what a host serves now: leave it out, or move one half of it. Pure.

serves, everywhere: as module_utils/_serves.look gives it.
"""

from __future__ import annotations

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

DEPLOY = "ansible-playbook -i INVENTORY gatehouse.webapp.site"
REMOVE = "ansible-playbook -i INVENTORY gatehouse.webapp.remove -e webapp_remove=%s"

# The tags of those stages that change what a host serves.
STAGES = {
    "activate": ("activate", "uvicorn_app", "pm2_app", "static_app"),
    "nginx_proxy": ("nginx_proxy",),
    "ufw": ("ufw",),
}


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
    return None, warnings


def orphans(apps, remains):
    """{names, told, command} of the apps that a host has something of and the model does not have.

    Of data that was kept on purpose nothing is told, so told and command are empty where there is nothing else.
    apps: the names of the model's.   remains: as module_utils/_remains.py finds it.
    """
    found = {name: one for name, one in remains.items() if name not in apps}
    things = {name: one["units"] + one["files"] for name, one in found.items() if one["units"] or one["files"]}
    told = "has %s, which the model does not have: %s. It is left as it is." % (
        _some(sorted(things)),
        _some([thing for name in sorted(things) for thing in things[name]]),
    )
    return {
        "names": sorted(found),
        "told": told if things else "",
        "command": REMOVE % ",".join(sorted(things)) if things else "",
    }


def not_removable(name, names, apps, led):
    """The GatehouseError about a removal of apps that the model has, or that nginx leads to; None where all can go.

    names: those to remove.   apps: the names of the model's.   led: those of the host's that nginx leads to.
    """
    kept = [one for one in names if one in apps]
    if kept:
        return GatehouseError(
            "%s: the model has %s. Nothing was touched." % (name, ", ".join(kept)),
            "in_use",
            "take it out of webapp_apps and webapp_sites, then: %s; or name with --limit the hosts whose model does not have it"
            % DEPLOY,
        )
    still = [one for one in names if one in led]
    if still:
        return GatehouseError(
            "%s: nginx still leads requests to %s. Nothing was touched." % (name, ", ".join(still)),
            "in_use",
            "%s   # writes nginx's configuration without it" % DEPLOY,
        )
    return None


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
        ports = "from %s to %s" % (listed_ports(now), listed_ports(then))
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
    sentence = "nginx would answer on %s, which this run does not open in UFW" % listed_ports(new)
    if not old:
        return None, [sentence]
    error = GatehouseError(
        "%s: %s, and no longer on %s. Nothing was touched." % (name, sentence, listed_ports(old)),
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


def listed_ports(ports):
    return "port%s %s" % ("" if len(ports) == 1 else "s", ", ".join(map(str, ports)))


def _some(names):
    """Some of the names, as part of a sentence."""
    names = ["any name" if name == "_" else name for name in names]
    return ", ".join(names[:3]) + (" and %d more" % (len(names) - 3) if len(names) > 3 else "")
