"""The report's words and sums: which stage a task is part of, how long each host took, how lines and tables read."""

import types
from pathlib import Path

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook import Playbook
from ansible.playbook.play import Play
from ansible.vars.manager import VariableManager

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _timeline as timeline

ROOT = Path(__file__).resolve().parents[4]
SITE = ROOT / "playbooks" / "site.yml"


def text(line):
    return "".join(part for part, _colour in line)


def texts(lines):
    return [text(line) for line in lines]


# Stages


def tasks_of(blocks):
    for entry in blocks:
        if hasattr(entry, "block"):
            yield from tasks_of(entry.block + entry.rescue + entry.always)
        else:
            yield entry


@pytest.fixture
def loader():
    found = DataLoader()
    found.set_basedir(str(ROOT))
    return found


@pytest.fixture
def variables(loader):
    return VariableManager(loader=loader, inventory=InventoryManager(loader=loader, sources=["app1,"]))


@pytest.fixture
def play(loader, variables):
    def load(**content):
        content = {"name": "Serve", "hosts": "all", "gather_facts": True, **content}
        return Play.load(content, variable_manager=variables, loader=loader)

    return load


def stages(play):
    found = [timeline.stage_of(task, play.tags) for task in tasks_of(play.compile()) if task.action != "meta"]
    return list(dict.fromkeys(name for name in found if not name.startswith("flush")))


def test_each_stage_of_site_yml_is_called_by_a_tag_of_its_own(loader, variables):
    tags = [set(task["tags"]) for content in yaml.safe_load(SITE.read_text()) for task in content["tasks"]]
    found = []
    for play in Playbook.load(str(SITE), variable_manager=variables, loader=loader).get_plays():
        found += [name for name in stages(play) if name not in ("facts", "tasks")]
    assert len(set(found)) == len(found)
    # The tasks of one stage, one for each runtime, share its tag.
    assert [own for own in tags if not own & set(found)] == []
    assert set(found) <= set().union(*tags)


ROLE = "gatehouse.webapp.verify"


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"import_role": {"name": ROLE}}, "verify"),
        ({"include_role": {"name": ROLE}}, "verify"),
        ({"import_role": {"name": "gatehouse.webapp.uvicorn_app", "tasks_from": "retire.yml"}}, "retire"),
        ({"import_role": {"name": ROLE}, "tags": ["measure"]}, "measure"),
        ({"import_role": {"name": ROLE}, "tags": ["always", "measure"]}, "measure"),
        ({"import_role": {"name": ROLE}, "tags": ["one", "two"]}, "verify"),
        ({"block": [{"import_role": {"name": ROLE}}], "tags": ["around"]}, "around"),
        ({"debug": {"msg": "x"}}, "tasks"),
        ({"debug": {"msg": "x"}, "tags": ["greet"]}, "greet"),
        ({"block": [{"debug": {"msg": "x"}}], "tags": ["greet"]}, "greet"),
    ],
)
def test_a_stage_is_named(play, task, expected):
    assert set(stages(play(gather_facts=False, tasks=[task]))) == {expected}


def test_the_plays_own_tags_name_no_stage(play):
    tasks = [{"import_role": {"name": ROLE}}, {"debug": {}}, {"debug": {}, "tags": ["greet"]}]
    assert stages(play(gather_facts=False, tags=["web"], tasks=tasks)) == ["verify", "tasks", "greet"]


def test_a_role_in_a_role_is_part_of_its_stage():
    outer = types.SimpleNamespace(_role_name="gatehouse.webapp.web", tags=[], _parent=None)
    inner = types.SimpleNamespace(_role_name="gatehouse.webapp.common", tags=["inner"], _parent=outer)
    assert timeline.stage_of(types.SimpleNamespace(action="debug", tags=["inner"], _parent=inner)) == "web"


def test_a_listed_role_is_a_stage_and_its_dependencies_are_part_of_it(play):
    assert stages(play(gather_facts=False, roles=[ROLE])) == ["verify"]
    assert stages(play(gather_facts=False, roles=[{"role": ROLE, "tags": ["measure"]}])) == ["measure"]
    role = types.SimpleNamespace(get_name=lambda: "gatehouse.webapp.web", tags=[])
    dependency = types.SimpleNamespace(get_name=lambda: "gatehouse.webapp.common")
    task = types.SimpleNamespace(action="debug", tags=[], _role=dependency, get_dep_chain=lambda: [role], _parent=None)
    assert timeline.stage_of(task) == "web"


