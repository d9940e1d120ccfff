"""Requests through the proxy: what nginx_proxy makes of a plain inventory, beside what people have in front of their apps.

Everything runs on one host and in turn: the sides (`sides/`: a tutorial's nginx without kept connections, the role
geerlingguy.nginx, Debian's HAProxy and Caddy), what they lead to (an nginx that answers faster than any of them) and the
generator. A case is one kind of request; its ratio is the median, over the rounds, of ours to theirs in that round. All sides
compress JSON and have the same certificate. Ours is an app with `strategy: blue_green` after a deploy, and all of its defaults
but the rate: the load comes from one address, which 10 requests a second would end, so its routes say `rate: none`.

`CPU each` is what a request costs the side's own processes. It stays nearly the same on a busy machine, where rates don't.

Debian's HAProxy logs each request, as ours does, but to the journal, which costs more than a file. `HAProxy, no log` is the
same without any, and the ratio to it is `haproxy_quiet_ratio`. `caddy_least` is the lowest of all the cases' ratios to Caddy.

A folder of a `static` route is served without following links to files of others, which costs a look at each part of a path.
`links_ratio` is what that leaves: files served so, to the same file while the directive is out of nginx's configuration.

Then 1,800 clients that send their request slowly: a good client asks 14 times meanwhile and wants its answer within a second.
"""

from __future__ import annotations

import functools
import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

from _common import figures, median, table, write

from testbed import host, image, steps

NAME = "gatehouse-bench-proxy"
HERE = Path(__file__).parent
DOMAIN = "bench.example.com"

ROUNDS = 3
SECONDS = 2
CONNECTIONS = 64

SLOW = 1800
SLOW_KINDS = {"headers": "-H", "bodies": "-B"}
QUESTIONS = 14


def side(name, unit, http, https, static=True):
    return SimpleNamespace(name=name, unit=unit, ports={"http": http, "https": https}, static=static)


OURS = side("ours", "nginx", 80, 443)
TUTORIAL = side("tutorial nginx", "bench-tutorial", 8101, 8201)
HAPROXY = side("HAProxy", "haproxy", 8103, 8203, static=False)
QUIET = side("HAProxy, no log", "bench-quiet", 8105, 8205, static=False)
CADDY = side("Caddy", "caddy", 8104, 8204)
SIDES = (OURS, TUTORIAL, side("geerlingguy.nginx", "bench-geerlingguy", 8102, 8202), HAPROXY, QUIET, CADDY)


def case(name, path, scheme="http", *, static=False, compressed=False):
    return SimpleNamespace(name=name, path=path, scheme=scheme, static=static, compressed=compressed)


SMALL = case("small JSON", "/small.json")
PICTURE = case("static file, 20 KB", "/static/picture.png", static=True)
CASES = (
    SMALL,
    case("100 KB JSON, compressed", "/large.json", compressed=True),
    PICTURE,
    case("small JSON over TLS", "/small.json", "https"),
    case("WebSocket echo", "/ws"),
)


def run(*command):
    """Standard output of a command on the host that must succeed."""
    result = host.execute(NAME, *command)
    if result.returncode:
        raise steps.Failure(f"{' '.join(map(str, command))}:\n{steps.tail(result.stderr or result.stdout)}")
    return result.stdout


def shell(script):
    return run("sh", "-ec", script)


def model():
    """An inventory as a team would have it, with every default but the rate."""
    app = {
        "name": "bench",
        "runtime": "uvicorn",
        "source": {"directory": str(HERE / "app")},
        "uvicorn": {"target": "main:app"},
        "port": 8000,
        "instances": 2,
        "strategy": "blue_green",
        "health": {"path": "/health"},
    }
    echo = {"name": "echo", "runtime": "external", "port": 9000, "health": {"path": "/echo/health"}}
    routes = [
        {"path": "/", "app": "bench", "rate": "none"},
        {"path": "/ws", "app": "echo", "websocket": True, "rate": "none"},
        {"path": "/static/", "static": "/srv/bench/static"},
    ]
    tls = {"mode": "files", "certificate": "/etc/bench/bench.pem", "key": "/etc/bench/bench.key", "redirect": False}
    site = {"name": "bench", "server_names": [DOMAIN], "tls": tls, "routes": routes}
    return {"ansible_user": "root", "webapp_apps": [app, echo], "webapp_sites": [site]}


