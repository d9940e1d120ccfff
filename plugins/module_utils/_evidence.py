# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Everything that one host can say about its apps and sites, asked at once, without changing anything.

Each question has its own bound, all have one deadline, and a question that hangs is left behind: its part of the evidence is
missing, and `unanswered` says so. What may hold secrets (logs, answers) is redacted here, before it leaves the host.
"""

from __future__ import annotations

import datetime
import glob
import json
import os
import re
import socket
import ssl
import threading
import time

from ansible_collections.gatehouse.webapp.plugins.module_utils import _nginx_blocks
from ansible_collections.gatehouse.webapp.plugins.module_utils._commands import run
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import LISTEN, Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._lock import Lock
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx import (
    error_lines,
    error_location,
    error_logs,
    excerpt,
    include_folders,
    loaded_files,
    parent_pid,
    parse_dump,
    serving,
    shadows,
    stale,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_run import Host as Nginx
from ansible_collections.gatehouse.webapp.plugins.module_utils._owned import open_owned
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import (
    Expectation,
    Tls,
    probe_http,
    probe_tcp,
    probe_websocket,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._processes import users
from ansible_collections.gatehouse.webapp.plugins.module_utils._reachability import look
from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import is_secret_name, redact
from ansible_collections.gatehouse.webapp.plugins.module_utils._remains import Host as Remains
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import (
    PROPERTIES,
    Masker,
    describe_exit,
    parse_environment,
    parse_show,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw import CONF_FILE, is_enabled
from ansible_collections.gatehouse.webapp.plugins.module_utils._ufw import UNIT as UFW_UNIT

SCHEMA = 1

# The parts of the whole time that a question may take: one of a command or over the network, one that is soon answered, and one of
# several commands. What is asked second has the time that is left.
ONE, SOON, SEVERAL = 0.4, 0.2, 0.6
# What a question itself waits, so that it can still say that it waited in vain.
INNER = 0.9
LINES = 40
LINE = 400
# Of a unit's log so many lines are read. Those that tell of a request are left out: a gate that asks ten times a second, as visitors
# do, would fill the log with them, and what the app said when it started would be out of sight.
READ = 1000
REQUEST = re.compile(r'"[A-Z]+ [^"]* HTTP/[\d.]+"\s+"?\d{3}\b')
EXCERPT = 200
TAIL = 1 << 17
# An error that nginx met longer ago than this is not told of: it is not the trouble of now.
RECENT = 600

SERVERS = re.compile(r"(?:^|/)(?:python|node|nodejs|bun|deno|gunicorn|uvicorn|ruby|java|php|next-server)[\w.-]*$")


def ask(questions, deadline):
    """({name: answer}, {name: why there is none}) of {name: (seconds, function)}, all asked at once.

    A question that has not answered in its time, or raised, has no answer. Its thread is left to itself.
    """
    answers, failures, threads = {}, {}, {}

    def answer(name, function):
        try:
            answers[name] = function()
        except Exception as error:
            failures[name] = "%s: %s" % (type(error).__name__, error)

    for name, (_seconds, function) in questions.items():
        threads[name] = threading.Thread(target=answer, args=(name, function))
        threads[name].daemon = True
        threads[name].start()
    given = dict(answers)
    for name, (seconds, _function) in questions.items():
        threads[name].join(max(0.0, min(seconds - deadline.elapsed(), deadline.remaining())))
        if name in answers:
            given[name] = answers[name]
        elif name not in failures:
            failures[name] = "no answer in time"
    return given, dict(failures)


class Witness:
    """What one host can be asked.

    apps, sites, headers: as the action plugin gives them (see `wanted`).   seconds: for all questions together.
    """

    def __init__(self, apps, sites, headers, find, seconds, proc="/proc", now=time.time):
        self.apps = apps
        self.sites = sites
        self.headers = headers
        self.find = find
        self.proc = proc
        self.now = now
        self.seconds = seconds

    def run(self, argv):
        return run(argv, self.seconds * ONE * INNER)

    def testify(self):
        """All the evidence, as plain data."""
        deadline = Deadline(self.seconds)
        live = {app["name"]: self.live(app) for app in self.apps if app["local"]}
        answers, failures = ask(self._timed(self.questions(live)), deadline)
        evidence = {name: answer for name, answer in answers.items() if "/" not in name}
        evidence["probes"] = [answers[name] for name in answers if name.startswith("probe/")]
        evidence["journal"] = {name.partition("/")[2]: answers[name] for name in answers if name.startswith("journal/")}
        evidence["apps"] = [
            dict(answers.get("app/" + app["name"], {}), name=app["name"], live=live.get(app["name"]))
            for app in self.apps
        ]
        followed, more = ask(self._timed(self.followed(evidence)), deadline)
        evidence["strays"] = [followed[name] for name in sorted(followed) if name.startswith("stray/")]
        evidence["preflights"] = [followed[name] for name in sorted(followed) if name.startswith("preflight/")]
        evidence.update(
            schema=SCHEMA,
            host=socket.gethostname(),
            now=self.now(),
            took=round(deadline.elapsed(), 3),
            unanswered=dict(failures, **more),
        )
        return evidence

    def _timed(self, questions):
        return {name: (part * self.seconds, function) for name, (part, function) in questions.items()}

    def questions(self, live):
        units = sorted({one["name"] for app in live for one in live[app] if one["name"]})
        ports = sorted({port for site in self.sites for port in _ports_of(site)})
        asked = {
            "units": (ONE, lambda: units_states(units + ["nginx.service"], self.run)),
            "processes": (ONE, self.processes),
            "listeners": (ONE, self.listeners),
            "names": (ONE, self.names),
            "disks": (SOON, self.disks),
            "memory": (ONE, self.memory),
            "clock": (ONE, self.clock),
            "monitor": (ONE, self.monitor),
            "pm2": (SOON, self.pm2),
            "ufw": (ONE, self.ufw),
            "remains": (SOON, Remains().find),
        }
        if self.sites:
            asked["nginx"] = (SEVERAL, self.nginx)
            asked["view"] = (SEVERAL, lambda: look(ports, Listeners(self.proc), self.run, self.find))
            asked["certificates"] = (SEVERAL, self.certificates)
        for app in self.apps:
            if app["local"]:
                asked["app/" + app["name"]] = (SOON, lambda app=app: self.app(app))
        for unit in units:
            asked["journal/" + unit] = (ONE, lambda unit=unit: self.journal(unit))
        for number, (part, probe) in enumerate(self.probes(live)):
            asked["probe/%03d" % number] = (part, probe)
        return asked

    # Which instances serve

    def live(self, app):
        """The instances that serve: of an app with two sets the one that its live release names."""
        if not app["services"]:
            return [{"name": None, "port": port} for port in app["ports"]]
        green = app["green"] and os.path.exists(os.path.join(app["root"], "current", "green"))
        return app["green"] if green else app["services"]

    def app(self, app):
        root = app["root"]
        found = {"release": None, "lock": None, "out": [], "build_id": None, "environment": {}}
        if not root:
            return found
        link = _release_of(app)
        found["release"] = os.path.basename(os.path.realpath(link)) if os.path.isdir(link) else None
        held = Lock("/run/gatehouse/deploy/%s.lock" % app["name"]).holder()
        if held:
            found["lock"] = {
                "user": held["who"].get("user"),
                "host": held["who"].get("host"),
                "since": held["since"],
                "until": held["until"],
                "release": held["release"],
            }
        found["out"] = sorted(path for path in app["rotation"] if os.path.exists(path))
        found["files"] = os.path.isdir(app["files"]) if app["files"] else None
        found["environment"] = _names_set(_read(os.path.join(link, "env")))
        found["build_id"] = build_id(link)
        return found

    # Processes and sockets

    def processes(self):
        """The processes of the apps' units, of nginx and of PM2."""
        found = []
        listeners = Listeners(self.proc)
        for name in os.listdir(self.proc):
            if not name.isdigit():
                continue
            process = self._process(int(name), listeners)
            if process:
                found.append(process)
        return found

    def _process(self, pid, listeners):
        place = "%s/%d/" % (self.proc, pid)
        stat = _read(place + "stat")
        title = _read(place + "cmdline").replace("\0", " ").strip()
        # It has ended, is the kernel's, or is systemd's still: between fork and exec, with an environment not its own.
        if not stat or not title or title.startswith("("):
            return None
        holder = listeners.holder(pid)
        nginx = title.startswith("nginx: ")
        pm2 = bool(re.search(r"\bpm2-runtime\b|\bPM2 v\S+: God Daemon\b", title))
        environment = _environ(_read(place + "environ"))
        wanted = (holder.unit or "").partition("@")[0].replace(".service", "") in [app["name"] for app in self.apps]
        if not (nginx or pm2 or wanted or _is_of_pm2(environment)):
            return None
        limit = re.search(r"^Max open files\s+(\d+|unlimited)", _read(place + "limits"), re.M)
        process = {
            "pid": pid,
            "parent": parent_pid(stat),
            "unit": holder.unit,
            "user": holder.user,
            "exe": holder.exe,
            "title": redact(title)[:EXCERPT],
            "state": _state(stat),
            "cwd": _link(place + "cwd"),
            "files": _count(place + "fd"),
            "files_max": int(limit.group(1)) if limit and limit.group(1).isdigit() else None,
            "kind": "nginx" if nginx else "pm2" if pm2 else "pm2 child" if _is_of_pm2(environment) else "app",
            "environment": {name: "set" if value else "empty" for name, value in sorted(environment.items())},
        }
        if pm2:
            home = environment.get("PM2_HOME") or os.path.join(environment.get("HOME", "/root"), ".pm2")
            # Where that is, is what the process's user says. One of several users is a program that became another one.
            owners = users(pid, self.proc)
            lines = _tail(os.path.join(home, "pm2.log"), *owners) if len(owners) == 1 else []
            process["pm2_log"] = [redact(line)[:LINE] for line in lines[-LINES:]]
        return process

    def listeners(self):
        """Who listens where, one entry for each port and process."""
        listeners = Listeners(self.proc)
        listening = [one for one in listeners.sockets() if one.state == LISTEN]
        return [
            {
                "port": one.port,
                "address": one.address,
                "pid": holder.pid,
                "exe": holder.exe,
                "user": holder.user,
                "unit": holder.unit,
                "state": _state(_read("%s/%d/stat" % (self.proc, holder.pid))),
            }
            for one, holder in listeners.held(listening)
        ]

    def followed(self, evidence):
        """Second questions, that follow from answers: does an app answer on a port that nobody has told of? May a page?"""
        wanted = {port for app in self.apps for port in app["ports"] + [one["port"] for one in app["green"]]}
        asked = {}
        sick = {probe["app"] for probe in evidence["probes"] if probe["via"] == "direct" and not probe["ok"]}
        for one in evidence.get("listeners", []):
            if one["port"] in wanted or not SERVERS.search(one["exe"]):
                continue
            for app in self.apps:
                own = (one["unit"] or "").startswith(app["name"] + "@") or not app["services"]
                if app["local"] and app["name"] in sick and own and len(asked) < 8:
                    name = "stray/%s/%05d" % (app["name"], one["port"])
                    asked[name] = (
                        1.0,
                        lambda app=app, one=one: dict(
                            self._health(app, one["unit"], one["port"], SOON), address=one["address"]
                        ),
                    )
        for number, one in enumerate((evidence.get("nginx") or {}).get("preflights", [])):
            for site in self.sites:
                if one["host"] in site["names"]:
                    name = "preflight/%03d" % number
                    asked[name] = (1.0, lambda site=site, one=one: self._preflight(site, one))
        return asked

    # Questions over the network

    def probes(self, live):
        """(part of the time, function) of every question to an app, straight and through nginx."""
        asked = []
        for app in self.apps:
            for one in live.get(app["name"], []):
                asked.append((ONE, lambda app=app, one=one: self._health(app, one["name"], one["port"], ONE)))
                if app["websocket"]:
                    asked.append((ONE, lambda app=app, one=one: self._websocket(app, one["name"], one["port"])))
            for address in app["requires"] if app["local"] else app["upstream"]:
                kind = "requires" if app["local"] else "upstream"
                asked.append((SOON, lambda app=app, address=address, kind=kind: self._tcp(app, address, kind)))
        for site in self.sites:
            for route in site["asks"]:
                app = next(app for app in self.apps if app["name"] == route["app"])
                if route["path"]:
                    asked.append(
                        (
                            ONE,
                            lambda site=site, app=app, route=route: self._through(site, app, route["path"], "health"),
                        )
                    )
                if route["websocket"]:
                    asked.append(
                        (
                            ONE,
                            lambda site=site, app=app, route=route: self._through(
                                site, app, route["websocket"], "websocket"
                            ),
                        )
                    )
        return asked

    def _expectation(self, app):
        health = app["health"]
        return Expectation(health["status"], health["json"] or None, health["text"])

    def _health(self, app, unit, port, part):
        host = app["address"]
        url = "http://%s:%d%s" % ("[%s]" % host if ":" in host else host, port, app["health"]["path"])
        headers = dict(self.headers.get(app["name"]) or {})
        if app["health"]["host"]:
            headers["Host"] = app["health"]["host"]
        answer = probe_http(url, self._inner(part), self._expectation(app), headers=headers)
        return _told(answer, kind="health", via="direct", app=app["name"], unit=unit, port=port, site=None, url=url)

    def _websocket(self, app, unit, port):
        host = app["address"]
        url = "ws://%s:%d%s" % ("[%s]" % host if ":" in host else host, port, app["websocket"])
        answer = probe_websocket(url, self._inner(ONE))
        return _told(answer, kind="websocket", via="direct", app=app["name"], unit=unit, port=port, site=None, url=url)

    def _through(self, site, app, path, kind):
        """Through nginx on this host. Its certificate is judged apart."""
        schemes = {("health", False): "http", ("health", True): "https", ("websocket", False): "ws"}
        scheme = schemes.get((kind, site["tls"]), "wss")
        url = "%s://127.0.0.1:%d%s" % (scheme, site["port"], path)
        tls = Tls(verify=False, server_name=site["host"])
        headers = dict(self.headers.get(app["name"]) or {}, Host=site["host"])
        if kind == "health":
            answer = probe_http(url, self._inner(ONE), self._expectation(app), headers=headers, tls=tls)
        else:
            answer = probe_websocket(url, self._inner(ONE), {"Host": site["host"]}, tls)
        about = dict(kind=kind, via="nginx", app=app["name"], unit=None, port=site["port"], site=site["name"])
        return _told(answer, url="%s (Host: %s)" % (url, site["host"]), path=path, **about)

    def _preflight(self, site, one):
        """What a browser asks for a page of another origin, asked of nginx here."""
        url = "%s://127.0.0.1:%d%s" % ("https" if site["tls"] else "http", site["port"], one["path"])
        headers = {"Host": one["host"], "Origin": one["origin"], "Access-Control-Request-Method": "GET"}
        expectation = Expectation(list(range(200, 600)), None, None)
        tls = Tls(verify=False, server_name=one["host"])
        answer = probe_http(url, self._inner(SOON), expectation, "OPTIONS", headers, tls=tls)
        allowed = answer.headers.get("access-control-allow-origin")
        return dict(
            one, site=site["name"], answered=answer.ok, status=answer.status, allowed=allowed, message=answer.message
        )

    def _tcp(self, app, address, kind):
        host, _colon, port = address.rpartition(":")
        answer = probe_tcp(host.strip("[]"), int(port), self._inner(SOON))
        return _told(
            answer, kind=kind, via="direct", app=app["name"], unit=None, port=int(port), site=None, url=address
        )

    def _inner(self, part):
        """What a question waits of its part of the time."""
        return part * INNER * self.seconds

    # nginx

    def nginx(self):
        path = self.find("nginx")
        family = [one for one in self._nginx_processes() if one["title"].startswith("nginx: ")]
        masters = [one["pid"] for one in family if one["title"].startswith("nginx: master")]
        found = {
            "installed": bool(path),
            "masters": masters,
            "workers": [one["pid"] for one in family if one["parent"] in masters],
            "orphans": [one["pid"] for one in family if one["parent"] not in masters and one["pid"] not in masters],
            "test": None,
            "stale": [],
            "servers": None,
            "shadows": [],
            "errors": [],
            **told_by([]),
        }
        if not path:
            return found
        host = Nginx(path, "nginx.service", self.proc)
        host.run = lambda argv, _seconds: self.run(argv)
        code, output, messages = host.test("/etc/nginx/nginx.conf")
        lines = complaints(error_lines(messages)) if code else []
        where = next((error_location(line) for line in lines if error_location(line)), None)
        found["test"] = {
            "ok": code == 0,
            "code": code,
            "lines": [redact(line)[:LINE] for line in lines],
            "where": "%s:%d" % where if where else None,
            "excerpt": [redact(line) for line in excerpt(_read(where[0]), where[1])] if where else [],
            "warnings": [],
        }
        logs, begun = ["/var/log/nginx/error.log"], []
        if code == 0:
            dump = parse_dump(output, messages)
            found["test"]["warnings"] = dump.warnings
            found["servers"] = _nginx_blocks.servers(_nginx_blocks.read(output))
            found["shadows"] = shadows(dump, "/etc/nginx/gatehouse")
            workers = [host.started(one.pid) for master in masters for one in serving(host.family(master))]
            begun = [at for at in workers if at is not None]
            found["stale"] = self._stale(host, dump, begun) if begun else []
            logs = error_logs(dump, host.build())
        now = self.now()
        # What was met under another configuration is not the trouble of this one.
        since = max(now - RECENT, min(begun) - 1) if begun else now - RECENT
        for log in logs:
            found["errors"] += [redact(line)[:LINE] for line in recent(_tail(log), now, now - since)][-LINES:]
        found.update(told_by(recent_requests(_tail("/var/log/nginx/access.log"), now)))
        return found

    def _nginx_processes(self):
        found = []
        for name in os.listdir(self.proc):
            if name.isdigit():
                title = _read("%s/%s/cmdline" % (self.proc, name)).strip("\0 ")
                stat = _read("%s/%s/stat" % (self.proc, name)) if title.startswith("nginx: ") else ""
                if stat:
                    found.append({"pid": int(name), "parent": parent_pid(stat), "title": title})
        return found

    def _stale(self, host, dump, begun):
        root = "/etc/nginx"
        paths = dump.files + include_folders(dump, root) + loaded_files(dump, root) + [root + "/gatehouse"]
        changed_at = {path: host.changed_at(path) for path in paths}
        return stale(begun, {path: at for path, at in changed_at.items() if at is not None}, host.now())

    def certificates(self):
        """Of each site with TLS: what its file says, and whether what is served is valid for its name."""
        found = []
        for site in self.sites:
            if not site["tls"]:
                continue
            one = {"site": site["name"], "host": site["host"], "path": site["certificate"]}
            text = _read(site["certificate"] or "")
            one["count"] = text.count("-----BEGIN CERTIFICATE-----")
            command = ["openssl", "x509", "-noout", "-subject", "-issuer", "-startdate", "-enddate"]
            status, output, _messages = self.run(command + ["-ext", "subjectAltName", "-in", site["certificate"] or ""])
            one.update(parse_certificate(output) if status in (0, 1) else {})
            one["served"] = served_certificate("127.0.0.1", site["port"], site["host"], self._inner(ONE))
            found.append(one)
        return found

    # The host

    def names(self):
        found = {}
        for site in self.sites:
            for name in site["names"]:
                try:
                    found[name] = sorted(
                        {entry[4][0] for entry in socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)}
                    )
                except OSError:
                    found[name] = []
        return found

    def disks(self):
        """Each file system that something here writes to, once, with the places that it holds."""
        places = ["/", "/var", "/var/log", "/tmp", "/run", "/srv"]
        for app in self.apps:
            places += [place for place in (app["root"], app["state_dir"]) if place]
        found = {}
        for place in places:
            try:
                device = os.stat(place).st_dev
                state = os.statvfs(place)
            except OSError:
                continue
            one = found.setdefault(
                device,
                {
                    "path": place,
                    "places": [],
                    "size": state.f_blocks * state.f_frsize,
                    "free": state.f_bavail * state.f_frsize,
                    "inodes": state.f_files,
                    "inodes_free": state.f_favail,
                    "read_only": bool(state.f_flag & os.ST_RDONLY),
                },
            )
            one["places"].append(place)
        return list(found.values())

    def clock(self):
        status, output, _messages = self.run(["timedatectl", "show", "-p", "NTPSynchronized", "-p", "NTP"])
        values = dict(line.partition("=")[::2] for line in output.splitlines())
        return {"synchronized": {"yes": True, "no": False}.get(values.get("NTPSynchronized")) if status == 0 else None}

    def pm2(self):
        """The PM2 of people: each folder that says which process its daemon is, whether that lives, and the apps that it has run."""
        found = []
        for home in ["/root/.pm2"] + sorted(glob.glob("/home/*/.pm2")):
            try:
                user = os.stat(os.path.dirname(home)).st_uid
            except OSError:
                continue
            pid = "".join(_tail(os.path.join(home, "pm2.pid"), user)).strip()
            if pid.isdigit():
                alive = "God Daemon" in _read("%s/%s/cmdline" % (self.proc, pid))
                log = "\n".join(_tail(os.path.join(home, "pm2.log"), user))
                apps = sorted(set(re.findall(r"\bApp \[(.+?):\d+\]", log)))
                found.append({"home": home, "pid": int(pid), "alive": alive, "apps": apps})
        return found

    def monitor(self):
        """Monit, where it runs, and what it did of late: {pid, lines}. It may stop what is well, and keep it so."""
        for name in os.listdir(self.proc):
            if name.isdigit() and _read("%s/%s/comm" % (self.proc, name)).strip() == "monit":
                text = "\n".join(
                    _read(path) for path in ["/etc/monit/monitrc"] + sorted(glob.glob("/etc/monit/conf.d/*"))
                )
                match = re.search(r"^\s*set\s+log(?:file)?\s+(/\S+)", text, re.M)
                lines = _tail(match.group(1) if match else "/var/log/monit.log")
                return {"pid": int(name), "lines": [redact(line)[:LINE] for line in lines[-LINES:]]}
        return {}

    def ufw(self):
        """{unit, enabled}: whether UFW is started at boot, as systemd and as its own settings say; None where it is not installed."""
        text = _read(CONF_FILE)
        if not text:
            return None
        _status, output, _messages = self.run(["systemctl", "is-enabled", UFW_UNIT])
        return {"unit": output.strip(), "enabled": is_enabled(text)}

    def memory(self):
        kills = []
        # What befell another release is no cause of this one's trouble.
        starts = [app["since"] for app in self.apps if app.get("since")]
        since = "@%.3f" % (min(starts) - 0.1) if starts else "-1h"
        status, output, _messages = self.run(
            ["journalctl", "-k", "--since", since, "-n", "2000", "-o", "short-iso", "--no-pager", "-q"]
        )
        if status == 0:
            kills = [line[:LINE] for line in output.splitlines() if re.search(r"Out of memory: Killed|oom-kill:", line)]
        return dict(self.room(), kills=[redact(line) for line in kills[-5:]])

    def room(self):
        """The memory of the host, and what each unit has of it."""
        values = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _read(self.proc + "/meminfo"), re.M))
        return {
            "total": int(values.get("MemTotal", 0)) * 1024,
            "available": int(values.get("MemAvailable", 0)) * 1024,
            "swap": int(values.get("SwapFree", 0)) * 1024,
            "limits": {
                one["name"]: memory_of(one["name"]) for app in self.apps for one in app["services"] + app["green"]
            },
        }

    def journal(self, unit):
        """The unit's last lines, of this start and of the one before, without the values of its environment."""
        fields = "MESSAGE,_SYSTEMD_INVOCATION_ID,INVOCATION_ID"
        app = next(app for app in self.apps if unit.startswith(app["name"] + "@"))
        # What another release has said under the same name is not of this one.
        since = ["--since", "@%.3f" % (app["since"] - 0.1)] if app.get("since") else []
        status, output, _messages = self.run(
            ["journalctl", "--unit", unit, "--lines", str(READ), "--output", "json", "--output-fields", fields]
            + ["--no-pager", "--quiet"]
            + since
        )
        if status:
            return []
        environment = parse_environment(_read(os.path.join(_release_of(app), "env")))
        mask = Masker({name: value for name, value in environment.items() if is_secret_name(name) or "://" in value})
        lines = [line for line in last_starts(output) if not REQUEST.search(line)][-LINES:]
        return [redact(mask(line))[:LINE] for line in lines]


