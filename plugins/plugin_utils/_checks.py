# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What one key alone can't show: keys that need or exclude each other, and apps and sites that collide."""

from __future__ import annotations

import difflib
import hashlib
import json
import re

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _schema, _tls
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._reading import (
    mentions,
    minimal,
    read_mapping,
    snippet,
)

ROUTE_TARGETS = ("app", "static", "url", "redirect", "return")
# What an app route may be beside plain HTTP.
ROUTE_PRESETS = ("websocket", "stream", "grpc")
BUILD = "-build"
SOURCE_KINDS = ("directory", "git", "archive")


def check(apps, sites, problems):
    """Add to `problems` what is wrong with the apps and sites read: [(place, item), ...], wrong values being None."""
    for place, app in apps:
        _check_app(place, app, problems)
    for place, site in sites:
        _check_site(place, site, problems)
    _check_unique("webapp_apps", "app", apps, problems)
    _check_unique("webapp_sites", "site", sites, problems)
    _check_renames(apps, problems)
    _check_users(apps, problems)
    _check_app_ports(apps, problems)
    _check_site_ports(sites, apps, problems)
    _tls.check_together(sites, problems)
    _check_server_names(sites, problems)
    _check_routes(sites, [app for _place, app in apps], problems)
    _check_questions(sites, problems)


def _check_app(place, app, problems):
    runtime = app["runtime"]
    if runtime is None:
        return
    for key, entry in _schema.APP.items():
        if runtime not in entry.get("only", (runtime,)) and _is_given(entry, app[key]):
            problems.append(
                "%s.%s: is not for runtime %s, only for %s. Leave it out"
                % (place, key, runtime, _listed(entry["only"]))
            )
    for key in _schema.NEEDED[runtime]:
        if app[key] is None and not mentions(problems, "%s.%s" % (place, key)):
            problems.append("%s.%s: missing. Write: %s" % (place, key, snippet(key, _schema.APP[key]["example"])))
    if runtime in _schema.BUILT:
        _check_built_app(place, app, problems)
    if runtime in _schema.RUN:
        _check_run_app(place, app, problems)
    if runtime == "external":
        _check_external_app(place, app, problems)
    if app["pm2"]:
        _check_pm2(place, app, problems)
    if app["balance"]:
        _check_balance(place + ".balance", app, problems)
    if app["port"] is not None and app["instances"] is not None:
        last = app["port"] + app["instances"] - 1
        if last > 65535:
            problems.append(
                "%s.port: %d instances from port %d end at %d, beyond 65535. Write: %s"
                % (place, app["instances"], app["port"], last, snippet("port", 65536 - app["instances"]))
            )
    health = app["health"]
    if health and None not in (health["stable_for"], health["timeout"]) and health["stable_for"] >= health["timeout"]:
        problems.append(
            "%s.health.timeout: %s s leaves no time for stable_for, %s s. Write: %s"
            % (place, health["timeout"], health["stable_for"], snippet("timeout", health["stable_for"] + 60))
        )


def _check_renames(apps, problems):
    """A former name is no app's of the model, and one app's alone: its user and data are that one's."""
    names, taken = [app["name"] for _place, app in apps], {}
    for place, app in apps:
        former = app["renamed_from"]
        if not former:
            continue
        if former in names:
            whose = "this app" if former == app["name"] else "another app"
            swapped = former != app["name"] and any(
                one["name"] == former and one["renamed_from"] == app["name"] for _place, one in apps
            )
            mend = "Two names can't be swapped in one deploy: give this one a third name first"
            problems.append(
                "%s.renamed_from: %s is the name of %s in the model. %s"
                % (place, former, whose, mend if swapped else "Leave it out")
            )
        elif former in taken:
            problems.append(
                "%s.renamed_from: %s was %s too, which has its data. Leave it out" % (place, former, taken[former])
            )
        taken.setdefault(former, app["name"])


def user_of(app):
    """The user that runs an app, who has its data in /var/lib: after a rename still the former one."""
    return app["renamed_from"] or app["name"]


