"""Every fault is injected for real, and the first cause that is named must be it. The healthy host has none."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
PROJECT = SCENARIO.parents[1]
SECRETS = ("very-secret-token", "p@ss/w0rd:x", "p%40ss%2Fw0rd%3Ax")

MODEL = yaml.safe_load((SCENARIO / "vars" / "main.yml").read_text())
MODEL["webapp_apps"][0]["source"] = {"directory": str(PROJECT / "examples" / "chat" / "backend")}

# Opens connections and keeps them.
HOLD = 'import socket, sys, time; kept = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for each in range(9)]; time.sleep(600)'
# The units of the set that serves.
UNITS = "$(if test -e /srv/chat-api/current/green; then echo chat-api@18000 chat-api@18001; else echo chat-api@8000 chat-api@8001; fi)"
FIRST = f"$(set -- {UNITS}; echo $1)"
PORT = f"$(set -- {UNITS}; echo ${{1#*@}})"
RELOADED = """
before=$(pgrep -P $(cat /run/nginx.pid) | head -1); nginx -t -q && systemctl reload nginx
timeout 20 sh -c "while kill -0 $before 2>/dev/null && grep -q '^nginx: worker process$' /proc/$before/cmdline; do sleep 0.05; done"
"""
SITES = "/etc/nginx/gatehouse/sites.conf"
KEEP_SITES = f"cp -p {SITES} /root/sites.conf"
UNDO_SITES = f"cp -p /root/sites.conf {SITES}; {RELOADED}"
# A hand-made file that nginx reads, as another tool may leave it.
HAND_MADE = "/etc/nginx/modules-enabled/99-by-hand.conf"
UNIT = f"/etc/systemd/system/{FIRST}.service"
DROP_IN = f"/run/systemd/system/{FIRST}.service.d/fault.conf"
UNDO_DROP_IN = f"rm {DROP_IN}; systemctl daemon-reload; systemctl restart {FIRST}"
ENV = "/srv/chat-api/current/env"
LEGACY = "/etc/systemd/system/legacy.service"
HEALTHY = """
timeout 60 sh -c 'until curl -sfo /dev/null -m 2 -H "Host: chat.example.com" http://127.0.0.1/health &&
  curl -skfo /dev/null -m 2 --resolve shop.example.com:443:127.0.0.1 https://shop.example.com/health; do sleep 0.1; done'