def _release_of(app):
    """The folder of the release that is asked about: the live one, unless another one is to be looked at."""
    return app.get("release") or os.path.join(app["root"], "current")


def _told(answer, **about):
    """An Answer as evidence: nothing of it is longer than a line, nor secret."""
    return dict(
        about,
        url=redact(about["url"]),
        ok=answer.ok,
        cause=answer.cause,
        message=redact(answer.message)[:LINE],
        status=answer.status,
        ms=round(answer.latency * 1000, 1),
        server=answer.headers.get("server"),
        location=redact(answer.headers["location"])[:EXCERPT] if answer.headers.get("location") else None,
        excerpt=redact(" ".join(answer.body.split()))[:EXCERPT] if not answer.ok else "",
    )


def _ports_of(site):
    return [site["port"]] + ([site["http_port"]] if site["http_port"] else [])


def units_states(units, run_command):
    """{unit: its state} by one call of systemctl."""
    names = PROPERTIES + ("Id", "MemoryMax", "ActiveEnterTimestampMonotonic")
    status, output, messages = run_command(["systemctl", "show", "--property=" + ",".join(names), "--"] + units)
    if status:
        raise OSError("systemctl show: %s" % messages.strip())
    found = {}
    for unit, text in zip(units, output.split("\n\n")):
        state = parse_show(text)
        found[unit] = {
            "load": state.load,
            "active": state.active,
            "sub": state.sub,
            "enabled": state.enabled,
            "pid": state.pid,
            "restarts": state.restarts,
            "result": state.result,
            "exit_code": state.exit_code,
            "exit_status": state.exit_status,
            "exit": describe_exit(state),
            "stale": state.stale,
            "job": state.job,
            "files": state.unit_files,
        }
    return found


