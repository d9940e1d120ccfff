# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What is seen at each link of the chain, where no cause is found. Pure."""

from __future__ import annotations

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import day_words, size_words


def _see_dns(case, site, _app):
    found = case.outside().get("names", {})
    known = [name for name in site["names"] if found.get(name)]
    if not known:
        return None, "not judged: %s" % ("no name is told" if not site["names"] else "the names are not in public DNS")
    return True, ", ".join("%s is %s" % (name, ", ".join(found[name])) for name in known)


def _see_tcp(case, site, _app):
    found = [
        one
        for one in case.outside().get("verdicts", [])
        if one["port"] == site["port"] and one["verdict"] != "no_route"
    ]
    if not found:
        return None, "not asked from outside"
    return all(one["ok"] for one in found), found[0]["message"]


def _see_tls(case, site, _app):
    if not site["tls"]:
        return True, "plain http"
    one = next((one for one in case.get("certificates", []) if one["site"] == site["name"]), None)
    if not one:
        return None, "not asked"
    return one["served"]["ok"], one["served"]["message"] + (
        ", until %s" % day_words(one["ends"]) if one.get("ends") else ""
    )


def _see_nginx(case, _site, _app):
    nginx = case.nginx
    if not nginx:
        return None, "not asked"
    return bool(nginx["masters"]), "%d workers" % len(nginx["workers"])


def _see_config(case, _site, _app):
    test = case.nginx.get("test")
    return (test["ok"], "nginx -t is content, and that runs") if test and test["ok"] else (None, "not asked")


def _see_route(case, site, app):
    found = case.probes(app=app["name"], site=site["name"], via="nginx")
    if not found:
        return None, "no route leads to the app's health"
    bad = [probe for probe in found if not probe["ok"]]
    return not bad, (bad or found)[0]["message"]


def _see_upstream(case, _site, app):
    found = case.probes(app=app["name"], kind="upstream")
    if found:
        return any(probe["ok"] for probe in found), found[0]["message"]
    return True, ", ".join(str(one["port"]) for one in case.live(app))


def _see_listener(case, _site, app):
    found = [one for each in case.live(app) for one in case.listeners(each["port"])]
    if not found:
        return (False if app["local"] else None), "nothing listens" if app["local"] else "on another host"
    return True, ", ".join(sorted({"%s:%d" % (one["address"], one["port"]) for one in found}))


def _see_unit(case, _site, app):
    found = [(one["name"], case.unit(one["name"])) for one in case.live(app) if case.unit(one["name"])]
    if not found:
        return None, "no unit of ours"
    bad = [(name, unit) for name, unit in found if unit["active"] != "active"]
    name, unit = (bad or found)[0]
    return not bad, "%s is %s" % (name, unit["active"])


def _see_health(case, _site, app):
    found = case.direct(app)
    if not found:
        return None, "not asked on this host"
    bad = [probe for probe in found if not probe["ok"]]
    return not bad, bad[0]["message"] if bad else "%s in %.0f ms" % (found[0]["status"], found[0]["ms"])


def _hosted(case, app):
    return case.get("hosted", {}).get(app["name"], {})


def _see_hosted_dns(case, _site, app):
    found = _hosted(case, app)
    if not found:
        return None, "not asked from the control node"
    host = app["hosted"]["host"]
    return bool(found["addresses"]), "%s is %s" % (host, ", ".join(found["addresses"][:3]) or "not in DNS")


def _see_hosted_tcp(case, _site, app):
    found = _hosted(case, app)
    return (found["connects"], found["tcp"]) if found.get("tcp") else (None, "not asked")


def _see_hosted_tls(case, _site, app):
    if not app["hosted"]["tls"]:
        return True, "plain http"
    served = _hosted(case, app).get("served")
    if not served:
        return None, "not asked"
    return served["ok"], served["message"] + (", until %s" % day_words(served["ends"]) if served.get("ends") else "")


def _see_dependencies(case, _site, app):
    found = case.probes(app=app["name"], kind="requires")
    if not found:
        return None, "none is told (requires)"
    return all(probe["ok"] for probe in found), ", ".join(probe["url"] for probe in found)


def _see_resources(case, _site, _app):
    found = case.get("disks", [])
    if not found:
        return None, "not asked"
    least = min(found, key=lambda disk: disk["free"] / max(disk["size"], 1))
    memory = case.get("memory", {})
    return True, "%s free on %s, %s of memory" % (
        size_words(least["free"]),
        least["path"],
        size_words(memory.get("available", 0)),
    )


SEEN = {
    "dns": _see_dns,
    "tcp": _see_tcp,
    "tls": _see_tls,
    "nginx": _see_nginx,
    "config": _see_config,
    "route": _see_route,
    "upstream": _see_upstream,
    "listener": _see_listener,
    "unit": _see_unit,
    "health": _see_health,
    "dependencies": _see_dependencies,
    "resources": _see_resources,
}

# Of an app that is hosted elsewhere, on its own way.
HOSTED_SEEN = {"dns": _see_hosted_dns, "tcp": _see_hosted_tcp, "tls": _see_hosted_tls, "health": _see_health}
