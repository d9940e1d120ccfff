# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What a run would do to what a host serves now: leave it out, or move one half of it. Pure.

serves, everywhere: as module_utils/_serves.look gives it.
"""

from __future__ import annotations

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

DEPLOY = "ansible-playbook -i INVENTORY gatehouse.webapp.site"
REMOVE = "ansible-playbook -i INVENTORY gatehouse.webapp.remove -e webapp_remove=%s"
REPLACE = DEPLOY + " -e webapp_remove=%s"

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


def names_of(apps):
    """The names of the model's apps, and those that they had before."""
    return {app["name"] for app in apps} | {app["renamed_from"] for app in apps if app["renamed_from"]}


def left_out(name, apps, sites, serves, removes=(), other_name=None):
    """(the GatehouseError about a model that has none of the apps or names that a host serves now, or None; [warning] about some).

    apps, sites: of the resolved model, those that are to be on this host.   serves: as module_utils/_serves.look gives it.
    removes: the names of apps that are to go.   other_name: what renamed() says, which tells more than that an app is gone.
    """
    if serves["apps"] and set(removes).issuperset(serves["apps"]):
        return None, []
    wanted = names_of(apps)
    names = {one for site in sites for one in site["server_names"] or ["_"]}
    gone, unanswered = sorted(set(serves["apps"]) - wanted), sorted(set(serves["names"]) - names)
    parts = []
    if unanswered and len(unanswered) == len(serves["names"]):
        parts.append("answers for %s now, and webapp_sites has no site for it" % _some(unanswered))
    if gone and len(gone) == len(serves["apps"]) and (parts or not other_name):
        parts.append("runs %s now, and webapp_apps has no app for it" % _some(gone))
    if parts:
        error = GatehouseError(
            "%s %s. A deploy would take that down. Nothing was touched." % (name, "; it ".join(parts)),
            "nothing_left",
            "ansible-inventory -i INVENTORY --host %s   # shows what is read for it. When it is meant: -e webapp_empty=true"
            % name,
        )
        return error, []
    if other_name:
        return other_name, []
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
    told = "has %s, which the model does not have: %s. A deploy leaves that as it is." % (
        _some(sorted(things)),
        _some([thing for name in sorted(things) for thing in things[name]]),
    )
    command = REPLACE if any(found[name]["led"] for name in things) else REMOVE
    return {
        "names": sorted(found),
        "told": told if things else "",
        "command": command % ",".join(sorted(things)) if things else "",
    }


def renamed(name, apps, chosen, remains, removes=()):
    """The GatehouseError about apps that look like others of the host under new names, or that have lost their former ones; or None.

    apps: of the resolved model, those of this host.   chosen: the names of those that the run is about.
    removes: those that are to go.
    """
    names = names_of(apps)
    left = [one for one in sorted(remains) if one not in names and one not in removes and remains[one]["files"]]
    found = []
    for app in (app for app in apps if app["name"] in chosen):
        lost = [
            _other_data(app, one, remains[one]["runs_as"])
            for one in (app["name"], app["renamed_from"])
            if _runs_as_another(app, remains.get(one))
        ]
        is_new = app["name"] not in remains or not remains[app["name"]]["files"]
        alike = [_looks_renamed(app, one, remains[one]) for one in left if is_new]
        found += lost[:1] or [one for one in alike if one][:1]
    if not found:
        return None
    return GatehouseError(
        "%s: %s Nothing was touched." % (name, " ".join(sentence for sentence, _hint in found)),
        "renamed",
        "\n".join(hint for _sentence, hint in found),
    )


def _runs_as_another(app, there):
    return there and there["runs_as"] not in (None, app["user"])


def _other_data(app, one, user):
    """(sentence, hint) about an app that would go on as another user, without its data. one: its name, or the former one."""
    hint = "write in webapp_apps[%s]: renamed_from: %s   # as long as the data in /var/lib/%s is the app's" % (
        app["name"],
        user,
        user,
    )
    if one != app["name"]:
        hint += ". And give it other ports than those of %s, which goes with: %s" % (one, REPLACE % one)
    return "%s runs as the user %s, and %s would run as %s, without that one's data." % (
        one,
        user,
        app["name"],
        app["user"],
    ), hint


