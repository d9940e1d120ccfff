"""The chain: what each measurement makes of what it sees, and that a stage stands on the one before."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gatehouse.webapp.plugins.module_utils import _verify
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer, ProbeFailure
from ansible_collections.gatehouse.webapp.plugins.module_utils._verify import (
    Cleaner,
    Host,
    Preflight,
    ask_running,
    finding,
    firewall_findings,
    from_here,
    measure,
    next_command,
    question,
)

OPTIONS = {
    "successes": 1,
    "timeout": 10.0,
    "validate_certs": True,
    "ca_path": None,
    "warn_days": 14.0,
    "fail_days": 3.0,
}
GOOD = Answer(True, None, "http://x answered 200", 0.003, 200, {}, "")
LIMITED = Answer(False, "bad_status", "http://x: it answered 429, not 200", 0.001, 429, {}, "")
CLOSED = Answer(False, "bad_status", "http://x: it answered 503, not 200", 0.001, 503, {}, "")
REFUSED = Answer(False, "refused", "http://x: connection refused", 0.001)


def an_entry(link="check", **changes):
    entry = {
        "link": link,
        "what": "POST shop.example.com/x",
        "site": "shop",
        "app": "shop",
        "scheme": "https",
        "host": "shop.example.com",
        "address": "192.0.2.1",
        "port": 443,
        "path": "/x",
        "trusted": True,
        "skip": None,
        "closed": False,
        "selective": False,
        "limit": None,
        "method": "POST",
        "headers": {},
        "json": None,
        "body": None,
        "expect": {"status": [200], "json": {}, "text": None, "headers": {}},
        "health": {"status": [200], "json": {}, "text": None, "headers": {}},
    }
    return dict(entry, **changes)


def a_preflight(**changes):
    asked = {
        "origin": "https://a.example",
        "allowed": True,
        "every": False,
        "credentials": True,
        "methods": ["GET", "PUT"],
        "headers": ["Authorization"],
    }
    return an_entry("cors", **dict(asked, **changes))


PREFLIGHT = (
    "curl --resolve shop.example.com:443:192.0.2.1 -X OPTIONS -H 'Access-Control-Request-Method: PUT'"
    " -H 'Origin: https://a.example' -si 'https://shop.example.com/x'"
)


class Time:
    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def asking(answers, successes=1, entry=None, timeout=10.0):
    time, left = Time(), list(answers)
    found = measure(
        entry or an_entry(),
        dict(OPTIONS, successes=successes, timeout=timeout),
        lambda _seconds: left.pop(0),
        time.clock,
        time.sleep,
    )
    return found, left, time.now


class TestRunning:
    def test_one_good_answer_is_enough_where_one_is_asked_for(self):
        found, left, _now = asking([GOOD, REFUSED])
        assert (found["state"], found["result"], found["ms"], found["attempts"], len(left)) == ("ok", "200", 3.0, 1, 1)

    def test_so_many_good_answers_come_running_and_the_slowest_is_told(self):
        found, left, now = asking([GOOD, GOOD._replace(latency=0.5), GOOD, REFUSED], 3)
        assert (found["state"], found["ms"], found["attempts"], len(left), now) == ("ok", 500.0, 3, 1, 0.0)

    def test_the_first_bad_answer_decides(self):
        found, left, _now = asking([GOOD, REFUSED, GOOD, GOOD], 3)
        assert (found["state"], found["cause"], found["result"], len(left)) == ("broken", "refused", "refused", 2)
        assert found["message"].startswith("After 1 good answers: http://x: connection refused")

    def test_a_limit_of_requests_is_waited_out(self):
        found, _left, now = asking([GOOD, LIMITED, LIMITED, GOOD], 2)
        assert (found["state"], found["attempts"], now) == ("ok", 4, 2.0)

    @pytest.mark.parametrize(
        ("limit", "words"),
        [
            ("/api/ (rate: 5r/m, burst: 0)", "the site's own limit, of its route /api/ (rate: 5r/m, burst: 0), and no outage"),
            (None, "a limit of the app itself, as its route has none, and no outage"),
        ],
    )  # fmt: skip
    def test_a_limit_that_stays_is_told_as_that_and_not_as_an_outage(self, limit, words):
        found, _left, now = asking([GOOD] + [LIMITED] * 20, 2, an_entry(limit=limit), 3.0)
        assert (found["state"], found["cause"], found["result"]) == ("broken", "rate_limited", "429, rate limit")
        assert words in found["message"]
        assert "good answers before: 1." in found["message"]
        assert now <= 3.0

    def test_a_limit_that_is_expected_is_an_answer_like_any_other(self):
        answers, limited = ask_running(lambda _seconds: LIMITED._replace(ok=True), 2, 10.0)
        assert (len(answers), limited) == (2, False)


class TestMeasure:
    def test_a_site_that_is_closed_for_planned_work_is_not_judged(self):
        assert asking([CLOSED])[0]["state"] == "broken"
        found, _left, _now = asking([CLOSED], entry=an_entry(closed=True))
        assert (found["state"], found["cause"]) == ("unknown", None)

    def test_a_route_for_certain_addresses_is_not_judged_by_its_preflight(self):
        forbidden = CLOSED._replace(status=403)
        assert asking([forbidden], entry=a_preflight(selective=True))[0]["state"] == "unknown"
        assert asking([forbidden], entry=a_preflight())[0]["state"] == "broken"
        assert asking([forbidden], entry=an_entry(selective=True))[0]["state"] == "broken"

    def test_what_can_not_be_asked_is_told(self):
        found, left, _now = asking([GOOD], entry=an_entry(skip="no way"))
        assert (found["state"], found["message"], found["attempts"], len(left)) == ("unknown", "no way", 0, 1)

    def test_a_check_that_fails_tells_what_it_was_answered(self):
        answer = CLOSED._replace(status=422, body='{"detail":\n "field required"}')
        found, _left, _now = asking([answer])
        assert found["message"].endswith('. It says: {"detail": "field required"}')
        assert found["result"] == "422"
        assert "It says" not in asking([answer], entry=an_entry("outside"))[0]["message"]

    @pytest.mark.parametrize(
        ("entry", "cause", "command"),
        [
            (an_entry(), "bad_status", "curl --resolve shop.example.com:443:192.0.2.1 -X POST -si 'https://shop.example.com/x'"),
            (an_entry("outside", port=8443, address="::1"), "bad_body", "curl --resolve shop.example.com:8443:[::1] -si 'https://shop.example.com:8443/x'"),
            (an_entry("outside"), "refused", "ss -ltnp 'sport = :443'   # does anything listen there?"),
            (a_preflight(headers=[]), "cors_refused", PREFLIGHT),
        ],
    )  # fmt: skip
    def test_the_next_command_asks_the_same(self, entry, cause, command):
        assert next_command(entry, cause) == command

    def test_a_check_sends_what_it_says_to_the_right_name(self, monkeypatch):
        sent = []
        monkeypatch.setattr(_verify, "probe_http", lambda *args, **options: sent.append((args, options)) or GOOD)
        question(an_entry(json={"a": 1}, headers={"X-Key": "k"}), OPTIONS)(7)
        (url, seconds, _expectation, method, headers, body), options = sent[0]
        assert (url, seconds, method, body) == ("https://192.0.2.1:443/x", 7, "POST", b'{"a": 1}')
        assert headers == {"Host": "shop.example.com", "Content-Type": "application/json", "X-Key": "k"}
        assert (options["tls"].server_name, options["tls"].verify) == ("shop.example.com", True)
        question(an_entry(json={}, headers={"content-type": "application/x+json"}, trusted=False), OPTIONS)(7)
        assert sent[1][0][4] == {"Host": "shop.example.com", "content-type": "application/x+json"}
        assert (sent[1][0][5], sent[1][1]["tls"].verify) == (b"{}", False)


GRANTED = {
    "access-control-allow-origin": "https://a.example",
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "GET, HEAD, PUT",
    "access-control-allow-headers": "authorization, content-type",
}


@pytest.mark.parametrize(
    ("changes", "headers", "status", "cause"),
    [
        ({}, GRANTED, 204, None),
        ({}, GRANTED, 405, "bad_status"),
        ({}, {}, 204, "cors_refused"),
        ({}, dict(GRANTED, **{"access-control-allow-origin": "https://a.example, https://a.example"}), 204, "cors_refused"),
        ({}, dict(GRANTED, **{"access-control-allow-origin": "*"}), 204, "cors_refused"),
        ({"every": True}, dict(GRANTED, **{"access-control-allow-origin": "*"}), 204, None),
        ({}, dict(GRANTED, **{"access-control-allow-credentials": ""}), 204, "cors_refused"),
        ({"credentials": False}, dict(GRANTED, **{"access-control-allow-credentials": ""}), 204, None),
        ({}, dict(GRANTED, **{"access-control-allow-methods": "GET"}), 204, "cors_refused"),
        ({}, dict(GRANTED, **{"access-control-allow-headers": "content-type"}), 204, "cors_refused"),
        ({"allowed": False}, {"access-control-allow-methods": "GET"}, 204, None),
        ({"allowed": False}, {}, 403, None),
        ({"allowed": False}, {}, 502, "bad_status"),
        ({"allowed": False}, {"access-control-allow-origin": "https://b.example"}, 204, "cors_open"),
        ({"allowed": False}, {"access-control-allow-credentials": "true"}, 204, "cors_open"),
    ],
)  # fmt: skip
def test_a_preflight_is_judged_as_a_browser_does(changes, headers, status, cause):
    preflight = Preflight(a_preflight(**changes))
    if cause is None:
        assert preflight.judge(status, headers, "") is None
        return
    with pytest.raises(ProbeFailure) as caught:
        preflight.judge(status, headers, "")
    assert caught.value.cause == cause


def test_all_of_a_stage_is_measured_and_nothing_behind_a_broken_one(monkeypatch):
    asked = []

    def answered(entry, _options):
        asked.append(entry["what"])
        return finding(entry["link"], entry["what"], entry["state"])

    monkeypatch.setattr(_verify, "measure", answered)
    entries = [
        an_entry(link, what=what, state=state)
        for link, what, state in (
            ("outside", "a", "ok"),
            ("websocket", "b", "broken"),
            ("websocket", "c", "ok"),
            ("cors", "d", "ok"),
            ("check", "e", "ok"),
        )
    ]
    found = from_here(entries, OPTIONS, [])
    assert [one["state"] for one in found] == ["ok", "broken", "ok", "unjudged", "unjudged"]
    assert sorted(asked) == ["a", "b", "c"]
    before = [finding("proxy", "x", "broken")]
    assert {one["state"] for one in from_here(entries, OPTIONS, before)} == {"unjudged"}


class TestHost:
    PLAN = {
        "sites": True,
        "services": [],
        "firewall": [{"port": 80, "reason": "site shop"}],
        "certificates": [],
        "managed": False,
        "proxy": [],
        "options": OPTIONS,
    }
    ACTIVE = "Status: active\n80/tcp   ALLOW IN    Anywhere\n"

    def measured(self, answers, **changes):
        host = Host(dict(self.PLAN, **changes), lambda argv, _seconds: answers.get(argv[0], (0, "", "")))
        return [(one["link"], one["state"], one["message"]) for one in host.measure()]

    def test_a_host_that_is_well(self):
        found = self.measured({"ufw": (0, self.ACTIVE, "")})
        assert [one[:2] for one in found] == [("nginx", "ok"), ("nginx", "ok"), ("firewall", "ok")]

    @pytest.mark.parametrize(
        ("unit", "conf", "told"),
        [
            ("disabled", "ENABLED=yes", ("ufw.service is disabled", "systemctl enable ufw.service")),
            ("enabled", "ENABLED=no", ("ufw.conf says ENABLED=no", "ufw --force enable")),
            ("enabled", "ENABLED=yes", None),
            ("enabled", None, None),
        ],
    )
    def test_a_firewall_that_would_not_be_there_after_a_reboot_is_a_risk(self, tmp_path, monkeypatch, unit, conf, told):
        monkeypatch.setattr(_verify._ufw, "CONF_FILE", str(tmp_path / "ufw.conf"))
        if conf:
            (tmp_path / "ufw.conf").write_text(conf + "\n")
        says = {"systemctl is-enabled": (1, unit + "\n", ""), "ufw status": (0, self.ACTIVE, "")}
        host = Host(self.PLAN, lambda argv, _seconds: says.get(" ".join(argv[:2]), (0, "", "")))
        risks = [one for one in host.measure() if one["state"] == "risk"]
        assert len(risks) == bool(told)
        for one in risks:
            assert told[0] in one["message"] and one["next"] == told[1]

    def test_nginx_that_does_not_run_is_told_beside_a_configuration_that_it_refuses(self):
        found = self.measured(
            {"systemctl": (3, "  Active: inactive (dead)\n", ""), "nginx": (1, "", "nginx: [emerg] broken.conf:2\n")}
        )
        assert found == [
            ("nginx", "broken", "nginx does not run (Active: inactive (dead))"),
            ("nginx", "broken", "nginx refuses its configuration: nginx: [emerg] broken.conf:2"),
            ("firewall", "unjudged", "It lies behind a broken link."),
        ]
        assert "not installed" in self.measured({"systemctl": (4, "", "")})[0][2]

    def test_what_is_not_measured_is_told_with_its_reason(self):
        assert self.measured({}, firewall=None)[2] == (
            "firewall", "unknown", "The firewall was not measured: verify_firewall is false.",
        )  # fmt: skip
        assert self.measured({"ufw": (127, "", "")})[2] == (
            "firewall", "unknown", "The firewall was not measured: UFW is not installed.",
        )  # fmt: skip
        assert self.measured({}, sites=False) == [
            ("nginx", "unknown", "There are no sites, so neither nginx nor the firewall was measured."),
        ]

    def test_a_renewal_that_failed_is_a_risk(self):
        found = self.measured({"systemctl": (0, "Active: failed", ""), "ufw": (0, self.ACTIVE, "")}, managed=True)
        assert found[-1] == ("certificate", "risk", "The last renewal failed.")

    @pytest.mark.parametrize(("green", "port"), [(False, 8000), (True, 18000)])
    def test_the_set_that_serves_is_measured(self, tmp_path, green, port):
        flag = tmp_path / "green"
        if green:
            flag.touch()
        app = {
            "flag": str(flag),
            "services": [{"name": "a@8000", "port": 8000}],
            "green": [{"name": "a@18000", "port": 18000}],
        }
        host = Host(dict(self.PLAN, services=[app]), None)
        assert [service["port"] for _app, service in host.serving()] == [port]

    def test_a_service_that_is_down_is_not_asked_for_its_health_and_the_others_are_measured(self):
        app = {
            "app": "a",
            "flag": None,
            "services": [{"name": "a@1.service", "port": 1}, {"name": "b@2.service", "port": 2}],
            "green": [],
            "address": "127.0.0.1",
            "upstream": None,
            "ask": {},
        }
        found = self.measured({"systemctl": (0, "LoadState=not-found\n", "")}, services=[app])
        assert [one[:2] for one in found][:4] == [("port", "broken"), ("health", "unjudged")] * 2


# Lines of `ufw status verbose`, recorded from ufw 0.36.2.
@pytest.mark.parametrize(
    ("line", "opens"),
    [
        ("80/tcp                     ALLOW IN    Anywhere                   # gatehouse: site a", True),
        ("80                         LIMIT IN    Anywhere", True),
        ("80,443/tcp (Nginx Full)    ALLOW IN    Anywhere", True),
        ("443,80/tcp                 ALLOW IN    Anywhere                   # a (b) c", True),
        ("80/tcp                     DENY IN     Anywhere", False),
        ("80/tcp                     ALLOW IN    10.0.0.0/8", False),
        ("80/tcp (v6)                ALLOW IN    Anywhere (v6)", False),
        ("80/tcp                     ALLOW OUT   Anywhere", False),
        ("8080/tcp                   ALLOW IN    Anywhere", False),
        ("180/tcp                    ALLOW IN    Anywhere", False),
        ("80/udp                     ALLOW IN    Anywhere", False),
    ],
)
def test_a_rule_opens_a_port_for_everybody_or_not(line, opens):
    ports = [{"port": 80, "reason": "site shop"}]
    (found,) = firewall_findings(ports, f"Status: active\nTo   Action   From\n{line}\n", 1.0)
    assert found["state"] == ("ok" if opens else "broken")
    assert (
        firewall_findings(ports, f"Status: inactive\n{line}\n", 1.0)[0]["message"]
        == "UFW is not active (Status: inactive)"
    )


def test_secrets_are_taken_out_of_findings():
    found = finding(
        "check",
        "POST /x?token=abc123",
        "broken",
        "422",
        'it says "p\\"w-secret" and key = 4711, Bearer xyz',
        next='curl p"w-secret',
    )
    told = json.dumps(Cleaner(['p"w-secret', "4711"]).clean(found))
    for secret in ("abc123", "w-secret", "xyz"):
        assert secret not in told
    # Short ones would take out too much.
    assert "4711" in told


def test_a_long_answer_is_cut_when_the_secrets_are_out():
    answer = CLOSED._replace(body="x " * 220 + "secret-of-the-scenario " * 40)
    message = Cleaner(["secret-of-the-scenario"]).clean(asking([answer])[0])["message"]
    assert len(message) == 500
    assert "***" in message
    assert "secre" not in message


@given(st.text(min_size=6).filter(lambda text: text.strip() and "*" not in text), st.text(), st.text())
def test_a_secret_that_is_sent_is_nowhere(secret, before, after):
    found = finding("check", "x", "broken", "422", before + secret + after)
    assert secret not in Cleaner([secret]).clean(found)["message"]
