# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Encryption of the sites: what its keys need and exclude, and what follows from them."""

from __future__ import annotations

import ipaddress

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _schema
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._reading import mentions, snippet

# Let's Encrypt's, which asks for no account of its own beside the one that is made on the way.
DIRECTORY = "https://acme-v02.api.letsencrypt.org/directory"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
FOLDER = "/etc/gatehouse/tls"
WEBROOT = "/var/lib/gatehouse/acme"

REQUIRED = {"files": ("certificate", "key"), "acme": ("email",)}
MOST_NAMES = 100
A_YEAR = 31536000


def is_on(site):
    return bool(site["tls"]) and site["tls"]["mode"] not in (None, "none")


def check(place, site, problems):
    """Add what is wrong with the encryption of one site."""
    tls = site["tls"]
    if not tls or tls["mode"] is None:
        return
    here, mode = place + ".tls", tls["mode"]
    for key in REQUIRED.get(mode, ()):
        if tls[key] is None and not mentions(problems, "%s.%s" % (here, key)):
            problems.append("%s.%s: missing. Write: %s" % (here, key, snippet(key, _schema.TLS[key]["example"])))
    for key, entry in _schema.TLS.items():
        wanted = entry.get("only") or ("acme" if mode == "none" and key in ("profile", "hsts", "http3") else None)
        if wanted and wanted != mode and tls[key] not in (None, entry.get("default")):
            problems.append("%s.%s: is not used with mode %s. Write: mode: %s" % (here, key, mode, wanted))
    if mode == "acme":
        _check_acme(place, site, problems)
    if tls["hsts"] and mode != "none":
        _check_hsts(here, tls, problems)


def _check_acme(place, site, problems):
    tls, names = site["tls"], site["server_names"] or []
    if not names and not mentions(problems, place + ".server_names"):
        problems.append(
            "%s.server_names: missing, and tls.mode acme is for names. Write: %s"
            % (place, snippet("server_names", _schema.SITE["server_names"]["example"]))
        )
    for name in names:
        wrong = _unprovable(name, own_ca=tls["directory"] is not None)
        if wrong:
            problems.append("%s.server_names: with tls.mode acme, %s %s" % (place, name, wrong))
    if len(names) > MOST_NAMES:
        problems.append(
            "%s.server_names: %d names, and CAs take %d for a certificate. Make two sites of it"
            % (place, len(names), MOST_NAMES)
        )
    if tls["staging"] and tls["directory"] is not None:
        problems.append("%s.tls.staging: directory says which CA already. Leave one of them out" % place)
    if site["http_port"] not in (None, 80):
        problems.append(
            "%s.http_port: with tls.mode acme the CA asks on port 80, not %d. Write: http_port: 80"
            % (place, site["http_port"])
        )


def _unprovable(name, own_ca):
    if name.startswith("*."):
        return "can't be proven over HTTP. Write the names one by one: %s" % snippet(
            "server_names", [name[2:], "www." + name[2:]]
        )
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        if "." in name.strip(".") or own_ca:
            return None
        return "is no name that a public CA knows. Write: %s" % snippet(
            "server_names", [name.strip(".") + ".example.com"]
        )
    return "is an address. Write a name that leads to it: %s" % snippet("server_names", ["chat.example.com"])


def _check_hsts(here, tls, problems):
    hsts = tls["hsts"]
    if tls["mode"] == "self_signed" or tls["staging"]:
        which = "staging: true" if tls["staging"] else "mode self_signed"
        problems.append(
            "%s.hsts: with %s browsers would refuse the site, and let nobody past. Leave it out until the certificate is a"
            " trusted one" % (here, which)
        )
    if tls["redirect"] is False:
        problems.append("%s.hsts: is for a site that is served over HTTPS alone. Write: redirect: true" % here)
    if hsts["preload"] and not (hsts["include_subdomains"] and (hsts["max_age"] or 0) >= A_YEAR):
        right = {"max_age": 2 * A_YEAR, "include_subdomains": True, "preload": True}
        problems.append(
            "%s.hsts: preload asks for a year and all subdomains. Write: %s" % (here, snippet("hsts", right))
        )


def check_together(sites, problems):
    """Sites of one port share what nginx decides on before it has heard which of them is asked for."""
    for key in ("profile", "http3"):
        firsts = {}
        for place, site in sites:
            value, port = (site["tls"] or {}).get(key), site["https_port"]
            if not is_on(site) or None in (port, value):
                continue
            shared, first = firsts.setdefault(port, (value, place))
            if shared != value:
                problems.append(
                    "%s.tls.%s: port %d has %s of %s already. Write: %s (or another https_port)"
                    % (place, key, port, snippet(key, shared), first, snippet(key, shared))
                )


def derive(site):
    """The site's tls with what follows from it."""
    tls, mode = site["tls"], site["tls"]["mode"]
    managed = mode in ("self_signed", "acme")
    folder = "%s/%s" % (FOLDER, site["name"])
    directory = tls["directory"] or (STAGING if tls["staging"] else DIRECTORY)
    return dict(
        tls,
        redirect=mode != "none" and tls["redirect"],
        managed=managed,
        trusted=mode != "self_signed" and not tls["staging"],
        certificate=folder + "/fullchain.pem" if managed else tls["certificate"],
        key=folder + "/privkey.pem" if managed else tls["key"],
        directory=directory if mode == "acme" else None,
        webroot=WEBROOT if mode == "acme" else None,
    )


def headers(site):
    """What every answer of the site says of its encryption."""
    tls, told = site["tls"], {}
    if tls["hsts"]:
        words = ["max-age=%d" % tls["hsts"]["max_age"]]
        words += ["includeSubDomains"] if tls["hsts"]["include_subdomains"] else []
        words += ["preload"] if tls["hsts"]["preload"] else []
        told["Strict-Transport-Security"] = "; ".join(words)
    if tls["http3"]:
        told["Alt-Svc"] = 'h3=":%d"; ma=86400' % site["https_port"]
    return told