def _check_users(apps, problems):
    """An app whose user another app's releases are built by could write what that one runs."""
    builders = {build_user(app["name"]): app["name"] for _place, app in apps if app["name"]}
    for place, app in apps:
        if app["name"] in builders:
            problems.append(
                "%s.name: is also the user that builds %s. Write: %s"
                % (place, builders[app["name"]], snippet("name", app["name"] + "er"))
            )
        elif app["renamed_from"] in builders:
            problems.append(
                "%s.renamed_from: is also the user that builds %s. Give that one another name"
                % (place, builders[app["renamed_from"]])
            )


def build_user(name):
    """The user that fetches and builds an app's releases. Linux takes 32 characters."""
    if len(name) + len(BUILD) <= 32:
        return name + BUILD
    digest = hashlib.sha256(name.encode("utf-8")).hexdigest()[:6]
    return "%s-%s%s" % (name[: 32 - len(BUILD) - 7], digest, BUILD)


def _listed(words):
    """a, b and c"""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _is_given(entry, value):
    """Whether the value says more than the default does. (A mapping of options has its defaults by now.)"""
    default = entry.get("default")
    if "options" in entry and entry["type"] == "dict":
        return value is not None and value != read_mapping("", entry["options"], default or {}, [])
    return value not in (None, default)


def _check_built_app(place, app, problems):
    if app["source"]:
        _check_source(place + ".source", app["source"], problems)
    env = app["env"] or {}
    for name in app["required_env"] or []:
        if not env.get(name) and not mentions(problems, "%s.env.%s" % (place, name)):
            problems.append(
                "%s.env.%s: %s, and required_env asks for it. Write: %s"
                % (place, name, "empty" if name in env else "missing", snippet("env", {name: "..."}))
            )


def _check_run_app(place, app, problems):
    if app["port"] is not None and app["port"] < 1024:
        problems.append(
            "%s.port: %d is below 1024, which the app's user may not listen on. Write: %s"
            % (place, app["port"], snippet("port", app["port"] + 8000))
        )
    _check_places(place, app, problems)
    _check_green_port(place, app, problems)


def _check_external_app(place, app, problems):
    """Something else runs the app: on ports, or at an address elsewhere, where it may have a deploy hook."""
    given = [key for key in ("url", "port") if app[key] is not None]
    wrong = any(mentions(problems, "%s.%s" % (place, key)) for key in ("url", "port"))
    if len(given) != 1:
        if given or not wrong:
            problems.append(
                "%s: %s. Write one of: %s"
                % (
                    place,
                    "has url and port, which exclude each other" if given else "says no place",
                    "; ".join(snippet(key, _schema.APP[key]["example"]) for key in ("url", "port")),
                )
            )
    elif app["url"] is not None:
        for key in ("hosts", "instances", "balance"):
            if _is_given(_schema.APP[key], app[key]):
                problems.append(
                    "%s.%s: is for an app on ports, and this one is at its url. Leave it out" % (place, key)
                )
    needs = [("deploy_hook", "url")] + [(key, "deploy_hook") for key in ("deploy_status", "deploy_version")]
    for key, needed in needs:
        if app[key] is not None and app[needed] is None and not mentions(problems, "%s.%s" % (place, needed)):
            problems.append(
                "%s.%s: needs %s. Write: %s, or leave it out"
                % (place, key, needed, snippet(needed, _schema.APP[needed]["example"]))
            )
    if app["deploy_status"]:
        _check_deploy_status(place + ".deploy_status", app["deploy_status"], problems)


def _check_deploy_status(place, status, problems):
    silent = [(place, status)] + [
        ("%s.failed[%d]" % (place, index), one) for index, one in enumerate(status["failed"] or [])
    ]
    for where, one in silent:
        if one["json"] is None and one["text"] is None and not mentions(problems, where):
            schema = _schema.DEPLOY_STATUS if where == place else _schema.DEPLOY_FAILED
            problems.append(
                "%s: does not say what such an answer looks like. Write one of: %s"
                % (where, "; ".join(snippet(key, schema[key]["example"]) for key in ("json", "text")))
            )


