# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""From what the inventory says of apps and sites to all that the parts do: read, check, derive.

Pure: nothing here looks at a host, a file or a clock, and the input is left as it was.
"""

from __future__ import annotations

import copy
import os
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _schema, _tls
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._checks import (
    ROUTE_TARGETS,
    check,
    green_port_of,
    is_local,
    is_url,
    listens,
    route_for,
    strategy_of,
)
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._reading import plain, read_list

HEALTH_REQUEST = ("path", "host")
DEFAULT_BURST = 20


def resolve(apps, sites, directory=""):
    """The whole model as plain data, or one GatehouseError that lists every problem.

    directory: what relative paths on the control node (source.directory, source.archive) are relative to.
    """
    problems = []
    apps = read_list("webapp_apps", _schema.APP, plain(apps), problems)
    sites = read_list("webapp_sites", _schema.SITE, plain(sites), problems)

    check(apps, sites, problems)
    if problems:
        raise GatehouseError(
            "The model has %d problem%s:\n%s"
            % (len(problems), "" if len(problems) == 1 else "s", "\n".join("  - " + line for line in problems)),
            cause="bad_model",
            problems=problems,
        )

    apps = [_derive_app(app, directory) for _place, app in apps]
    sites = [_derive_site(site, apps) for _place, site in sites]
    probes = [probe for site in sites for probe in _derive_probes(site, apps)]
    return {
        "apps": [dict(app, proxy=_derive_proxy(app, probes)) for app in apps],
        "sites": sites,
        "opened_ports": _derive_opened_ports(sites),
        "exposed_ports": [port for app in apps for port in _derive_exposed_ports(app)],
        "probes": probes,
        "local_sources": [source for app in apps for source in _derive_local_sources(app)],
    }


def _derive_app(app, directory):
    name = app["name"]
    built = app["runtime"] in _schema.BUILT
    run = app["runtime"] in _schema.RUN
    ports = [app["port"] + index for index in range(app["instances"])] if app["port"] else []
    strategy = strategy_of(app)
    green_ports = [green_port_of(app) + index for index in range(len(ports))] if strategy == "blue_green" else []
    source = app["source"]
    if source:
        for key in ("directory", "archive"):
            if source[key] is not None and not is_url(source[key]):
                source = dict(source, **{key: os.path.normpath(os.path.join(directory, source[key]))})
    return dict(
        app,
        source=source,
        user=name if built else None,
        root="/srv/" + name if built else None,
        state_dir="/var/lib/" + name if built else None,
        log_dir="/var/log/" + name if run and app["log_file"] else None,
        unit=name + "@.service" if run else None,
        services=_services(name, ports) if run else [],
        green=_services(name, green_ports),
        ports=ports,
        apart=run and not any(is_local(host) for host in app["hosts"]),
        strategy=strategy,
        green_port=green_ports[0] if green_ports else None,
        rotation="/run/gatehouse/rotation/" + name if run else None,
        gate_address=_gate_address(app["listen"]) if run else None,
        upstream=_derive_upstream(app, strategy, ports, green_ports) if ports else None,
        files=_derive_files(app),
    )


def _derive_files(app):
    """What nginx serves of an app of files, through the link that names its live release."""
    static = app["static"]
    if app["runtime"] != "static":
        return None
    folder = os.path.normpath(os.path.join("src", static["app_dir"], static["root"]))
    return {
        "below": folder,
        "root": "/srv/%s/current/%s" % (app["name"], folder),
        "former": "/srv/%s/former/%s" % (app["name"], folder),
        "index": static["index"],
        "spa": static["spa"],
    }


def _services(name, ports):
    return [{"name": "%s@%d.service" % (name, port), "port": port} for port in ports]


def _gate_address(listen):
    """Where an app that listens there is asked on its own host."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)


