"""From evidence to causes. Faults were injected on a real host and what it then said was recorded; the others are written from fact."""

import copy
import json
from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._case import finding
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._causes import CAUSES, EFFECTS, EXPLAINED_BY, LINKS
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._diagnosis import diagnose, rank

RECORDED = Path(__file__).parent / "recorded_faults"
HEALTHY = json.loads((RECORDED / "healthy.json").read_text())
FAULTS = {path.stem: json.loads(path.read_text()) for path in sorted(RECORDED.glob("*.json")) if path.stem != "healthy"}
UNIT = "chat-api@8000.service"


def state():
    """The healthy state: what was asked, and what the host said."""
    return copy.deepcopy(HEALTHY["asked"]), copy.deepcopy(HEALTHY["evidence"])


def causes(asked, evidence):
    return [one["cause"] for one in diagnose(asked, evidence)["causes"]]


def test_a_healthy_host_has_no_cause_and_a_green_chain():
    found = diagnose(*state())
    assert found["ok"]
    assert found["causes"] == []
    assert [[way["site"], way["app"]] for way in found["chain"]] == [["chat", "chat-api"], ["shop", "legacy"]]
    assert {link["state"] for way in found["chain"] for link in way["links"]} == {"ok", "unknown"}


@pytest.mark.parametrize("cause", FAULTS)
def test_a_recorded_fault_is_the_first_cause(cause):
    record = FAULTS[cause]
    found = diagnose(record.get("asked", HEALTHY["asked"]), {**HEALTHY["evidence"], **record["evidence"]})
    first = found["causes"][0]
    assert first["cause"] == cause, [(one["cause"], one["message"]) for one in found["causes"]]
    assert first["message"] and first["evidence"] and first["show"] and first["mend"]
    assert not found["ok"]
    # The walk marks the link of the first cause, on every way that it concerns.
    ways = [
        way for way in found["chain"] if first["app"] in (None, way["app"]) and first["site"] in (None, way["site"])
    ]
    states = [link["state"] for way in ways for link in way["links"] if link["link"] == first["link"]]
    assert states and set(states) <= ({"risk"} if first["effect"] == "risk" else {"broken"})


def test_the_log_of_an_instance_that_is_well_explains_nothing():
    asked, evidence = state()
    sick(port=8001)(asked, evidence)
    journal("Access denied for user 'chat'")(asked, evidence)
    evidence["units"]["chat-api@8001.service"].update(active="failed", result="oom-kill", exit_code=2, exit_status=9)
    assert causes(asked, evidence) == ["out_of_memory"]


def test_a_front_end_beside_an_app_of_python_is_not_its_build():
    asked, evidence = state()
    evidence["apps"][0]["build_id"] = {"path": "/srv/chat-api/current/src/.next/BUILD_ID", "there": False}
    assert causes(asked, evidence) == []
    of_node(asked, evidence)
    assert causes(asked, evidence) == ["build_id_missing"]


def test_one_cause_explains_its_consequences():
    """The database is gone: both instances say that they are not well, nginx passes that on, and it is one problem."""
    record = FAULTS["dependency_down"]
    found = diagnose(HEALTHY["asked"], {**HEALTHY["evidence"], **record["evidence"]})
    assert [one["cause"] for one in found["causes"]] == ["dependency_down"]
    assert [one["message"].endswith("(And 1 more like it.)") for one in found["causes"][0]["consequences"]] == [True]
    states = {link["link"]: link["state"] for link in found["chain"][0]["links"]}
    assert (states["unit"], states["health"], states["dependencies"], states["resources"]) == (
        "ok",
        "affected",
        "broken",
        "unjudged",
    )
    assert {link["state"] for link in found["chain"][1]["links"]} == {"ok", "unknown"}