def _check_pm2(place, app, problems):
    pm2 = app["pm2"]
    given = [key for key in ("script", "npm") if pm2[key] is not None]
    if len(given) != 1:
        if given or not mentions(problems, place + ".pm2"):
            problems.append(
                "%s.pm2: %s. Write one of: %s"
                % (
                    place,
                    "has script and npm, which exclude each other" if given else "says no program",
                    "; ".join(snippet(key, _schema.PM2[key]["example"]) for key in ("script", "npm")),
                )
            )
    elif pm2["npm"] is not None:
        wrong = "node_args" if pm2["node_args"] else "workers" if (pm2["workers"] or 1) > 1 else None
        if wrong:
            problems.append(
                "%s.pm2.%s: is only for a script that PM2 runs itself, and npm is another program. Write the file that the npm"
                " script runs: %s" % (place, wrong, snippet("script", _schema.PM2["script"]["example"]))
            )
    for name in ("PORT", "PM2_HOME"):
        if name in (app["env"] or {}):
            problems.append(
                "%s.env.%s: is set for each instance%s. Leave it out"
                % (place, name, ", from the model's port" if name == "PORT" else "")
            )


def _check_balance(place, app, problems):
    balance, hosts = app["balance"], app["hosts"] or []
    backup = balance["backup"] or []
    for key, names in (("weights", balance["weights"] or {}), ("backup", backup)):
        for name in names:
            if name not in hosts:
                problems.append(
                    "%s.%s: %s is none of the app's hosts (%s). Write one of them"
                    % (place, key, json.dumps(name), ", ".join(hosts))
                )
    if backup and set(backup) >= set(hosts):
        problems.append("%s.backup: has all of the app's hosts. Leave out those that are to be asked first" % place)
    if backup and balance["method"] == "hash":
        problems.append(
            "%s.backup: nginx knows none with method hash. Leave it out, or write: method: least_conn" % place
        )


def _check_places(place, app, problems):
    """An app whose proxies are on other hosts listens where they reach it, and is not switched by a proxy of its own."""
    apart = [host for host in app["hosts"] or [] if not is_local(host)]
    if not apart:
        return
    if len(apart) != len(app["hosts"]):
        problems.append(
            "%s.hosts: %s mean this host, and others do not. Leave them out, or the others"
            % (place, ", ".join(host for host in app["hosts"] if host not in apart))
        )
    if app["strategy"] == "blue_green":
        problems.append(
            "%s.strategy: blue_green is for an app and its proxy on one host, and hosts says %s. Write: strategy: restart"
            " (each host is taken out of its proxies while it changes)" % (place, ", ".join(apart))
        )
    if app["listen"] is not None and is_local(app["listen"]):
        problems.append(
            "%s.listen: %s is reached from the host itself only, and hosts says %s. Write: %s, and expose: with the proxies"
            % (place, app["listen"], ", ".join(apart), snippet("listen", "0.0.0.0"))
        )


def _check_green_port(place, app, problems):
    if None in (app["port"], app["instances"]) or strategy_of(app) != "blue_green":
        if app["green_port"] is not None:
            problems.append("%s.green_port: is only for strategy blue_green. Leave it out" % place)
        return
    first = green_port_of(app)
    last = first + app["instances"] - 1
    blue = range(app["port"], app["port"] + app["instances"])
    if first < 1024 or last > 65535 or any(port in blue for port in (first, last)):
        problems.append(
            "%s.green_port: ports %d to %d are not free ports from 1024 to 65535. Write: %s"
            % (place, first, last, snippet("green_port", _free_port(set(blue), app["instances"])))
        )


def strategy_of(app):
    """How the app's releases go live: as it says, else beside each other where the proxy is on the same host."""
    if app["runtime"] not in _schema.RUN:
        return None
    apart = any(not is_local(host) for host in app["hosts"] or [])
    return app["strategy"] or ("restart" if apart else "blue_green")


def green_port_of(app):
    """The first port of the second set: below those that the kernel gives to outgoing connections (32768 and up)."""
    if app["green_port"] is not None:
        return app["green_port"]
    return app["port"] + 10000 if app["port"] < 22768 else app["port"] - 10000


def _check_source(place, source, problems):
    given = [kind for kind in SOURCE_KINDS if source[kind] is not None]
    if len(given) != 1:
        if given or not mentions(problems, place):
            problems.append(
                "%s: %s. Write one of: %s"
                % (
                    place,
                    "has %s, which exclude each other" % " and ".join(given) if given else "says no place",
                    "; ".join(snippet("source", _source_example(kind)) for kind in SOURCE_KINDS),
                )
            )
        return
    for key, kind in (("version", "git"), ("checksum", "archive")):
        if source[key] is not None and kind not in given:
            problems.append("%s.%s: is only for %s. Leave it out" % (place, key, kind))
    for key, needed in (("version", "git" in given), ("checksum", is_url(source["archive"]))):
        if needed and source[key] is None and not mentions(problems, "%s.%s" % (place, key)):
            problems.append("%s.%s: missing. Write: %s" % (place, key, snippet(key, _schema.SOURCE[key]["example"])))


