# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The report of a run: which stages it had, how long each took on each host, and how that reads.

A line is a list of (text, colour) pairs. A colour is a word (ok, changed, failed, unreachable, skipped, ignored, faint) or None;
what the words look like is the callback's business.
"""

from __future__ import annotations

import re
import unicodedata

from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import SEQUENCES

# The modules that measure. What they return is told even when all is well.
GATES = frozenset(
    "gatehouse.webapp." + name
    for name in ("health_restart", "http_probe", "nginx_config", "port_wait", "websocket_probe")
)

# Tags that Ansible gives a meaning of its own; they name no stage.
SPECIAL_TAGS = frozenset(("all", "always", "never", "tagged", "untagged"))

SUBJECT_WIDTH = 24
REASONS = 3
LOG_LINES = 10
GAP = 2

MARKS = {
    "ok": "✓",
    "changed": "✓",
    "failed": "✗",
    "unreachable": "✗",
    "rescued": "!",
    "ignored": "!",
    "skipped": "–",
}
LINK_COLOURS = {"✔": "ok", "✘": "failed", "↓": "failed", "!": "ignored", "?": "faint", "·": "faint"}
COLOURS = {"rescued": "ignored", "stopped": "failed", "not started": "failed", "would change": "changed"}


# Which stage a task belongs to


def ancestry(task):
    """The task, and what it is written in: blocks, imports and includes, the innermost first."""
    node = task
    while node is not None:
        yield node
        node = getattr(node, "_parent", None)


def stage_of(task, play_tags=()):
    """The short name of the stage of a play that a task is part of.

    A stage is a role the play itself imports, includes or lists. It is called by its tag where it has just one, since that is what
    --tags takes; else by tasks_from, else by the role. The play's own tasks are called by their tag too.
    """
    nodes = list(ancestry(task))
    imports = [node for node in nodes if getattr(node, "_role_name", None)]
    role = getattr(task, "_role", None)
    if imports:
        around = nodes[nodes.index(imports[-1]) :]
        entry = re.sub(r"\.ya?ml$", "", (getattr(imports[-1], "_from_files", None) or {}).get("tasks", "main"))
        name = imports[-1]._role_name.rpartition(".")[2] if entry == "main" else entry
    elif role:
        listed = (task.get_dep_chain() or [role])[0]
        around, name = [listed], listed.get_name().rpartition(".")[2]
    else:
        around = nodes
        name = "facts" if task.action.rpartition(".")[2] == "gather_facts" else "tasks"
    tags = dict.fromkeys(tag for node in around for tag in node.tags)
    tags = [tag for tag in tags if tag not in SPECIAL_TAGS and tag not in play_tags]
    return tags[0] if len(tags) == 1 else name


def has_rescue(task):
    """Whether a failure of this task is handled by the rescue section of a block around it."""
    below = set()
    for node in ancestry(task):
        if getattr(node, "rescue", None):
            handlers = list(node.rescue) + list(node.always)
            if not any(handler._uuid in below for handler in handlers):
                return True
        below.add(node._uuid)
    return False


# What happened, by stage and host


class Cell:
    """One host's part in a stage. `seconds` are those of its own tasks, without those it waited for other hosts."""

    def __init__(self):
        self.seconds = 0.0
        self.counts = dict.fromkeys(("ok", "changed", "failed", "rescued", "ignored", "unreachable", "skipped"), 0)

    def add(self, other):
        self.seconds += other.seconds
        for name, count in other.counts.items():
            self.counts[name] += count

    @property
    def state(self):
        """The worst that happened, in a word."""
        for name in ("unreachable", "failed", "rescued", "ignored", "changed", "ok"):
            if self.counts[name]:
                return name
        return "skipped"


class Stage:
    """One pass through a stage: a rolling deploy goes through it once for each batch of hosts."""

    def __init__(self, name, began):
        self.name = name
        self.began = began
        self.ended = None
        self.cells = {}

    def cell(self, host):
        return self.cells.setdefault(host, Cell())

    def hosts(self, state):
        return [host for host, cell in self.cells.items() if cell.counts[state]]

    @property
    def changed(self):
        return sum(cell.counts["changed"] for cell in self.cells.values())

    @property
    def state(self):
        states = {cell.state for cell in self.cells.values()}
        order = ("unreachable", "failed", "rescued", "ignored", "changed", "ok")
        return next((state for state in order if state in states), "skipped")