def test_facts_are_a_stage(play):
    task = types.SimpleNamespace(action="ansible.builtin.gather_facts", tags=["always"], _parent=None)
    assert timeline.stage_of(task) == "facts"


def test_a_rescue_is_seen_where_it_is(play):
    found = play(
        gather_facts=False,
        tasks=[
            {"name": "outside", "debug": {}},
            {
                "block": [{"name": "guarded", "debug": {}}, {"block": [{"name": "deep", "debug": {}}]}],
                "rescue": [{"name": "rescuing", "debug": {}}],
                "always": [{"name": "always", "debug": {}}],
            },
            {"block": [{"name": "unguarded", "debug": {}}], "always": [{"name": "after", "debug": {}}]},
        ],
    )
    guarded = {task.name for task in tasks_of(found.compile()) if task.name and timeline.has_rescue(task)}
    assert guarded == {"guarded", "deep"}


# Sums


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Story:
    """A run that is told in a few words: a task is (name, stage, {host: (seconds, state)})."""

    def __init__(self, *hosts):
        self.clock = Clock()
        self.run = timeline.Run(self.clock)
        self.run.begin_play(hosts, hosts)

    def task(self, name, stage, results, **more):
        self.run.begin_task(name, name, stage)
        self.run.enter(stage)
        begin = self.clock.now
        for host in results:
            self.run.begin_host(host, name)
        for host, (seconds, state) in sorted(results.items(), key=lambda item: item[1][0]):
            self.clock.now = begin + seconds
            self.run.result(host, name, state, **more)
        return self

    def report(self, totals=None, **options):
        self.run.end_stage()
        self.run.end_play()
        return texts(timeline.report(self.run, totals or {}, **options))


def counts(**more):
    return {
        **dict.fromkeys(("ok", "changed", "failures", "unreachable", "skipped", "rescued", "ignored"), 0),
        **more,
    }


def test_seconds_are_those_of_a_hosts_own_tasks():
    run = (
        Story("app1", "app2")
        .task("Build", "stage", {"app1": (1.0, "ok"), "app2": (5.0, "changed")})
        .task("Seal", "stage", {"app1": (0.5, "ok"), "app2": (0.25, "ok")})
        .run
    )
    assert run.cell("app1", "stage").seconds == 1.5
    assert run.cell("app2", "stage").seconds == 5.25
    assert run.end_stage().ended - run.began == 5.5


def test_a_rolling_stage_is_one_column():
    story = Story("app1", "app2")
    story.task("Go", "activate", {"app1": (1.0, "changed")}).task("Look", "verify", {"app1": (1.0, "ok")})
    story.run.begin_play(["app1", "app2"], ["app2"])
    story.task("Go", "activate", {"app2": (2.0, "changed")}).task("Look", "verify", {"app2": (1.0, "ok")})
    assert story.run.stages() == ["activate", "verify"]
    assert len(story.run.passes) == 4
    assert story.run.cell("app2", "activate").seconds == 2.0
    assert list(story.run.passes[0].cells) == ["app1"]


def test_the_slowest_tasks_come_with_their_slowest_host():
    run = (
        Story("app1", "app2")
        .task("Build", "stage", {"app1": (1.0, "ok"), "app2": (5.0, "ok")})
        .task("Seal", "stage", {"app1": (0.5, "ok"), "app2": (0.25, "ok")})
        .task("Flip", "activate", {"app1": (2.0, "ok")})
        .run
    )
    assert run.slowest(2) == [(5.0, "app2", "Build", "stage"), (2.0, "app1", "Flip", "activate")]


def test_a_result_before_its_stage_began_opens_none():
    story = Story("app1")
    story.run.begin_task("check", "Check the arguments", "verify")
    story.run.begin_host("app1", "check")
    story.run.result("app1", "check", "ok")
    assert story.run.stages() == []
    assert story.run.done == {"app1"}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (["skipped", "skipped"], "skipped"),
        (["skipped", "ok"], "ok"),
        (["changed", "ok"], "changed"),
        (["changed", "ignored"], "ignored"),
        (["ignored", "rescued"], "rescued"),
        (["rescued", "failed"], "failed"),
        (["ok", "unreachable"], "unreachable"),
    ],
)
def test_a_cell_tells_the_worst(seen, expected):
    cell = timeline.Cell()
    for state in seen:
        cell.counts[state] += 1
    assert cell.state == expected


