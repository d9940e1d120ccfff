"""The first broken link is the one that is named, and everything of its stage is told."""

import copy
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
INVENTORY = os.path.join(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory")
MODEL = yaml.safe_load((Path(SCENARIO) / "vars" / "main.yml").read_text())
NGINX_SET = "/etc/nginx/gatehouse/sites.conf"
COMMON = "/etc/nginx/gatehouse/common.conf"
ORIGINS = "/map $http_origin $gatehouse_cors/,/}/"
# What is started listens only a moment later: the next case must not break a host that is still on its way back.
ALL_ANSWER = (
    "timeout 30 sh -c 'until curl -sf --fail-early -m 1 http://127.0.0.1:3000/health http://127.0.0.1:3001/health"
    " http://127.0.0.1:3100/plain/health http://127.0.0.1/health http://127.0.0.1/plain/health; do sleep 0.05; done'"
)


def verify(*arguments):
    command = ["ansible-playbook", "-i", INVENTORY, f"{SCENARIO}/converge.yml", "-e", "verify_timeout=1", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


# What breaks it, what mends it, and what the failure then says.
BREAKS = {
    "an instance is down": (
        "systemctl stop echo@3001",
        "systemctl start echo@3001",
        ["Stage 1 of 8, each service holds its port", "echo@3001.service"],
    ),
    "an instance hangs": (
        "systemctl kill --signal=STOP echo@3001",
        "systemctl kill --signal=CONT echo@3001",
        ["Stage 1 of 8, each service is healthy on its own port", "no complete answer", "3001"],
    ),
    "nginx is stopped": (
        "systemctl stop nginx",
        "systemctl start nginx",
        ["Stage 2 of 8, nginx runs", "nginx does not run (Active: inactive", "systemctl status nginx"],
    ),
    "its configuration is broken on disk": (
        "echo 'server {' > /etc/nginx/conf.d/broken.conf",
        "rm /etc/nginx/conf.d/broken.conf",
        ["Stage 2 of 8", "refuses its configuration", "broken.conf"],
    ),
    "the firewall is off": (
        "ufw disable",
        "ufw --force enable",
        ["Stage 3 of 8, the firewall", "UFW is not active"],
    ),
    "the firewall has no rule for the site": (
        "ufw delete allow 80/tcp",
        "ufw allow 80/tcp comment 'gatehouse: site echo'",
        ["Stage 3 of 8, the firewall", "no rule that allows port 80"],
    ),
    "an app that nginx asks is down": (
        "systemctl stop echo@3100",
        "systemctl start echo@3100",
        ["Stage 4 of 8, health through nginx on this host", "answered 502"],
    ),
    "something drops packets before nginx": (
        "iptables -I INPUT -i eth0 -p tcp --dport 80 -j DROP",
        "iptables -D INPUT -i eth0 -p tcp --dport 80 -j DROP",
        [
            "Stage 5 of 8, health from the control node",
            "no complete answer",
            "a rule of the host's packet filter that is not UFW's drops connections to port 80",
            "-A INPUT -i eth0 -p tcp -m tcp --dport 80 -j DROP",
        ],
    ),
    "something drops packets before they come to the host": (
        "iptables -t raw -I PREROUTING -i eth0 -p tcp --dport 80 -j DROP",
        "iptables -t raw -D PREROUTING -i eth0 -p tcp --dport 80 -j DROP",
        [
            "Stage 5 of 8, health from the control node",
            "something in front of the host stops it, as a cloud's security group does",
            "tcpdump -ni any 'tcp port 80'",
        ],
    ),
    "upgrade headers are missing": (
        f"sed -i 's/Upgrade $gatehouse_upgrade/Upgrade \"\"/' {NGINX_SET} && systemctl reload nginx",
        f"sed -i 's/Upgrade \"\"/Upgrade $gatehouse_upgrade/' {NGINX_SET} && systemctl reload nginx",
        ["Stage 6 of 8, WebSocket through nginx", "instead of upgrading", "websocket: true"],
    ),
    "an origin is refused that the model lets in": (
        f"sed -i '{ORIGINS}s/app.example.com/web.example.com/' {COMMON} && systemctl reload nginx",
        f"sed -i '{ORIGINS}s/web.example.com/app.example.com/' {COMMON} && systemctl reload nginx",
        [
            "Stage 7 of 8, CORS preflight",
            "its header Access-Control-Allow-Origin is missing, not https://app.example.com",
            "-X OPTIONS",
        ],
    ),
    "every origin is let in": (
        f"sed -i '{ORIGINS}s/default \"\"/default $http_origin/' {COMMON} && systemctl reload nginx",
        f"sed -i '{ORIGINS}s/default $http_origin/default \"\"/' {COMMON} && systemctl reload nginx",
        [
            "Stage 7 of 8, CORS preflight",
            "it answers an origin that is none of cors.origins with Access-Control-Allow-Origin:",
            "https://app.example.com.gatehouse.invalid",
        ],
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_broken_link_is_named_and_nothing_is_changed(host, name):
    breaks, mends, says = BREAKS[name]
    host.check_output(breaks)
    try:
        result = verify()
    finally:
        host.check_output(mends)
        host.check_output(ALL_ANSWER)
    assert result.returncode != 0, result.stdout
    for words in says:
        assert words in result.stdout, result.stdout
    assert "changed=0" in result.stdout


def test_a_firewall_that_a_reboot_would_open_is_told(host):
    host.check_output("systemctl disable ufw.service")
    try:
        result = verify()
    finally:
        host.check_output("systemctl enable ufw.service")
    assert result.returncode == 0, result.stdout
    assert (
        "UFW is active, and is not started at boot (ufw.service is disabled): after a reboot every port is open."
        in result.stdout
    )
    assert "systemctl enable ufw.service" in result.stdout


def with_checks(*checks):
    """The arguments that put these in the place of the site's own checks."""
    sites = copy.deepcopy(MODEL["webapp_sites"])
    sites[0]["verify"] = list(checks)
    return "-e", json.dumps({"verify_sites": sites})


def states(report):
    """{(link, what): (state, result)} of the one host."""
    (found,) = json.loads(report.read_text())["hosts"].values()
    return {(one["link"], one["what"]): (one["state"], one["result"]) for one in found["checks"]}


def test_all_of_a_stage_is_told_and_what_lies_behind_it_is_not_measured(host, tmp_path):
    host.check_output("systemctl stop echo@3001; systemctl kill --signal=STOP echo@3000")
    try:
        result = verify("-e", f"verify_report={tmp_path}/report.json")
    finally:
        host.check_output("systemctl kill --signal=CONT echo@3000; systemctl start echo@3001")
        host.check_output(ALL_ANSWER)
    assert result.returncode != 0
    assert "changed=0" in result.stdout
    for words in (
        "echo@3001.service is inactive",
        "echo@3000.service: not healthy within 1 s",
        "gatehouse.webapp.diagnose",
    ):
        assert words in result.stdout, result.stdout
    told = states(tmp_path / "report.json")
    assert told["port", "echo@3000.service"][0] == "ok"
    assert told["health", "echo@3000.service"][0] == told["port", "echo@3001.service"][0] == "broken"
    behind = {"health", "nginx", "firewall", "proxy", "outside", "websocket", "cors", "check"}
    assert {link for (link, _what), (state, _result) in told.items() if state == "unjudged"} == behind


def test_a_check_that_fails_is_told_with_its_answer_and_without_what_was_sent(tmp_path):
    token = "Bearer of-this-test-alone"
    wrong = {"path": "/api/a", "method": "POST", "headers": {"Authorization": token}, "json": {"pin": "4711-4711"}}
    result = verify(
        *with_checks(
            dict(wrong, expect={"json": {"status": "sick"}}),
            {"path": "/api/b", "expect": {"status": [404]}},
            {"path": "/api/c", "expect": {"text": "healthy"}},
        ),
        "-vvv",
        "-e",
        f"verify_report={tmp_path}/report.json",
    )
    assert result.returncode != 0, result.stdout
    assert "Stage 8 of 8, the site's own checks" in result.stdout
    assert 'its JSON has status = "healthy", not "sick". It says: {"path": "/api/a"' in result.stdout
    assert "it answered 200, not 404" in result.stdout
    assert states(tmp_path / "report.json")["check", "GET localhost/api/c"] == ("ok", "200")
    for text in (result.stdout, (tmp_path / "report.json").read_text()):
        assert token not in text
        assert "4711-4711" not in text


def test_a_limit_of_requests_is_told_as_that(host):
    scarce = {"path": "/scarce/x"}
    # Two requests pass at once, and the next one a minute later.
    result = verify(*with_checks(scarce), "-e", "verify_successes=3")
    assert result.returncode != 0, result.stdout
    assert "429, rate limit" in result.stdout
    assert "the site's own limit, of its route /scarce/ (rate: 1r/m, burst: 1), and no outage" in result.stdout
    host.check_output("systemctl restart nginx")
    host.check_output(ALL_ANSWER)


def test_all_is_well_again_each_twice_and_the_report_says_what_was_measured(host, tmp_path):
    path = tmp_path / "report.json"
    result = verify("-e", f"verify_report={path}", "-e", "verify_successes=2", "--check")
    assert result.returncode == 0, result.stdout
    assert "changed=0" in result.stdout
    for measured in (
        r"✔ gatehouse-verify  health     echo@3001\.service +200 +\d+",
        r"✔ gatehouse-verify  firewall   port 80 +let through +\d+",
        r"✔ gatehouse-verify  proxy      localhost/plain/health +200 +\d+",
        r"✔ gatehouse-verify  outside    localhost/health +200 +\d+",
        r"✔ gatehouse-verify  websocket  localhost/ws +101 +\d+",
        r"✔ gatehouse-verify  cors       localhost/api/ f\S+app\.example\.com +allowed +\d+",
        r"✔ gatehouse-verify  cors       localhost/api/ f\S+\.invalid +refused +\d+",
        r"✔ gatehouse-verify  check      POST localhost/api/items +200 +\d+",
    ):
        assert re.search(measured, result.stdout), result.stdout
    report = json.loads(path.read_text())
    assert (report["schema"], report["ok"]) == (1, True)
    (found,) = report["hosts"].values()
    assert (found["ok"], found["broken"]) == (True, None)
    asked = [one for one in found["checks"] if one["stage"] >= 4]
    assert len(asked) == 8
    assert all(one["state"] == "ok" and one["attempts"] == 2 and one["ms"] > 0 for one in asked)
    assert "of-the-scenario" not in path.read_text()
