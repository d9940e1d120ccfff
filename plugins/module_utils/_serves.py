# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What deploys have put on a host, and is there now: apps with their ports, and the names that nginx answers for."""

from __future__ import annotations

import os
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils import _nginx_blocks
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import MANIFEST
from ansible_collections.gatehouse.webapp.plugins.module_utils._release import Releases
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw import CONF_FILE, is_enabled

APPS, UNITS, SITES = "/srv", "/etc/systemd/system", "/etc/nginx/gatehouse/sites.conf"
# One of them is there where nginx runs, or will after a reboot.
NGINX = ("/run/nginx.pid", "/etc/systemd/system/multi-user.target.wants/nginx.service")


def look(apps=APPS, units=UNITS, sites=SITES, nginx=NGINX, ufw=CONF_FILE):
    """{apps: {name: [the ports that its instances have units for]}, names: [server name], ports: [port], firewall}.

    names, ports: what nginx answers for. "_" is a site without a name.   firewall: whether UFW filters.
    """
    names, ports = outward(sites, nginx)
    return {
        "apps": {name: _ports(name, units) for name in _live(apps)},
        "names": names,
        "ports": ports,
        "firewall": is_enabled(read(ufw)),
    }


def outward(sites=SITES, nginx=NGINX):
    """([server name], [port]) of the sites that nginx serves to others; empty where it was stopped for good."""
    found = _nginx_blocks.outward(read(sites)) if any(map(os.path.lexists, nginx)) else []
    names = {name for names, _ports in found for name in names}
    ports = {port for _names, ports in found for port in ports}
    return sorted(names), sorted(ports)


def targets(release=None, apps=APPS):
    """{app: {target, releases}}: the release that a rollback goes back to, and all there are, the newest first.

    release: the one asked for. Without it, that is the one that was live before. target: None where the app has none.
    """
    found = {}
    for name in _live(apps):
        releases = Releases(os.path.join(apps, name), 0, (0, 0))
        ways = [release] if release else releases.to_go_back_to()
        target = next((one for one in ways if releases.is_whole(one)), None)
        found[name] = {"target": target, "releases": [one["id"] for one in releases.history()]}
    return found


def _live(folder):
    """The apps that have a live release."""
    return sorted(
        name
        for name in (os.listdir(folder) if os.path.isdir(folder) else [])
        # A manifest is written by deploys alone.
        if os.path.isfile(os.path.join(folder, name, "current", MANIFEST))
    )


def _ports(name, units):
    names = os.listdir(units) if os.path.isdir(units) else []
    found = [re.match(r"%s@([0-9]+)\.service$" % re.escape(name), one) for one in names]
    return sorted(int(match.group(1)) for match in found if match)


def read(path):
    """The text of a file; empty where it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
