# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""A diagnosis for people: lines for a terminal, and one self-contained HTML page. Pure.

What a host has logged or answered is hostile input: everything that is not written here is escaped, or stripped of control
characters.
"""

from __future__ import annotations

import datetime
import html
import re

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._causes import CAUSES

MARKS = {"ok": "✔", "broken": "✘", "affected": "↓", "risk": "!", "unknown": "?", "unjudged": "·"}
TITLES = {
    "dns": "DNS",
    "tcp": "Connection",
    "tls": "TLS",
    "nginx": "nginx",
    "config": "Configuration",
    "route": "Route",
    "upstream": "Upstream",
    "listener": "Port",
    "unit": "Service",
    "health": "Health",
    "dependencies": "Dependencies",
    "resources": "Resources",
}
EFFECT_WORDS = {"outage": "down", "degraded": "degraded", "risk": "at risk"}
STATE_WORDS = {
    "ok": "well",
    "broken": "broken",
    "affected": "broken by what comes after",
    "risk": "at risk",
    "unknown": "not judged",
    "unjudged": "behind the broken link",
}
WIDEST = 150
EVIDENCE_LINES = 6


def lines(found):
    """The report of one host as plain lines: each chain link by link, and the causes, the first one in full."""
    told = []
    for way in found["chain"]:
        told.append("%s%s" % (way["app"], " at site %s" % way["site"] if way["site"] else ""))
        told += ["  %s %-13s %s" % (MARKS[link["state"]], TITLES[link["link"]], link["told"]) for link in way["links"]]
    for number, cause in enumerate(found["causes"], 1):
        told += [
            "",
            "%d. %s (%s, %d %% sure)" % (number, cause["message"], EFFECT_WORDS[cause["effect"]], cause["confidence"]),
        ]
        told += ["     %s" % line for line in cause["evidence"][:EVIDENCE_LINES]]
        told += ["   so: %s" % one["message"] for one in cause["consequences"]]
        told += ["   see it:  %s" % cause["show"]] if cause["show"] else []
        told += ["   mend it: %s" % cause["mend"]]
    if not found["causes"]:
        told += ["", "Nothing is wrong."]
    if found["orphans"]["told"]:
        told += ["the host %s" % found["orphans"]["told"], "   remove it: %s" % found["orphans"]["command"]]
    missing = found["evidence"]["unanswered"]
    told += ["not answered: %s (%s)" % item for item in sorted(missing.items())]
    return [printable(line)[:WIDEST].rstrip() for line in told]


def printable(text):
    """Without what would move a terminal's cursor or change its colours."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)


def document(hosts):
    """What programs read: {schema, hosts: {name: {ok, causes, chain, orphans, evidence}}}. A host that could not be asked is null."""
    keys = ("ok", "causes", "chain", "orphans", "evidence")
    return {"schema": 1, "hosts": {name: found and {key: found[key] for key in keys} for name, found in hosts.items()}}


def page(hosts, now):
    """The HTML page. hosts: {name: what diagnose_host returned, or None}.   now: seconds since 1970."""
    made = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    bad = [name for name, found in hosts.items() if not found or _worst(found) != "ok"]
    names = ", ".join(bad)
    verdict = (
        "%d of %d hosts need attention: %s" % (len(bad), len(hosts), names)
        if bad
        else "All %d hosts are well." % len(hosts)
    )
    if len(hosts) == 1:
        verdict = "The host needs attention." if bad else "The host is well."
    body = "".join(_host(name, found) for name, found in sorted(hosts.items(), key=lambda item: item[0] not in bad))
    return PAGE % {
        "style": STYLE,
        "script": SCRIPT,
        "state": "bad" if bad else "good",
        "verdict": _text(verdict),
        "made": _text(made),
        "body": body,
    }


def _worst(found):
    return found["causes"][0]["effect"] if found["causes"] else "ok"


def _text(text):
    return html.escape(printable(str(text)), quote=True)