# Words


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0.0 s"), (0.44, "0.4 s"), (12.34, "12.3 s"), (99.94, "99.9 s"), (99.96, "1 min 40 s"), (185, "3 min 05 s")],
)
def test_duration(seconds, expected):
    assert timeline.duration(seconds) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.0041, "4.1 ms"), (1.419, "1.42 s"), (125, "2 min 05 s")])
def test_measured(seconds, expected):
    assert timeline.measured(seconds) == expected


def test_what_a_terminal_would_obey_is_taken_out():
    assert timeline.clean("\x1b[31mred\x1b[0m\a \x1b]0;title\x07 a\tb\r\u202e") == "red ]0;title a   b"


@pytest.mark.parametrize(("columns", "expected"), [(9, "stage one"), (8, "stage o…"), (5, "stag…"), (1, "…")])
def test_a_line_is_cut(columns, expected):
    assert text(timeline.fit([("stage ", "ok"), ("one", None)], columns)) == expected


def test_wide_characters_take_two_columns():
    assert timeline.width("日本 x") == 6
    assert text(timeline.fit([("日本語", None)], 5)) == "日本…"
    assert timeline.pad("日", 4) == "日  "


def test_a_play_is_announced():
    assert text(timeline.heading("Serve", ["a", "b"], False)) == "Serve  (a, b)"
    assert text(timeline.heading("Serve", list("abcdef"), True)) == (
        "Serve  (a, b, c and 3 more hosts)   check mode: nothing is changed"
    )
    assert text(timeline.heading("Serve", [], False)) == "Serve"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("ok", "ok"), "stage: done after 2.0 s"),
        (("changed", "changed"), "stage: done after 2.0 s, 2 changed"),
        (("changed", "failed"), "stage: failed after 2.0 s, 1 changed, failed on app2"),
        (("ok", "unreachable"), "stage: failed after 2.0 s, unreachable on app2"),
        (("rescued", "ignored"), "stage: done after 2.0 s, rescued on app1, ignored on app2"),
        (("skipped", "skipped"), "stage: done after 2.0 s, skipped"),
    ],
)
def test_a_stage_ends(states, expected):
    story = Story("app1", "app2").task("Go", "stage", {"app1": (1.0, states[0]), "app2": (2.0, states[1])})
    assert text(timeline.stage_ended(story.run.end_stage(), 61.2)) == "[    61.2 s] " + expected


def test_a_stage_runs_and_closes_on_a_terminal():
    story = Story("app1", "app2").task("Go", "stage", {"app1": (12.7, "changed")})
    running = timeline.stage_running(story.run.current, story.clock.now, 10, 1, 2, "Go\x1b[2J")
    assert text(running) == "▸ stage            12 s   1/2 hosts   Go"
    assert text(timeline.stage_closed(story.run.end_stage(), 10)) == "✓ stage          12.7 s   1 changed"


def test_check_mode_changes_nothing():
    story = Story("app1").task("Go", "stage", {"app1": (1.0, "changed")})
    assert text(timeline.stage_ended(story.run.end_stage(), 1, check_mode=True)).endswith(", 1 would change")


# Gates

HEALTHY = {
    "changed": True,
    "outcome": "healthy",
    "elapsed": 1.42,
    "attempts": 12,
    "reasons": ["chat-api@8000.service did not run: it was inactive (dead)"],
    "timeline": [
        {"ms": 4, "event": "/srv/chat-api/current now names /srv/chat-api/releases/1"},
        {"ms": 5, "event": "chat-api@8000.service: healthy: first good answer after 0.1 s, 2 in a row"},
        {"ms": 9, "event": "chat-api@8001.service: healthy: first good answer after 0.1 s, 2 in a row"},
        {"ms": 11, "event": "chat-api@18000.service, chat-api@18001.service: stopped"},
    ],
}
LEFT = {
    "changed": False,
    "outcome": "healthy",
    "elapsed": 0.02,
    "attempts": 1,
    "reasons": [],
    "timeline": [{"ms": 20, "event": "chat-api@8000.service: healthy: first good answer after 0.01 s, 2 in a row"}],
}
LISTENING = {
    "port": 8000,
    "addresses": ["127.0.0.1", "::1"],
    "holders": [{"unit": "chat-api@8000.service"}, {"unit": None, "exe": "/bin/x"}],
}


