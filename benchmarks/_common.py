"""What the benchmarks share: a slow or crashing service on a throw-away host, timed plays, and how figures are shown."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from testbed import host, steps

SERVER = """
import http.server, json, sys, time

start, port = float(sys.argv[1]), int(sys.argv[2])
if start < 0:
    sys.exit("this service crashes at start")
time.sleep(start)


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"status": "healthy"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", port), Health).serve_forever()
"""

UNIT = """
[Service]
Type=exec
ExecStart=/usr/bin/python3 /opt/bench.py {start} {port}
Restart=always
RestartSec=1
"""


def install_service(name, unit, port, start):
    """A unit whose server listens `start` seconds after it was started; negative: it crashes at once."""
    write(name, "/opt/bench.py", SERVER)
    write(name, f"/etc/systemd/system/{unit}.service", UNIT.format(start=start, port=port))
    host.execute(name, "systemctl", "daemon-reload")


def write(name, path, text):
    result = host.execute(name, "python3", "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])", path, text)
    if result.returncode:
        raise steps.Failure(result.stderr)


def play(name, tasks, expect_failure=False):
    """The wall seconds of a play of these tasks (YAML text, a list), and what it printed."""
    path = Path(host.FILES) / f"{name}.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\n- hosts: all\n  gather_facts: false\n  tasks:\n" + indent(tasks, 4))
    begin = time.monotonic()
    result = host.play(name, path)
    elapsed = time.monotonic() - begin
    if bool(result.returncode) != expect_failure:
        raise steps.Failure(f"the play ended with {result.returncode}:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return elapsed, result.stdout


def indent(text, by):
    return "".join(" " * by + line + "\n" for line in text.strip("\n").splitlines())


def table(head, rows):
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def median(values):
    return statistics.median(values)


def figures(name, **values):
    """The benchmark's last line: plain numbers for programs to read."""
    shown = {key: value if isinstance(value, int) else f"{value:.4g}" for key, value in values.items()}
    print(f"{name}: " + " ".join(f"{key}={value}" for key, value in shown.items()))
