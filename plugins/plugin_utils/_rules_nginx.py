# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What is wrong with nginx: its process, its configuration, its routes, and what it met of late. Pure."""

from __future__ import annotations

import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_blocks import location_for, server_for
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import DEPLOY, end_of, finding

# Refused requests in ten minutes that are no trouble yet.
FEW = 5


def nginx_process(case):
    nginx = case.nginx
    if not nginx:
        return
    unit = case.unit("nginx.service") or {}
    status = "systemctl status nginx; journalctl -u nginx -n 30"
    told = ["nginx.service: %s (%s), result %s" % (unit.get("active"), unit.get("sub"), unit.get("result"))]
    if not nginx["installed"]:
        yield finding(
            "nginx_missing", "nginx", "outage", "nginx is not installed.", confidence=99, show="command -v nginx"
        )
    elif nginx["orphans"] and not nginx["masters"]:
        yield finding(
            "nginx_master_dead",
            "nginx",
            "degraded",
            "nginx's master process is dead, and %d workers serve on without it: no reload, no restart and no new worker will come."
            % len(nginx["orphans"]),
            confidence=98,
            evidence=["orphans: %s" % ", ".join(str(pid) for pid in nginx["orphans"])] + told,
            show="ps -o pid,ppid,cmd -C nginx",
            mend="kill -QUIT %s; systemctl restart nginx" % " ".join(str(pid) for pid in nginx["orphans"]),
        )
    elif not nginx["masters"]:
        yield finding(
            "nginx_stopped",
            "nginx",
            "outage",
            "nginx does not run.",
            confidence=95,
            evidence=told,
            show=status,
            mend="systemctl start nginx",
        )
    if nginx["installed"] and not nginx["masters"] and not nginx["orphans"]:
        for port in sorted(
            {site["port"] for site in case.sites} | {site["http_port"] or site["port"] for site in case.sites}
        ):
            for one in case.listeners(port)[:1]:
                yield finding(
                    "nginx_port_taken",
                    "nginx",
                    "outage",
                    "Port %d, which nginx needs, is held by pid %d (%s, %s)."
                    % (port, one["pid"], one["exe"], one["unit"] or "no unit"),
                    confidence=97,
                    evidence=["%s:%d is held by %s" % (one["address"], port, one["exe"])] + told,
                    show="ss -ltnp 'sport = :%d'" % port,
                    mend="%s && systemctl start nginx" % end_of(one),
                )
    if nginx["masters"] and unit.get("enabled") == "disabled":
        yield finding(
            "disabled_at_boot",
            "nginx",
            "risk",
            "nginx runs, and will not start at the next boot.",
            confidence=98,
            evidence=["nginx.service: UnitFileState=disabled"],
            show="systemctl is-enabled nginx",
            mend="systemctl enable nginx",
        )


def nginx_config(case):
    nginx = case.nginx
    test = nginx.get("test") or {}
    if test and not test["ok"] and test["code"] != 124:
        missing = [
            line for line in test["lines"] if re.search(r"cannot load certificate|BIO_new_file|No such file", line)
        ]
        certificate = next(
            (site for site in case.sites if site["tls"] and any(site["certificate"] in line for line in missing)), None
        )
        if certificate:
            yield finding(
                "certificate_missing",
                "tls",
                "risk" if nginx["masters"] else "outage",
                "The certificate %s can't be read." % certificate["certificate"],
                site=certificate,
                confidence=96,
                evidence=missing,
                show="ls -lL %s" % certificate["certificate"],
                mend="put the certificate there, then: nginx -t && systemctl reload nginx",
            )
        yield finding(
            "nginx_config_broken",
            "config",
            "risk" if nginx["masters"] else "outage",
            "nginx's configuration on disk is broken%s: %s"
            % (", and only what it read before still runs" if nginx["masters"] else "", "; ".join(test["lines"][:2])),
            confidence=97,
            evidence=test["lines"] + test["excerpt"],
            show="nginx -t",
            mend="mend %s, then: nginx -t && systemctl reload-or-restart nginx" % (test["where"] or "the file"),
        )
    elif nginx.get("stale"):
        refused = any(case.refused(app) for app in case.apps)
        yield finding(
            "nginx_not_reloaded",
            "config",
            "outage" if refused else "risk",
            "nginx runs something else than what is on disk: it was not reloaded after a change.",
            confidence=92,
            evidence=nginx["stale"][:4],
            show="stat -c '%z %n' /etc/nginx/nginx.conf /etc/nginx/*/*; ps -o pid,lstart,cmd -C nginx",
            mend="nginx -t && systemctl reload nginx",
        )


