# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What verify_host measures, of a resolved model: which link, where, and what the answer must be. Pure."""

from __future__ import annotations

import os

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._asked import taken_route

LOOPBACK = "127.0.0.1"
WITHOUT_A_PATH = (
    "The route's path is an expression, or other routes take all of it, so there is no path to ask for. Ask for one with the"
    " site's verify: {method: OPTIONS, path: ..., headers: {Origin: ...}, expect: {headers: {...}}}."
)
UNREACHED = "No route leads to the health path of %s, so it was not measured through nginx."


def host_plan(model, options):
    """What the host measures itself, for module_utils/_verify.Host."""
    return {
        "sites": bool(model["sites"]),
        "services": [_service(app, model) for app in model["apps"] if app["services"]] if options["services"] else [],
        "firewall": _ports(model) if options["firewall"] else None,
        "certificates": [_certificate(site) for site in model["sites"] if site["tls"]["mode"] != "none"],
        "managed": any(site["tls"]["managed"] for site in model["sites"]),
        "proxy": _health(model, "proxy", LOOPBACK),
        "options": _patience(options),
    }


def outside_plan(model, address):
    """What the control node asks at this address, for module_utils/_verify.from_here."""
    websockets = [
        _entry(model, "websocket", probe["host"] + probe["websocket"], dict(probe, path=probe["websocket"]), address)
        for probe in model["probes"]
        if probe["websocket"]
    ]
    return (
        [entry for app in model["apps"] if app["hosted"] for entry in _hosted(app)]
        + [entry for entry in _health(model, "outside", address) if not entry["skip"]]
        + websockets
        + [_preflight(model, asked, address) for asked in model["preflights"]]
        + [
            _entry(model, "check", "%s %s%s" % (asked["method"], asked["host"], asked["path"]), asked, address)
            for asked in model["checks"]
        ]
    )


def secrets_of(model):
    """What is sent along, and is nobody's business: values of headers, and all texts of what is sent."""
    harmless = ("accept", "content-type", "origin")
    sent = [app["health"]["headers"] for app in model["apps"] if app["health"]]
    sent += [asked["headers"] for asked in model["checks"]]
    found = [value for headers in sent for name, value in headers.items() if name.lower() not in harmless]
    for asked in model["checks"]:
        found += _texts(asked["json"]) + _texts(asked["body"])
    return sorted(set(found))


def _texts(value):
    """Every text and number in a JSON value."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


def _patience(options):
    kept = {key: options[key] for key in ("successes", "timeout", "validate_certs", "warn_days", "fail_days")}
    # The file is the control node's. The host trusts whom it trusts.
    return dict(kept, ca_path=None)


def _ports(model):
    return [one for one in model["opened_ports"] if one["proto"] == "tcp"]


def _service(app, model):
    proxied = {route["upstream"] for site in model["sites"] for route in site["routes"]}
    health = app["health"]
    return {
        "app": app["name"],
        "services": app["services"],
        "green": app["green"],
        "flag": os.path.join(app["root"], "current", "green") if app["green"] else None,
        "address": app["gate_address"],
        "upstream": app["upstream"]["name"] if app["name"] in proxied else None,
        "ask": {
            "path": health["path"],
            "host": health["host"],
            "health": {key: health[key] for key in ("headers", "status", "json", "text")},
        },
    }


def _certificate(site):
    return {
        "site": site["name"],
        "what": "%s:%d" % (site["name"], site["https_port"]),
        "port": site["https_port"],
        "names": site["server_names"],
        "trusted": site["tls"]["trusted"],
        "managed": site["tls"]["managed"],
    }


def _health(model, link, address):
    return [
        _entry(model, link, probe["host"] + (probe["path"] or ""), probe, address)
        if probe["path"]
        else dict(_entry(model, link, probe["host"], dict(probe, path="/"), address), skip=UNREACHED % probe["app"])
        for probe in model["probes"]
    ]


def _hosted(app):
    """Of an app that is hosted elsewhere: its health and its WebSocket, at its own address. No site and no route has a say in it."""
    external, health = app["hosted"]["external"], app["health"]
    paths = [("outside", health["path"])] + ([("websocket", app["websocket"]["path"])] if app["websocket"] else [])
    return [
        {
            "link": link,
            "what": external["authority"] + path,
            "site": None,
            "app": app["name"],
            "scheme": external["scheme"],
            "address": external["host"].strip("[]"),
            "port": app["hosted"]["port"],
            "path": path,
            "host": health["host"],
            "trusted": True,
            "health": {key: health[key] for key in ("headers", "status", "json", "text")},
            "skip": None,
            "closed": False,
            "selective": False,
            "limit": None,
        }
        for link, path in paths
    ]


def _preflight(model, asked, address):
    entry = _entry(
        model,
        "cors",
        "%s%s from %s" % (asked["host"], asked["path"] or asked["route"], asked["origin"]),
        dict(asked, path=asked["path"] or "/"),
        address,
    )
    return entry if asked["path"] else dict(entry, skip=WITHOUT_A_PATH)


def _entry(model, link, what, asked, address):
    """What to ask, with all that the answer is judged by."""
    site = next(site for site in model["sites"] if site["name"] == asked["site"])
    route = taken_route(site["routes"], asked["path"])
    return dict(
        asked,
        link=link,
        what=what,
        app=asked.get("app") or (route and route["app"]),
        address=address,
        skip=None,
        closed=site["maintenance"]["enabled"],
        selective=bool(route and (route["allow"] or route["deny"])),
        limit=_limit(route),
    )


def _limit(route):
    """How many requests a route lets through, as a text; None where it limits none."""
    told = []
    if route and route["zone"]:
        told.append("rate: %s, burst: %d" % (route["rate"], route["burst"] or 0))
    if route and route["connection_zone"]:
        told.append("connections: %d" % route["connections"])
    return "%s (%s)" % (route["path"], ", ".join(told)) if told else None