def prepare():
    run("mkdir", "/etc/bench")
    write(NAME, "/etc/bench/large.json", large())
    for path in [*(HERE / "sides").iterdir(), *(HERE / name for name in ("_cost.py", "_echo.py", "_report.lua"))]:
        write(NAME, f"/etc/bench/{path.name}", path.read_text())
    run("sh", "/etc/bench/prepare.sh")
    play = Path(host.FILES) / f"{NAME}.yml"
    play.parent.mkdir(parents=True, exist_ok=True)
    play.write_text("- hosts: all\n  roles: [gatehouse.webapp.nginx_proxy]\n")
    result = host.play(NAME, play, variables=model())
    if result.returncode:
        raise steps.Failure(steps.tail(result.stdout + result.stderr))


def large():
    """100 KB of JSON as a list of records comes: names that repeat, values that differ."""
    record = '{{"id": {0}, "name": "customer {1}", "email": "{2:x}@example.com", "balance": {3}, "active": true}}'
    records = (record.format(n, n * 7919 % 1000, n * 2654435761 % 2**32, n * 104729 % 9973 / 100) for n in range(960))
    return "[" + ",\n".join(records) + "]\n"


def address(each, side):
    return f"{each.scheme}://{DOMAIN}:{side.ports[each.scheme]}{each.path}"


def takes_part(each, side):
    return side.static or not each.static


def check(each, side):
    """Fail unless the side answers this case as the app does. (The client of the echoes sees to that itself.)"""
    if each.path == "/ws":
        return
    answer = f"cat /srv/bench{each.path}" if each.static else f"curl -sf http://127.0.0.1:8000{each.path}"
    # Of gzip alone, as measure() asks: ours has brotli too.
    options = "--compressed --header 'Accept-Encoding: gzip'" if each.compressed else ""
    shell(
        f"""
        curl -skf {options} -D /tmp/head -o /tmp/body --retry 20 --retry-delay 1 --retry-all-errors {address(each, side)}
        {answer} | cmp - /tmp/body
        """
    )
    compressed = "content-encoding: gzip" in run("cat", "/tmp/head").lower()
    if compressed != each.compressed:
        raise steps.Failure(f"{side.name}, {each.name}: compressed is {compressed}")


def measure(each, side):
    """Requests a second, their latencies, bytes, and what they cost the side."""
    if each.path == "/ws":
        command = ["python3", "/etc/bench/_echo.py", "load", side.ports["http"], CONNECTIONS, SECONDS]
    else:
        options = [
            f"--connections={CONNECTIONS}",
            "--threads=1",
            f"--duration={SECONDS}s",
            "--script=/etc/bench/_report.lua",
        ]
        if each.compressed:
            options.append("--header=Accept-Encoding: gzip")
        command = ["wrk", *options, address(each, side)]
    found = SimpleNamespace(**json.loads(run("python3", "/etc/bench/_cost.py", side.unit, *command)))
    if not found.requests:
        raise steps.Failure(f"{side.name}, {each.name}: nothing was answered")
    found.rate = (found.requests - found.failed) / found.us * 1e6
    return found


def measured(each):
    """For each side what its rounds found. The rounds begin with another side each."""
    sides = [side for side in SIDES if takes_part(each, side)]
    for side in sides:
        check(each, side)
    found = {side.name: [] for side in sides}
    for number in range(ROUNDS):
        start = number * len(sides) // ROUNDS
        for side in sides[start:] + sides[:start]:
            found[side.name].append(measure(each, side))
    return found


def ratio(found, side):
    """Ours to theirs."""
    pairs = zip(found[OURS.name], found[side.name], strict=True)
    return median([ours.rate / theirs.rate for ours, theirs in pairs])


