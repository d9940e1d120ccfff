# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The apps that a run is about, of all that the model has. Pure."""

from __future__ import annotations

import difflib

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._asked import taken_route


def names_given(value, variable="webapp_only"):
    """The names in a list, or in a text that parts them by commas. variable: where they are written."""
    if value is None:
        return []
    if isinstance(value, str) and not value.strip(" ,"):
        # As of a shell's variable that is not set. All apps are what nobody has asked for.
        raise GatehouseError(
            "%s is empty" % variable,
            "bad_input",
            "name apps (-e %s=shop,chat-api)%s"
            % (variable, ", or leave it out for all of them" if variable == "webapp_only" else ""),
        )
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise GatehouseError(
            "%s is neither a list of names nor a text with commas" % variable,
            "bad_input",
            "-e %s=shop,chat-api" % variable,
        )
    return list(dict.fromkeys(name for name in (item.strip() for item in items) if name))


def choose(apps, only):
    """Those of the apps that are named, in their own order; all of them where none is. An unknown name is an error."""
    only, names = names_given(only), [app["name"] for app in apps]
    unknown = [name for name in only if name not in names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        raise GatehouseError(
            "no app is called %s (apps: %s)" % (", ".join(unknown), ", ".join(names) or "none"),
            "bad_input",
            "-e webapp_only=%s" % (near or names or ["NAME"])[0],
        )
    return [app for app in apps if app["name"] in only] if only else apps


def about(model, only):
    """The resolved model without what concerns other apps alone. Sites stay whole: a route of another app is still theirs."""
    apps = choose(model["apps"], only)
    names = {app["name"] for app in apps}
    routes = {site["name"]: site["routes"] for site in model["sites"]}

    def concerns(asked):
        route = taken_route(routes[asked["site"]], asked["path"]) if asked["path"] else None
        return not route or not route["app"] or route["app"] in names

    return dict(
        model,
        apps=apps,
        probes=[probe for probe in model["probes"] if probe["app"] in names],
        preflights=[asked for asked in model["preflights"] if concerns(asked)],
        checks=[asked for asked in model["checks"] if concerns(asked)],
        local_sources=[source for source in model["local_sources"] if source["app"] in names],
    )
