"""Faults as they are injected for real, shared by the scenario's tests and by bin/bench diagnose.

FAULTS: {cause, or cause and variant: (what breaks the healthy host, what mends it, words that the diagnosis must have,
a change of the model that it is diagnosed by)}.
"""

from __future__ import annotations

import json
import subprocess

import yaml

from testbed import toolchain
from testbed.paths import ROOT

SECRETS = ("very-secret-token", "p@ss/w0rd:x", "p%40ss%2Fw0rd%3Ax")

MODEL = yaml.safe_load((ROOT / "molecule" / "faults" / "vars" / "main.yml").read_text())
MODEL["webapp_apps"][0]["source"] = {"directory": str(ROOT / "examples" / "chat" / "backend")}

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
IN_THE_CODE = "cd /srv/chat-api/current/src/app"
ENV = "/srv/chat-api/current/env"
LEGACY = "/etc/systemd/system/legacy.service"
# What was logged before is not of this fault.
QUIET = "sleep 1.2; : > /var/log/nginx/access.log"
PREFLIGHT = "-X OPTIONS -H 'Access-Control-Request-Method: POST'"
# A PM2 that people started by hand, with one app.
PM2 = "export PM2_HOME=/root/.pm2; pm2=/opt/pm2/node_modules/.bin/pm2"
UNDO_PM2 = f"{PM2}; $pm2 kill --silent; $pm2 start --silent /opt/cart.json"
MONITRC = "/etc/monit/conf.d/fault"
CART = "curl -so /dev/null -m 5 -H 'Host: cart.example.com'"
HEALTHY = """
timeout 60 sh -c 'until curl -sfo /dev/null -m 2 -H "Host: chat.example.com" http://127.0.0.1/health &&
  curl -sfo /dev/null -m 2 -H "Host: cart.example.com" http://127.0.0.1/health &&
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
        f"{IN_THE_CODE}; cp main.py /root/main.py; echo 'raise RuntimeError(\"broken at import\")' >> main.py;"
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
        f"{KEEP_SITES}; sed -i 's/Upgrade $gatehouse_upgrade/Upgrade \"\"/' {SITES}; {RELOADED}",
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
    "scheme_mismatch the other way round": (
        "true",
        "true",
        "http://shop.example.com",
        app(env={"SHOP_URL": "http://shop.example.com"}, required_env=[]),
    ),
    "scheme_mismatch plain http": (
        f"{QUIET}; for i in $(seq 30); do curl -so /dev/null -H 'Host: shop.example.com' http://127.0.0.1:443/; done; sleep 1.5",
        QUIET,
        "plain http to the https port of shop.example.com",
        no_change,
    ),
    "cors_refused": (
        f"{QUIET}; {CART} {PREFLIGHT} -H 'Origin: https://shop.example.com' -H 'Referer: https://shop.example.com/' http://127.0.0.1/items;"
        "sleep 1.5",
        QUIET,
        "A page of https://shop.example.com may not use cart.example.com/items",
        no_change,
    ),
    "cors_refused a stranger": (
        f"{QUIET}; for i in $(seq 9); do {CART} {PREFLIGHT} -H 'Origin: https://acme.dev' -H 'Referer: https://acme.dev/'"
        " http://127.0.0.1/items; done; sleep 1.5",
        QUIET,
        "A page of https://acme.dev may not use cart.example.com/items",
        no_change,
    ),
    "pm2_errored": (
        f"{PM2}; cp /opt/cart.js /root/cart.js; echo 'throw new Error(\"broken\")' > /opt/cart.js; $pm2 restart --silent cart;"
        "timeout 60 sh -c 'until tail -1 /root/.pm2/pm2.log | grep -q errored; do sleep 0.1; done'",
        f"cp /root/cart.js /opt/cart.js; {UNDO_PM2}",
        "PM2 has given cart up",
        no_change,
    ),
    "pm2_daemon_gone": (
        "kill -9 $(cat /root/.pm2/pm2.pid); timeout 30 sh -c 'while curl -so /dev/null http://127.0.0.1:3200/; do sleep 0.1; done'",
        UNDO_PM2,
        "and its processes with it",
        no_change,
    ),
    "pm2_daemon_gone without its child": (
        f"{PM2}; $pm2 kill --silent; $pm2 start --silent --no-pmx /opt/cart.js; {answers(3200)};"
        "kill -9 $(cat /root/.pm2/pm2.pid); sleep 1",
        f"pkill -f '^node /opt/cart.js'; {UNDO_PM2}",
        "nothing watches over its processes",
        no_change,
    ),
    "pm2_child_stopped": (
        "kill -STOP $(pgrep -f '^node /opt/cart.js')",
        "kill -CONT $(pgrep -f '^node /opt/cart.js')",
        "PM2 still says online",
        no_change,
    ),
    "held_by_monitor": (
        f"""
        printf '%s\\n' 'set daemon 1' 'check program chat-api with path /bin/false' > {MONITRC}
        for each in {UNITS}; do stop="$stop $each"; done; echo " stop program = \\"/usr/bin/systemctl stop$stop\\"" >> {MONITRC}
        echo ' if status != 0 then stop' >> {MONITRC}
        systemctl start monit; timeout 60 sh -c 'while systemctl -q is-active '{FIRST}'; do sleep 0.2; done'
        """,
        f"rm {MONITRC}; systemctl stop monit; rm -f /var/log/monit.log /var/lib/monit/state; systemctl start {UNITS}",
        "stopped by Monit",
        no_change,
    ),
    "dns_wrong": (
        "true",
        "true",
        "localhost leads to 127.0.0.1",
        lambda model: model["webapp_sites"][0]["server_names"].append("localhost"),
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
        app(runtime="pm2", uvicorn=None, pm2={"npm": "start"}),
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


_COMMANDS = "systemctl journalctl nginx openssl ip iptables ip6tables timedatectl"
# What makes everything hang: commands, apps, database and name server; and what mends it.
ALL_HANGS = (
    f"""
    systemctl kill --signal=STOP {UNITS} mariadb legacy; cp /etc/resolv.conf /root/; echo nameserver 198.51.100.1 > /etc/resolv.conf
    for name in {_COMMANDS}; do printf '#!/bin/sh\\nexec sleep 600\\n' > /usr/local/sbin/$name; chmod +x /usr/local/sbin/$name; done
    """,
    f"""
    for name in {_COMMANDS}; do rm /usr/local/sbin/$name; done
    cat /root/resolv.conf > /etc/resolv.conf; systemctl kill --signal=CONT {UNITS} mariadb legacy
    """,
)


def ask(inventory, module, arguments, variables=None):
    """What a module returns of the one host of an inventory, once it is sure that no secret is in it."""
    done = subprocess.run(
        ["ansible", "all", "-i", inventory, "-m", f"gatehouse.webapp.{module}", "-a", json.dumps(arguments)]
        + ["-e", json.dumps(variables or {})],
        capture_output=True,
        text=True,
        check=False,
        env=toolchain.environment(
            ANSIBLE_STDOUT_CALLBACK="ansible.builtin.oneline", ANSIBLE_LOAD_CALLBACK_PLUGINS="true"
        ),
    )
    assert "=> {" in done.stdout, done.stdout + done.stderr
    for secret in SECRETS:
        assert secret not in done.stdout
    return json.loads(done.stdout[done.stdout.index("{") :])


def diagnose(inventory, change=no_change, seconds=20):
    model = json.loads(json.dumps(MODEL))
    change(model)
    arguments = {"apps": model["webapp_apps"], "sites": model["webapp_sites"], "timeout": seconds}
    return ask(inventory, "diagnose_host", arguments)
