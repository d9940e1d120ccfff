# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What is wrong on the way to the host: names, connections, certificates and schemes. Pure."""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import is_loopback
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import DAY, DEPLOY, day_words, finding, span_words

EXPIRES_SOON = 14 * DAY
# Names that nobody can put into DNS (RFC 2606, RFC 6761, RFC 6762): what a test or a private network uses.
RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.com|\.net|\.org)?|test|localhost|local|internal|home\.arpa|lan)$")

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
NOT_YET, EXPIRED, SELF_SIGNED, NO_ISSUER, WRONG_NAME = (9,), (10,), (18, 19), (2, 20, 21), (62, 64)


def certificates(case):
    served_outside = case.outside().get("served", {})
    now = case.evidence["now"]
    if case.evidence.get("ahead"):
        now -= case.evidence["ahead"]  # the clients' clock is taken for the right one
    for one in case.get("certificates", []):
        site = next((site for site in case.sites if site["name"] == one["site"]), None)
        if site is None:
            continue
        code = one["served"]["code"]
        told = ["%s: %s" % (one["host"], one["served"]["message"])]
        if one["site"] in served_outside:
            told.append("from the control node: %s" % served_outside[one["site"]]["message"])
        if "ends" in one:
            told.append(
                "%s: for %s, from %s to %s"
                % (
                    one["path"],
                    ", ".join(one["names"]) or one["subject"],
                    day_words(one["begins"]),
                    day_words(one["ends"]),
                )
            )
        common = dict(
            site=site,
            evidence=told,
            show="openssl s_client -connect 127.0.0.1:%d -servername %s </dev/null | openssl x509 -noout -dates -ext subjectAltName"
            % (site["port"], site["host"]),
        )
        renew = "put a valid certificate at %s, then: nginx -t && systemctl reload nginx" % one["path"]
        ends, begins, names = one.get("ends"), one.get("begins"), one.get("names") or []
        if code in EXPIRED or (ends and ends <= now):
            yield finding(
                "certificate_expired",
                "tls",
                "outage",
                "The certificate of %s expired on %s." % (one["host"], day_words(ends)),
                confidence=98,
                mend=renew,
                **common,
            )
        elif code in NOT_YET or (begins and begins > now):
            yield finding(
                "certificate_not_yet_valid",
                "tls",
                "outage",
                "The certificate of %s is valid only from %s." % (one["host"], day_words(begins)),
                confidence=90,
                mend=renew,
                **common,
            )
        elif ends and ends - now < EXPIRES_SOON:
            yield finding(
                "certificate_expiring",
                "tls",
                "risk",
                "The certificate of %s expires in %s." % (one["host"], span_words(ends - now)),
                confidence=95,
                mend=renew,
                **common,
            )
        if code in WRONG_NAME or (names and site["names"] and not _covers(names, one["host"])):
            yield finding(
                "certificate_wrong_name",
                "tls",
                "outage",
                "The certificate served for %s is for %s." % (one["host"], ", ".join(names) or "another name"),
                confidence=96,
                mend=renew,
                **common,
            )
        elif code in SELF_SIGNED or (code in NO_ISSUER and one.get("subject") == one.get("issuer")):
            yield finding(
                "certificate_self_signed",
                "tls",
                "degraded",
                "The certificate of %s is signed by nobody that clients know." % one["host"],
                confidence=85,
                mend=renew,
                **common,
            )
        elif code in NO_ISSUER:
            yield finding(
                "certificate_chain",
                "tls",
                "degraded",
                "The chain of %s is incomplete: clients find no way from its certificate to an issuer that they know (%s)."
                % (one["host"], one.get("issuer", "unknown")),
                confidence=88,
                mend="append the intermediate certificates to %s, then: nginx -t && systemctl reload nginx"
                % one["path"],
                **common,
            )


def _covers(names, host):
    return any(
        name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])
        for name in [one.lower() for one in names]
    )


