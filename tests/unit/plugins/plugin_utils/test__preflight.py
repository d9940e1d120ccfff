"""What stops a deploy, from the evidence of a host: recorded of a real one that is ready, and changed from fact."""

import copy
import json
from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._preflight import CAUSES, judge, report, size, sources

HERE = Path(__file__).parent
READY = json.loads((HERE / "recorded_preflight.json").read_text())
README = HERE.parents[3] / "roles" / "preflight" / "README.md"
MEBI = 1 << 20


def state():
    return copy.deepcopy(READY["asked"]), copy.deepcopy(READY["evidence"])


def found(*changes):
    asked, evidence = state()
    for change in changes:
        change(asked, evidence)
    return judge(asked, evidence)


def listener(port, unit=None, exe="/usr/bin/python3.11", address="127.0.0.1"):
    one = {"port": port, "address": address, "pid": 812, "exe": exe, "user": "alice", "unit": unit, "state": "S"}
    return lambda _asked, evidence: evidence["listeners"].append(one)


def set_in(section, **change):
    return lambda _asked, evidence: evidence[section].update(change)


def of_app(**change):
    return lambda asked, _evidence: asked["apps"][0].update(change)


def top(**change):
    return lambda _asked, evidence: evidence.update(change)


def unit(name, **change):
    return lambda _asked, evidence: evidence["units"].setdefault(name, {}).update(change)


def path(**change):
    whole = {"folder": True, "ours": True, "holds": ["app.py"], "link": True}
    return lambda _asked, evidence: evidence["paths"].update({"chat-api": {**whole, **change}})


def account(user, comment):
    return set_in("accounts", **{user: {"comment": comment, "group": True}})


def disk(number=0, **change):
    return lambda _asked, evidence: evidence["disks"][number].update(change)


def database(**change):
    return lambda _asked, evidence: evidence["databases"][0].update({"ok": False, "told": "so it says", **change})


def required(cause, url="127.0.0.1:6379"):
    port = int(url.rpartition(":")[2])
    probe = {
        "kind": "requires",
        "app": "chat-api",
        "url": url,
        "port": port,
        "ok": False,
        "cause": cause,
        "message": "no",
    }
    return lambda _asked, evidence: evidence["probes"].append(probe)


def of_another(requires, services=(), **change):
    """Another app of the model, which a requirement that does not answer leads to."""
    port = int(requires.rpartition(":")[2])
    services = [{"name": "back@%d.service" % port, "port": port}] if services == () else services
    app = {
        "name": "back",
        "services": services,
        "root": None,
        "interpreter": None,
        "users": [],
        "own_folders": [],
        **change,
    }
    probe = required("refused", requires)

    def apply(asked, evidence):
        asked["apps"].append({**asked["apps"][0], "ports": [port], "green": [], "upstream": [], **app})
        probe(asked, evidence)

    return apply


def scheduled(seconds):
    return lambda _asked, evidence: evidence["reboot"].update(scheduled=evidence["now"] + seconds)


def no_answer(name):
    return set_in("outside", names={}, unanswered={name: "no answer for the name %s in time" % name})


def name(name, *addresses):
    def apply(asked, evidence):
        asked["sites"][0]["names"] = [name]
        evidence["outside"].update(address="192.0.2.10", homes=["192.0.2.10"], names={name: list(addresses)})

    return apply


def acme(asked, _evidence):
    asked["sites"][0]["acme"] = True


def second_set(used, swap=0):
    limits = {
        name: {"used": (used + 200) * MEBI, "cache": 200 * MEBI}
        for name in ("chat-api@8000.service", "chat-api@8001.service")
    }
    return set_in("memory", available=900 * MEBI, swap=swap * MEBI, limits=limits)


def node(version, wanted="", least=None):
    def apply(asked, evidence):
        asked["apps"][0].update(runtime="pm2", interpreter=None, least_node=least)
        place = "/opt/gatehouse/node-%s/bin/node" % wanted if wanted else "/usr/bin/node"
        evidence.update(node=place, node_version=wanted, programs={place: version})

    return apply


STAYS = {"folder": True, "ours": True, "holds": [], "link": True}
SHADOW = {"file": "/etc/nginx/sites-enabled/old", "listens": [], "names": ["Chat.example.com"]}
MINE = {"active": "active", "enabled": "enabled", "files": ["/etc/systemd/system/chat-api.service"], "ours": False}

