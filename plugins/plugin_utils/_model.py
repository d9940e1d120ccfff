# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""From what the inventory says of apps and sites to all that the parts do: read, check, derive.

Pure: nothing here looks at a host, a file or a clock, and the input is left as it was.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import redact_logins
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _asked, _schema, _tls
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._checks import (
    ROUTE_PRESETS,
    ROUTE_TARGETS,
    build_user,
    check,
    green_port_of,
    is_local,
    is_url,
    listens,
    route_for,
    strategy_of,
    stripped_prefix,
    url_path,
    user_of,
    ways_to,
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
    probes = [probe for _place, site in sites for probe in _derive_probes(site, apps)]
    sites = [_derive_site(number, site, apps) for number, (_place, site) in enumerate(sites)]
    return {
        "apps": [dict(app, proxy=_derive_proxy(app, probes)) for app in apps],
        "sites": sites,
        "opened_ports": _derive_opened_ports(sites),
        "exposed_ports": [port for app in apps for port in _derive_exposed_ports(app)],
        "probes": probes,
        "preflights": [asked for site in sites for asked in _asked.preflights(site, _way_to(site))],
        "checks": [asked for site in sites for asked in _asked.checks(site, _way_to(site))],
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
        origin=_origin(source),
        user=user_of(app) if built else None,
        build_user=build_user(name) if built else None,
        root="/srv/" + name if built else None,
        state_dir="/var/lib/" + user_of(app) if built else None,
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
        hosted=_derive_hosted(app),
        # Secrets that nothing but a deploy needs, which takes them from where they are written.
        deploy_hook=None,
        deploy_status=None,
    )


def _origin(source):
    """Where the code comes from, without a password and without the version: two apps of one origin are the same code."""
    if not source:
        return None
    return redact_logins(next(source[key] for key in ("git", "directory", "archive") if source[key]).partition("?")[0])


def _derive_hosted(app):
    """Where an app is asked that is hosted elsewhere."""
    if app["url"] is None:
        return None
    websocket = (app["websocket"] or {}).get("path")
    external = _derive_external(app["url"])
    given = re.search(r":([0-9]+)$", external["authority"])
    return {
        "external": external,
        "port": int(given.group(1)) if given else {"http": 80, "https": 443}[external["scheme"]],
        "health": app["url"] + app["health"]["path"],
        "websocket": app["url"].replace("http", "ws", 1) + websocket if websocket else None,
        "deployable": app["deploy_hook"] is not None,
    }


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
    balance = app["balance"]
    weights = {
        server: int(weight)
        for host, weight in balance["weights"].items()
        for server in servers([host], ports + green_ports)
    }
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
        "weights": weights,
        "spare": servers(balance["backup"], ports),
        "balance": {key: balance[key] for key in ("method", "key", "keepalive", "max_fails", "fail_timeout")},
    }


def _derive_proxy(app, probes):
    """How the app is asked through the proxy on its own host; None where no site leads to its health."""
    found = [probe for probe in probes if probe["app"] == app["name"] and probe["path"]]
    if not found or not (app["files"] or (app["upstream"] and app["upstream"]["backup"])):
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
        {
            "app": app["name"],
            "place": "webapp_apps[%s].source.%s" % (app["name"], key),
            "path": source[key],
            "kind": kind,
        }
        for key, kind in (("directory", "directory"), ("archive", "file"))
        if source.get(key) is not None and not is_url(source[key])
    ]


def _in_url(host):
    return "[%s]" % host.strip("[]") if ":" in host else host