def schemes(case):
    """URLs in the apps' settings that say https where a site is served by http alone, or the reverse."""
    for app in case.apps:
        for url in app["urls"]:
            for site in case.sites:
                if url["host"] not in site["names"] or (url["scheme"] == "https") == site["tls"]:
                    continue
                told = "%s of %s says %s://%s" % (url["name"], app["name"], url["scheme"], url["host"])
                yield finding(
                    "scheme_mismatch",
                    "tls",
                    "degraded",
                    "%s, and the site %s is served by %s."
                    % (told, site["name"], "https" if site["tls"] else "http alone"),
                    app,
                    site,
                    confidence=90,
                    evidence=[told, "site %s: tls.mode is %s" % (site["name"], "files" if site["tls"] else "none")],
                    show="curl -sI %s://%s/" % (url["scheme"], url["host"]),
                    mend="say the same scheme in webapp_apps[%s].env.%s and in the site's tls; then: %s"
                    % (app["name"], url["name"], DEPLOY),
                )
    spoken, requests = case.nginx.get("tls_on_plain", 0), case.nginx.get("requests", 0)
    # Who scans the whole network does that once or twice to everybody.
    if spoken >= 10 and spoken * 5 >= requests:
        yield finding(
            "scheme_mismatch",
            "tls",
            "degraded",
            "Clients speak TLS to a port of plain http: %d of the last %d requests." % (spoken, requests),
            confidence=72,
            evidence=["/var/log/nginx/access.log: %d requests that begin with a TLS handshake, answered 400" % spoken],
            show=r"grep -cE '\\x16\\x03|\"method\":\"\"' /var/log/nginx/access.log",
            mend="let the clients ask http://, or give the site a certificate (tls)",
        )
    for site in case.sites:
        plain = sum(case.nginx.get("plain_on_tls", {}).get(name, 0) for name in site["names"])
        if site["tls"] and plain >= 10 and plain * 5 >= requests:
            yield finding(
                "scheme_mismatch",
                "tls",
                "degraded",
                "Clients speak plain http to the https port of %s: %d of the last %d requests, answered 400."
                % (site["host"], plain, requests),
                site=site,
                confidence=75,
                evidence=[
                    "/var/log/nginx/access.log: %d requests by http for %s, answered 400" % (plain, site["host"])
                ],
                show="curl -si http://%s:%d/ | head -1" % (site["host"], site["port"]),
                mend="let the clients, or the load balancer in front, ask https://%s" % site["host"],
            )


TCP = {
    "ufw": ("ufw_closed", 97),
    "packet_filter": ("packet_filter", 95),
    "in_front": ("dropped_in_front", 85),
    "loopback_only": ("nginx_loopback_only", 95),
    "other_address": ("nginx_loopback_only", 80),
}


def ways(case):
    asked = case.outside().get("verdicts", [])
    told = set()
    for verdict in asked:
        if verdict["ok"] or verdict["verdict"] not in TCP or verdict["port"] in told:
            continue
        told.add(verdict["port"])
        cause, confidence = TCP[verdict["verdict"]]
        here = [site for site in case.sites if verdict["port"] in (site["port"], site["http_port"])]
        allow = "ufw allow %d/tcp   # or: %s" % (verdict["port"], DEPLOY)
        yield finding(
            cause,
            "tcp",
            "outage",
            verdict["message"][0].upper() + verdict["message"][1:] + ".",
            site=here[0] if len(here) == 1 and len(case.sites) > 1 else None,
            confidence=confidence,
            evidence=verdict["evidence"],
            show=verdict["hint"].partition("   #")[0],
            mend=allow if cause == "ufw_closed" else verdict["hint"].partition("#")[2].strip() or verdict["hint"],
        )


def names(case):
    outside = case.outside()
    own = set(outside.get("homes", []))
    own |= {
        one for link in case.get("view", {}).get("interfaces", []) for one in link["addresses"] if not is_loopback(one)
    }
    for site in case.sites:
        for name in site["names"]:
            if name not in outside.get("names", {}):
                continue
            found = outside["names"][name]
            show = "getent ahosts %s   # on the control node" % name
            if not found:
                if not RESERVED.search(name):
                    yield finding(
                        "dns_missing",
                        "dns",
                        "outage",
                        "%s is not in DNS." % name,
                        site=site,
                        confidence=96,
                        evidence=["the control node gets no address for %s" % name],
                        show=show,
                        mend="add a record for %s, to %s" % (name, outside["address"]),
                    )
            elif own and not own & set(found):
                private = all(ipaddress.ip_address(one).is_private for one in own)
                # A host behind a translation does not know its public address; nor one behind a load balancer.
                if private and outside.get("answers", {}).get(site["name"], {}).get("ok"):
                    continue
                yield finding(
                    "dns_wrong",
                    "dns",
                    "outage",
                    "%s leads to %s, and that is none of this host's addresses (%s)."
                    % (name, ", ".join(found), ", ".join(sorted(own))),
                    site=site,
                    confidence=55 if private else 75,
                    evidence=["the control node gets %s for %s" % (", ".join(found), name)],
                    show=show,
                    mend="point %s to %s, unless a load balancer or a CDN stands there" % (name, outside["address"]),
                )