class Run:
    """A whole run. The clock gives seconds."""

    def __init__(self, clock):
        self._clock = clock
        self._begun = {}  # (host, task's uuid): when
        self._tasks = {}  # a task's uuid: its name and its stage
        self._slowest = {}  # a task's uuid: (seconds, host) of the host it took longest on
        self.began = clock()
        self.passes = []
        self.hosts = {}  # every host the run was meant for: what cut it short, or None
        self.alive = []  # the hosts of the present batch that still take part
        self.done = set()  # those of them that are through with the present task
        self.current = None
        self.task = None
        self._doomed = False

    def elapsed(self):
        return self._clock() - self.began

    def begin_play(self, everybody, batch):
        self.end_play()
        for host in everybody:
            self.hosts.setdefault(host, None)
        self.alive = list(batch)

    def end_play(self):
        if self._doomed:
            self.stop()
        self._doomed = False

    def begin_task(self, uuid, name, stage):
        self._tasks[uuid] = (name, stage)
        self.task = name
        self.done = set()

    def enter(self, name):
        """Go on in this stage. Gives it when it has to be opened, else None."""
        if self.current is not None and self.current.name == name:
            return None
        self.end_stage()
        self.current = Stage(name, self._clock())
        self.passes.append(self.current)
        return self.current

    def stage_name(self, uuid):
        return self._tasks[uuid][1]

    def end_stage(self):
        """Close the present stage and give it; None when there is none."""
        stage, self.current = self.current, None
        if stage is not None:
            stage.ended = self._clock()
        return stage

    def begin_host(self, host, uuid):
        self._begun[host, uuid] = self._clock()

    def result(self, host, uuid, state, stops_all=False):
        """Note how a task ended on a host; `state` is one of a Cell's counts. With `stops_all` a failure ends the play for everybody."""
        self.hosts.setdefault(host, None)
        now = self._clock()
        seconds = now - self._begun.pop((host, uuid), now)
        self.done.add(host)
        # Under the free strategies the hosts are in several stages at once.
        stage = next((stage for stage in reversed(self.passes) if stage.name == self.stage_name(uuid)), None)
        if stage is not None:
            cell = stage.cell(host)
            cell.seconds += seconds
            cell.counts[state] += 1
        if seconds > self._slowest.get(uuid, (-1.0, None))[0]:
            self._slowest[uuid] = (seconds, host)
        if state in ("failed", "unreachable"):
            self.hosts[host] = state
            self.alive = [name for name in self.alive if name != host]
            self._doomed = self._doomed or stops_all

    def stop(self):
        """No host goes on: those that were well are stopped by the others' failure."""
        for host in self.alive:
            self.hosts[host] = self.hosts[host] or "stopped"
        self.alive = []

    def stages(self):
        """The names of all stages, in the order in which they first came."""
        return list(dict.fromkeys(stage.name for stage in self.passes))

    def cell(self, host, name):
        """A host's part in all passes through a stage; None when it never got there."""
        parts = [stage.cells[host] for stage in self.passes if stage.name == name and host in stage.cells]
        if not parts:
            return None
        whole = Cell()
        for part in parts:
            whole.add(part)
        return whole

    def slowest(self, count):
        """The tasks that took longest: (seconds, host, task, stage), on the host where they did."""
        found = sorted(((seconds, uuid, host) for uuid, (seconds, host) in self._slowest.items()), reverse=True)
        return [(seconds, host, *self._tasks[uuid]) for seconds, uuid, host in found[:count]]


# Words


def clean(value):
    """A text of another machine without what a terminal would obey."""
    text = SEQUENCES.sub("", str(value)).expandtabs(4)
    return "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cf"))


def lines_of(value):
    return [clean(line) for line in str(value).rstrip().splitlines()]


