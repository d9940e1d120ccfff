# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What a site is asked beyond the health of its apps: preflight requests of other origins, and its own checks. Pure."""

from __future__ import annotations

import re

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._checks import route_for

MARKS = {"exact": "= ", "regex": "~ ", "prefix": ""}
# No origin that there is: RFC 2606 keeps the name from everybody.
NOWHERE = "gatehouse.invalid"


def preflights(site, way):
    """What browsers ask before a page of another origin may call each route with `cors`, of a derived site.

    way: what leads to the site: {site, host, scheme, port, trusted}.
    Each origin of the route is asked for once, and one that none of them is. An expression has no path to ask for: `path` is None.
    """
    found = []
    for route in site["routes"]:
        cors = route["cors"]
        if not cors:
            continue
        origins = [(_an_origin(origin), True) for origin in cors["origins"]]
        if not cors["every"]:
            origins.append((_foreign(origins[0][0]), False))
        for origin, allowed in origins:
            found.append(
                dict(
                    way,
                    route=MARKS[route["match"]] + route["path"],
                    path=path_of(site["routes"], route),
                    origin=origin,
                    allowed=allowed,
                    every=cors["every"],
                    credentials=cors["credentials"],
                    methods=cors["methods"],
                    headers=cors["headers"],
                )
            )
    return found


def checks(site, way):
    """The site's own checks, each with what leads to the site."""
    return [dict(way, **check) for check in site["verify"]]


def taken_route(routes, path):
    """The route of a derived site that nginx takes for the path; None where there is none."""
    named = [{"path": MARKS[route["match"]] + route["path"], "route": route} for route in routes]
    found = route_for(named, path)
    return found and found["route"]


def path_of(routes, route):
    """A path that takes this route of a derived site; None where none is known, as of an expression, which is no path itself."""
    own = route["path"]
    if route["files"] and route["match"] == "prefix" and not own.endswith("/"):
        own += "/"
    paths = [own] if route["match"] == "exact" else [own, own + "gatehouse-verify"]
    return next((path for path in paths if taken_route(routes, path) is route), None)


def _an_origin(origin):
    """The origin itself; one of those that a * stands for."""
    return "https://gatehouse-verify.example" if origin == "*" else origin.replace("*", "gatehouse-verify")


def _foreign(origin):
    """An origin that begins as a right one does: what compares the beginning alone takes it for that."""
    scheme, name = re.match(r"(https?)://([a-z0-9.-]*)", origin).groups()
    return "%s://%s" % (scheme, ".".join(part for part in (name, NOWHERE) if part))
