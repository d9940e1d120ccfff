"""A host in small: systemd, its units on a real disk, ports, apps that are well or sick, and a proxy that follows the link."""

import itertools
import re

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import (
    _activation,
    _blue_green,
    _gated,
    _pm2_app,
    _pm2_restart,
    _rotation,
    _ufw_kernel,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import Activation
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import GATE
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import Service
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Holder, Socket
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2 import Account, Pm2, Process
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer
from ansible_collections.gatehouse.webapp.plugins.module_utils._rotation import Rotation
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Systemd, parse_show
from ansible_collections.gatehouse.webapp.plugins.module_utils._strategy import choose

GOOD = Answer(True, None, "answered 200", 0.001, 200)
SICK = Answer(False, "bad_status", "it answered 503, not 200", 0.001, 503)
REFUSED = Answer(False, "refused", "connection refused", 0.001)


class Killed(BaseException):
    """The run was killed: nothing after this point happens."""


def service(port):
    return Service("app@%d.service" % port, port)


class SmallHost(Systemd):
    """Everything a story touches. `kill_at`: the number of the effect before which the run is killed; None: never."""

    def __init__(self, root):
        super().__init__(run=None)
        self.root = root
        self.system = root / "system"
        self.system.mkdir()
        self.rotation = Rotation(str(root / "rotation"))
        self.sick = set()  # releases that do not get healthy
        self.sick_ports = set()
        self.proxy_answers = {}  # release: what comes through the proxy, where that is not what it answers itself
        self.known = {}  # unit: text, as systemd has read it
        self.running = {}  # unit: (release, invocation)
        self.enabled = set()
        self.connected = {}  # port: connections that do not end by themselves
        self.effects = []
        self.forgotten = []
        self.kill_at = None
        self.now = 100.0
        self.asked = []  # (port, release) of each question, whoever asked
        self._ids = itertools.count(1)

    # What a test does

    def release(self, name, sick=False):
        folder = self.root / "releases" / name
        folder.mkdir(parents=True)
        (folder / "app@.service").write_text("release %s" % folder)
        if sick:
            self.sick.add(name)
        return str(folder)

    def heed(self, follows="green"):
        """A proxy is set up that follows the link (`green`) or the rotation (`parts`)."""
        (self.root / "rotation").mkdir(exist_ok=True)
        (self.root / "rotation" / "follows").write_text(follows)

    def story(self, name, strategy="blue_green", blue=(8000, 8001), green=(18000, 18001), gate=None, **options):
        defaults = {key: entry.get("default") for key, entry in GATE.items()}
        options.setdefault("only_stale", True)
        return choose(
            strategy,
            blue=[service(port) for port in blue],
            green=[service(port) for port in green],
            rotation=self.rotation,
            proxy=options.pop("proxy", None),
            activation=Activation(
                str(self.root / "current"), str(self.root / "releases" / name), "app@.service", str(self.system)
            ),
            gate={**defaults, "timeout": 5.0, **(gate or {})},
            manager=self,
            listeners=self,
            processes=self,
            enabled=True,
            drain_timeout=options.pop("drain_timeout", 3.0),
            clock=lambda: self.now,
            sleep=self.sleep,
            **options,
        )

    def deploy(self, name, **options):
        made = self.story(name, **options)
        made.check()
        made.plan()
        made.run()
        return made

    def reboot(self):
        self.running = {}
        for path in (self.root / "rotation").glob("*[0-9]"):  # it lies in /run
            path.unlink()
        self.known = self._files()
        for unit in sorted(self.enabled & set(self.known)):
            self._start(unit)

    def live(self):
        link = self.root / "current"
        return link.resolve().name if link.is_symlink() else None

    def runs(self):
        """{port: the release that runs there}"""
        return {int(re.search(r"@(\d+)", unit).group(1)): run[0] for unit, run in sorted(self.running.items())}

    def traffic(self, blue=(8000, 8001), green=(18000, 18001)):
        """The releases that get requests: of the set that the link tells, else of the other one."""
        sets = [green, blue] if (self.root / "current" / "green").exists() else [blue, green]
        for ports in sets:
            out = [port for port in ports if (self.root / "rotation" / str(port)).exists()]
            found = {self.runs()[port] for port in ports if port in self.runs() and port not in out}
            if found:
                return found
        return set()

    # The manager

    def effect(self, told):
        if self.kill_at == len(self.effects):
            raise Killed(told)
        self.effects.append(told)

    def state(self, unit):
        release, invocation = self.running.get(unit, (None, ""))
        return parse_show(
            "LoadState=%s\nActiveState=%s\nSubState=%s\nUnitFileState=%s\nMainPID=%d\nInvocationID=%s\nNeedDaemonReload=%s\n"
            % (
                "loaded" if unit in self.known or unit in self._files() else "not-found",
                "active" if release else "inactive",
                "running" if release else "dead",
                "enabled" if unit in self.enabled else "disabled",
                invocation or 0,
                invocation,
                "yes" if unit in self.known and self.known[unit] != self._files().get(unit) else "no",
            )
        )

    def _files(self):
        return {path.name: path.read_text() for path in self.system.iterdir() if path.suffix == ".service"}

    def _start(self, unit):
        self.known.setdefault(unit, self._files().get(unit))  # systemd reads what it does not know yet
        self.running[unit] = (self.known[unit].rsplit("/", 1)[1], next(self._ids))

    def restart(self, unit):
        self.effect("restart %s" % unit)
        self._start(unit)

    def stop(self, *units):
        self.effect("stop %s" % " ".join(units))
        for unit in units:
            self.running.pop(unit, None)

    def enable(self, unit):
        self.effect("enable %s" % unit)
        self.enabled.add(unit)

    def disable(self, *units):
        self.effect("disable %s" % " ".join(units))
        self.enabled -= set(units)

    def reload_definitions(self):
        self.effect("daemon-reload")
        self.known = self._files()

    def forget_failures(self, unit):
        self.forgotten.append(unit)

    def log(self, unit, since, lines):
        return []

    def environment(self, state):
        return {}

    # Listeners and processes

    def listening(self, port):
        return [Socket("127.0.0.1", port, "0A", port)] if port in self.runs() else []

    def holders(self, sockets):
        return [Holder(s.port, "/usr/bin/python3", "app", "app@%d.service" % s.port) for s in sockets]

    def pids_of_unit(self, unit):
        return [unit]

    def ports_of(self, units):
        return []

    def connections(self, port):
        return self.connected.get(port, 0)

    def established(self, port):
        return port in self.runs() and self.runs()[port] in self.traffic()

    def workers(self, _pid):
        return None

    def working_directory(self, pid):
        for release, invocation in self.running.values():
            if invocation == pid:
                return str(self.root / "releases" / release / "src")
        return None

    def sleep(self, seconds):
        self.now += seconds

    # Apps

    def ask(self, port):
        def asked(_timeout):
            release = self.runs().get(port)
            self.asked.append((port, release))
            if release is None:
                return REFUSED
            return SICK if release in self.sick or port in self.sick_ports else GOOD

        return asked

    def ask_proxy(self, _options, _url):
        def asked(_timeout):
            for release, answer in self.proxy_answers.items():
                if release in self.traffic():
                    return answer
            return GOOD if self.traffic() and not self.traffic() & self.sick else SICK

        return asked


@pytest.fixture
def host(tmp_path, monkeypatch):
    small = SmallHost(tmp_path)
    for module in (_gated, _blue_green):
        monkeypatch.setattr(module, "probes_of", lambda gate, port: [small.ask(port)])
    monkeypatch.setattr(_gated, "questions_of", lambda gate, port: [])
    monkeypatch.setattr(_blue_green, "http_probe", small.ask_proxy)

    def counted(function):
        def does(path, *args):
            small.effect("%s %s" % (function.__name__.strip("_"), path))
            return function(path, *args)

        return does

    # Every change on disk is an effect too, at which a run can be killed.
    for name in ("write", "point", "remove"):
        monkeypatch.setattr(_activation, name, counted(getattr(_activation, name)))
    for name in ("write", "remove"):
        monkeypatch.setattr(_rotation, name, getattr(_activation, name))
    return small


@pytest.fixture
def killed():
    return Killed


def iptables_restore(saved, text):
    """What iptables-restore --noflush makes of a filter table, as iptables-save tells it."""
    table = _ufw_kernel.read_table(saved)
    for line in _ufw_kernel.filter_lines(text):
        words = line.split()
        if line.startswith(":"):
            table.policies[words[0][1:]] = words[1]
            table.rules[words[0][1:]] = [] if words[1] == "-" else table.rules.get(words[0][1:], [])
        elif words[0] == "-D":
            table.rules[words[1]].remove("-A" + line[2:])
        elif words[0] == "-A":
            table.rules[words[1]].append(line)
        else:
            table.rules[words[1]].insert(0, "-A" + line[2:])
    heads = [f":{chain} {policy} [0:0]" for chain, policy in table.policies.items()]
    return "\n".join(["*filter", *heads, *(rule for rules in table.rules.values() for rule in rules), "COMMIT", ""])


@pytest.fixture(name="iptables_restore")
def the_iptables_restore():
    return iptables_restore


class Begun:
    """A command to PM2 that ends when what it brings about is ready, as PM2 sees it."""

    def __init__(self, small, until, refused=None):
        self._small = small
        self._until = until
        self._refused = refused

    def ended(self):
        if self._refused:
            return 1
        return 0 if self._small.time >= self._until else None

    def wait(self, _timeout):
        return self.ended()

    def text(self):
        return self._refused or ""


class SmallPm2(Pm2):
    """PM2 as it behaves, with apps of a kind: ok, crash, never (is never ready), sick. Only sleep moves its clock."""

    def __init__(self):
        self.user = Account("web", 1000, 1000, "/home/web")
        self.home = "/home/web/.pm2"
        self.executable = "/opt/pm2/bin/pm2"
        self.time = 1000.0
        self.kind = "ok"  # what starts from now on
        self.kinds = []  # of the next starts, before that
        self.starts_in = 0.5  # seconds
        self.slow = False  # what ends takes longer than PM2's second for an unstable restart
        self.workers = {}  # id: dict
        self.saved = []
        self.told = []
        self.lines = []
        self.runs = True
        self.refused = None
        self._ids = itertools.count()

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds

    def check(self):
        pass

    def daemon(self):
        return (50, "7.0.4") if self.runs else None

    def processes(self):
        return [self._process(worker) for _id, worker in sorted(self.workers.items())] if self.runs else []

    glance = processes

    def forget(self):
        pass

    def _process(self, worker):
        age = self.time - worker["started"]
        status, restarts, unstable, started, code = worker["status"], worker["restarts"], 0, worker["started"], None
        wait_ready = worker["settings"].get("wait_ready")
        if status == "online" and worker["kind"] == "crash":
            falls = min(int(age / 0.4), 16)
            restarts, started = restarts + falls, started + 0.4 * falls
            unstable = 0 if self.slow else min(falls, 15)
            code = 3
            status = "errored" if falls >= 16 else "online"
        elif status == "online" and wait_ready and age < self._ready_after(worker):
            status = "launching"
        settings = dict(worker["settings"], status=status)
        pid = 0 if status in ("stopped", "errored") else 100 + 10 * worker["id"] + worker["generation"]
        return Process(
            worker["id"], worker["name"], pid, status, restarts, unstable, started, code, worker["number"], settings
        )

    def _ready_after(self, worker):
        limit = (worker["settings"].get("listen_timeout") or 3000) / 1000.0
        return limit if worker["kind"] == "never" else min(limit, self.starts_in)

    def _new(self, name, settings):
        numbers = {worker["number"] for worker in self.workers.values() if worker["name"] == name}
        number = next(n for n in itertools.count() if n not in numbers)
        kind = self.kinds.pop(0) if self.kinds else self.kind
        worker = dict(
            id=next(self._ids), name=name, number=number, kind=kind, settings=settings, started=self.time,
            status="online", restarts=0, generation=0,
        )  # fmt: skip
        self.workers[worker["id"]] = worker
        return worker

    def add(self, name="web", count=1, **settings):
        """Processes that have run for long."""
        made = []
        for _each in range(count):
            made.append(self._new(name, settings))
            made[-1]["started"] = 10.0
        return made

    def start(self, name, definition, count):
        self.told.append("start %d" % count)
        self.runs = True
        if self.refused:
            return Begun(self, 0, self.refused)
        settings = settings_of(definition)
        made = [self._new(name, settings) for _each in range(count)]
        return Begun(self, self.time + max(self._ready_after(worker) for worker in made))

    def start_stand_in(self, name):
        self.told.append("scale +1")
        if self.refused:
            return Begun(self, 0, self.refused)
        self._new(name, next(worker for worker in self.workers.values() if worker["name"] == name)["settings"])
        return Begun(self, self.time)

    def restart(self, process):
        self.told.append("restart %d" % process.id)
        worker = self.workers[process.id]
        shown = self._process(worker)
        kind = self.kinds.pop(0) if self.kinds else self.kind
        ran = shown.status in ("online", "launching")
        worker.update(kind=kind, status="online", restarts=shown.restarts + ran)
        worker.update(started=self.time, generation=worker["generation"] + 1)
        return Begun(self, self.time)

    def stop(self, processes):
        self.told.append("stop %s" % " ".join(str(process.id) for process in processes))
        for process in processes:
            self.workers[process.id]["status"] = "stopped"

    def delete(self, processes):
        self.told.append("delete %s" % " ".join(str(process.id) for process in processes))
        for process in processes:
            del self.workers[process.id]

    def retire(self, process, cluster):
        cluster.end(process.pid, lambda: self.delete([process]))

    def save(self):
        self.told.append("save")
        self.saved = self.processes()

    def dump(self):
        if self.saved is None:
            raise GatehouseError("the dump can't be read", cause="bad_dump")
        return self.saved

    def log_sizes(self, processes):
        return {}

    def log(self, process, sizes, lines):
        return self.lines


class SmallCluster:
    """Workers behind a port; tells which of which were ended with a connection of theirs held, and of whom one is asked for."""

    ended = []

    def __init__(self, address, pids, *_more):
        self.address = address
        self.pids = pids

    def end(self, pid, tell):
        self.ended.append((self.address, pid, self.pids))
        return tell()

    def connect(self, pid, _deadline):
        return self.address, pid, self.pids


@pytest.fixture
def clusters(monkeypatch):
    """Where PM2's workers are ended, in the order in which they are."""
    monkeypatch.setattr(SmallCluster, "ended", [])
    monkeypatch.setattr(_pm2_restart, "Cluster", SmallCluster)
    monkeypatch.setattr(_pm2_app, "Cluster", SmallCluster)
    return SmallCluster.ended


def settings_of(definition):
    """What PM2 keeps of a definition."""
    names = {"script": "pm_exec_path", "cwd": "pm_cwd", "interpreter": "exec_interpreter"}
    names.update(out_file="pm_out_log_path", error_file="pm_err_log_path")
    settings = {names.get(name, name): value for name, value in definition.items()}
    return dict(settings, exec_mode=definition["exec_mode"] + "_mode")


@pytest.fixture
def pm2(clusters):
    return SmallPm2()