def width(text):
    """How many columns a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def pad(text, columns):
    return text + " " * (columns - width(text))


def fit(line, columns):
    """A line cut to this many columns, with an ellipsis where something is missing."""
    if sum(width(text) for text, _colour in line) <= columns:
        return line
    left, kept = columns - 1, []
    for text, colour in line:
        part = ""
        for char in text:
            if width(char) > left:
                return kept + [(part + "…", colour)]
            part += char
            left -= width(char)
        kept.append((part, colour))
    return kept


def plural(count, noun):
    return "%d %s%s" % (count, noun, "" if count == 1 else "s")


def duration(seconds):
    """A stage's or a task's seconds, for people: 0.4 s, 12.3 s, 3 min 05 s."""
    if round(seconds, 1) < 100:
        return "%.1f s" % seconds
    return "%d min %02d s" % divmod(round(seconds), 60)


def measured(seconds):
    """A gate's seconds: here the milliseconds count."""
    if seconds < 0.1:
        return "%.1f ms" % (seconds * 1000)
    return "%.2f s" % seconds if seconds < 100 else duration(seconds)


def colour(state):
    return COLOURS.get(state, state)


# A stage


def heading(name, hosts, check_mode):
    shown = ", ".join(hosts) if len(hosts) <= 4 else "%s and %d more hosts" % (", ".join(hosts[:3]), len(hosts) - 3)
    line = [(clean(name), None), ("  (%s)" % shown if hosts else "", "faint")]
    return line + ([("   check mode: nothing is changed", "changed")] if check_mode else [])


def particulars(stage, check_mode=False):
    """What a stage's line says beyond its time, as (text, colour) pairs."""
    told = []
    if stage.changed:
        told.append(("%d would change" % stage.changed if check_mode else "%d changed" % stage.changed, "changed"))
    for state in ("failed", "unreachable", "rescued", "ignored"):
        hosts = stage.hosts(state)
        if hosts:
            told.append(("%s on %s" % (state, ", ".join(hosts)), colour(state)))
    if stage.state == "skipped":
        told.append(("skipped", "skipped"))
    return told


def stage_started(stage, at):
    return [("[%10s] " % duration(at), "faint"), (stage.name, None), (": started", "faint")]


def stage_ended(stage, at, check_mode=False):
    """The line that ends a stage in a log."""
    word = {"failed": "failed", "unreachable": "failed"}.get(stage.state, "done")
    line = [("[%10s] " % duration(at), "faint"), (stage.name, None), (": ", None)]
    line.append(("%s after %s" % (word, duration(stage.ended - stage.began)), colour(stage.state)))
    for part in particulars(stage, check_mode):
        line += [(", ", None), part]
    return line


def stage_closed(stage, name_width, check_mode=False):
    """The line that stays of a stage on a terminal."""
    line = [(MARKS[stage.state] + " ", colour(stage.state)), (pad(stage.name, name_width), None)]
    line.append(("  %9s" % duration(stage.ended - stage.began), "faint"))
    for part in particulars(stage, check_mode):
        line += [("   ", None), part]
    return line


def stage_running(stage, now, name_width, done, total, task):
    """The line that a terminal shows while a stage runs."""
    return [
        ("▸ ", "changed"),
        (pad(stage.name, name_width), None),
        ("  %9s" % ("%d s" % (now - stage.began)), "faint"),
        ("   %d/%d host%s" % (done, total, "" if total == 1 else "s"), "faint"),
        ("   %s" % clean(task), None),
    ]


# What a gate measured


def subject(result, label, task):
    """Whose gate it was: the apps of the services it tells of, the loop's label, or the task's name."""
    told = [str(result.get("service") or "")]
    told += [str(entry.get("event", "")) for entry in result.get("timeline") or []]
    told += [str(reason) for reason in result.get("reasons") or []]
    apps = [name for text in told for name in re.findall(r"([\w.-]+?)(?:@[\w.-]*)?\.service\b", text)]
    return clean(", ".join(dict.fromkeys(apps)) or label or task)


def effort(result):
    """In brackets, what a gate took beside its time: attempts, and instances where there are several."""
    events = [str(entry.get("event", "")) for entry in result.get("timeline") or []]
    services = {event.split(": ")[0] for event in events if ".service: healthy" in event}
    parts = [plural(result["attempts"], "attempt")] if result.get("attempts") else []
    parts += [plural(len(services), "instance")] if len(services) > 1 else []
    return " (%s)" % ", ".join(parts) if parts else ""


def tell_restart(result):
    if "outcome" not in result:  # check mode: what would happen
        return "would be restarted" if result.get("changed") else "runs what is on disk"
    spent = measured(result.get("elapsed", 0)) + effort(result)
    if result.get("changed"):
        return "%s after %s" % (result["outcome"], spent)
    return "%s, left as it was, measured in %s" % (result["outcome"], spent)