def _source_example(kind):
    with_it = {"git": ["version"], "archive": ["checksum"]}.get(kind, [])
    return {key: _schema.SOURCE[key]["example"] for key in [kind] + with_it}


def is_url(text):
    return bool(text and re.match(r"https?://", text))


def _check_site(place, site, problems):
    if not site["server_names"] and not site["default"] and not mentions(problems, place + ".server_names"):
        problems.append(
            "%s.server_names: missing. Write: %s (or default: true, to answer for every name)"
            % (place, snippet("server_names", _schema.SITE["server_names"]["example"]))
        )
    if site["routes"] is not None and not site["routes"] and not mentions(problems, place + ".routes"):
        problems.append("%s.routes: empty. Write: %s" % (place, snippet("routes", _schema.SITE["routes"]["example"])))
    _tls.check(place, site, problems)


def _check_unique(place, what, items, problems):
    names = [item["name"] for _place, item in items if item["name"] is not None]
    for name in sorted({name for name in names if names.count(name) > 1}):
        free = next(candidate for candidate in map("{}-{}".format, [name] * 99, range(2, 99)) if candidate not in names)
        problems.append(
            "%s[%s].name: names %d %ss. Write: %s for the other"
            % (place, name, names.count(name), what, snippet("name", free))
        )


def local_ports(app):
    """The ports the app takes on its own host; none where it runs elsewhere or isn't known."""
    if app["port"] is None or app["instances"] is None or app["port"] + app["instances"] > 65536:
        return []
    if app["runtime"] not in _schema.RUN and not any(is_local(host) for host in app["hosts"] or []):
        return []
    firsts = [app["port"]] + ([green_port_of(app)] if strategy_of(app) == "blue_green" else [])
    return [first + index for first in firsts for index in range(app["instances"])]


def is_local(host):
    return host.strip("[]") in ("localhost", "::1") or host.startswith("127.")


def _check_app_ports(apps, problems):
    everywhere = {port for _place, app in apps for port in local_ports(app)}
    taken = {}
    for place, app in apps:
        shared = next((port for port in local_ports(app) if port in taken), None)
        if shared is not None:
            other_place, other = taken[shared]
            problems.append(
                "%s.port: port %d is also %s's, which listens on %s. Write: %s"
                % (place, shared, other_place, _span(other), snippet("port", _free_port(everywhere, app["instances"])))
            )
        for port in local_ports(app):
            taken.setdefault(port, (place, app))


def _free_port(taken, count):
    """The first port from 8000 up from where `count` ports are free."""
    return next(port for port in range(8000, 65536) if taken.isdisjoint(range(port, port + count)))


def _span(app):
    ports, count = local_ports(app), app["instances"]
    spans = [ports[at : at + count] for at in range(0, len(ports), count)]
    return " and ".join(str(span[0]) if count == 1 else "%d to %d" % (span[0], span[-1]) for span in spans)


def listens(site):
    """[(key, port, scheme)] of what the site listens on."""
    listens = [("http_port", site["http_port"], "http")]
    if _tls.is_on(site):
        listens.append(("https_port", site["https_port"], "https"))
    return [listen for listen in listens if listen[1] is not None]


def _check_site_ports(sites, apps, problems):
    taken = {port: (place, app) for place, app in apps for port in local_ports(app)}
    spoken = {}
    for place, site in sites:
        for key, port, scheme in listens(site):
            if port in taken:
                app_place, app = taken[port]
                free = _free_port(set(taken), app["instances"])
                problems.append(
                    "%s.%s: port %d is also %s's. Write for that app: %s"
                    % (place, key, port, app_place, snippet("port", free))
                )
            first_scheme, first_place = spoken.setdefault(port, (scheme, place))
            if first_scheme != scheme:
                problems.append(
                    "%s.%s: port %d speaks %s here and %s in %s. Write: http_port: 80, https_port: 443"
                    % (place, key, port, scheme, first_scheme, first_place)
                )