def routes(case):
    """Who answers for each site's name, by the configuration on disk, and whether that leads to the app."""
    servers = case.nginx.get("servers")
    if servers is None:
        return
    for app in case.apps:
        for site, ask in case.routes(app):
            path = ask["path"] or next((one["path"] for one in site["routes"] if one["app"] == app["name"]), "/")
            server, by_name = server_for(servers, site["port"], site["host"])
            others = [one for one in servers if one is not server and site["host"] in one["names"]]
            show = "nginx -T | grep -nE 'configuration file|server_name|listen '"
            if server is None or not (by_name or site["default"]):
                who = "no server" if server is None else "the default one (%s, %s)" % (_names(server), server["file"])
                yield finding(
                    "site_missing",
                    "route",
                    "outage",
                    "nginx has no site for %s on port %d: %s answers." % (site["host"], site["port"], who),
                    app,
                    site,
                    confidence=95,
                    evidence=["port %d is served for: %s" % (site["port"], _all_names(servers, site["port"]))],
                    show=show,
                )
                continue
            location = location_for(server, path)
            targets = location["targets"] if location else []
            # Where an address elsewhere leads to is looked up while nginx runs.
            if app["upstream"] and not app.get("hosted") and not set(targets) & set(app["upstream"]):
                right = [one for one in others if set(_leads(one, path)) & set(app["upstream"])]
                shadowed = right or (not by_name and site["names"])
                yield finding(
                    "site_shadowed" if shadowed else "wrong_upstream",
                    "route" if shadowed else "upstream",
                    "outage",
                    (
                        "Another server answers for %s: that of %s, and not the one that leads to %s."
                        % (site["host"], server["file"], app["name"])
                    )
                    if shadowed
                    else "nginx sends %s%s to %s, and %s listens on %s."
                    % (site["host"], path, ", ".join(targets) or "no app", app["name"], ", ".join(app["upstream"][:2])),
                    app,
                    site,
                    confidence=95,
                    evidence=["%s: server_name %s" % (server["file"], _names(server))]
                    + ["%s: server_name %s" % (one["file"], _names(one)) for one in right]
                    + case.nginx["test"]["warnings"][:2],
                    show=show,
                    mend="remove the server of %s; or: %s" % (server["file"], DEPLOY) if shadowed else DEPLOY,
                )
                continue
            if ask["websocket"]:
                location = location_for(server, ask["websocket"])
                probe = (
                    case.probes(app=app["name"], site=site["name"], kind="websocket") or [{"ok": None, "message": ""}]
                )[0]
                if location and not location["upgrade"] and not probe["ok"]:
                    yield finding(
                        "upgrade_missing",
                        "route",
                        "degraded",
                        "The route %s of %s does not pass on WebSocket upgrades." % (location["path"], site["host"]),
                        app,
                        site,
                        confidence=96,
                        evidence=["location %s in %s sets no Upgrade header" % (location["path"], server["file"])]
                        + ([probe["message"]] if probe["message"] else []),
                        show="nginx -T | grep -n -A15 'location.*%s'" % location["path"],
                        mend="set websocket: true on the route, then: " + DEPLOY,
                    )


def _names(server):
    return " ".join(server["names"]) or "without a name"


def _all_names(servers, port):
    here = [one for one in servers if any(listen["port"] == port for listen in one["listens"])]
    return "; ".join("%s (%s)" % (_names(one), one["file"]) for one in here) or "nobody"


def _leads(server, path):
    location = location_for(server, path)
    return location["targets"] if location else []


def nginx_errors(case):
    """What nginx has met in the last minutes, under the configuration that runs: requests that it gave up or refused."""
    found = {}
    for line in case.nginx.get("errors", []):
        app = _app_of(case, line)
        if re.search(r"upstream timed out .* while reading", line):
            cause = "proxy_timeout"
        elif "client intended to send too large body" in line:
            cause = "body_too_large"
        elif re.search(r"limiting requests, (?!dry run)", line) and "delaying" not in line:
            cause = "rate_limited"
        elif re.search(r"upstream prematurely closed connection|recv\(\) failed .*upstream", line):
            cause = "upstream_cut"
        else:
            continue
        found.setdefault((cause, app and app["name"]), []).append(line)
    words = {
        "proxy_timeout": (
            "route",
            "nginx gave up waiting for %s: 504, %d times.",
            "raise read_timeout of the route, or make the app faster; then: ",
        ),
        "body_too_large": (
            "route",
            "nginx refused bodies too large for %s: 413, %d times.",
            "raise client_max_body_size of the site, or body_size of the route; then: ",
        ),
        "rate_limited": (
            "route",
            "nginx refused requests over the rate for %s: 429, %d times. That is no outage.",
            "raise rate or burst of the route; then: ",
        ),
        "upstream_cut": (
            "health",
            "%s cut connections before its answer was complete: 502, %d times.",
            "look into the app's log for a crash; then: ",
        ),
    }
    for (cause, name), lines in found.items():
        if cause == "rate_limited" and len(lines) < FEW:
            continue  # that is what rates are for
        app = case.app(name) if name else None
        if cause == "upstream_cut" and not (app and (case.sick(app) or len(lines) > 2)):
            continue  # one cut is what every restart costs
        if cause == "proxy_timeout" and app and case.sick(app):
            continue  # it hangs: that is told already
        link, sentence, mend = words[cause]
        request = re.search(r'request: "([^"]*)"', lines[-1])
        yield finding(
            cause,
            link,
            "degraded",
            sentence % (name or "a site", len(lines)) + (" The last one: %s." % request.group(1) if request else ""),
            app,
            confidence=90,
            evidence=lines[-3:],
            show="grep -c . /var/log/nginx/error.log; tail -20 /var/log/nginx/error.log",
            mend=mend + DEPLOY,
        )