def tell_probe(result):
    text = "answers %s in %s" % (result.get("status", ""), measured(result.get("latency", 0)))
    if result.get("attempts", 1) > 1:
        text += ", after %s%s" % (measured(result.get("elapsed", 0)), effort(result))
    return text


def tell_ports(result):
    told = []
    for port in result.get("ports") or []:
        units = [str(holder.get("unit") or holder.get("exe")) for holder in port.get("holders") or []]
        addresses = ["[%s]" % one if ":" in one else one for one in port.get("addresses") or []]
        where = ", ".join("%s:%s" % (address, port["port"]) for address in addresses)
        holders = ", ".join(dict.fromkeys(units)) or "somebody unseen"
        told.append("%s held by %s" % (where, holders) if where else "nothing listens on port %s" % port["port"])
    return "; ".join(told)


def tell_nginx(result):
    timeline = result.get("timeline") or []
    if result.get("changed") and timeline:
        return "%s after %s" % (result["outcome"], measured(timeline[-1]["ms"] / 1000))
    return str(result.get("outcome"))


TELLERS = {
    "health_restart": tell_restart,
    "http_probe": tell_probe,
    "nginx_config": tell_nginx,
    "port_wait": tell_ports,
    "websocket_probe": tell_probe,
}


def gate_line(host, host_width, who, text, state):
    return [
        ("    %s" % pad(host, host_width + GAP), "faint"),
        (pad(who, SUBJECT_WIDTH) + " " * GAP, None),
        (text, colour(state)),
    ]


def gate_opened(module, host, host_width, result, label, task):
    """The lines of a gate that opened, the first reasons for a change below; `module` is the short name of one of GATES."""
    who = "nginx" if module == "nginx_config" else subject(result, label, task)
    text, state = TELLERS[module](result), "changed" if result.get("changed") else "ok"
    if "cause" in result:  # a failure that failed_when does not take for one
        text, state = "stays shut (%s), which is no failure here" % result["cause"], "ignored"
    told = [gate_line(host, host_width, who, clean(text), state)]
    reasons = [clean(reason) for reason in result.get("reasons") or []]
    if len(reasons) > REASONS:
        reasons[REASONS:] = ["and %s" % plural(len(reasons) - REASONS, "more reason")]
    return told + [[(" " * (4 + host_width + GAP) + reason, "faint")] for reason in reasons]


def gate_shut(module, host, host_width, result, label, task):
    """The lines of a gate that stayed shut: what, why, what to type, and how it came to that."""
    who = "nginx" if module == "nginx_config" else subject(result, label, task)
    text = result.get("outcome", "failed")
    text = "failed, nothing was touched" if text == "unchanged" else text
    if "elapsed" in result:
        text += " after %s%s" % (measured(result["elapsed"]), effort(result))
    hint = str(result.get("hint") or "")
    message = str(result.get("msg", ""))
    if hint and message.endswith("\nNext: " + hint):
        message = message[: -len("\nNext: " + hint)]
    timeline = ["%6d ms  %s" % (entry["ms"], entry["event"]) for entry in result.get("timeline") or []]
    fields = [
        ("task", task),
        ("cause", result.get("cause", "")),
        ("message", message),
        ("hint", hint),
        ("timeline", "\n".join(timeline)),
        ("log", "\n".join(map(str, (result.get("log") or [])[-LOG_LINES:]))),
        ("excerpt", "\n".join(map(str, result.get("excerpt") or []))),
    ]
    told = [gate_line(host, host_width, who, clean(text), "failed")]
    for name, value in fields:
        for number, line in enumerate(lines_of(value)):
            shade = "failed" if name == "message" else "changed" if name == "hint" else None
            told.append([("      %-8s  " % ("" if number else name), "faint"), (line, shade)])
    return told


def message_lines(host, host_width, messages):
    """What a debug task says, its host before the first line."""
    lines = [line for message in messages for line in lines_of(message)]
    return [
        [("    %s" % pad("" if number else host, host_width + GAP), "faint"), (line, _colour_of_mark(line))]
        for number, line in enumerate(lines)
    ]