def _check_server_names(sites, problems):
    defaults, owners = {}, {}
    for place, site in sites:
        ports = [port for _key, port, _scheme in listens(site)]
        rival = next((defaults[port] for port in ports if port in defaults), None) if site["default"] else None
        if rival:
            problems.append(
                "%s.default: site %s is the default of port %d already. Write: default: false"
                % (place, rival["name"], next(port for port in ports if port in defaults))
            )
        names = [name.lower() for name in site["server_names"] or []]
        for name in sorted({name for name in names if names.count(name) > 1}):
            problems.append("%s.server_names: %s is there twice. Leave one out" % (place, name))
        for name in sorted(set(names)):
            owner = next((owners[name, port] for port in ports if (name, port) in owners), None)
            if owner:
                problems.append(
                    "%s.server_names: %s belongs to site %s already. Leave it out in one of them"
                    % (place, name, owner["name"])
                )
        for port in ports:
            if site["default"]:
                defaults.setdefault(port, site)
            for name in names:
                owners.setdefault((name, port), site)


def _check_questions(sites, problems):
    """What a site's own checks send and expect fits their method."""
    for place, site in sites:
        for index, asked in enumerate(site["verify"] or []):
            here = "%s.verify[%s]" % (place, index if asked["path"] is None else asked["path"])
            sent = [key for key in ("json", "body") if asked[key] is not None]
            if len(sent) > 1:
                problems.append("%s: has json and body, which exclude each other. Keep one" % here)
            elif sent and asked["method"] in ("GET", "HEAD"):
                problems.append("%s.%s: %s sends none. Write: method: POST" % (here, sent[0], asked["method"]))
            expect = asked["expect"] or {}
            awaited = [key for key in ("json", "text") if expect.get(key)]
            if awaited and asked["method"] == "HEAD":
                problems.append("%s.expect.%s: an answer to HEAD has no body. Write: method: GET" % (here, awaited[0]))


def _check_routes(sites, apps, problems):
    by_name = {app["name"]: app for app in apps if app["name"] is not None}
    all_named = all(app["name"] is not None for app in apps)  # else a route may mean one whose name is wrong
    for place, site in sites:
        routes = site["routes"] or []
        for index, route in enumerate(routes):
            route_place = "%s.routes[%s]" % (place, index if route["path"] is None else route["path"])
            _check_route(route_place, route, site, problems)
            if all_named and route["app"] is not None and route["app"] not in by_name:
                problems.append(_no_such_app(route_place, route["app"], sorted(by_name)))
            if route["app"] in by_name and by_name[route["app"]]["runtime"] == "static":
                _check_route_to_files(route_place, route, problems)
            if route["app"] in by_name and by_name[route["app"]]["url"] is not None:
                _check_route_elsewhere(route_place, route, problems)
        of_files = [name for name, app in by_name.items() if app["runtime"] == "static"]
        _check_overlaps(place, routes, of_files, problems)
        _check_challenges(place, site, problems)
        for name in dict.fromkeys(route["app"] for route in routes):
            if name in by_name:
                _check_websocket_route(place, routes, by_name[name], problems)


def _check_route(place, route, site, problems):
    given = [key for key in ROUTE_TARGETS if route[key] is not None]
    if len(given) != 1:
        if given or not any(mentions(problems, "%s.%s" % (place, key)) for key in ROUTE_TARGETS):
            problems.append(
                "%s: %s. Write one of: %s"
                % (
                    place,
                    "has %s, which exclude each other" % " and ".join(given) if given else "leads nowhere",
                    "; ".join(snippet(key, _schema.ROUTE[key]["example"]) for key in ROUTE_TARGETS),
                )
            )
        return
    for key, entry in _schema.ROUTE.items():
        if given[0] not in entry.get("only", given) and _is_given(entry, route[key]):
            problems.append("%s.%s: is only for a route to %s. Leave it out" % (place, key, _one_of(entry["only"])))
            return
    _check_path_kind(place, route, given[0], problems)
    _check_presets(place, route, site, problems)
    _check_rate(place, route, site, problems)
    if route["auth_basic"] and route["auth_basic"]["users"] == {}:
        problems.append(
            "%s.auth_basic.users: empty. Write: %s" % (place, snippet("users", _schema.AUTH_BASIC["users"]["example"]))
        )
    if route["cors"]:
        _check_cors(place + ".cors", route["cors"], problems)
    if route["ca"] is not None and route["url"].startswith("http://"):
        problems.append("%s.ca: is only for https, and url says http. Leave it out" % place)