def last_starts(text, starts=2):
    """The messages of a unit's last starts, from `journalctl --output json`: those of an earlier trouble tell nothing of this one."""
    told, order = [], []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        start = entry.get("_SYSTEMD_INVOCATION_ID") or entry.get("INVOCATION_ID")
        message = entry.get("MESSAGE")
        if isinstance(message, list):  # bytes that are no text
            message = bytes(message).decode("utf-8", "replace")
        if start and start not in order:
            order.append(start)
        told.append((start, message or ""))
    return [message for start, message in told if start is None or start in order[-starts:]]


def build_id(release):
    """Whether a Next.js release has been built: {path, there}; None for what is not Next.js."""
    for folder in (release, os.path.join(release, "src"), os.path.join(release, "app")):
        text = _read(os.path.join(folder, "package.json"))
        if re.search(r"\"next\"\s*:", text) or os.path.isdir(os.path.join(folder, ".next")):
            path = os.path.join(folder, ".next", "BUILD_ID")
            # A standalone build carries its own.
            there = os.path.isfile(path) or os.path.isfile(os.path.join(folder, ".next/standalone/.next/BUILD_ID"))
            return {"path": path, "there": there}
    return None


def memory_of(unit):
    """A unit's memory as its control group counts it: {used, cache, max, kills}; nothing where there is no such group.

    cache: what of the used is copies of files, which the kernel gives up when it has to.
    """
    template = unit.partition("@")[0]
    slice_ = "system.slice/system-%s.slice" % template.replace("-", "\\x2d")
    found = {}
    for base, files in (
        ("/sys/fs/cgroup", ("memory.current", "memory.max", "memory.events")),
        ("/sys/fs/cgroup/memory", ("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control")),
    ):
        folder = os.path.join(base, slice_, unit)
        if not os.path.isdir(folder):
            continue
        used, most, events = (_read(os.path.join(folder, file)).strip() for file in files)
        kills = re.search(r"^oom_kill (\d+)$", events, re.M)
        limit = int(most) if most.isdigit() and int(most) < 1 << 60 else None
        cache = re.findall(r"^(?:in)?active_file (\d+)$", _read(os.path.join(folder, "memory.stat")), re.M)
        found = {
            "used": int(used) if used.isdigit() else None,
            "cache": sum(map(int, cache)),
            "max": limit,
            "kills": int(kills.group(1)) if kills else 0,
        }
    return found


