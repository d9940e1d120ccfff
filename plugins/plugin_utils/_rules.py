# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Every rule, from the resources up to the name. Pure."""

from __future__ import annotations

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import finding
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._rules_app import (
    answers,
    build,
    dependencies,
    environment,
    held,
    ports,
    releases,
    units,
)
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._rules_host import (
    clock,
    disks,
    firewall,
    memory,
    open_files,
)
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._rules_hosted import hosted
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._rules_keepers import monitor, pm2
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._rules_nginx import (
    nginx_config,
    nginx_errors,
    nginx_process,
    preflights,
    routes,
    upstreams,
)
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._rules_way import certificates, names, schemes, ways

RULES = (
    disks, memory, open_files, clock, dependencies, environment, build, releases, answers, units, held, monitor, pm2, ports, nginx_process,
    nginx_config, routes, nginx_errors, preflights, upstreams, certificates, schemes, ways, names,
    firewall, hosted,
)  # fmt: skip


def last_resort(case, findings):
    """What fails though no rule has found why: told as it is, and not passed over."""
    for app in case.apps:
        if any(one.effect == "outage" and one.app in (None, app["name"]) for one in findings):
            continue
        told = [probe for probe in case.probes(app=app["name"]) if not probe["ok"] and probe["kind"] == "health"]
        if told and not any(one.app == app["name"] and one.effect == "degraded" for one in findings):
            through = all(probe["via"] == "nginx" for probe in told)
            yield finding(
                "unexplained",
                "route" if through else "health",
                "outage",
                "%s does not answer as it should%s: %s"
                % (app["name"], " through nginx, and does on its own port" if through else "", told[0]["message"]),
                app,
                confidence=40,
                evidence=[probe["message"] for probe in told[:3]] + case.nginx.get("errors", [])[-3:],
                show="curl -si %s" % told[0]["url"].partition(" ")[0],
                mend="journalctl -u '%s@*' -n 50; tail -20 /var/log/nginx/error.log" % app["name"],
            )