def test_a_firewall_that_nobody_has_set_up_is_none_that_is_missing():
    for change in (ufw(), ufw(unit="disabled", enabled=False, runs=False), ufw(unit="masked-runtime")):
        asked, evidence = state()
        change(asked, evidence)
        assert causes(asked, evidence) == []


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"unit": "disabled"}, "systemctl enable ufw.service"),
        ({"unit": "masked"}, "systemctl unmask ufw.service && systemctl enable ufw.service"),
        (
            {"unit": "static"},
            "rm /etc/systemd/system/ufw.service && systemctl daemon-reload && systemctl enable ufw.service",
        ),
        ({"enabled": False}, "ufw --force enable"),
        ({"runs": False}, "ufw reload"),
        ({"unit": "disabled", "runs": False}, "systemctl enable ufw.service && ufw reload"),
    ],
)
def test_what_brings_the_firewall_back_is_told(change, mend):
    asked, evidence = state()
    ufw(**change)(asked, evidence)
    (cause,) = diagnose(asked, evidence)["causes"]
    assert (cause["effect"], cause["mend"]) == ("risk", mend)


# Written from fact: what can't be had in a container, or not in the time of a test.


def hosted(**seen):
    """One more app, at an address elsewhere, and what the control node sees of it."""

    def change(asked, evidence):
        app = dict(asked["apps"][-1], name="shop", local=False, upstream=[], ports=[])
        asked["apps"].append(dict(app, hosted={"url": "https://s/h", "host": "s", "port": 443, "tls": True}))
        evidence["hosted"] = {"shop": seen}

    return change


def unit(**change):
    return lambda asked, evidence: evidence["units"][UNIT].update(change)


def probe(app="chat-api", kind="health", via="direct", port=None, **change):
    def apply(_asked, evidence):
        for one in evidence["probes"]:
            if (one["app"], one["kind"], one["via"]) == (app, kind, via) and port in (None, one["port"]):
                one.update(change)

    return apply


def of_node(asked, _evidence):
    asked["apps"][0]["runtime"] = "pm2"


def sick(**change):
    return probe(ok=False, cause="refused", message="connection refused", **change)


def journal(*lines):
    return lambda asked, evidence: evidence["journal"].update({UNIT: list(lines)})


def errors(*lines):
    return lambda asked, evidence: evidence["nginx"].update(errors=list(lines))


def certificate(**change):
    def apply(_asked, evidence):
        served = change.pop("served", None)
        evidence["certificates"][0].update(change)
        if served:
            evidence["certificates"][0]["served"] = served

    return apply


def process(**change):
    def apply(_asked, evidence):
        own = next(one for one in evidence["processes"] if one["unit"] == UNIT)
        evidence["processes"].append(dict(own, pid=own["pid"] + 100000, **change))

    return apply


def pm2(*log):
    """The unit's own process is PM2's daemon, and it has said this."""

    def apply(_asked, evidence):
        for one in evidence["processes"]:
            if one["unit"] == UNIT:
                one.update(kind="pm2", title="pm2-runtime", pm2_log=list(log))

    return apply


def disk(**change):
    return lambda asked, evidence: evidence["disks"][0].update(change)


def outside(**change):
    return lambda asked, evidence: evidence["outside"].update(change)


def unknown_name(name):
    def apply(asked, evidence):
        asked["sites"][0]["names"].append(name)
        evidence["outside"]["names"][name] = []

    return apply


def top(**change):
    return lambda asked, evidence: evidence.update(change)


def of_app(**change):
    return lambda asked, evidence: asked["apps"][0].update(change)


def about_app(**change):
    return lambda asked, evidence: evidence["apps"][0].update(change)


def verdict(name):
    told = {
        "verdict": name,
        "ok": False,
        "port": 80,
        "message": "port 80 is shut",
        "evidence": ["seen"],
        "hint": "ss -ltn   # look",
    }
    return lambda asked, evidence: evidence["outside"]["verdicts"].append(told)


def ufw(unit="enabled", enabled=True, runs=True):
    def apply(_asked, evidence):
        evidence["ufw"] = {"unit": unit, "enabled": enabled}
        if not runs:
            evidence["view"]["filters"]["4"] = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"

    return apply


def preflight(**change):
    told = {
        "host": "chat.example.com",
        "path": "/api",
        "origin": "https://shop.example.com",
        "count": 1,
        "site": "chat",
    }
    told.update(answered=True, status=204, allowed=None, message="it answered 204")
    return lambda asked, evidence: evidence.update(preflights=[{**told, **change}])