@pytest.mark.parametrize(
    ("module", "result", "label", "expected"),
    [
        ("health_restart", HEALTHY, None, "chat-api  healthy after 1.42 s (12 attempts, 2 instances)"),
        ("health_restart", LEFT, None, "chat-api  healthy, left as it was, measured in 20.0 ms (1 attempt)"),
        (
            "health_restart",
            {"changed": True, "reasons": ["the unit file of chat-api@8000.service changed on disk"]},
            None,
            "chat-api  would be restarted",
        ),
        ("health_restart", {"changed": False, "reasons": []}, None, "Go live  runs what is on disk"),
        (
            "http_probe",
            {"status": 200, "latency": 0.0041, "attempts": 1},
            "example.com/",
            "example.com/  answers 200 in 4.1 ms",
        ),
        (
            "http_probe",
            {"status": 200, "latency": 0.0041, "attempts": 3, "elapsed": 1.2},
            None,
            "Go live  answers 200 in 4.1 ms, after 1.20 s (3 attempts)",
        ),
        ("websocket_probe", {"status": 101, "latency": 0.5, "attempts": 1}, "x\x1b[2J", "x  answers 101 in 0.50 s"),
        (
            "port_wait",
            {"ports": [LISTENING]},
            "one",
            "one  127.0.0.1:8000, [::1]:8000 held by chat-api@8000.service, /bin/x",
        ),
        (
            "port_wait",
            {"ports": [{"port": 80, "addresses": [], "holders": []}]},
            "one",
            "one  nothing listens on port 80",
        ),
        ("nginx_config", {"outcome": "unchanged", "changed": False, "timeline": []}, None, "nginx  unchanged"),
        (
            "nginx_config",
            {"outcome": "reloaded", "changed": True, "timeline": [{"ms": 310, "event": "reloaded"}]},
            None,
            "nginx  reloaded after 0.31 s",
        ),
        (
            "http_probe",
            {"cause": "refused", "msg": "nobody there", "attempts": 1},
            "one",
            "one  stays shut (refused), which is no failure here",
        ),
    ],
)
def test_a_gate_that_opened(module, result, label, expected):
    line = text(timeline.gate_opened(module, "app1", 6, result, label, "Go live")[0])
    assert line.startswith("    app1    ")
    assert " ".join(line.split()) == " ".join(("app1 " + expected).split())


def test_only_the_first_reasons_are_told():
    result = dict(HEALTHY, reasons=["one", "two", "three", "four", "five"])
    lines = texts(timeline.gate_opened("health_restart", "app1", 4, result, None, "Go live"))
    assert [line.strip() for line in lines[1:]] == ["one", "two", "three", "and 2 more reasons"]


SHUT = {
    "outcome": "reverted",
    "elapsed": 3.2,
    "attempts": 41,
    "service": "chat-api@8000.service",
    "cause": "crashed",
    "msg": "chat-api@8000.service: exit status 3\nWent back to 1.\nNext: journalctl -u x",
    "hint": "journalctl -u x",
    "timeline": [{"ms": 4, "event": "restart asked for"}, {"ms": 1042, "event": "crashed"}],
    "log": ["\x1b[31mERROR\x1b[0m it broke", ""],
    "invocation": {"module_args": {"http": {"headers": {"Authorization": "hunter2"}}}},
    "listeners": [],
}


def test_a_gate_that_stayed_shut():
    assert texts(timeline.gate_shut("health_restart", "app1", 4, SHUT, None, "Go live")) == [
        "    app1  chat-api                  reverted after 3.20 s (41 attempts)",
        "      task      Go live",
        "      cause     crashed",
        "      message   chat-api@8000.service: exit status 3",
        "                Went back to 1.",
        "      hint      journalctl -u x",
        "      timeline       4 ms  restart asked for",
        "                  1042 ms  crashed",
        "      log       ERROR it broke",
    ]


def test_a_refused_configuration_shows_its_lines():
    result = {"outcome": "unchanged", "cause": "config_invalid", "msg": "nginx refuses it", "excerpt": ["3  server {"]}
    told = texts(timeline.gate_shut("nginx_config", "app1", 4, result, None, "Configure"))
    assert told[0].split() == ["app1", "nginx", "failed,", "nothing", "was", "touched"]
    assert "      excerpt   3  server {" in told


def test_a_message_of_several_lines_names_its_host_once():
    lines = timeline.message_lines("app1", 5, ["one\ntwo", "three"])
    assert texts(lines) == ["    app1   one", "           two", "           three"]


def test_the_links_of_a_diagnosis_have_their_colours():
    told = ["  ✔ DNS", "  ✘ Service", "  · Health", "  no mark", "✔ not indented", "  ✔"]
    assert [line[1][1] for line in timeline.message_lines("app1", 5, told)] == [
        "ok",
        "failed",
        "faint",
        None,
        None,
        None,
    ]


# The table