def _one_of(kinds):
    """an app, a url or a static"""
    words = ["%s %s" % ("an" if kind[0] in "aeio" else "a", kind) for kind in kinds]
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _check_path_kind(place, route, kind, problems):
    """What only makes sense where a route's path is the beginning of the request's."""
    if route["path"] is None:
        return
    match, path = _schema.split_path(route["path"])
    if route["strip_prefix"] and (match != "prefix" or path == "/"):
        problems.append(
            "%s.strip_prefix: there is no prefix to take off. Leave it out, or write a path such as: path: /api/"
            % place
        )
    if match == "regex" and kind == "static":
        problems.append("%s.static: a folder has one place in the site. Write: path: /files/" % place)
    if match == "regex" and kind == "url" and url_path(route["url"]):
        problems.append(
            "%s.url: an expression has no path that %s could take the place of. Write: %s"
            % (place, url_path(route["url"]), snippet("url", route["url"][: -len(url_path(route["url"]))]))
        )


def url_path(url):
    """The path of an address, or nothing."""
    return re.sub(r"^\w+://[^/]*", "", url)


def _check_presets(place, route, site, problems):
    given = [key for key in ROUTE_PRESETS if route[key]]
    if len(given) > 1:
        problems.append("%s: has %s, which exclude each other. Keep one" % (place, " and ".join(given)))
    if route["grpc"] and site["tls"] and site["tls"]["mode"] == "none":
        problems.append("%s.grpc: needs HTTP/2, which clients speak over TLS only. Give the site a tls: mode" % place)
    if route["cache"] is not None and (given or route["buffering"] is False):
        problems.append(
            "%s.cache: nothing is kept of what is passed on as it comes (%s). Leave one of them out"
            % (place, given[0] if given else "buffering: false")
        )


def _check_rate(place, route, site, problems):
    rate, known = route["rate"], site["rates"] or {}
    if rate is None or rate == "none" or rate[0].isdigit() or rate in known:
        return
    near = difflib.get_close_matches(rate, known, n=1)
    problems.append(
        "%s.rate: the site has no rate %s. Write: %s, or for the site: %s"
        % (place, json.dumps(rate), snippet("rate", (near or ["10r/s"])[0]), snippet("rates", {rate: "10r/s"}))
    )


def _check_cors(place, cors, problems):
    origins = cors["origins"]
    if origins is None:
        return
    right = snippet("origins", _schema.CORS["origins"]["example"])
    if not origins and not mentions(problems, place + ".origins"):
        problems.append("%s.origins: empty. Write: %s" % (place, right))
    if "*" in origins and cors["credentials"]:
        problems.append(
            "%s.origins: with credentials, * would let every site of the web act as the visitor, and browsers refuse it."
            " Write: %s" % (place, right)
        )
    elif "*" in origins and len(origins) > 1:
        problems.append("%s.origins: * is all there are. Write: origins: ['*'], or %s" % (place, right))


def _check_overlaps(place, routes, of_files, problems):
    """Every route can be reached, and nginx knows each of its places once. of_files: the names of the apps of files."""
    routes = [route for route in routes if route["path"] is not None]
    split = [_schema.split_path(route["path"]) for route in routes]
    for one in sorted({one for one in split if split.count(one) > 1}):
        path = routes[split.index(one)]["path"]
        problems.append("%s.routes: path %s is there %d times. Keep one" % (place, path, split.count(one)))
    for route, (match, path) in zip(routes, split):
        folder = route["static"] is not None or route["app"] in of_files
        if not folder or match != "prefix" or path.endswith("/"):
            continue
        # A folder takes its path without the slash as well, and redirects it.
        for rival, shown in (
            (("prefix", path + "/"), "%s/"),
            (("exact", path), "= %s"),
            (("exact", path + "/"), "= %s/"),
        ):
            if rival in split:
                problems.append(
                    "%s.routes[%s]: overlaps with path %s, as a folder is reached by both. Keep one"
                    % (place, path, shown % path)
                )
    expressions = [path for match, path in split if match == "regex"]
    for match, path in split:
        cover = next((each for each in expressions if match == "prefix" and _covers(each, path)), None)
        if cover is not None:
            problems.append(
                "%s.routes[%s]: is never taken, as the expression %s comes first and takes all of it. Write the expression"
                " with an end ($), or leave one of them out" % (place, path, cover)
            )


