"""The first broken link is the one that is named."""

import os
import subprocess

import pytest

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
INVENTORY = os.path.join(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory")
NGINX_SET = "/etc/nginx/gatehouse/sites.conf"
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
        ["Stage 1 of 6, each service holds its port", "echo@3001.service"],
    ),
    "an instance hangs": (
        "systemctl kill --signal=STOP echo@3001",
        "systemctl kill --signal=CONT echo@3001",
        ["Stage 1 of 6, each service is healthy on its own port", "no complete answer", "3001"],
    ),
    "nginx is stopped": (
        "systemctl stop nginx",
        "systemctl start nginx",
        ["Stage 2 of 6, nginx runs", "nginx does not run (Active: inactive", "systemctl status nginx"],
    ),
    "its configuration is broken on disk": (
        "echo 'server {' > /etc/nginx/conf.d/broken.conf",
        "rm /etc/nginx/conf.d/broken.conf",
        ["Stage 2 of 6", "refuses its configuration", "broken.conf"],
    ),
    "the firewall is off": (
        "ufw disable",
        "ufw --force enable",
        ["Stage 3 of 6, the firewall", "UFW is not active"],
    ),
    "the firewall has no rule for the site": (
        "ufw delete allow 80/tcp",
        "ufw allow 80/tcp comment 'gatehouse: site echo'",
        ["Stage 3 of 6, the firewall", "no rule that allows port 80"],
    ),
    "an app that nginx asks is down": (
        "systemctl stop echo@3100",
        "systemctl start echo@3100",
        ["Stage 4 of 6, health through nginx on this host", "answered 502"],
    ),
    "something drops packets before nginx": (
        "iptables -I INPUT -i eth0 -p tcp --dport 80 -j DROP",
        "iptables -D INPUT -i eth0 -p tcp --dport 80 -j DROP",
        [
            "Stage 5 of 6, health from the control node",
            "no complete answer",
            "a rule of the host's packet filter that is not UFW's drops connections to port 80",
            "-A INPUT -i eth0 -p tcp -m tcp --dport 80 -j DROP",
        ],
    ),
    "something drops packets before they come to the host": (
        "iptables -t raw -I PREROUTING -i eth0 -p tcp --dport 80 -j DROP",
        "iptables -t raw -D PREROUTING -i eth0 -p tcp --dport 80 -j DROP",
        [
            "Stage 5 of 6, health from the control node",
            "something in front of the host stops it, as a cloud's security group does",
            "tcpdump -ni any 'tcp port 80'",
        ],
    ),
    "upgrade headers are missing": (
        f"sed -i 's/Upgrade $gatehouse_upgrade/Upgrade \"\"/' {NGINX_SET} && systemctl reload nginx",
        f"sed -i 's/Upgrade \"\"/Upgrade $gatehouse_upgrade/' {NGINX_SET} && systemctl reload nginx",
        ["Stage 6 of 6, WebSocket through nginx", "instead of upgrading", "websocket: true"],
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


def test_all_is_well_again_and_the_report_says_what_was_measured(host):
    result = verify()
    assert result.returncode == 0, result.stdout
    assert "changed=0" in result.stdout
    address = host.check_output("hostname -I").split()[0]
    for measured in (
        "echo@3001.service on port 3001: 200 in",
        "UFW is active and lets through: 80",
        "localhost/plain/health through nginx on the host: 200 in",
        f"localhost/health at {address}: 200 in",
        f"localhost/ws at {address}: 101 in",
    ):
        assert measured in result.stdout, result.stdout
