# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What diagnose_host needs to know of the model: no value of an environment, no secret, nothing of how an app is built. Pure."""

from __future__ import annotations

import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._database import address_of
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._checks import is_local, listens


def wanted(model, services=True):
    """{apps, sites, headers} of a resolved model. services: whether the apps that are not external run on this host."""
    hosts = {name for site in model["sites"] for name in site["server_names"]}
    routed = {route["app"] for site in model["sites"] for route in site["routes"]}
    apps = [_app(app, services, bool(model["sites"]), app["name"] in routed, hosts) for app in model["apps"]]
    return {
        "apps": apps,
        "sites": [_site(site, model["probes"]) for site in model["sites"]],
        "headers": {
            app["name"]: app["health"]["headers"] for app in model["apps"] if (app["health"] or {}).get("headers")
        },
    }


def _app(app, services, proxy, routed, hosts):
    # nginx serves an app of files itself, on its own host.
    local = proxy if app["files"] else services if app["services"] else all(is_local(host) for host in app["hosts"])
    upstream = app["upstream"] or {"servers": [], "backup": [], "alternatives": []}
    hosted = app["hosted"] and _hosted(app["hosted"])
    if hosted:
        local = False
        # Whether this host's nginx gets a connection there matters where it leads there.
        upstream = dict(upstream, servers=["%(host)s:%(port)d" % hosted] if routed else [])
    health = app["health"] or {"path": "/", "status": [200], "json": {}, "text": None, "host": None, "timeout": None}
    return {
        "name": app["name"],
        "renamed_from": app["renamed_from"],
        "runtime": app["runtime"],
        "local": local,
        "hosted": hosted,
        "services": app["services"],
        "green": app["green"],
        "ports": app["ports"],
        "address": app["gate_address"] or "127.0.0.1",
        "listen": app["listen"],
        "apart": app["apart"],
        "expose": app["expose"],
        "root": app["root"],
        "own_folders": [path for path in (app["services"] and app["state_dir"], app["log_dir"]) if path],
        "users": [user for user in (app["user"], app["build_user"]) if user],
        "files": app["files"] and app["files"]["root"],
        "state_dir": app["state_dir"],
        # Files that, while they are there, keep some instances from getting requests.
        "rotation": {one["when"]: one["out"] for one in upstream["alternatives"] if one["out"]},
        "upstream": upstream["servers"] + upstream["backup"],
        "requires": [one["tcp"] for one in app["requires"]],
        "required_env": app["required_env"],
        "memory_max": app["memory_max"],
        "writable_paths": app["sandbox"]["writable_paths"],
        "allow_network": app["sandbox"]["allow_network"],
        "interpreter": (app["uvicorn"] or {}).get("python"),
        "urls": list(_urls(app["env"], hosts)),
        "websocket": (app["websocket"] or {}).get("path"),
        "health": {key: health[key] for key in ("path", "status", "json", "text", "host", "timeout")},
    }


def databases(model, services=True):
    """[{app, name, url, code}] of each variable that holds the URL of a database of which a login can be tried. Secret.

    code: the folder of the app's code below a release.
    """
    found = []
    for app in model["apps"] if services else []:
        folder = (app["uvicorn"] or app["pm2"] or {}).get("app_dir", "")
        for name, value in sorted(app["env"].items()) if app["services"] else []:
            if address_of(value):
                found.append({"app": app["name"], "name": name, "url": value, "code": ("src/" + folder).rstrip("/")})
    return found


def _hosted(hosted):
    """Where an app that is hosted elsewhere is asked."""
    external = hosted["external"]
    return {
        "url": hosted["health"],
        "host": external["host"],
        "port": hosted["port"],
        "tls": external["scheme"] == "https",
    }


def _urls(environment, hosts):
    """The scheme and host of each variable that holds the address of one of the sites, and nothing else of it."""
    for name, value in environment.items():
        match = re.match(r"^(https?|wss?)://([A-Za-z0-9.-]+)(?::\d+)?(?:/|$)", value)
        if match and match.group(2).lower() in hosts:
            secure = match.group(1) in ("https", "wss")
            yield {"name": name, "scheme": "https" if secure else "http", "host": match.group(2).lower()}


def _site(site, probes):
    _key, port, scheme = listens(site)[-1]
    mine = [probe for probe in probes if probe["site"] == site["name"]]
    tls = scheme == "https"
    return {
        "name": site["name"],
        "names": site["server_names"],
        "host": mine[0]["host"] if mine else (site["server_names"] or ["localhost"])[0],
        "default": site["default"],
        "port": port,
        "http_port": site["http_port"] if not tls or site["tls"]["redirect"] else None,
        "tls": tls,
        "acme": tls and site["tls"]["mode"] == "acme",
        "certificate": site["tls"]["certificate"] if tls else None,
        "folders": sorted({route["static"] for route in site["routes"] if route["static"]}),
        # What is asked of each app through this site.
        "asks": [{"app": probe["app"], "path": probe["path"], "websocket": probe["websocket"]} for probe in mine],
        "routes": [
            {key: route[key] for key in ("path", "app", "websocket", "read_timeout", "body_size", "rate")}
            for route in site["routes"]
            if route["app"]
        ],
    }