def _colour_of_mark(line):
    """The colour of a line that tells the state of a link, as a diagnosis does: it has its mark after two blanks."""
    return LINK_COLOURS.get(line[2]) if line[:2] == "  " and line[3:4] == " " else None


# The end


def outcome(run, host, totals, check_mode):
    """How a host ended, in a word and a state. `totals` are Ansible's own counts: they have the last word."""
    cut = run.hosts.get(host)
    if totals is None:
        return ("stopped" if cut == "stopped" else "not started",) * 2
    if totals["unreachable"] and cut == "unreachable":
        word = state = "unreachable"
    elif totals["failures"]:
        word = state = "failed"
    elif cut == "stopped":
        word = state = "stopped"
    elif totals["changed"]:
        word, state = ("would change" if check_mode else "changed"), "changed"
    else:
        word = state = "ok"
    extra = ["%d %s" % (totals[name], name) for name in ("rescued", "ignored") if totals[name]]
    return ", ".join([word] + extra), state


def cell_text(cell):
    if cell is None:
        return ("·", "faint")
    state = cell.state
    if state == "skipped":
        return ("–", "skipped")
    mark = {"changed": " +", "failed": " ✗", "unreachable": " ✗", "rescued": " !", "ignored": " !"}.get(state, "")
    return (duration(cell.seconds) + mark, colour(state))


LEGEND = (
    ("+", " changed something", "changed"),
    ("✗", " failed", "failed"),
    ("!", " failed, and the run went on", "ignored"),
    ("–", " skipped", "skipped"),
    ("·", " never got there", "faint"),
)


def report(run, totals, columns=None, check_mode=False):
    """The table of a run and the lines under it. `totals`: Ansible's counts by host; `columns`: of the terminal."""
    names = run.stages()
    head = [("host", None)] + [(name, None) for name in names] + [("changed", None), ("outcome", None)]
    rows = []
    for host in run.hosts:
        counts = totals.get(host)
        text, state = outcome(run, host, counts, check_mode)
        cells = [cell_text(run.cell(host, name)) for name in names]
        changed = counts["changed"] if counts else 0
        rows.append(
            [(host, None), *cells, (str(changed), "changed" if changed else "faint"), (clean(text), colour(state))]
        )
    told = table(head, rows, columns)
    used = "".join(text for row in rows for text, _colour in row[1:-2])
    keys = [(mark, meaning, shade) for mark, meaning, shade in LEGEND if mark in used]
    legend = [part for mark, meaning, shade in keys for part in (("   " + mark, shade), (meaning, "faint"))]
    if legend:
        told.append([(legend[0][0].strip(), legend[0][1])] + legend[1:])
    told.append([])
    told.append([("Total %s" % duration(run.elapsed()), None), (check_mode and ", in check mode" or "", "changed")])
    for number, (seconds, host, task, stage) in enumerate(run.slowest(3)):
        told.append(
            [
                ("%-9s" % ("" if number else "Slowest"), "faint"),
                ("%9s  " % duration(seconds), None),
                (clean(task), None),
                (" (%s%s)" % (stage, ", on " + host if len(run.hosts) > 1 else ""), "faint"),
            ]
        )
    return told


def table(head, rows, columns=None):
    """Lines of aligned cells, numbers to the right. What is wider than the terminal goes on in a second table below."""
    widths = [max(width(row[index][0]) for row in [head] + rows) for index in range(len(head))]
    # The last two columns sum the others up, and stay together.
    units = [[index] for index in range(1, len(head) - 2)] + [[len(head) - 2, len(head) - 1]]
    blocks, used = [[]], widths[0]
    for unit in units:
        wide = sum(GAP + widths[index] for index in unit)
        if columns and blocks[-1] and used + wide > columns:
            blocks.append([])
            used = widths[0]
        blocks[-1] += unit
        used += wide
    told = []
    for block in blocks:
        told += [[]] if told else []
        for row in [head] + rows:
            line = [(pad(row[0][0], widths[0]), "faint" if row is head else row[0][1])]
            for index in block:
                text, shade = row[index]
                space = " " * (widths[index] - width(text))
                # The last column is words: they begin where its name begins.
                last = index == len(head) - 1
                shade = "faint" if row is head else shade
                line += [(" " * GAP + ("" if last else space), None), (text, shade)]
            told.append(line)
    return told