def hand_made(*log, **change):
    """legacy under a PM2 that people run: what its daemon has said, and what is left of its pid file."""

    def apply(_asked, evidence):
        daemon = dict(evidence["processes"][0], pid=1 << 21, parent=1, unit=None, kind="pm2", pm2_log=list(log))
        evidence["processes"] += [daemon] if log else []
        evidence["pm2"] = [dict({"home": "/root/.pm2", "pid": 9, "alive": bool(log), "apps": ["legacy"]}, **change)]

    return apply


def legacy_down(asked, evidence):
    probe(app="legacy", ok=False, cause="refused", message="connection refused")(asked, evidence)
    evidence["listeners"] = [one for one in evidence["listeners"] if one["port"] != 3000]


ERRORED = (
    "PM2 log: App [legacy:0] exited with code [1] via signal [SIGINT]",
    'PM2 log: Script /opt/x.js had too many unstable restarts (3). Stopped. "errored"',
)


def monit(*lines):
    return lambda asked, evidence: evidence.update(monitor={"pid": 9, "lines": list(lines)})


CLOSED = (
    "2026/11/21 11:00:00 [error] 7#7: *1 upstream prematurely closed connection while reading response header, client: 1.2.3.4,"
    ' server: chat.example.com, request: "GET /x HTTP/1.1", upstream: "http://127.0.0.1:8000/x", host: "chat.example.com"'
)
DAY = 86400
NOW = HEALTHY["evidence"]["now"]