def preflights(case):
    """Pages of other origins whose browsers asked of late whether they may, and that would be told no."""
    own = {name for site in case.sites for name in site["names"]}
    sites = {site["name"]: site for site in case.sites}
    for one in case.get("preflights", []):
        host = re.sub(r"^\w+://|:\d+$", "", one["origin"])
        # A stranger's page is refused with good reason, once or often. That of a site of ours is meant to work.
        if not one["answered"] or one["allowed"] in ("*", one["origin"]) or (host not in own and one["count"] < FEW):
            continue
        site = sites[one["site"]]
        covering = [route for route in site["routes"] if one["path"].startswith(route["path"])]
        route = max(covering, key=lambda each: len(each["path"])) if covering else None
        app = case.app(route["app"]) if route else None
        yield finding(
            "cors_refused",
            "route",
            "degraded",
            "A page of %s may not use %s%s: the answer to its browser does not name it (CORS)."
            % (one["origin"], one["host"], one["path"]),
            app,
            site,
            confidence=90 if host in own else 70,
            evidence=[
                "OPTIONS %s, Origin: %s: answered %s, Access-Control-Allow-Origin: %s"
                % (one["path"], one["origin"], one["status"], one["allowed"] or "none"),
                "asked %d times of late by browsers (access log)" % one["count"],
            ],
            show="curl -si -X OPTIONS -H 'Origin: %s' -H 'Access-Control-Request-Method: GET' %s://%s%s"
            % (one["origin"], "https" if site["tls"] else "http", one["host"], one["path"]),
            mend="add %s to cors.origins of the route %s, or to what the app allows; then: %s"
            % (one["origin"], route["path"] if route else "/", DEPLOY),
        )


def _app_of(case, line):
    """The app that a line of nginx's error log is about: by its upstream's address, else by its server's name and path."""
    address = re.search(r'upstream: "\w+://([^/"]+)', line)
    for app in case.apps:
        if address and address.group(1) in app["upstream"]:
            return app
    name = re.search(r"server: ([^,]+),", line)
    path = re.search(r'request: "\S+ (\S+)', line)
    host = re.search(r'host: "([^":]+)', line)
    asked = {match.group(1) for match in (name, host) if match}
    for site in case.sites:
        if asked & set(site["names"]) or (site["default"] and name and name.group(1) in ("_", "")):
            covering = [one for one in site["routes"] if path and path.group(1).startswith(one["path"])]
            if covering:
                return case.app(max(covering, key=lambda one: len(one["path"]))["app"])
    return None


def upstreams(case):
    """What a proxy on a host of its own sees of the apps' hosts."""
    for app in case.apps:
        found = case.probes(app=app["name"], kind="upstream")
        bad = [probe for probe in found if not probe["ok"]]
        if app.get("hosted") and not case.get("hosted", {}).get(app["name"], {}).get("connects", True):
            continue  # nobody does: that is told already
        # The set of instances that does not serve may well be off.
        if bad and len(bad) == len(found):
            dropped = all(probe["cause"] == "timed_out" for probe in bad)
            yield finding(
                "upstream_unreachable",
                "upstream",
                "outage",
                "The proxy reaches no instance of %s: %s."
                % (app["name"], "packets are dropped on the way" if dropped else bad[0]["cause"]),
                app,
                confidence=80,
                evidence=[probe["message"] for probe in bad[:4]],
                show="nc -vz %s" % bad[0]["url"].replace(":", " "),
                mend="let this host out to %s: others get there" % bad[0]["url"]
                if app.get("hosted")
                else "ansible-playbook gatehouse.webapp.diagnose   # for the app's own host: it says why",
            )
