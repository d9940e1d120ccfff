# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The evidence of one host as the rules ask it, and what a rule tells. Pure."""

from __future__ import annotations

import datetime
from collections import namedtuple

Finding = namedtuple("Finding", "cause link effect app site confidence message evidence show mend")

DEPLOY = "ansible-playbook gatehouse.webapp.site   # on the control node"
DAY = 86400


def finding(cause, link, effect, message, app=None, site=None, confidence=90, evidence=(), show="", mend=DEPLOY):
    return Finding(
        cause,
        link,
        effect,
        app and app["name"],
        site and site["name"],
        confidence,
        message,
        tuple(evidence),
        show,
        mend,
    )


class Case:
    """The evidence of one host, as the rules ask it."""

    def __init__(self, asked, evidence):
        self.apps = asked["apps"]
        self.sites = asked["sites"]
        self.evidence = evidence

    def app(self, name):
        return next(app for app in self.apps if app["name"] == name)

    def get(self, name, default=None):
        found = self.evidence.get(name)
        return default if found is None else found

    def about(self, app):
        return next((one for one in self.get("apps", []) if one["name"] == app["name"]), {})

    def live(self, app):
        return self.about(app).get("live") or []

    def unit(self, name):
        return self.get("units", {}).get(name)

    def processes(self, unit):
        return [one for one in self.get("processes", []) if unit and one["unit"] == unit]

    def listeners(self, port):
        return [one for one in self.get("listeners", []) if one["port"] == port]

    def probes(self, **about):
        return [one for one in self.get("probes", []) if all(one[key] == value for key, value in about.items())]

    def direct(self, app, port=None):
        found = self.probes(app=app["name"], via="direct", kind="health")
        return [one for one in found if port in (None, one["port"])]

    def sick(self, app):
        return any(not probe["ok"] for probe in self.direct(app))

    def dead(self, app):
        """Whether no instance is well."""
        found = self.direct(app)
        return bool(found) and not any(probe["ok"] for probe in found)

    def refused(self, app):
        """Whether requests through nginx fail, though the app is well."""
        return not self.sick(app) and any(
            not probe["ok"] for probe in self.probes(app=app["name"], via="nginx", kind="health")
        )

    def well(self, app, port):
        """Whether the instance on that port says that it is well."""
        return any(probe["ok"] for probe in self.direct(app, port))

    def last(self, unit, count=3):
        """The unit's last lines."""
        return self.get("journal", {}).get(unit, [])[-count:]

    def journal(self, app):
        """What the instances that are not well have said: the others' logs may tell of an earlier trouble."""
        sick = [one["name"] for one in self.live(app) if not self.well(app, one["port"])]
        return [line for name in sick for line in self.get("journal", {}).get(name, [])]

    def said(self, app, pattern):
        """The app's last lines that match, in its journal and in its answers."""
        lines = self.journal(app) + [probe["excerpt"] for probe in self.direct(app) if probe["excerpt"]]
        return list(dict.fromkeys(line for line in lines if pattern.search(line)))[-3:]

    def serving(self, port):
        """The processes that serve a port: who listens, and its children."""
        pids = {one["pid"] for one in self.listeners(port)}
        return [one for one in self.get("processes", []) if one["pid"] in pids or one["parent"] in pids]

    @property
    def gate(self):
        """The gate that stays shut, when that is what the evidence was gathered for: {unit, cause, message}."""
        return self.get("gate", {})

    @property
    def nginx(self):
        return self.get("nginx", {})

    def outside(self):
        return self.get("outside", {})

    def routes(self, app):
        """(site, ask) for each site that leads to the app."""
        return [(site, ask) for site in self.sites for ask in site["asks"] if ask["app"] == app["name"]]


def end_of(listener):
    """The command that ends who listens."""
    return "systemctl stop %s" % listener["unit"] if listener["unit"] else "kill %d" % listener["pid"]


def size_words(count):
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024:
            return "%d %s" % (count, unit)
        count /= 1024.0
    return "%.1f TB" % count


def span_words(seconds):
    for size, word in ((DAY, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return "%d %s" % (seconds / size, word)
    return "%d seconds" % seconds


def day_words(seconds):
    return (
        "an unknown day"
        if seconds is None
        else datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d")
    )
