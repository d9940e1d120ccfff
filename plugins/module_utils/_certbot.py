# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""certbot: what it is told, and what its messages mean.

It gets folders of its own: certificates that people made with it in /etc/letsencrypt, and its own timer, are not touched.
"""

from __future__ import annotations

import os
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

CONFIG = "/etc/gatehouse/acme"
WORK = "/var/lib/gatehouse/certbot"
LOGS = "/var/log/gatehouse/certbot"


def command(wish, config=CONFIG):
    """The argument vector that obtains a new certificate for the wish, whatever was there."""
    argv = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--no-eff-email", "--email", wish.email]
    argv += ["--webroot", "--webroot-path", wish.webroot, "--preferred-challenges", "http"]
    argv += ["--server", wish.directory, "--key-type", "ecdsa", "--cert-name", wish.name]
    argv += [word for name in wish.names for word in ("--domain", name)]
    # Whether one is due was decided before; without these certbot would ask again.
    argv += ["--force-renewal", "--renew-with-new-domains"]
    return argv + ["--config-dir", config, "--work-dir", WORK, "--logs-dir", LOGS]


def environment(wish):
    """What certbot trusts when it speaks to the directory, beside what it always has in its environment."""
    return {"REQUESTS_CA_BUNDLE": wish.ca_bundle, "SSL_CERT_FILE": wish.ca_bundle} if wish.ca_bundle else {}


def lineage(name, config=CONFIG):
    """The files of the newest certificate that certbot has of this name, and the directory it is from; None without one."""
    live = os.path.join(config, "live", name)
    try:
        with open(os.path.join(config, "renewal", name + ".conf"), encoding="utf-8") as file:
            server = re.search(r"^server\s*=\s*(\S+)\s*$", file.read(), re.M)
    except OSError:
        return None
    pair = [os.path.join(live, part) for part in ("fullchain.pem", "privkey.pem")]
    if not server or not all(os.path.exists(path) for path in pair):
        return None
    return {"certificate": pair[0], "key": pair[1], "directory": server.group(1)}


def newest_log(text):
    """Of certbot's log, the part of its last run that tells of errors: Debian 12's certbot shows another one in its place."""
    found = re.findall(r"^(?:acme\.messages\.)?Error: (urn:ietf:params:acme:error:.+)$", text, re.M)
    found = found or re.findall(r"^acme\.messages\.Error: (.+)$", text, re.M)
    return found[-1:]


def failure(wish, output, log):
    """What certbot's output and its log say, as an error with its cause."""
    details = re.findall(r"^\s*Domain:\s*(\S+)\s+Type:\s*(\S+)\s+Detail:\s*(.+)$", output, re.M)
    if details:
        told = "; ".join("%s: %s (%s)" % (domain, detail.strip(), kind) for domain, kind, detail in details)
        return GatehouseError(
            "The CA could not see that %s is this host: %s." % (details[0][0], told.rstrip(".")),
            cause="challenge_failed",
            hint="from elsewhere: curl -i http://%s/.well-known/acme-challenge/; its DNS must lead here, and port 80 be open"
            % details[0][0],
        )
    refused = newest_log(log)
    text = (refused or _last_lines(output) or ["it says nothing"])[0]
    if "rateLimited" in text or "too many" in text.lower():
        return GatehouseError(
            "The CA takes no more requests for now: %s." % text.rstrip("."),
            cause="rate_limited",
            hint="wait as long as it says; try with staging: true",
        )
    return GatehouseError(
        "The CA did not issue a certificate: %s." % text.rstrip("."),
        cause="ca_refused",
        hint="less +G %s/letsencrypt.log" % LOGS,
    )


def _last_lines(output):
    dull = ("Saving debug log", "Ask for help", "Some challenges have failed", "See the logfile")
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith(dull)]
    return lines[-1:]