def _derive_upstream(app, strategy, ports, green_ports):
    """The servers of the app, and what a proxy sends to in their place while some file is there.

    Each has a way out: when none of its servers takes a connection, the request goes to those it leaves out.
    """
    name = app["name"]

    def servers(hosts, some_ports):
        return ["%s:%d" % (_in_url(host), port) for host in hosts for port in some_ports]

    every, green = servers(app["hosts"], ports), servers(app["hosts"], green_ports)
    alternatives = []
    if strategy == "blue_green":
        alternatives.append(("green", None, "/srv/%s/current/green" % name, green, every))
    elif app["runtime"] in _schema.RUN:
        parts = [(str(port), servers(app["hosts"], [port])) for port in ports]
        if not any(is_local(host) for host in app["hosts"]):
            parts = [(host, servers([host], ports)) for host in app["hosts"]]
        for part, out in parts if len(parts) > 1 else []:
            file = re.sub(r"[^A-Za-z0-9.-]", "_", part.strip("[]"))
            rest = [server for server in every if server not in out]
            path = "/run/gatehouse/rotation/%s/%s" % (name, file)
            alternatives.append(("without-" + file, part, path, rest, out))
    return {
        "name": name,
        "servers": every,
        "backup": green,
        "follows": "green" if green else "parts",
        "alternatives": [
            # A dot: no app has one in its name.
            {"name": "%s.%s" % (name, suffix), "out": part, "when": path, "servers": used, "backup": others}
            for suffix, part, path, used, others in alternatives
        ],
    }


def _derive_proxy(app, probes):
    """How the app is asked through the proxy on its own host; None where no site leads to its health."""
    found = [probe for probe in probes if probe["app"] == app["name"] and probe["path"]]
    if not found or not (app["files"] or app["upstream"]["backup"]):
        return None
    probe = found[0]
    return {"url": "%s://127.0.0.1:%d%s" % (probe["scheme"], probe["port"], probe["path"]), "host": probe["host"]}


def _derive_exposed_ports(app):
    """Who else than the host itself may reach the app's own ports."""
    return [
        {"port": port, "proto": "tcp", "from": source, "reason": "app " + app["name"]}
        for port in app["ports"]
        for source in app["expose"]
    ]


def _derive_local_sources(app):
    """What must be readable on the control node."""
    source = app["source"] or {}
    return [
        {"place": "webapp_apps[%s].source.%s" % (app["name"], key), "path": source[key], "kind": kind}
        for key, kind in (("directory", "directory"), ("archive", "file"))
        if source.get(key) is not None and not is_url(source[key])
    ]


def _in_url(host):
    return "[%s]" % host.strip("[]") if ":" in host else host


def _derive_site(site, apps):
    by_name = {app["name"]: app for app in apps}
    health_paths = _health_paths(site["routes"], by_name)
    routes = []
    for name, path in health_paths.items():
        if not any(route["path"] == path for route in site["routes"]):
            bare = {key: copy.deepcopy(entry.get("default")) for key, entry in _schema.ROUTE.items()}
            bare.update(path=path, app=name, rate="none", access_log=False)
            routes.append(_derive_route(bare, site, by_name, exact=True))
    for route in site["routes"]:
        if route["app"] and health_paths.get(route["app"]) == route["path"]:
            route = dict(route, rate=route["rate"] or "none")
            route["access_log"] = bool(route["access_log"])
        routes.append(_derive_route(route, site, by_name, exact=False))

    zones = []
    for route in routes:
        if route["rate"]:
            base = "%s_%s" % (site["name"], re.sub(r"[^A-Za-z0-9]+", "_", route["path"]).strip("_") or "root")
            used = [zone["zone"] for zone in zones]
            route["zone"] = next(
                name for name in [base] + ["%s_%d" % (base, number) for number in range(2, 999)] if name not in used
            )
            zones.append({"zone": route["zone"], "rate": route["rate"]})
    for route in routes:
        own = {name.lower() for name in route["headers"]}
        told = {name: value for name, value in _tls.headers(site).items() if name.lower() not in own}
        route["headers"] = dict(told, **route["headers"])
    tls = _tls.derive(site)
    names = [name.lower() for name in site["server_names"]]
    return dict(site, server_names=names, tls=tls, routes=routes, zones=zones)