def _host(name, found):
    if not found:
        return (
            '<section class="host"><h2>%s <span class="badge outage">not reached</span></h2><p>Ansible could not ask it.</p></section>'
            % (_text(name))
        )
    worst = _worst(found)
    word = EFFECT_WORDS.get(worst, "well")
    causes = "".join(_cause(number, cause) for number, cause in enumerate(found["causes"], 1))
    missing = found["evidence"]["unanswered"]
    unanswered = "".join(
        "<li><code>%s</code>: %s</li>" % (_text(key), _text(why)) for key, why in sorted(missing.items())
    )
    return '<section class="host"><h2>%s <span class="badge %s">%s</span></h2>%s%s%s%s</section>' % (
        _text(name),
        _text(worst),
        _text(word),
        causes or '<p class="well">No cause was found: every link that could be judged holds.</p>',
        "".join(_way(way) for way in found["chain"]),
        _orphans(found["orphans"]),
        "<details><summary>Questions without an answer</summary><ul>%s</ul></details>" % unanswered
        if unanswered
        else "",
    )


def _orphans(orphans):
    if not orphans["told"]:
        return ""
    return "<p>The host %s</p>%s" % (_text(orphans["told"]), _command("Remove it", orphans["command"]))


def _cause(number, cause):
    about = [one for one in (cause["app"], cause["site"] and "site %s" % cause["site"]) if one]
    evidence = "\n".join(cause["evidence"])
    so = "".join("<li>%s</li>" % _text(one["message"]) for one in cause["consequences"])
    return (
        '<article class="cause %(effect)s"><header><span class="number">%(number)d</span><div><h3>%(title)s</h3>'
        '<p class="about">%(about)s</p></div></header><p class="message">%(message)s</p>%(evidence)s%(so)s%(show)s%(mend)s</article>'
    ) % {
        "effect": _text(cause["effect"]),
        "number": number,
        "title": _text(CAUSES.get(cause["cause"], cause["cause"])),
        "about": _text(
            " · ".join(
                about + [EFFECT_WORDS[cause["effect"]], "%d %% sure" % cause["confidence"], TITLES[cause["link"]]]
            )
        ),
        "message": _text(cause["message"]),
        "evidence": "<pre>%s</pre>" % "\n".join(_text(line) for line in evidence.split("\n")) if evidence else "",
        "so": "<details open><summary>What follows from it</summary><ul>%s</ul></details>" % so if so else "",
        "show": _command("See it", cause["show"]),
        "mend": _command("Mend it", cause["mend"]),
    }


def _command(word, command):
    if not command:
        return ""
    return '<div class="command"><span>%s</span><code>%s</code><button type="button" hidden>Copy</button></div>' % (
        word,
        _text(command),
    )


def _way(way):
    title = way["app"] + (" at site %s" % way["site"] if way["site"] else "")
    nodes = "".join(
        '<li class="%s" title="%s"><span class="mark" aria-hidden="true">%s</span><b>%s</b><small>%s</small></li>'
        % (
            _text(link["state"]),
            _text(STATE_WORDS[link["state"]]),
            MARKS[link["state"]],
            _text(TITLES[link["link"]]),
            _text(link["told"] or STATE_WORDS[link["state"]]),
        )
        for link in way["links"]
    )
    return '<h4>%s</h4><ol class="chain" aria-label="the chain of %s">%s</ol>' % (_text(title), _text(title), nodes)


STYLE = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d5dae0;
  --good: #1a7f37; --bad: #c62828; --warn: #9a6700; --good-back: #e9f7ee; --bad-back: #fdecec; --warn-back: #fff5d9; --code: #f0f2f5; }