def _looks_renamed(app, former, old):
    """(sentence, hint) about an app that has the ports or the source of one that the model does not have; None where it has neither."""
    ports = sorted(set(old["ports"]) & set(app["ports"] + [one["port"] for one in app["green"]]))
    user = old["runs_as"] or former
    known = app["renamed_from"] == user
    if not ports and (known or not old["source"] or old["source"] != app["origin"]):
        return None
    alike = "has %s" % listed_ports(ports) if ports else "comes from the same source"
    if old["led"]:
        away = "%s%s   # deploys, and removes %s once nginx no longer leads there" % (
            "give %s other ports, and: " % app["name"] if ports else "",
            REPLACE % former,
            former,
        )
    else:
        away = "remove %s first: %s" % (former, REMOVE % former)
    if known:
        return "%s %s as %s does, which the model no longer has." % (app["name"], alike, former), away
    keep = "when it is, write in webapp_apps[%s]: renamed_from: %s   # keeps its data" % (app["name"], user)
    # Of two names that it had, only the first is kept.
    keep += ". When it is not, %s" % away if user == former else ". In both cases %s" % away
    return "%s is new, and %s as %s does, which the model no longer has. Is it that app under another name?" % (
        app["name"],
        alike,
        former,
    ), keep


def not_removable(name, names, apps, led, renamed=(), data=False):
    """The GatehouseError about a removal of apps that the model has, or that nginx leads to; None where all can go.

    names: those to remove.   apps: the names of the model's.   led: those of the host's that nginx leads to.
    renamed: former names of the model's apps.   data: whether their data is to go.
    """
    used = [one for one in names if one in renamed and data]
    if used:
        return GatehouseError(
            "%s: the data of %s is that of an app of the model, by its renamed_from. Nothing was touched."
            % (name, ", ".join(used)),
            "in_use",
            "leave out webapp_remove_data",
        )
    kept = [one for one in names if one in apps]
    if kept:
        return GatehouseError(
            "%s: the model has %s. Nothing was touched." % (name, ", ".join(kept)),
            "in_use",
            "take what is to go out of webapp_apps and webapp_sites, then: %s; or name with --limit the hosts whose model does not have it"
            % (REPLACE % ",".join(kept)),
        )
    still = [one for one in names if one in led]
    if still:
        return GatehouseError(
            "%s: nginx still leads requests to %s. Nothing was touched." % (name, ", ".join(still)),
            "in_use",
            "%s   # deploys, and removes what is named once nginx no longer leads there" % (REPLACE % ",".join(still)),
        )
    return None


def moved(apps, serves):
    """[(app, where it is now, where the model has it)] of apps that a deploy takes to other ports, or to another name."""
    found = []
    for app in apps:
        former = app["renamed_from"] if app["renamed_from"] in serves["apps"] else None
        if former and app["name"] not in serves["apps"]:
            found.append((app["name"], "the name %s" % former, app["name"]))
            continue
        now = set(serves["apps"].get(app["name"], []))
        sets = [ports for ports in (set(app["ports"]), {one["port"] for one in app["green"]}) if ports]
        # An instance more or less, or the other set of ports, is no move: nginx knows the rest of them.
        if sets and now.difference(*sets) and all(ports - now for ports in sets):
            found.append((app["name"], listed_ports(sorted(now)), listed_ports(app["ports"])))
    return found


def half_moved(name, apps, chosen, serves, activates, configures):
    """The GatehouseError about a run that moves an app or what leads to it, but not both; None where all is well.

    chosen: the names of the apps that the run is about.   activates, configures: whether it has those stages.
    """
    for app, now, then in moved(apps, serves):
        moves = activates and app in chosen
        if moves == configures:
            continue
        if moves:
            sentence = "this run would take %s from %s to %s, and nginx would go on sending to where it is now"
        else:
            sentence = "the model takes %s from %s to %s. This run would lead nginx there, and start nothing there"
        return GatehouseError(
            "%s: %s. Nothing was touched." % (name, sentence % (app, now, then)),
            "port_changed",
            "%s   # with no tags, and with %s among webapp_only" % (DEPLOY, app),
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
