"""What the benchmarks under load share: the load beside a block, nginx as tutorials have it, and how what was found is shown."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from _common import write

from testbed import host, steps

HERE = Path(__file__).parent
RATE = 250
LONGEST = 900
BUSY_MS = 100
CURL = ["curl", "-sS", "--fail", "--retry", "60", "--retry-delay", "1", "--retry-all-errors"]

# Debian's own settings, an upstream with keepalive, all else by default.
USUAL_NGINX = """
worker_processes auto;
pid /run/usual-nginx.pid;
error_log /var/log/nginx/usual-error.log;
events {{ worker_connections 768; }}
http {{
    access_log /var/log/nginx/usual-access.log;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
{sides}
}}
"""
SIDE = """
    upstream side_{port} {{ {servers} keepalive 32; }}
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://side_{port}; }} }}
"""
USUAL_NGINX_UNIT = """
[Service]
Type=exec
ExecStart=/usr/sbin/nginx -c /etc/nginx/usual.conf -g "daemon off;"
"""


def run(name, *command):
    """Standard output of a command on the host that must succeed."""
    result = host.execute(name, *command)
    if result.returncode:
        raise steps.Failure(f"{' '.join(map(str, command))}:\n{steps.tail(result.stderr or result.stdout)}")
    return result.stdout


def copy(name, *paths):
    """Copy files that lie beside this one to the same place below /opt/bench on the host."""
    for path in paths:
        target = Path("/opt/bench") / path.relative_to(HERE)
        run(name, "mkdir", "-p", target.parent)
        write(name, str(target), path.read_text())


def usual_nginx(sides):
    """nginx's configuration: which port leads to which ports of apps."""
    blocks = [
        SIDE.format(port=port, servers=" ".join(f"server 127.0.0.1:{app};" for app in apps))
        for port, apps in sides.items()
    ]
    return USUAL_NGINX.format(sides="".join(blocks).rstrip())


def install_usual_nginx(name, sides):
    """The unit usual-nginx.service, which is not started."""
    write(name, "/etc/nginx/usual.conf", usual_nginx(sides))
    write(name, "/etc/systemd/system/usual-nginx.service", USUAL_NGINX_UNIT)
    run(name, "systemctl", "daemon-reload")


def answers(name, port):
    """Wait until what is behind a port is healthy."""
    run(name, *CURL, f"http://127.0.0.1:{port}/health")


@contextlib.contextmanager
def beside(name, script, *arguments):
    """Run a script on the host for the length of a block; what it prints at its end is the attributes of what this gives."""
    command = ["docker", "exec", "--interactive", name, "python3", f"/opt/bench/{script}", *map(str, arguments)]
    found = SimpleNamespace()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield found
        except BaseException:
            process.kill()
            raise
        # Its standard input ends here, and so does it.
        output, _errors = process.communicate()
    if process.returncode:
        raise steps.Failure(f"{script} ended with {process.returncode}")
    vars(found).update(json.loads(output))


def load(name, port, websockets, requests, seconds=LONGEST):
    options = {"port": port, "rate": RATE, "websockets": websockets, "requests": requests, "seconds": seconds}
    return beside(name, "_load.py", *(f"--{option}={value}" for option, value in options.items()))


def changed(found, version):
    """What was found, if the app became this version meanwhile, and was one other before: else it shows nothing."""
    if len(found.versions) != 2 or version not in found.versions:
        seen = ", ".join(found.versions) or "none"
        raise steps.Failure(f"one version was to be followed by version {version}, and those that answered are: {seen}")
    return found


def row(side, found):
    """What a side did with its requests, as a row of a table."""
    return {
        "side": side,
        "requests": found.requests,
        "failed": found.failed,
        "outage": f"{found.outage_s:.1f} s",
        "p50": f"{found.p50_ms:.0f} ms",
        "p99": f"{found.p99_ms:.0f} ms",
        "worst": f"{found.worst_ms:.0f} ms",
        "failed by": counts(found.failures),
        "generator late": f"{found.lag_ms:.0f} ms",
    }


def counts(values):
    """Each value and how often: 455 status_502, 2 reset."""
    return ", ".join(f"{count} {value}" for value, count in Counter(values).most_common()) or "-"


def say_when_busy(*founds):
    lag = max(found.lag_ms for found in founds)
    if lag > BUSY_MS:
        print(
            f"the generator was up to {lag:.0f} ms late: on a machine this busy, so much of a latency is not the deploy's"
        )