@media (prefers-color-scheme: dark) { :root { --back: #0e1116; --card: #171b22; --ink: #e6e9ee; --soft: #9aa4b0; --line: #313842;
  --good: #57c878; --bad: #ff7b72; --warn: #e3b341; --good-back: #12261a; --bad-back: #2f1717; --warn-back: #2b2410; --code: #0e1116; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
main { max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; margin: .5rem 0 0; }
h2 { font-size: 1.2rem; margin: 0 0 .75rem; } h3 { margin: 0; font-size: 1.05rem; }
h4 { margin: 1.25rem 0 .5rem; font-size: .95rem; }
.verdict { font-size: 1.1rem; font-weight: 600; margin: .25rem 0; }
.verdict.good { color: var(--good); } .verdict.bad { color: var(--bad); }
.made, .about { color: var(--soft); font-size: .85rem; margin: 0; }
.host { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem; margin: 1rem 0; }
.badge { font-size: .75rem; padding: .15rem .6rem; border-radius: 1rem; vertical-align: middle;
  background: var(--good-back); color: var(--good); }
.badge.outage { background: var(--bad-back); color: var(--bad); }
.badge.degraded, .badge.risk { background: var(--warn-back); color: var(--warn); }
.cause { border: 1px solid var(--line); border-left: 5px solid var(--warn); border-radius: 8px; padding: .75rem 1rem; margin: .75rem 0; }
.cause.outage { border-left-color: var(--bad); }
.cause header { display: flex; gap: .75rem; align-items: center; }
.number { flex: none; width: 1.9rem; height: 1.9rem; border-radius: 50%; display: grid; place-items: center; font-weight: 700;
  background: var(--warn-back); color: var(--warn); } .outage .number { background: var(--bad-back); color: var(--bad); }
.message { margin: .6rem 0; font-weight: 600; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: 6px; padding: .6rem; margin: .5rem 0; font-size: .8rem;
  white-space: pre-wrap; max-height: 16rem; overflow: auto; }
.command { display: flex; gap: .6rem; align-items: baseline; margin: .35rem 0; }
.command span { flex: none; width: 4rem; color: var(--soft); font-size: .85rem; }
.command code { flex: 1; background: var(--code); border: 1px solid var(--line); border-radius: 6px; padding: .35rem .6rem;
  font-size: .85rem; }
button { font: inherit; font-size: .8rem; border: 1px solid var(--line); background: var(--card); color: var(--ink); border-radius: 6px;
  padding: .3rem .7rem; cursor: pointer; }
details { margin: .5rem 0; font-size: .9rem; } summary { cursor: pointer; color: var(--soft); }
ul { margin: .25rem 0; padding-left: 1.25rem; }
.chain { list-style: none; margin: 0; padding: 0; display: grid; grid-template-columns: repeat(6, 1fr); gap: .5rem 1.1rem; }
.chain li { position: relative; border: 1.5px solid var(--line); border-radius: 8px; padding: .5rem; min-width: 0; font-size: .85rem;
  display: grid; grid-template-columns: auto 1fr; gap: 0 .4rem; align-content: start; }
.chain small { grid-column: 1 / -1; color: var(--soft); font-size: .75rem; line-height: 1.35; display: -webkit-box;
  -webkit-line-clamp: 4; -webkit-box-orient: vertical; overflow: hidden; }
.chain li:not(:last-child)::after { content: "→"; position: absolute; right: -1.05rem; top: 50%; translate: 0 -50%; color: var(--soft); }
.chain li:nth-child(6n)::after { content: none; }
.mark { font-weight: 700; color: var(--soft); }
.ok { border-color: var(--good) !important; } .ok .mark { color: var(--good); }
.chain .broken { border: 3px solid var(--bad); background: var(--bad-back); } .broken .mark { color: var(--bad); }
.chain .broken small { -webkit-line-clamp: 8; color: var(--ink); }
.affected { border-color: var(--bad) !important; border-style: dashed !important; } .affected .mark { color: var(--bad); }
.chain .risk { border-color: var(--warn); background: var(--warn-back); } .risk .mark { color: var(--warn); }
.unjudged { opacity: .5; } .well { color: var(--good); }
@media (max-width: 60rem) { .chain { grid-template-columns: repeat(3, 1fr); } .chain li:nth-child(3n)::after { content: none; } }
@media (max-width: 36rem) { .chain { grid-template-columns: 1fr; gap: 1.1rem; }
  .chain li:not(:last-child):nth-child(n)::after { content: "↓"; right: 50%; top: auto; bottom: -1.3rem; translate: 50% 0; }
  .command { flex-wrap: wrap; } .command code { flex-basis: 100%; order: 3; } .command button { margin-left: auto; } }
@media print { .host { break-inside: avoid; } button { display: none; } }
"""

SCRIPT = """
for (const button of document.querySelectorAll(".command button")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>Diagnosis</title>
<style>%(style)s</style>
</head>
<body><main>
<h1>Diagnosis</h1>
<p class="verdict %(state)s">%(verdict)s</p>
<p class="made">%(made)s</p>
%(body)s
</main>
<script>%(script)s</script>
</body>
</html>
"""