WRITTEN = [
    ("dns_wrong", [outside(names={"chat.example.com": ["203.0.113.9"]})], "203.0.113.9"),
    (
        "dns_missing",
        [unknown_name("chat.acme.dev")],
        "chat.acme.dev",
    ),
    ("nginx_loopback_only", [verdict("loopback_only")], "Port 80 is shut"),
    ("ufw_closed", [verdict("ufw")], "Port 80 is shut"),
    ("dropped_in_front", [verdict("in_front")], "Port 80 is shut"),
    ("firewall_not_at_boot", [ufw(unit="disabled")], "ufw.service is disabled"),
    ("firewall_not_at_boot", [ufw(unit="masked")], "ufw.service is masked"),
    ("firewall_not_at_boot", [ufw(enabled=False)], "/etc/ufw/ufw.conf says ENABLED=no"),
    ("firewall_off", [ufw(runs=False)], "every port is open"),
    ("firewall_off", [ufw(unit="disabled", runs=False)], "every port is open"),
    (
        "certificate_not_yet_valid",
        [certificate(begins=NOW + DAY, served={"ok": False, "code": 9, "message": "not yet valid"})],
        "valid only from",
    ),
    ("certificate_expiring", [certificate(ends=NOW + 5 * DAY + 60)], "expires in 5 days"),
    (
        "certificate_self_signed",
        [
            certificate(
                issuer="CN = shop", subject="CN = shop", served={"ok": False, "code": 18, "message": "self-signed"}
            )
        ],
        "signed by nobody",
    ),
    (
        "scheme_mismatch",
        [lambda asked, evidence: evidence["nginx"].update(tls_on_plain=30, requests=90)],
        "30 of the last 90",
    ),
    (
        "nginx_missing",
        [
            lambda asked, evidence: evidence["nginx"].update(
                installed=False, masters=[], workers=[], test=None, servers=None
            )
        ],
        "not installed",
    ),
    (
        "disabled_at_boot",
        [lambda asked, evidence: evidence["units"]["nginx.service"].update(enabled="disabled")],
        "nginx runs, and will not start",
    ),
    ("upstream_cut", [sick(port=8000), errors(CLOSED)], "cut connections"),
    (
        "service_failed",
        [
            sick(port=8000),
            unit(
                active="failed",
                sub="failed",
                result="exit-code",
                exit_code=1,
                exit_status=1,
                exit="its main process ended with exit status 1",
            ),
        ],
        "exit status 1",
    ),
    (
        "service_failed",
        [
            sick(),
            unit(active="failed", sub="failed", result="timeout", exit="systemd gave up waiting for it (timeout)"),
        ],
        "gave up waiting",
    ),
    (
        "process_stopped",
        [
            probe(app="legacy", ok=False, cause="timed_out", message="no complete answer"),
            lambda asked, evidence: [one.update(state="T") for one in evidence["listeners"] if one["port"] == 3000],
        ],
        "legacy is stopped by a signal",
    ),
    ("release_missing", [about_app(release=None), sick(), unit(load="not-found")], "/srv/chat-api/current"),
    ("release_missing", [of_app(files="/srv/chat-api/current/src/dist"), about_app(files=False)], "src/dist"),
    ("unit_not_reloaded", [unit(stale=True)], "systemd has not read it"),
    (
        "out_of_rotation",
        [
            of_app(rotation={"/run/gatehouse/rotation/chat-api/without-8001": "8001"}),
            about_app(out=["/run/gatehouse/rotation/chat-api/without-8001"]),
        ],
        "leaves out 8001",
    ),
    (
        "held_by_deploy",
        [about_app(lock={"user": "ada", "host": "laptop", "since": NOW - 7200, "until": NOW + 60, "release": "abc"})],
        "for 120 minutes",
    ),
    (
        "websocket_refused",
        [probe(kind="websocket", ok=False, cause="not_upgraded", message="it answered 404")],
        "refuses the WebSocket",
    ),
    (
        "env_missing",
        [sick(port=8000), journal("KeyError: 'SENTRY_RELEASE'"), unit(sub="auto-restart", restarts=4)],
        "SENTRY_RELEASE",
    ),
    ("env_missing", [sick(), journal("Error: STRIPE_KEY is not set")], "STRIPE_KEY"),
    (
        "database_refuses",
        [
            sick(),
            journal('asyncpg: password authentication failed for user "chat"'),
            unit(sub="auto-restart", restarts=3),
        ],
        "user or password",
    ),
    ("read_only", [disk(read_only=True, path="/")], "read-only"),
    (
        "disk_full",
        [
            disk(free=0),
            sick(),
            journal("OSError: [Errno 28] No space left on device"),
            unit(sub="auto-restart", restarts=2),
        ],
        "No space is left",
    ),
    ("inodes_full", [disk(inodes=1000, inodes_free=0)], "No inode is left"),
    ("out_of_memory", [sick(), unit(active="failed", result="oom-kill", exit_code=2, exit_status=9)], "want of memory"),
    ("open_files", [sick(), journal("OSError: [Errno 24] Too many open files")], "files and connections"),
    (
        "open_files",
        [errors("2026/11/21 11:00:00 [alert] 7#7: 768 worker_connections are not enough")],
        "nginx has as many",
    ),
    ("clock_wrong", [top(ahead=-7200.0)], "2 hours behind"),
    (
        "clock_wrong",
        [top(ahead=-400 * DAY), certificate(served={"ok": False, "code": 9, "message": "not yet valid"})],
        "behind",
    ),
    (
        "pm2_errored",
        [sick(port=8000), pm2('Script server.js had too many unstable restarts (16). Stopped. "errored"')],
        "PM2 has given",
    ),
    ("pm2_daemon_gone", [process(kind="pm2 child", parent=1)], "daemon of chat-api@8000.service is gone"),
    ("pm2_child_stopped", [sick(port=8000), pm2(), process(kind="pm2 child", state="T")], "PM2 still says online"),
    (
        "pm2_errored",
        [legacy_down, hand_made(*ERRORED)],
        "PM2 has given legacy up",
    ),
    (
        "pm2_daemon_gone",
        [legacy_down, hand_made()],
        "and its processes with it",
    ),
    (
        "not_listening",
        [legacy_down, hand_made(*ERRORED, "PM2 log: App [legacy:0] online")],
        "where legacy should",
    ),
    ("not_listening", [legacy_down, hand_made(apps=["other"])], "where legacy should"),
    ("crash_loop", [legacy_down, hand_made(*ERRORED[:1] * 3)], "legacy crashes, and PM2 starts it again"),
    (
        "crash_loop",
        [
            sick(port=8000),
            pm2(),
            journal(*["PM2 log: App [chat:0] exited with code [1] via signal [SIGINT]", "Error: no such table"] * 3),
        ],
        "3 times so far: Error: no such table",
    ),
    ("cors_refused", [preflight()], "A page of https://shop.example.com may not use chat.example.com/api"),
    ("cors_refused", [preflight(origin="https://acme.dev", count=5)], "https://acme.dev"),
    (
        "held_by_monitor",
        [
            sick(),
            unit(active="inactive", sub="dead"),
            monit("'chat' failed protocol test", "'chat' stop: '/usr/bin/systemctl stop chat-api@8000 chat-api@8001'"),
        ],
        "stopped by Monit (pid 9)",
    ),
    (
        "service_stopped",
        [
            sick(),
            unit(active="inactive", sub="dead"),
            monit("'chat' stop: 'systemctl stop chat-api@8000'", "'chat' start: 'systemctl start chat-api@8000'"),
        ],
        "is stopped",
    ),
    (
        "scheme_mismatch",
        [lambda asked, evidence: evidence["nginx"].update(requests=40, plain_on_tls={"shop.example.com": 12})],
        "plain http to the https port of shop.example.com",
    ),
    (
        "scheme_mismatch",
        [lambda asked, evidence: evidence["nginx"].update(requests=40, tls_on_plain=12)],
        "Clients speak TLS to a port of plain http",
    ),
    (
        "build_id_missing",
        [of_node, sick(), journal("Error: Could not find a production build in the '.next' directory.")],
        "BUILD_ID",
    ),
    ("hosted_unreachable", [hosted(addresses=["192.0.2.7"], connects=False, tcp="timed out")], "takes no connections"),
    (
        "unexplained",
        [probe(via="nginx", ok=False, cause="bad_status", message="it answered 500")],
        "does on its own port",
    ),
]