def test_the_report_of_a_run():
    story = (
        Story("app1", "app2")
        .task("Look", "preflight", {"app1": (0.5, "ok"), "app2": (0.25, "skipped")})
        .task("Build", "stage", {"app1": (70.0, "changed"), "app2": (101.0, "failed")})
        .task("Probe", "verify", {"app1": (2.0, "ignored")})
    )
    totals = {"app1": counts(ok=3, changed=1, ignored=1), "app2": counts(failures=1)}
    assert story.report(totals) == [
        "host  preflight         stage   verify  changed  outcome",
        "app1      0.5 s      70.0 s +  2.0 s !        1  changed, 1 ignored",
        "app2          –  1 min 41 s ✗        ·        0  failed",
        "+ changed something   ✗ failed   ! failed, and the run went on   – skipped   · never got there",
        "",
        "Total 1 min 44 s",
        "Slowest  1 min 41 s  Build (stage, on app2)",
        "             2.0 s  Probe (verify, on app1)",
        "             0.5 s  Look (preflight, on app1)",
    ]


def test_one_host_is_not_named_with_its_tasks():
    story = Story("app1").task("Look", "preflight", {"app1": (0.5, "ok")})
    assert story.report({"app1": counts(ok=1)})[-1] == "Slowest      0.5 s  Look (preflight)"


OUTCOMES = {
    "ok": (None, counts(ok=3), "ok"),
    "changed": (None, counts(ok=3, changed=2), "changed"),
    "rescued": (None, counts(ok=3, rescued=1), "ok, 1 rescued"),
    "failed": ("failed", counts(changed=2, failures=1), "failed"),
    "unreachable": ("unreachable", counts(ok=1, unreachable=1), "unreachable"),
    "unreachable, ignored": (None, counts(ok=1, ignored=1), "ok, 1 ignored"),
    "stopped": ("stopped", counts(ok=1, changed=1), "stopped"),
    "never begun": (None, None, "not started"),
    "stopped before its first task": ("stopped", None, "stopped"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome(name):
    cut, totals, expected = OUTCOMES[name]
    run = Story("app1").run
    run.hosts["app1"] = cut
    assert timeline.outcome(run, "app1", totals, check_mode=False)[0] == expected


def test_in_check_mode_a_host_would_change():
    run = Story("app1").run
    assert timeline.outcome(run, "app1", counts(changed=1), check_mode=True)[0] == "would change"


def test_a_failure_that_ends_the_play_stops_the_other_hosts():
    story = Story("app1", "app2")
    story.task("Go", "stage", {"app1": (1.0, "failed"), "app2": (1.0, "ok")}, stops_all=True)
    assert dict(story.run.hosts) == {"app1": "failed", "app2": None}
    story.run.end_play()
    assert dict(story.run.hosts) == {"app1": "failed", "app2": "stopped"}


def test_a_failure_of_one_host_stops_no_other():
    story = Story("app1", "app2").task("Go", "stage", {"app1": (1.0, "failed"), "app2": (1.0, "ok")})
    story.run.end_play()
    assert story.run.hosts["app2"] is None
    assert story.run.alive == ["app2"]


def test_a_host_of_a_batch_that_never_came_is_not_started():
    story = Story("app1")
    story.run.begin_play(["app1", "app2"], ["app1"])
    story.task("Go", "stage", {"app1": (1.0, "failed")})
    assert story.report({"app1": counts(failures=1)})[2].split() == ["app2", "·", "0", "not", "started"]


def test_a_table_wider_than_the_terminal_goes_on_below():
    head = [(name, None) for name in ("host", "one", "second", "changed", "outcome")]
    rows = [[("app1", None), ("1.0 s", "ok"), ("2.0 s", "ok"), ("0", "faint"), ("ok", "ok")]]
    whole = ["host    one  second  changed  outcome", "app1  1.0 s   2.0 s        0  ok"]
    parts = ["host    one  second", "app1  1.0 s   2.0 s", "", "host  changed  outcome", "app1        0  ok"]
    assert texts(timeline.table(head, rows, 37)) == whole
    assert texts(timeline.table(head, rows, 36)) == parts
    assert texts(timeline.table(head, rows)) == whole


def test_of_a_long_log_the_end_is_shown():
    log = ["line %d" % number for number in range(30)]
    told = texts(timeline.gate_shut("health_restart", "app1", 4, dict(SHUT, log=log), None, "Go live"))
    assert [line.split()[-1] for line in told[-10:]] == [str(number) for number in range(20, 30)]
