# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What verify_host has measured, for people and for programs: a table, a document, and the message of a failure. Pure."""

from __future__ import annotations

import textwrap

from ansible_collections.gatehouse.webapp.plugins.module_utils._verify import LINKS, STAGES
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._report import MARKS, printable

SCHEMA = 1
# Ansible indents and quotes the lines of a list: with that they are no wider than 100 columns.
WIDEST = 88
# Sentences are narrower: where Ansible prints YAML, it breaks a line at the first single blank after column 80.
SENTENCE = 74
HOST, RESULT, TIME = 20, 18, 6
GAP = "  "
MOST = 5
DIAGNOSE = "ansible-playbook -i INVENTORY gatehouse.webapp.diagnose   # names the cause"


def summary(findings):
    """{ok, broken, checks}. broken: the first link that is broken; None where none is."""
    first = next((one for one in findings if one["state"] == "broken"), None)
    return {"ok": first is None, "broken": first and first["link"], "checks": findings}


def table(hosts):
    """The lines of the table of some hosts. hosts: {name: what verify_host returned, or None where it could not be asked}."""
    rows = [(name, one) for name, found in hosts.items() for one in (found or {}).get("checks", [])]
    told = [one for _name, one in rows if one["state"] != "unjudged"]
    host_width = min(HOST, max([4] + [len(name) for name in hosts]))
    link_width = max([4] + [len(one["link"]) for one in told])
    result_width = min(RESULT, max([6] + [len(one["result"]) for one in told]))
    # The mark and its blanks, the gaps between the columns, and the time.
    rest = WIDEST - 4 - host_width - link_width - result_width - 4 * len(GAP) - TIME
    what_width = min(rest, max([4] + [len(one["what"]) for one in told]))
    widths = (host_width, link_width, what_width, result_width)
    lines = [_row(" ", ("host", "link", "what", "result"), widths, "ms")]
    for name, found in hosts.items():
        if not found:
            lines.append(_row(MARKS["broken"], (name, "-", "Ansible could not ask it", "not reached"), widths, ""))
            continue
        first = True
        for one in found["checks"]:
            if one["state"] == "unjudged":
                continue
            ms = "" if one["ms"] is None else "%.0f" % one["ms"]
            lines.append(_row(MARKS[one["state"]], (name, one["link"], one["what"], one["result"]), widths, ms))
            if one["state"] not in ("ok", "unjudged"):
                lines += _remarks(one, first and one["state"] == "broken")
                first = first and one["state"] != "broken"
        behind = [one for one in found["checks"] if one["state"] == "unjudged"]
        if behind:
            links = ", ".join(dict.fromkeys(one["link"] for one in behind))
            text = "%s %s: not measured behind the broken link: %s" % (MARKS["unjudged"], printable(name), links)
            lines += textwrap.wrap(text, SENTENCE, initial_indent="  ", subsequent_indent="    ")
    return lines + [""] + verdict(hosts)


def _row(mark, cells, widths, ms):
    cut = [_cut(printable(cell), width).ljust(width) for cell, width in zip(cells, widths)]
    return ("  %s %s%s%s" % (mark, GAP.join(cut), GAP, ms.rjust(TIME))).rstrip()


def _cut(text, width):
    """The text in this width. What is cut out is its middle: its end tells as much as its beginning."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return text[: width - 1 - end] + "…" + text[len(text) - end :]


def _remarks(one, first):
    """What is to be said of a link that is not well, below its row."""
    lines = []
    if first:
        lines.append("      First broken link, stage %d: %s." % (one["stage"], LINKS[one["link"]][1]))
    for part in one["message"].splitlines():
        lines += textwrap.wrap(printable(part), SENTENCE, initial_indent="      ", subsequent_indent="      ")
    # A command stays in one line, so that it can be copied.
    return lines + (["      Next: %s" % printable(one["next"])] if one["next"] else [])


def verdict(hosts):
    """A line for each host, and the next command where there is one."""
    lines = []
    for name, found in hosts.items():
        if not found:
            lines.append("%s: not reached." % printable(name))
            continue
        counts = {state: sum(one["state"] == state for one in found["checks"]) for state in MARKS}
        words = ["%d well" % (counts["ok"])]
        words += ["%d broken" % counts["broken"]] if counts["broken"] else []
        words += ["%d at risk" % counts["risk"]] if counts["risk"] else []
        words += ["%d not judged" % counts["unknown"]] if counts["unknown"] else []
        words += ["%d not measured" % counts["unjudged"]] if counts["unjudged"] else []
        lines.append("%s: %s." % (printable(name), ", ".join(words)))
    if any(not found or not found["ok"] for found in hosts.values()):
        lines.append("Next: " + DIAGNOSE)
    return lines


def document(hosts):
    """What programs read, described in the README of the role verify."""
    return {
        "schema": SCHEMA,
        "ok": all(found and found["ok"] for found in hosts.values()),
        "hosts": {
            name: found and {key: found[key] for key in ("ok", "broken", "checks")} for name, found in hosts.items()
        },
    }


def failure(findings):
    """What a play fails with: every broken link of the stage, each with its reason and what to type."""
    bad = [one for one in findings if one["state"] == "broken"]
    lines = []
    for one in bad[:MOST]:
        title = "Stage %d of %d, %s" % (one["stage"], STAGES, LINKS[one["link"]][1])
        lines.append("%s failed: %s: %s" % (title, one["what"], one["message"]))
        if one["next"]:
            lines.append("Next: %s" % one["next"])
    if len(bad) > MOST:
        lines.append("%d more are broken in this stage: the table has them." % (len(bad) - MOST))
    return "\n".join(lines)