def row(each, side, found):
    rounds = found[side.name]

    def middle(value):
        return median([value(taken) for taken in rounds])

    return [
        each.name,
        side.name,
        f"{middle(lambda taken: taken.rate):.0f}",
        f"{middle(lambda taken: taken.p50_us) / 1000:.1f} ms",
        f"{middle(lambda taken: taken.p99_us) / 1000:.1f} ms",
        f"{middle(lambda taken: taken.cpu_us):.0f} us",
        f"{middle(lambda taken: taken.bytes / taken.requests):.0f}",
        sum(taken.failed for taken in rounds),
        f"{ratio(found, side):.2f}",
    ]


def links():
    """What our nginx finds with the look at links, and without it, in each round: [(with, without)]."""
    sites = "/etc/nginx/gatehouse/sites.conf"
    lines = int(shell(f"cp {sites} /tmp/sites.conf; grep -c disable_symlinks {sites}"))
    if lines != 1:
        raise steps.Failure(f"{sites} looks at links in {lines} locations, not in one")
    found = []
    for _number in range(ROUNDS):
        taken = []
        for change in ("cat /tmp/sites.conf", "grep -v disable_symlinks /tmp/sites.conf"):
            shell(f"{change} > {sites}; nginx -t -q; systemctl reload nginx; sleep 1")
            taken.append(measure(PICTURE, OURS))
        found.append(tuple(taken))
    shell(f"cat /tmp/sites.conf > {sites}; systemctl reload nginx; sleep 1")
    return found


def slow(side, kind):
    """Of the questions asked while slow clients hold on, how many a good client had answered within a second."""
    options = ["-c", SLOW, "-r", 600, "-l", 30, "-i", 5, "-x", 24, "-p", 5, "-u", address(SMALL, side)]
    # It judges by its own connections, but what counts is how others fare: its verdict is not looked at.
    command = ["docker", "exec", NAME, "timeout", "40", "slowhttptest", SLOW_KINDS[kind], *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(SLOW / 600 + 1)
        question = ["curl", "-sf", "--max-time", "1", "--output", "/dev/null", address(SMALL, side)]
        answered = 0
        for _number in range(QUESTIONS):
            asked = time.monotonic()
            answered += host.execute(NAME, *question).returncode == 0
            time.sleep(max(asked + 0.5 - time.monotonic(), 0))
        held = int(shell(f"ss -Htn state established '( dport = :{side.ports['http']} )' | wc -l"))
        host.execute(NAME, "pkill", "slowhttptest")
        process.wait()
    return answered, held


def main():
    with host.booted(NAME, image.ensure()):
        prepare()
        found = {each.name: measured(each) for each in CASES}
        looks = links()
        slowly = {(kind, side.name): slow(side, kind) for kind in SLOW_KINDS for side in (TUTORIAL, OURS)}
    table(
        ["case", "side", "requests/s", "p50", "p99", "CPU each", "bytes", "failed", "ours to theirs"],
        [row(each, side, found[each.name]) for each in CASES for side in SIDES if takes_part(each, side)],
    )
    table(
        ["look at links", "requests/s", "CPU each"],
        [
            [name, f"{median([one.rate for one in taken]):.0f}", f"{median([one.cpu_us for one in taken]):.1f} us"]
            for name, taken in zip(("as it is", "left out"), zip(*looks, strict=True), strict=True)
        ],
    )
    table(
        ["slow clients", "side", "open at the end", "answered"],
        [
            [f"{SLOW}, {kind}", name, held, f"{answered} of {QUESTIONS}"]
            for (kind, name), (answered, held) in slowly.items()
        ],
    )
    to = functools.partial(ratio, found[SMALL.name])
    figures(
        "proxy",
        tutorial_ratio=to(TUTORIAL),
        haproxy_ratio=to(HAPROXY),
        haproxy_quiet_ratio=to(QUIET),
        caddy_ratio=to(CADDY),
        caddy_least=min(ratio(rounds, CADDY) for rounds in found.values()),
        links_ratio=median([as_is.rate / left_out.rate for as_is, left_out in looks]),
        slow_ok=min(slowly[kind, OURS.name][0] for kind in SLOW_KINDS),
    )


main()