# what is wrong: (changes of a host that is ready, what is told of it, words)
PROBLEMS = {
    "not Debian": ([set_in("system", debian=False, name="Fedora 41")], "refuse host_unfit", "Fedora 41"),
    "no systemd": ([set_in("system", systemd=False)], "refuse host_unfit", "systemd"),
    "not root": ([set_in("system", root=False)], "refuse host_unfit", "ansible_become"),
    "a stranger on an instance's port": (
        [listener(18000, "stranger.service")],
        "refuse port_taken",
        "port 18000 is held by pid 812 (/usr/bin/python3.11, user alice, unit stranger.service), and belongs to chat-api@18000",
    ),
    "a stranger without a unit": ([listener(8001)], "refuse port_taken", "kill 812"),
    "one instance on another's port": ([listener(8001, "chat-api@8000.service")], "refuse port_taken", "chat-api@8000"),
    "the former name's instances, and no second set": (
        [listener(8000, "blog@8000.service"), of_app(renamed_from="blog", green=[])],
        "refuse port_taken",
        "systemctl stop blog@8000.service",
    ),
    "a stranger beside the former name's instances": (
        [listener(8000, "blog@8000.service"), listener(8000, "stranger.service"), of_app(renamed_from="blog")],
        "refuse port_taken",
        "unit stranger.service",
    ),
    "a stranger on nginx's port": ([listener(80, "apache2.service", address="::")], "refuse port_taken", "nginx's"),
    "an instance by hand": (
        [unit("chat-api@8000.service", ours=False)],
        "refuse unit_conflict",
        "/etc/systemd/system/chat-api@8000.service",
    ),
    "a unit by hand beside it": ([unit("chat-api.service", **MINE)], "warn unit_conflict", "chat-api.service"),
    "a user by hand": (
        [account("chat-api", "MySQL Server,,,")],
        "refuse user_conflict",
        "usermod --comment 'gatehouse app chat-api' chat-api",
    ),
    "a user that builds another app": (
        [account("chat-api-build", "gatehouse app chat-api-build")],
        "refuse user_conflict",
        "usermod --comment 'gatehouse build of chat-api' chat-api-build",
    ),
    "a group without its user": (
        [account("chat-api-build", None)],
        "refuse user_conflict",
        "groupdel chat-api-build",
    ),
    "a data folder of another service": (
        [top(foreign={"/var/lib/chat-api": "it belongs to root"})],
        "refuse path_conflict",
        "chown -R chat-api:chat-api /var/lib/chat-api",
    ),
    "a served folder in a folder of a user's": (
        [top(replaceable={"/srv/www/up": ["/srv/www", "chat-api"]})],
        "warn folder_replaceable",
        "chown root: /srv/www && chmod go-w /srv/www",
    ),
    "a served folder in a folder of several users": (
        [top(replaceable={"/srv/www/up": ["/srv", "several users"]})],
        "warn folder_replaceable",
        "chown root: /srv && chmod go-w /srv",
    ),
    "a network that is not closed": (
        [of_app(allow_network=False), top(filtered=False)],
        "warn network_open",
        "sandbox.allow_network: false",
    ),
    "a kernel that lets users link": ([set_in("system", hard_links="0")], "warn hard_links", "sysctl --system"),
    "a folder by hand": ([path(ours=False)], "refuse path_conflict", "mv /srv/chat-api /srv/chat-api.old"),
    "a file in its place": ([path(folder=False, holds=[])], "refuse path_conflict", "is a file"),
    "a folder in the link's place": ([path(link=False)], "refuse path_conflict", "/srv/chat-api/current"),
    "a site by hand, before the first deploy": (
        [set_in("nginx", servers=[SHADOW])],
        "warn site_shadowed",
        "/etc/nginx/sites-enabled/old",
    ),
    "a site by hand, later": ([set_in("nginx", shadows=["old:1 has the name x"])], "warn site_shadowed", "old:1"),
    "a password refused": (
        [database(cause="login_refused", how="pymysql")],
        "refuse database_refuses",
        "DATABASE_URL of chat-api (mysql at 127.0.0.1:3306) refuses the login as chat to chat: so it says",
    ),
    "no such database": ([database(cause="no_database", how="psycopg")], "refuse database_refuses", "so it says"),
    "a host that may not connect": ([database(cause="login_refused", how="greeting")], "refuse database_refuses", "so it says"),
    "a database that is down": (
        [database(cause="refused", how="greeting")],
        "refuse dependency_down",
        "systemctl start mariadb",
    ),
    "a database elsewhere": (
        [database(cause="timed_out", how="greeting", where="db.example.com:5432")],
        "refuse dependency_down",
        "nc -vz db.example.com 5432",
    ),
    "a login refused to a URL that leaves things out": (
        [database(cause="login_unsure", how="psycopg")],
        "warn database_unsure",
        "the app may have what it lacks from elsewhere",
    ),
    "a login that fails otherwise": ([database(cause="unavailable", how="pymysql")], "warn database_unsure", "so it says"),
    "something required is down": ([required("refused")], "refuse dependency_down", "systemctl start redis-server"),
    "an app required that no deploy starts": ([of_another("127.0.0.1:9000", [])], "refuse dependency_down", "127.0.0.1:9000"),
    "an app required that runs elsewhere": (
        [of_another("127.0.0.1:9000", local=False)],
        "refuse dependency_down",
        "127.0.0.1:9000",
    ),
    "a port required of another host": ([of_another("192.0.2.7:9000")], "refuse dependency_down", "192.0.2.7:9000"),
    "no such Python, and packages of another": (
        [of_app(interpreter="python3.13", packages=["python3.12-venv"]), set_in("programs", **{"python3.13": None})],
        "refuse program_missing",
        "python3.13-venv",
    ),
    "no such Python": (
        [of_app(interpreter="python3.13"), set_in("programs", **{"python3.13": None})],
        "refuse program_missing",
        "apt-get install python3.13-venv",
    ),
    "a Python too old": ([of_app(least_python=[3, 14])], "refuse program_missing", "needs 3.14"),
    "a Python that nothing runs on": ([set_in("programs", python3=[3, 7, 2])], "refuse program_missing", "needs 3.8"),
    "a Node too old": ([node([18, 19, 0], least=[20])], "refuse program_missing", "needs 20"),
    "another Node in its place": ([node([18, 19, 0], "22.12.0")], "refuse program_missing", "rm -r /opt/gatehouse/node-22.12.0"),
    "a disk without room for a build": ([disk(free=150 * MEBI, size=2 << 30)], "refuse disk_full", "/srv/chat-api 150 MB are free"),
    "a full disk": ([disk(1, free=0)], "refuse disk_full", "No space is left on /tmp"),
    "too few inodes": ([disk(inodes_free=9000, inodes=100000)], "refuse inodes_full", "9000 inodes"),
    "a disk mounted read-only": ([disk(read_only=True)], "refuse read_only", "remount"),
    "a disk that fills up": ([disk(1, free=400 * MEBI, size=10 << 30)], "warn disk_low", "/tmp only 400 MB are free"),
    "no memory for a second set": ([second_set(500)], "refuse memory_low", "strategy: restart"),
    "no memory for what it may take": (
        [set_in("memory", available=900 * MEBI, limits={}), of_app(memory_max="512M")],
        "warn memory_low",
        "2 of memory_max 512M",
    ),
    "a clock a little off": ([top(ahead=-9.0)], "warn clock_wrong", "9 seconds behind"),
    "a clock far off": ([top(ahead=400.0)], "refuse clock_wrong", "6 minutes ahead"),
    "a clock that nobody keeps": ([set_in("system", container=False)], "warn clock_alone", "timedatectl set-ntp true"),
    "a clock that is kept in vain": (
        [set_in("system", container=False), unit("chrony.service", active="active")],
        "warn clock_alone",
        "journalctl -u chrony",
    ),
    "a name that is not in DNS": ([name("chat.gatehouse.dev")], "warn dns_missing", "chat.gatehouse.dev"),
    "a name that the CA will not find": ([name("chat.gatehouse.dev"), acme], "refuse dns_missing", "chat.gatehouse.dev"),
    "a name that the CA found once": (
        [name("chat.gatehouse.dev"), acme, top(certified=["chat"])],
        "warn dns_missing",
        "chat.gatehouse.dev",
    ),
    "a name without an answer": (
        [name("chat.gatehouse.dev"), acme, no_answer("chat.gatehouse.dev")],
        "warn not_measured",
        "getent ahosts chat.gatehouse.dev",
    ),
    "a name that leads elsewhere": (
        [name("chat.gatehouse.dev", "198.51.100.7")],
        "warn dns_wrong",
        "preflight_load_balancers: [198.51.100.7]",
    ),
    "SSH shut out": ([listener(22, "ssh.service"), set_in("ufw", ports=["80"])], "warn ssh_closed", "ufw allow 22/tcp"),
    "SSH shut out once UFW is on": (
        [listener(2222, "ssh.socket"), set_in("ufw", enabled=False, ports=["22", "100:200"])],
        "warn ssh_closed",
        "off, but has rules",
    ),
    "another firewall": ([unit("firewalld.service", active="active")], "warn other_firewall", "--skip-tags ufw"),
    "a reboot that is due": ([set_in("reboot", required=True, packages=["linux-image"])], "warn reboot_required", "linux-image"),
    "a reboot that comes": ([scheduled(600)], "refuse reboot_scheduled", "10 minutes"),
    "a reboot that comes now": ([scheduled(0)], "refuse reboot_scheduled", "0 seconds"),
    "a reboot that comes in half an hour": ([scheduled(1800)], "refuse reboot_scheduled", "30 minutes"),
    "a reboot that comes by night": ([scheduled(20 * 3600)], "warn reboot_scheduled", "20 hours"),
    "a question without an answer": ([top(unanswered={"probe/000": "no answer in time"})], "warn not_measured", "no answer"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_told_alone_with_what_to_do(name):
    changes, expected, words = PROBLEMS[name]
    problems = found(*changes)
    assert [f"{one.level} {one.cause}" for one in problems] == [expected], problems
    assert problems[0].next
    assert words in " ".join([problems[0].message, *problems[0].measured, problems[0].next])


# what is no problem: changes of a host that is ready
FINE = {
    "nothing at all": [],
    "a first deploy": [
        top(paths={}, apps=[], disks=[{**READY["evidence"]["disks"][0], "places": ["/"]}]),
        unit("chat-api@8000.service", files=[], ours=False),
        unit("chat-api@8001.service", files=[], ours=False),
    ],
    "an empty folder": [path(**STAYS)],
    "nginx started by hand": [listener(80, None, "/usr/sbin/nginx", "0.0.0.0")],
    "the same port of another address": [listener(8001, "other.service", address="192.0.2.10")],
    "the former name's instances, beside which a second set starts": [
        listener(8000, "blog@8000.service"),
        listener(8001, "blog@8001.service"),
        of_app(renamed_from="blog"),
    ],
    "a unit of that name which is off": [
        unit("chat-api.service", **{**MINE, "active": "inactive", "enabled": "disabled"})
    ],
    "a python3 that the deploy installs": [set_in("programs", python3=None)],
    "a Python that the deploy installs": [
        of_app(interpreter="/usr/bin/python3.12", packages=["libpq5", "python3.12-venv"]),
        set_in("programs", **{"/usr/bin/python3.12": None}),
    ],
    "an app required that the deploy starts": [of_another("127.0.0.1:9000")],
    "one required of its second set": [
        of_another("localhost:19000", [], green=[{"name": "back@19000.service", "port": 19000}])
    ],
    "one required where it is reached": [of_another("192.0.2.7:9000", upstream=["192.0.2.7:9000"])],
    "a reboot that is over": [scheduled(-60)],
    "a name of examples without an answer": [name("chat.example.com"), no_answer("chat.example.com")],
    "a Node that the deploy installs": [node(None, "22.12.0"), of_app(least_node=[20])],
    "a Node as it is wanted": [node([22, 12, 0], "22.12.0", [20])],
    "a database whose driver nobody has": [
        database(ok=None, cause="no_driver", how=None, where="/run/mysqld/mysqld.sock")
    ],
    "memory for a second set": [second_set(400)],
    "memory with swap": [second_set(500, swap=200)],
    "a little of a large disk": [disk(1, free=20 << 30, size=4 << 40)],
    "no second set": [second_set(500), of_app(green=[])],
    "a clock that is kept": [set_in("system", container=False), set_in("clock", synchronized=True)],
    "users that a deploy has made": [
        account("chat-api", "gatehouse app chat-api"),
        account("chat-api-build", "gatehouse build of chat-api"),
    ],
    "a served folder in somebody's home": [top(replaceable={"/home/ann/site": ["/home/ann", "ann"]})],
    "a network that is closed": [of_app(allow_network=False), top(filtered=True)],
    "a network of which nothing is known": [of_app(allow_network=False), top(filtered=None)],
    "a network that is open to the app": [top(filtered=False)],
    "a kernel that does not tell of links": [set_in("system", hard_links="")],
    "a name that leads here": [name("chat.gatehouse.dev", "192.0.2.10")],
    "a name that leads to a load balancer": [
        name("chat.gatehouse.dev", "198.51.100.7"),
        lambda _asked, evidence: evidence["outside"].update(balancers=["198.51.100.7"]),
    ],
    "a name of examples": [name("chat.example.com")],
    "SSH let in": [listener(22, "ssh.service"), set_in("ufw", ports=["20:25"])],
    "UFW off, and without rules": [listener(22, "ssh.service"), set_in("ufw", enabled=False, ports=[], rules=0)],
    "no UFW": [listener(22, "ssh.service"), top(ufw=None)],
    "apps on hosts of their own": [of_app(local=False), listener(8000, "stranger.service"), path(ours=False)],
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_no_problem_is_not_told(name):
    assert found(*FINE[name]) == []


def test_what_a_database_and_a_requirement_have_in_common_is_told_once():
    problems = found(database(cause="refused", how="greeting"), required("refused", "127.0.0.1:3306"))
    assert [one.cause for one in problems] == ["dependency_down"]


@pytest.mark.parametrize("section", sorted(READY["evidence"]))
def test_a_part_of_the_evidence_that_is_missing_is_no_problem_and_no_crash(section):
    asked, evidence = state()
    if section not in ("now", "node", "node_version"):
        del evidence[section]
    assert judge(asked, evidence) == []


def test_every_cause_is_tested():
    told = {words.split()[1] for _changes, words, _words in PROBLEMS.values()} | {"source_missing"}
    assert told == set(CAUSES)


def test_the_readme_lists_every_cause_with_what_it_means():
    text = README.read_text()
    for cause, title in CAUSES.items():
        assert f"| `{cause}` | {title}" in text, cause


def test_sizes_as_systemd_writes_them():
    assert [size(text, 1000) for text in ("5", "3K", "512M", "2G", "25%")] == [5, 3072, 512 * MEBI, 2 << 30, 250]


class TestReport:
    PROBLEMS = (
        found(set_in("reboot", required=True, packages=[]))
        + sources([("webapp_apps[x].source.directory: /x does not exist.", "write another")])
        + found(listener(8000, "a.service"), second_set(500))
    )

    def test_everything_is_told_at_once_and_what_refuses_comes_first(self):
        told = report("app1", self.PROBLEMS, [])
        assert (told["ok"], told["failed"], told["cause"], told["hint"]) == (
            False,
            True,
            "source_missing",
            "write another",
        )
        assert [one["level"] for one in told["problems"]] == ["refuse", "refuse", "refuse", "warn"]
        lines = told["msg"].splitlines()
        assert lines[0] == "app1 is not ready for a deploy: 3 problems, and 1 warning. Nothing was touched."
        assert [line.split(":")[0] for line in lines if line[0] in "✘!"] == [
            "✘ source_missing", "✘ port_taken", "✘ memory_low", "! reboot_required",
        ]  # fmt: skip
        assert "    Next: systemctl stop a.service   # or give it another port in the model" in lines
        assert json.loads(json.dumps(told)) == told

    def test_one_problem_is_one_problem(self):
        assert "app1 is not ready for a deploy: 1 problem. " in report("app1", self.PROBLEMS[1:2], [])["msg"]

    def test_what_only_warns_does_not_fail_and_names_the_host(self):
        told = report("app1", self.PROBLEMS, ["source_missing", "port_taken", "memory_low"])
        assert (told["ok"], "failed" in told) == (True, False)
        assert told["msg"] == "app1 is ready for a deploy; 4 warnings."
        assert len(told["warnings"]) == 4
        assert all(line.startswith("app1: ") and " Next: " in line for line in told["warnings"])

    def test_what_others_have_said_moves_no_cursor(self):
        told = report("app1", found(database(cause="login_refused", how="pymysql", told="\x1b[2Jgone")), [])
        assert "\x1b" not in json.dumps(told, ensure_ascii=False)
        assert "gone" in told["msg"]

    def test_a_host_that_is_ready(self):
        told = report("app1", [], [])
        assert told == {
            "ok": True,
            "problems": [],
            "msg": "app1 is ready for a deploy: nothing is in its way.",
            "warnings": [],
        }