def _derive_site(number, site, apps):
    by_name = {app["name"]: app for app in apps}
    health_paths = _health_paths(site["routes"], by_name)
    routes = []
    for name, (path, prefix) in health_paths.items():
        if route_for(site["routes"], path) is None or not _is_this_path(route_for(site["routes"], path), path):
            routes.append(_derive_health_route(name, path, prefix, site, by_name))
    for route in site["routes"]:
        path, _prefix = health_paths.get(route["app"], (None, ""))
        if path is not None and _is_this_path(route, path):
            route = dict(route, rate=route["rate"] or "none")
            route["access_log"] = bool(route["access_log"])
        routes.append(_derive_route(route, site, by_name))
    for index, route in enumerate(routes):
        # Names a variable or a map that one route has for itself.
        route["id"] = "%d_%d" % (number, index)
        if route["auth_basic"]:
            route["auth_basic"] = dict(route["auth_basic"], file=_users_file(site["name"], route))

    for route in routes:
        own = {name.lower() for name in route["headers"]}
        told = {name: value for name, value in _tls.headers(site).items() if name.lower() not in own}
        route["headers"] = dict(told, **route["headers"])
    tls = _tls.derive(site)
    names = [name.lower() for name in site["server_names"]]
    return dict(
        site,
        id=str(number),
        server_names=names,
        tls=tls,
        maintenance=dict(site["maintenance"], seconds=seconds(site["maintenance"]["retry_after"])),
        routes=routes,
        zones=_derive_zones(site, routes),
        connection_zones=[route["connection_zone"] for route in routes if route["connection_zone"]],
    )


def _users_file(site_name, route):
    """The name of the file of a route's users. Never that of others: nginx reads it at once, before a new set is in place."""
    content = json.dumps([site_name, route["match"], route["path"], list(route["auth_basic"]["users"].items())])
    return "%s-%s" % (site_name, hashlib.sha256(content.encode()).hexdigest()[:32])


def _is_this_path(route, path):
    """Whether the route is written for this very path, so that none need be added for it."""
    match, own = _schema.split_path(route["path"])
    return match != "regex" and own == path


def _derive_health_route(name, path, prefix, site, by_name):
    """The way to an app's health: that of the route it would take, for this path alone, without limit and log."""
    bare = {key: copy.deepcopy(entry.get("default")) for key, entry in _schema.ROUTE.items()}
    bare.update(path="= " + path, app=name, rate="none", access_log=False)
    covering = route_for(site["routes"], path)
    if covering and covering["app"] == name:
        bare.update(allow=covering["allow"], deny=covering["deny"])
    return dict(_derive_route(bare, site, by_name), prefix=prefix, health=True)


def _derive_zones(site, routes):
    """The rate limits of a site: those it names, and one for each route that has its own. Tells each route its zone."""
    zones, used = [], set()

    def add(base, rate):
        zone = next(
            name for name in [base] + ["%s_%d" % (base, number) for number in range(2, 999)] if name not in used
        )
        used.add(zone)
        zones.append({"zone": zone, "rate": rate})
        return zone

    def zone_of(route):
        return "%s_%s" % (site["name"], re.sub(r"[^A-Za-z0-9]+", "_", route["path"]).strip("_") or "root")

    named = {
        name: add("%s_rate_%s" % (site["name"], name), rate)
        for name, rate in site["rates"].items()
        if any(route["rate"] == name for route in routes)
    }
    for route in routes:
        if route["rate"]:
            route["zone"] = named.get(route["rate"]) or add(zone_of(route), route["rate"])
    used.clear()
    for route in routes:
        if route["connections"]:
            route["connection_zone"] = add("connections_" + zone_of(route), None)
            zones.pop()
    return zones


def _health_paths(routes, by_name):
    """{app: (path its health is asked for on the site of these routes, what of it the app does not see)}.

    One of the app's own routes covers it, or the site has a single app: then the path is taken out of whatever
    covers it (a static folder at /, say) by an exact route.
    """
    names = [name for name in dict.fromkeys(route["app"] for route in routes) if name and by_name[name]["health"]]
    paths = {}
    for name in names:
        if all(route["grpc"] for route in routes if route["app"] == name):
            continue  # nothing that HTTP could ask
        path = by_name[name]["health"]["path"].split("?")[0]
        ways = [(public, stripped_prefix(route)) for public, route in ways_to(routes, name, path) if not route["grpc"]]
        covering = route_for(routes, path)
        if not ways and len(names) == 1 and not (covering and _is_this_path(covering, path)):
            ways = [(path, "")]
        if ways and ways[0][0] not in [public for public, _prefix in paths.values()]:
            paths[name] = ways[0]
    return paths