@pytest.mark.parametrize(("cause", "changes", "words"), WRITTEN)
def test_a_fault_written_from_fact_is_the_first_cause(cause, changes, words):
    asked, evidence = state()
    for change in changes:
        change(asked, evidence)
    found = diagnose(asked, evidence)["causes"]
    assert found and found[0]["cause"] == cause, [(one["cause"], one["message"]) for one in found]
    assert words in found[0]["message"]
    assert found[0]["mend"]


def test_every_cause_that_can_be_named_is_tested():
    tested = set(FAULTS) | {cause for cause, _changes, _words in WRITTEN}
    assert set(CAUSES) - tested == set()


# What is no fault.


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([unit(restarts=1)], id="one restart, long ago"),
        pytest.param([errors(CLOSED)], id="one cut connection, as at every restart"),
        pytest.param(
            [lambda asked, evidence: evidence["nginx"].update(tls_on_plain=3, requests=3)],
            id="a scanner of the network",
        ),
        pytest.param(
            [outside(names={"chat.example.com": ["203.0.113.9"]}, answers={"chat": {"ok": True, "message": "well"}})],
            id="a name that leads to a load balancer",
        ),
        pytest.param(
            [
                errors(
                    '2026/11/21 11:00:00 [error] 7#7: *1 limiting requests, excess: 20.1 by zone "chat_root", client: 1.2.3.4'
                )
            ],
            id="one who asks too often",
        ),
        pytest.param([preflight(allowed="https://shop.example.com")], id="a page that may"),
        pytest.param([preflight(allowed="*")], id="a page as all may"),
        pytest.param([preflight(origin="https://acme.dev", count=4)], id="a stranger's page"),
        pytest.param([preflight(answered=False, status=None)], id="a preflight without an answer"),
        pytest.param([monit("'chat' stop: 'systemctl stop chat-api@8000'")], id="what Monit did, and is well since"),
        pytest.param(
            [lambda asked, evidence: evidence["nginx"].update(requests=90, plain_on_tls={"shop.example.com": 12})],
            id="a few who forget the s",
        ),
        pytest.param([hand_made(*ERRORED)], id="what PM2 gave up once, and is well since"),
        pytest.param([hand_made()], id="a pid file of PM2's that was left"),
        pytest.param([top(ahead=3.0)], id="a clock three seconds off"),
        pytest.param([outside(names={"chat.example.com": []})], id="a name that can't be in DNS"),
        pytest.param([journal("Access denied for user 'chat'")], id="a refused login of long ago: the app is well"),
        pytest.param([top(outside=None)], id="nobody asked from outside"),
        pytest.param([top(nginx=None, view=None, certificates=None)], id="nginx not asked"),
        pytest.param([disk(free=60 << 30, inodes=0, inodes_free=0)], id="a file system that counts no inodes"),
        pytest.param([process(files=3, files_max=None)], id="files without a limit"),
    ],
)
def test_what_is_no_fault_is_not_named(changes):
    asked, evidence = state()
    for change in changes:
        change(asked, evidence)
    assert causes(asked, evidence) == []