def _covers(expression, prefix):
    """Whether all below a prefix matches. (Two paths that have nothing else in common stand for all.)"""
    compiled = re.compile(expression)
    return all(compiled.search(prefix + rest) for rest in ("", "x", "0/y-z.html"))


def _check_challenges(place, site, problems):
    """The place of what a CA asks for is taken."""
    if (site["tls"] or {}).get("mode") != "acme":
        return
    for route in site["routes"] or []:
        match, path = _schema.split_path(route["path"] or "")
        if match == "prefix" and path.rstrip("/") == "/.well-known/acme-challenge":
            problems.append(
                "%s.routes[%s]: with tls.mode acme this is where the site answers the CA. Leave it out" % (place, path)
            )


def _check_route_to_files(place, route, problems):
    match, path = _schema.split_path(route["path"] or "")
    if match != "prefix":
        problems.append(
            "%s.path: %s is an app of files, which are below a path. Write: %s"
            % (place, route["app"], snippet("path", "/files/" if match == "regex" else path.rstrip("/") + "/"))
        )
    for key, entry in _schema.ROUTE.items():
        if "static" not in entry.get("only", ("static",)) and _is_given(entry, route[key]):
            problems.append(
                "%s.%s: %s is an app of files, which nginx serves itself. Leave it out, or lead the route to an app that runs"
                % (place, key, route["app"])
            )


def _check_route_elsewhere(place, route, problems):
    for key in ("grpc", "retries"):
        if _is_given(_schema.ROUTE[key], route[key]):
            problems.append(
                "%s.%s: %s is hosted elsewhere (url), and this is for an app's own instances. Leave it out"
                % (place, key, route["app"])
            )


def _no_such_app(place, name, names):
    if not names:
        return "%s.app: webapp_apps is empty. Write: %s" % (place, snippet("webapp_apps", [minimal(_schema.APP)]))
    near = difflib.get_close_matches(name, names, n=1)
    return "%s.app: there is no app %s. Write: %s (apps: %s)" % (
        place,
        json.dumps(name),
        snippet("app", (near or names)[0]),
        ", ".join(names),
    )


def _check_websocket_route(place, routes, app, problems):
    """An app that has WebSockets is not proxied by a route that would not upgrade them."""
    path = (app["websocket"] or {}).get("path")
    ways = ways_to(routes, app["name"], path) if path else []
    if not ways or any(route["websocket"] for _public, route in ways):
        return
    public, route = ways[0]
    folder = public.split("?")[0].rpartition("/")[0] + "/"
    right = {"path": folder, "app": app["name"], "websocket": True}
    if route["strip_prefix"]:
        right = {"path": route["path"], "app": app["name"], "strip_prefix": True, "websocket": True}
    problems.append(
        "%s.routes[%s]: WebSockets of app %s (%s) would come this way, and the route is not for them. Write%s: %s"
        % (
            place,
            route["path"],
            app["name"],
            path,
            "" if route["path"] == right["path"] else " one more",
            snippet(None, right),
        )
    )


def ways_to(routes, name, path):
    """[(the path on the site, the route it takes)] by which the site leads to this path of the app."""
    ways = []
    for route in routes:
        if route["app"] == name and route["path"] is not None:
            public = stripped_prefix(route) + path
            if route_for(routes, public) is route:
                ways.append((public, route))
    return ways


def stripped_prefix(route):
    """What the route takes off the path before the app sees it: /api, or nothing."""
    return route["path"].rstrip("/") if route["strip_prefix"] else ""


def route_for(routes, path):
    """The route nginx takes for the path: the exact one, else the first expression, else the longest prefix."""
    path = path.split("?")[0]
    split = [(_schema.split_path(route["path"]), route) for route in routes if route["path"] is not None]
    for (match, own), route in split:
        if match == "exact" and own == path:
            return route
    for (match, own), route in split:
        if match == "regex" and re.search(own, path):
            return route
    prefixes = [(len(own), route) for (match, own), route in split if match == "prefix" and path.startswith(own)]
    return max(prefixes, key=lambda each: each[0], default=(0, None))[1]