def _health_paths(routes, by_name):
    """{app: the path its health is asked for on the site of these routes}, for the apps that have one.

    One of the app's own routes covers it, or the site has a single app: then the path is taken out of whatever
    covers it (a static folder at /, say) by an exact route.
    """
    names = [name for name in dict.fromkeys(route["app"] for route in routes) if name and by_name[name]["health"]]
    paths = {}
    for name in names:
        path = by_name[name]["health"]["path"].split("?")[0]
        route = route_for(routes, path)
        covered = route is not None and route["app"] == name
        free = len(names) == 1 and not (route and route["path"] == path)
        if (covered or free) and path not in paths.values():
            paths[name] = path
    return paths


def _derive_route(route, site, by_name, exact):
    kind = next(key for key in ROUTE_TARGETS if route[key] is not None)
    files = by_name[route["app"]]["files"] if kind == "app" else None
    if kind == "static":
        files = {"root": route["static"], "former": None, "index": "index.html", "spa": False}
    if files:
        kind = "static"
    defaults = _schema.ROUTE_DEFAULTS["websocket" if route["websocket"] else kind]
    filled = {
        key: copy.deepcopy(defaults[key]) if value is None and key in defaults else value
        for key, value in route.items()
    }
    if filled["rate"] == "none":
        filled["rate"] = None
    if filled["rate"] is None:
        filled["burst"] = None
    elif filled["burst"] is None:
        filled["burst"] = DEFAULT_BURST
    return dict(
        filled,
        exact=exact,
        body_size=route["body_size"] or site["client_max_body_size"],
        access_log=site["access_log"] if route["access_log"] is None else route["access_log"],
        upstream=route["app"] if kind == "app" else None,
        files=files and {key: files[key] for key in ("root", "former", "index", "spa")},
        zone=None,
    )


def _derive_opened_ports(sites):
    names = {}
    for site in sites:
        for _key, port, _scheme in listens(site):
            names.setdefault((port, "tcp"), []).append(site["name"])
        if _tls.is_on(site) and site["tls"]["http3"]:
            names.setdefault((site["https_port"], "udp"), []).append(site["name"])
    return [
        {"port": port, "proto": proto, "reason": "%s %s" % ("sites" if len(users) > 1 else "site", ", ".join(users))}
        for (port, proto), users in sorted(names.items())
    ]


def _derive_probes(site, apps):
    """What to ask of each app through this site."""
    _key, port, scheme = listens(site)[-1]
    by_name = {app["name"]: app for app in apps}
    routes = [route for route in site["routes"] if not route["exact"]]
    health_paths = _health_paths(routes, by_name)
    probes = []
    for name in dict.fromkeys(route["app"] for route in routes if route["app"]):
        app = by_name[name]
        if app["files"]:
            health = {key: copy.deepcopy(entry.get("default")) for key, entry in _schema.HEALTH.items()}
            health["path"] = next(route["path"] for route in routes if route["app"] == name)
            health_paths[name] = health["path"]
            app = dict(app, health=health)
        websocket = (app["websocket"] or {}).get("path")
        route = route_for(routes, websocket) if websocket else None
        reachable = route is not None and route["app"] == name and route["websocket"]
        probes.append(
            {
                "site": site["name"],
                "host": _probe_host(site["server_names"]),
                "scheme": scheme,
                "port": port,
                "trusted": site["tls"]["trusted"],
                "app": name,
                "path": app["health"]["path"] if name in health_paths else None,
                "websocket": websocket if reachable else None,
                "health": {key: value for key, value in app["health"].items() if key not in HEALTH_REQUEST},
            }
        )
    return probes


def _probe_host(server_names):
    """A name the site answers to: the first plain one, one under a wildcard, or any for a default site."""
    plain_names = [name for name in server_names if not name.startswith("*")]
    return (plain_names or [name.replace("*", "www", 1) for name in server_names] or ["localhost"])[0]