def parse_certificate(text):
    """What `openssl x509` prints, as {subject, issuer, begins, ends, names}; times in seconds since 1970."""
    values = dict(line.partition("=")[::2] for line in text.splitlines() if re.match(r"^\w+=", line))
    if "notAfter" not in values:
        return {}
    return {
        "subject": values.get("subject", ""),
        "issuer": values.get("issuer", ""),
        "begins": ssl.cert_time_to_seconds(values["notBefore"]),
        "ends": ssl.cert_time_to_seconds(values["notAfter"]),
        "names": re.findall(r"(?:DNS|IP Address):([^,\s]+)", text),
    }


def served_certificate(address, port, name, seconds):
    """Whether a client would trust what is served for a name: {ok, code, message}. code: X509_V_ERR_* of OpenSSL."""
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            context = ssl.create_default_context()
            with context.wrap_socket(connection, server_hostname=name):
                return {"ok": True, "code": 0, "message": "trusted"}
    except ssl.SSLCertVerificationError as error:
        return {"ok": False, "code": error.verify_code, "message": error.verify_message}
    except ssl.SSLError as error:
        return {"ok": False, "code": None, "message": str(error.reason or error)}
    except OSError as error:
        return {"ok": None, "code": None, "message": str(error)}


def complaints(lines):
    """What nginx's test complains of, without the time and process before it, and without the sentence that it failed."""
    bare = [re.sub(r"^\d{4}/\S+ \S+ \[\w+\] \d+#\d+: ", "", line) for line in lines]
    return [line for line in bare if not re.search(r"configuration file \S+ test failed$", line)] or bare


