# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""From the evidence of a host to causes: what is broken, which link of the chain it is, why, and what to type. Pure.

Each rule looks at the evidence alone and tells what it finds. What follows from another finding (EXPLAINED_BY) is then told as
its consequence. docs/diagnosis.md lists the causes and describes the evidence.
"""

from __future__ import annotations

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import Case
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._causes import (
    BY_INSTANCE,
    CAUSES,
    EFFECTS,
    EXPLAINED_BY,
    HOSTED_LINKS,
    LINKS,
    LOCAL_LINKS,
    TO_HOSTED_LINKS,
)
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._rules import RULES, last_resort
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._seen import HOSTED_SEEN, SEEN


def diagnose(asked, evidence):
    """{ok, causes, chain}. asked: what `wanted` makes of the model.   evidence: what diagnose_host has gathered."""
    case = Case(asked, evidence)
    findings = [finding for rule in RULES for finding in rule(case)]
    findings += last_resort(case, findings)
    causes = rank(findings)
    return {"ok": not causes, "causes": causes, "chain": walk(case, causes)}


def rank(findings):
    """The causes alone, each with the sentences of what follows from it; the worst and surest first."""
    findings = _once(list(dict.fromkeys(findings)))
    reasons = {finding: _reason(finding, findings) for finding in findings}
    roots = [finding for finding in findings if reasons[finding] is None]
    consequences = {root: [] for root in roots}
    for finding in findings:
        root = finding
        while reasons[root] is not None:
            root = reasons[root]
        if root is not finding:
            consequences[root].append(finding)
    roots.sort(key=lambda one: (EFFECTS.index(_effect(one, consequences[one])), -one.confidence, LINKS.index(one.link)))
    return [_plain(root, consequences[root]) for root in roots]


def _once(findings):
    """What befalls several instances of an app in the same way is one finding."""
    groups = {}
    for one in findings:
        key = (one.cause, one.link, one.app, one.site) if one.cause in BY_INSTANCE and one.app else one
        groups.setdefault(key, []).append(one)
    return [_merged(group) for group in groups.values()]


def _merged(group):
    first, others = group[0], group[1:]
    if not others:
        return first
    return first._replace(
        effect=min((one.effect for one in group), key=EFFECTS.index),
        confidence=max(one.confidence for one in group),
        message="%s (And %d more like it.)" % (first.message, len(others)),
        evidence=first.evidence + tuple(one.message for one in others),
        mend="; ".join(dict.fromkeys(one.mend for one in group)),
    )


def _reason(finding, findings):
    """The surest finding that this one follows from; None where it stands for itself."""
    found = [
        other
        for other in findings
        if other.cause in EXPLAINED_BY.get(finding.cause, ())
        and other.app in (None, finding.app)
        and (other.site is None or finding.site in (None, other.site))
    ]
    return max(found, key=lambda one: one.confidence) if found else None


def _effect(root, consequences):
    """A cause is as bad as the worst that follows from it."""
    return min([root.effect] + [one.effect for one in consequences], key=EFFECTS.index)


def _plain(root, consequences):
    return {
        "cause": root.cause,
        "title": CAUSES[root.cause],
        "link": root.link,
        "effect": _effect(root, consequences),
        "app": root.app,
        "site": root.site,
        "confidence": root.confidence,
        "message": root.message,
        "evidence": list(root.evidence),
        "show": root.show,
        "mend": root.mend,
        "consequences": [
            {"link": one.link, "app": one.app, "site": one.site, "message": one.message} for one in consequences
        ],
    }


def walk(case, causes):
    """The chain of each site and app, and of each app without a site: every link with its state."""
    ways = [(site, case.app(ask["app"])) for site in case.sites for ask in site["asks"]]
    asked = {app["name"] for _site, app in ways}
    # One that is hosted elsewhere has a way of its own, whoever leads there.
    ways += [(None, app) for app in case.apps if app["name"] not in asked or app.get("hosted")]
    return [
        {"site": site and site["name"], "app": app["name"], "links": _links(case, causes, site, app)}
        for site, app in ways
    ]


def _links(case, causes, site, app):
    links, broken = [], False
    for link in _links_of(site, app):
        here = [one for one in causes if _link_in(one, site, app) == link and _concerns(one, site, app)]
        worst = min(here, key=lambda one: EFFECTS.index(one["effect"])) if here else None
        follows = [
            (one, consequence)
            for one in causes
            for consequence in one["consequences"]
            if _link_in(consequence, site, app) == link
            and _concerns(consequence, site, app)
            and _concerns(one, site, app)
        ]
        ok, told = (SEEN if site or not app.get("hosted") else HOSTED_SEEN)[link](case, site, app)
        if worst and worst["effect"] != "risk":
            # The first broken link is the one to mend; a second one behind it is broken all the same.
            links.append({"link": link, "state": "broken", "told": worst["message"]})
            broken = True
        elif follows and not broken:
            links.append({"link": link, "state": "affected", "told": follows[0][1]["message"]})
        elif broken:
            links.append({"link": link, "state": "unjudged", "told": ""})
        elif worst:
            links.append({"link": link, "state": "risk", "told": worst["message"]})
        else:
            links.append({"link": link, "state": {True: "ok", False: "affected", None: "unknown"}[ok], "told": told})
    return links


def _links_of(site, app):
    if app.get("hosted"):
        return TO_HOSTED_LINKS if site else HOSTED_LINKS
    return LINKS if site else LOCAL_LINKS


def _link_in(one, site, app):
    """The link of the way that a cause is about: on a site's way, the whole way to a hosted app is its upstream."""
    beyond = site and app.get("hosted") and one["app"] == app["name"] and one["site"] is None
    return "upstream" if beyond and one["link"] in HOSTED_LINKS else one["link"]


def _concerns(one, site, app):
    return one["app"] in (None, app["name"]) and (one["site"] is None or (site and one["site"] == site["name"]))