@pytest.mark.parametrize(
    "section", [name for name in HEALTHY["evidence"] if name not in ("now", "apps", "schema", "host", "took")]
)
def test_a_part_of_the_evidence_that_is_missing_is_no_fault_and_no_crash(section):
    """A question that hung is left out. What is left must still be judged."""
    asked, evidence = state()
    del evidence[section]
    assert causes(asked, evidence) == []


# Ranking


def test_an_outage_comes_before_a_risk_however_sure():
    found = rank(
        [
            finding("disabled_at_boot", "unit", "risk", "a", confidence=99),
            finding("hung", "health", "outage", "b", confidence=50),
        ]
    )
    assert [one["cause"] for one in found] == ["hung", "disabled_at_boot"]


def test_a_risk_that_broke_something_is_an_outage():
    app = {"name": "chat-api"}
    found = rank([finding("disk_full", "resources", "risk", "a"), finding("crash_loop", "unit", "outage", "b", app)])
    assert [(one["cause"], one["effect"]) for one in found] == [("disk_full", "outage")]
    assert [one["message"] for one in found[0]["consequences"]] == ["b"]


def test_what_befalls_several_instances_is_one_cause():
    app = {"name": "chat-api"}
    found = rank(
        [
            finding("service_stopped", "unit", "degraded", "8000 is stopped.", app, mend="systemctl start 8000"),
            finding("service_stopped", "unit", "outage", "8001 is stopped.", app, mend="systemctl start 8001"),
            finding("env_missing", "health", "outage", "A is missing.", app, confidence=50),
            finding("env_missing", "health", "outage", "B is missing.", app, confidence=50),
        ]
    )
    assert [one["message"] for one in found] == [
        "8000 is stopped. (And 1 more like it.)",
        "A is missing.",
        "B is missing.",
    ]
    assert found[0]["effect"] == "outage"
    assert found[0]["evidence"] == ["8001 is stopped."]
    assert found[0]["mend"] == "systemctl start 8000; systemctl start 8001"


def test_a_cause_explains_nothing_of_another_app():
    one, other = {"name": "one"}, {"name": "other"}
    found = rank(
        [
            finding("dependency_down", "dependencies", "outage", "a", one),
            finding("unhealthy", "health", "outage", "b", other),
        ]
    )
    assert {cause["cause"] for cause in found} == {"dependency_down", "unhealthy"}


def test_what_explains_is_known_and_goes_in_no_circle():
    for cause, others in EXPLAINED_BY.items():
        assert cause in CAUSES
        assert set(others) <= set(CAUSES)
    done = set()
    while len(done) < len(CAUSES):
        free = {cause for cause in CAUSES if cause not in done and set(EXPLAINED_BY.get(cause, ())) <= done}
        assert free, set(CAUSES) - done
        done |= free


def test_links_and_effects_are_known():
    for record in FAULTS.values():
        for one in diagnose(record.get("asked", HEALTHY["asked"]), {**HEALTHY["evidence"], **record["evidence"]})[
            "causes"
        ]:
            assert one["link"] in LINKS
            assert one["effect"] in EFFECTS


def test_the_documentation_lists_every_cause_with_its_title():
    text = (Path(__file__).parents[4] / "docs" / "diagnosis.md").read_text()
    rows = [line.split(" | ")[:2] for line in text.splitlines() if line.startswith("| `")]
    told = {name.strip("| `"): title for name, title in rows if name.strip("| `") in CAUSES}
    assert told == CAUSES