def recent(lines, now, seconds=RECENT):
    """The lines of nginx's error log that are not older than that. A line without a time belongs to the one before."""
    found, fresh = [], False
    for line in lines:
        match = re.match(r"^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) ", line)
        if match:
            at = time.mktime(time.strptime(match.group(1), "%Y/%m/%d %H:%M:%S"))
            fresh = now - seconds <= at <= now + 60
        if fresh:
            found.append(line)
    return found


# nginx's own format of its access log.
COMBINED = re.compile(
    r'^(?P<client>\S+) \S+ \S+ \[(?P<time>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "(?P<request>(?:[^"\\]|\\.)*)"'
    r' (?P<status>\d{3}) \d+ "(?P<referer>[^"]*)"'
)


def recent_requests(lines, now, seconds=RECENT):
    """The requests of nginx's access log, in its own format or in that of this collection, that are not older than that.

    Each as {at, method, host, uri, scheme, status, referer, tls}; host and scheme are None where the format does not tell them.
    """
    found = []
    for line in lines:
        try:
            one = _request(line)
        except (ValueError, KeyError, TypeError):
            continue
        if one and now - seconds <= one["at"]:
            found.append(one)
    return found


def _request(line):
    if line.startswith("{"):
        told = json.loads(line)
        at = datetime.datetime.strptime(told["time"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
        one = {name: told[name] for name in ("method", "host", "uri", "scheme", "status", "referer")}
        # What is no HTTP has no method; the first bytes themselves are not in this format.
        return dict(one, at=at, tls=one["status"] == 400 and not one["method"])
    match = COMBINED.match(line)
    if not match:
        return None
    at = datetime.datetime.strptime(match.group("time"), "%d/%b/%Y:%H:%M:%S %z").timestamp()
    method, _blank, rest = match.group("request").partition(" ")
    return {
        "at": at,
        "method": method,
        "host": None,
        "uri": rest.partition(" ")[0],
        "scheme": None,
        "status": int(match.group("status")),
        "referer": match.group("referer"),
        "tls": match.group("request").startswith("\\x16\\x03"),
    }


def told_by(requests):
    """What requests tell: how many they are, who spoke the wrong scheme, and which pages of other origins asked whether they may."""
    preflights = {}
    for one in requests:
        origin = re.match(r"https?://[^/\s]+", one["referer"] or "")
        if one["method"] == "OPTIONS" and one["host"] and origin and not _same_host(origin.group(), one["host"]):
            key = (one["host"], one["uri"].partition("?")[0], origin.group().lower())
            preflights[key] = preflights.get(key, 0) + 1
    often = sorted(preflights.items(), key=lambda item: -item[1])[:8]
    return {
        "requests": len(requests),
        "tls_on_plain": sum(1 for one in requests if one["tls"]),
        "plain_on_tls": _count_by_host(
            one["host"] for one in requests if one["status"] == 400 and one["scheme"] == "http" and one["method"]
        ),
        "preflights": [
            {"host": host, "path": path, "origin": origin, "count": count} for (host, path, origin), count in often
        ],
    }


def _same_host(origin, host):
    return re.sub(r"^\w+://|:\d+$", "", origin).lower() == host.lower()


def _count_by_host(hosts):
    found = {}
    for host in hosts:
        if host:
            found[host] = found.get(host, 0) + 1
    return found


def _is_of_pm2(environment):
    """Whether PM2 started the process: as one of its own (fork), or as a worker (cluster)."""
    return "pm_id" in environment or "pm2_env" in environment


def _state(stat):
    """The letter of a process's state, from the text of its /proc/PID/stat; None when it has ended."""
    return (stat.rpartition(")")[2].split() or [None])[0]


def _environ(text):
    return dict(entry.partition("=")[::2] for entry in text.split("\0") if "=" in entry)


def _names_set(text):
    return {name: "set" if value else "empty" for name, value in sorted(parse_environment(text).items())}


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except (OSError, ValueError):
        return ""


def _tail(path, owner=None):
    """The last lines of a file; none of one that can't be read. owner: the user id whose file it must be."""
    try:
        with open(path, "rb") if owner is None else open_owned(path, owner) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - TAIL))
            return file.read(TAIL).decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None


def _count(path):
    try:
        return len(os.listdir(path))
    except OSError:
        return None