def _derive_route(route, site, by_name):
    kind = next(key for key in ROUTE_TARGETS if route[key] is not None)
    files = by_name[route["app"]]["files"] if kind == "app" else None
    hosted = by_name[route["app"]]["hosted"] if kind == "app" else None
    if hosted:
        kind = "url"
    preset = next((key for key in ROUTE_PRESETS if route[key]), "files" if files else kind)
    if kind == "static":
        files = {"root": route["static"], "former": None, "index": "index.html", "spa": False}
    if files:
        kind = "static"
    defaults = dict(_schema.ROUTE_DEFAULTS[preset])
    if route["cache"] is not None:
        defaults["buffering"] = True
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
    if kind == "redirect" and filled["status"] is None:
        filled["status"] = 302
    match, path = _schema.split_path(route["path"])
    body_size = "0" if route["grpc"] else site["client_max_body_size"]
    return dict(
        filled,
        path=path,
        match=match,
        prefix=stripped_prefix(route),
        body_size=route["body_size"] or body_size,
        access_log=site["access_log"] if route["access_log"] is None else route["access_log"],
        upstream=route["app"] if kind == "app" else None,
        files=files and {key: files[key] for key in ("root", "former", "index", "spa")},
        external=hosted["external"] if hosted else _derive_external(route["url"]) if route["url"] else None,
        cors=_derive_cors(route["cors"]) if route["cors"] else None,
        health=False,
        zone=None,
        connection_zone=None,
    )


def _derive_external(url):
    """An address taken apart: what to connect to, what it is called there, and what takes the place of the route's path."""
    scheme, authority = re.match(r"(\w+)://([^/]+)", url).groups()
    return {
        "scheme": scheme,
        "authority": authority.lower(),
        "host": re.sub(r":[0-9]+$", "", authority).lower(),
        "path": url_path(url) or None,
    }


def _derive_cors(cors):
    """With each origin as nginx compares it: the text itself, or an expression where it has a *."""
    patterns = [
        origin if "*" not in origin else "~^" + re.escape(origin).replace(r"\*", r"[a-z0-9.-]+") + "$"
        for origin in cors["origins"]
    ]
    every = cors["origins"] == ["*"]
    return dict(cors, every=every, patterns=[] if every else patterns, max_age=seconds(cors["max_age"]))


def seconds(duration):
    """Whole seconds of a time with its unit, 1 or more."""
    number, unit = re.match(r"([0-9]+)(\w+)", duration).groups()
    return max(1, int(int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]))


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
    """What to ask of each app through this site, as it is written."""
    by_name = {app["name"]: app for app in apps}
    routes = site["routes"]
    health_paths = _health_paths(routes, by_name)
    probes = []
    for name in dict.fromkeys(route["app"] for route in routes if route["app"]):
        app = by_name[name]
        if app["files"]:
            health = {key: copy.deepcopy(entry.get("default")) for key, entry in _schema.HEALTH.items()}
            health["path"] = next(route["path"] for route in routes if route["app"] == name)
            health_paths[name] = (health["path"], "")
            app = dict(app, health=health)
        websocket = (app["websocket"] or {}).get("path")
        ways = [public for public, route in ways_to(routes, name, websocket or "") if websocket and route["websocket"]]
        probes.append(
            dict(
                _way_to(site),
                app=name,
                path=health_paths[name][1] + app["health"]["path"] if name in health_paths else None,
                websocket=ways[0] if ways else None,
                health={key: value for key, value in app["health"].items() if key not in HEALTH_REQUEST},
            )
        )
    return probes


def _way_to(site):
    """What leads to a site, as it is written or derived."""
    _key, port, scheme = listens(site)[-1]
    return {
        "site": site["name"],
        "host": _probe_host([name.lower() for name in site["server_names"]]),
        "scheme": scheme,
        "port": port,
        "trusted": _tls.derive(site)["trusted"],
    }


def _probe_host(server_names):
    """A name the site answers to: the first plain one, one under a wildcard, or any for a default site."""
    plain_names = [name for name in server_names if not name.startswith("*")]
    return (plain_names or [name.replace("*", "www", 1) for name in server_names] or ["localhost"])[0]