timeout 60 sh -c 'until curl -sfm 2 http://127.0.0.1:%s/health; do sleep 0.1; done'
: > /var/log/nginx/error.log
""" % (PORT,)


def drop_in(text):
    written = f"mkdir -p $(dirname {DROP_IN}); printf '[Service]\\n{text}\\n' > {DROP_IN}"
    return f"{written}; systemctl daemon-reload; systemctl restart --no-block {FIRST}"


def answers(port):
    return f"timeout 30 sh -c 'until curl -sfo /dev/null http://127.0.0.1:{port}/health; do sleep 0.1; done'"


def looping(words):
    """Wait until systemd has seen the unit fall twice: the diagnosis is about a loop, and not about its first moment."""
    return f"timeout 30 sh -c 'until test $(systemctl show -P NRestarts {words}) -ge 2; do sleep 0.1; done'"


def certificate(name):
    return f"cd /etc/ssl/faults; cp {name}.pem shop.pem; cp {name}.key shop.key; {RELOADED}"


def legacy(words):
    wait = "sleep 0.7"
    return f"sed -i 's|legacy.py .*|legacy.py {words}|' {LEGACY}; systemctl daemon-reload; systemctl restart legacy; {wait}"


def app(**change):
    return lambda model: model["webapp_apps"][0].update(change)


def no_change(_model):
    pass


# cause: (what breaks it, what mends it, words of the message, a change of the model that it is diagnosed by)
FAULTS = {
    "service_stopped": (f"systemctl stop {UNITS}", f"systemctl start {UNITS}", "chat-api@", no_change),
    "disabled_at_boot": (f"systemctl disable -q {FIRST}", f"systemctl enable -q {FIRST}", "next boot", no_change),
    "crash_loop": (
        "cd /srv/chat-api/current/src/app; cp main.py /root/main.py; echo 'raise RuntimeError(\"broken at import\")' >> main.py;"
        f"systemctl restart --no-block {UNITS}; {looping(FIRST)}",
        f"cp /root/main.py /srv/chat-api/current/src/app/main.py; systemctl restart {UNITS}",
        "RuntimeError: broken at import",
        no_change,
    ),
    "process_stopped": (
        f"systemctl kill --signal=STOP {UNITS}",
        f"systemctl kill --signal=CONT {UNITS}",
        "SIGSTOP",
        no_change,
    ),
    "wrong_port": (
        f"cp {UNIT} /root/unit; sed -i 's/--port %i/--port 19000/' {UNIT}; systemctl daemon-reload; systemctl restart {FIRST};"
        f"{answers(19000)}",
        f"cp /root/unit {UNIT}; systemctl daemon-reload; systemctl restart {FIRST}",
        "listens on port 19000",
        no_change,
    ),
    "loopback_only": ("true", "true", "on another host", app(expose=["192.0.2.20"])),
    "port_taken": (
        f"systemctl stop {FIRST}; systemd-run --collect -q --unit stranger python3 -m http.server --bind 127.0.0.1 {PORT}; sleep 0.7;"
        f"systemctl start --no-block {FIRST}; {looping(FIRST)}",
        f"systemctl stop stranger; systemctl restart {FIRST}",
        "stranger.service",
        no_change,
    ),
    "unit_missing": (
        f"cp {UNIT} /root/unit; systemctl stop {FIRST}; rm {UNIT}; systemctl daemon-reload",
        f"cp /root/unit {UNIT}; systemctl daemon-reload; systemctl start {FIRST}",
        "not-found",
        no_change,
    ),
    "nginx_stopped": ("systemctl stop nginx", "systemctl start nginx", "does not run", no_change),
    "nginx_port_taken": (
        "systemctl stop nginx; systemd-run --collect -q --unit stranger python3 -m http.server 80; sleep 0.7;"
        "systemctl start nginx || true",
        "systemctl stop stranger; systemctl reset-failed nginx; systemctl start nginx",
        "stranger.service",
        no_change,
    ),
    "nginx_config_broken": (
        f"echo 'this is no directive' > {HAND_MADE}",
        f"rm {HAND_MADE}; {RELOADED}",
        "only what it read before still runs",
        no_change,
    ),
    "nginx_master_dead": (
        # Started by hand, as people do; systemd would end the workers of its own.
        "systemctl stop nginx; nginx; sleep 0.5; kill -9 $(cat /run/nginx.pid); sleep 0.5",
        "pkill -QUIT -f '^nginx: worker'; sleep 0.5; systemctl reset-failed nginx; systemctl start nginx",
        "workers serve on",
        no_change,
    ),
    "nginx_not_reloaded": (
        f"{KEEP_SITES}; sed -i 's/read_timeout 2s/read_timeout 3s/' {SITES}",
        UNDO_SITES,
        "not reloaded",
        no_change,
    ),
    "site_missing": (
        f"{KEEP_SITES}; sed -i 's/server_name chat.example.com/server_name chat.example.net/' {SITES}; {RELOADED}",
        UNDO_SITES,
        "no site for chat.example.com",
        no_change,
    ),
    "site_shadowed": (
        f"{KEEP_SITES}; sed -i '1i server {{ listen 80; server_name chat.example.com; return 404; }}' {SITES}; {RELOADED}",
        UNDO_SITES,
        "Another server answers for chat.example.com",
        no_change,
    ),
    "wrong_upstream": (
        f"{KEEP_SITES}; sed -i 's|proxy_pass http://legacy;|proxy_pass http://127.0.0.1:3333;|' {SITES}; {RELOADED}",
        UNDO_SITES,
        "127.0.0.1:3333",
        no_change,
    ),
    "upgrade_missing": (
        f"{KEEP_SITES}; sed -i 's/Upgrade $http_upgrade/Upgrade \"\"/' {SITES}; {RELOADED}",
        UNDO_SITES,
        "/api/v1/chat/ws/",
        no_change,
    ),
    "proxy_timeout": (
        "curl -sko /dev/null --resolve shop.example.com:443:127.0.0.1 https://shop.example.com/slow",
        "true",
        "GET /slow",
        no_change,
    ),
    "body_too_large": (
        "head -c 2000000 /dev/zero | curl -so /dev/null -H 'Host: chat.example.com' --data-binary @- http://127.0.0.1/api/upload",
        "true",
        "POST /api/upload",
        no_change,
    ),
    "rate_limited": (
        "for i in $(seq 60); do curl -so /dev/null -H 'Host: chat.example.com' http://127.0.0.1/x & done; wait",
        "true",
        "no outage",
        no_change,
    ),
    "ufw_closed": (
        "ufw delete allow 80/tcp >/dev/null",
        "ufw allow 80/tcp >/dev/null",
        "UFW drops connections to port 80",
        no_change,
    ),
    "packet_filter": (
        "iptables -I INPUT -p tcp --dport 80 -j DROP",
        "iptables -D INPUT -p tcp --dport 80 -j DROP",
        "packet filter",
        no_change,
    ),
    # Before the host's own filter, as a cloud's security group is.
    "dropped_in_front": (
        "iptables -t raw -A PREROUTING -p tcp --dport 80 ! -i lo -j DROP",
        "iptables -t raw -F PREROUTING",
        "something in front of the host",
        no_change,
    ),
    "dns_missing": (
        "true",
        "true",
        "nowhere.invalid is not in DNS",
        lambda model: model["webapp_sites"][0]["server_names"].append("nowhere.invalid"),
    ),
    "certificate_expired": (certificate("expired"), certificate("good"), "expired on", no_change),
    "certificate_wrong_name": (certificate("other"), certificate("good"), "elsewhere.example.com", no_change),
    "certificate_chain": (certificate("incomplete"), certificate("good"), "Faults intermediate", no_change),
    "certificate_missing": (
        "mv /etc/ssl/faults/shop.pem /root/shop.pem",
        f"mv /root/shop.pem /etc/ssl/faults/shop.pem; {RELOADED}",
        "/etc/ssl/faults/shop.pem",
        no_change,
    ),
    "scheme_mismatch": (
        "true",
        "true",
        "https://chat.example.com",
        app(env={"PUBLIC_URL": "https://chat.example.com"}, required_env=[]),
    ),
    "env_missing": (
        f"cp {ENV} /root/env; sed -i /API_TOKEN/d {ENV}; systemctl restart {UNITS}",
        f"cp /root/env {ENV}; systemctl restart {UNITS}",
        "API_TOKEN is missing",
        no_change,
    ),
    "env_empty": (
        f"cp {ENV} /root/env; sed -i 's/^API_TOKEN=.*/API_TOKEN=/' {ENV}; systemctl restart {UNITS}",
        f"cp /root/env {ENV}; systemctl restart {UNITS}",
        "API_TOKEN is empty",
        no_change,
    ),
    "build_id_missing": (
        'echo \'{"dependencies": {"next": "15.0.0"}}\' > /srv/chat-api/current/src/package.json',
        "rm /srv/chat-api/current/src/package.json",
        ".next/BUILD_ID",
        no_change,
    ),
    "dependency_down": ("systemctl stop mariadb", "systemctl start mariadb", "127.0.0.1:3306 (mariadb)", no_change),
    "database_refuses": (
        f"""mariadb -e "ALTER USER chat@127.0.0.1 IDENTIFIED BY 'another'"; systemctl restart {UNITS}; sleep 2""",
        f"""mariadb -e "ALTER USER chat@127.0.0.1 IDENTIFIED BY 'p@ss/w0rd:x'"; systemctl restart {UNITS}""",
        "refuses the user or password of chat-api",
        no_change,
    ),
    "disk_full": (
        "mount -t tmpfs -o size=4m tmpfs /var/lib/chat-api; head -c 9000000 /dev/zero > /var/lib/chat-api/full 2>/dev/null || true",
        "umount /var/lib/chat-api",
        "/var/lib/chat-api",
        no_change,
    ),
    "inodes_full": (
        "mount -t tmpfs -o nr_inodes=20 tmpfs /var/lib/chat-api; for i in $(seq 30); do : > /var/lib/chat-api/$i || true; done 2>/dev/null",
        "umount /var/lib/chat-api",
        "inode",
        no_change,
    ),
    "out_of_memory": (
        f"{drop_in('MemoryMax=12M')}; {looping(FIRST)}",
        UNDO_DROP_IN,
        "want of memory",
        app(memory_max="12M"),
    ),
    "open_files": (
        f"{drop_in('LimitNOFILE=12')}; systemctl restart {FIRST}; {answers(PORT)}; systemd-run --collect -q --unit holder"
        f" python3 -c '{HOLD}' {PORT}; sleep 1",
        f"systemctl stop holder; {UNDO_DROP_IN}",
        "files and connections",
        no_change,
    ),
    "hung": (legacy("3000 silent"), legacy("3000 healthy"), "does not answer", no_change),
    "unhealthy": (legacy("3000 sick"), legacy("3000 healthy"), "not well", no_change),
    "not_listening": ("systemctl stop legacy", "systemctl start legacy", "where legacy should", no_change),
    "held_by_deploy": (
        f"systemctl stop {UNITS}; now=$(date +%s); printf '"
        '{"who": {"id": "1", "user": "ada", "host": "laptop", "pid": 7}, "since": %d, "until": %d, "release": "abc"}'
        "' $((now - 600)) $((now + 600)) > /run/gatehouse/deploy/chat-api.lock",
        f"rm /run/gatehouse/deploy/chat-api.lock; systemctl start {UNITS}",
        "ada on laptop",
        no_change,
    ),
    "upstream_unreachable": (
        "cp -p /etc/nginx/gatehouse/upstreams.conf /root; iptables -I OUTPUT -d 198.51.100.1 -j DROP;"
        f"sed -i s/127.0.0.1:3000/198.51.100.1:3000/ /etc/nginx/gatehouse/upstreams.conf; {RELOADED}",
        f"iptables -D OUTPUT -d 198.51.100.1 -j DROP; cp -p /root/upstreams.conf /etc/nginx/gatehouse/; {RELOADED}",
        "dropped on the way",
        lambda model: model["webapp_apps"][1].update(hosts=["198.51.100.1"]),
    ),
}


def diagnose(change=no_change, seconds=20):
    model = json.loads(json.dumps(MODEL))
    change(model)
    arguments = json.dumps({"apps": model["webapp_apps"], "sites": model["webapp_sites"], "timeout": seconds})
    done = subprocess.run(
        ["ansible", "all", "-i", INVENTORY, "-m", "gatehouse.webapp.diagnose_host", "-a", arguments],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for secret in SECRETS:
        assert secret not in done.stdout
    return json.loads(done.stdout[done.stdout.index("{") :])


def run(host, script):
    return host.run("bash -c %s", script)


@pytest.fixture
def healthy(host):
    run(host, HEALTHY)
    yield
    assert run(host, HEALTHY).rc == 0


def test_a_healthy_host_has_no_cause(healthy):
    found = diagnose(seconds=60)
    assert found["causes"] == []
    assert found["ok"]
    assert found["evidence"]["unanswered"] == {}
    states = {link["state"] for way in found["chain"] for link in way["links"]}
    assert states <= {"ok", "unknown"}


def test_a_host_on_which_everything_hangs_is_asked_in_bounded_time(host, healthy):
    """Commands, apps, database and name server: none of them answers, and none of them is there for good."""
    commands = "systemctl journalctl nginx openssl ip iptables ip6tables timedatectl"
    inject = f"""
        systemctl kill --signal=STOP {UNITS} mariadb legacy; cp /etc/resolv.conf /root/; echo nameserver 198.51.100.1 > /etc/resolv.conf
        for name in {commands}; do printf '#!/bin/sh\nexec sleep 600\n' > /usr/local/sbin/$name; chmod +x /usr/local/sbin/$name; done
    """
    undo = f"""
        for name in {commands}; do rm /usr/local/sbin/$name; done
        cat /root/resolv.conf > /etc/resolv.conf; systemctl kill --signal=CONT {UNITS} mariadb legacy
    """
    try:
        assert run(host, inject).rc == 0
        found = diagnose(seconds=10)
    finally:
        run(host, undo)
    assert found["evidence"]["took"] < 15
    assert "units" in found["evidence"]["unanswered"]
    # What could be seen without them is seen.
    assert found["causes"][0]["cause"] == "process_stopped"


def test_the_playbook_tells_people_and_programs(host, healthy, tmp_path):
    page, document = tmp_path / "report.html", tmp_path / "report.json"
    variables = {**MODEL, "report": str(page), "diagnose_json": str(document), "diagnose_fail": True}
    command = ["ansible-playbook", "-i", INVENTORY, PROJECT / "playbooks" / "diagnose.yml", "-e", json.dumps(variables)]
    try:
        run(host, f"systemctl stop {UNITS}")
        done = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    finally:
        run(host, f"systemctl start {UNITS}")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "✘ Service" in done.stdout
    assert "Next: systemctl start chat-api@" in done.stdout
    assert "systemctl start chat-api@" in page.read_text()
    told = json.loads(document.read_text())
    (found,) = told["hosts"].values()
    assert (told["schema"], found["causes"][0]["cause"]) == (1, "service_stopped")
    for secret in SECRETS:
        assert secret not in done.stdout + page.read_text() + document.read_text()


@pytest.mark.parametrize("cause", FAULTS)
def test_the_first_cause_is_the_fault(host, healthy, cause):
    inject, undo, words, change = FAULTS[cause]
    try:
        injected = run(host, inject)
        assert injected.rc == 0, injected.stdout + injected.stderr
        found = diagnose(change)
    finally:
        run(host, undo)
    told = [(one["cause"], one["message"]) for one in found["causes"]]
    assert told and told[0][0] == cause, told
    assert words in told[0][1] + " ".join(found["causes"][0]["evidence"])
