"""The story: what happens to a host's files, and to what it serves, when each of the steps fails."""

import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _nginx_run
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Holder
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx import WORKER, Process
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_run import Host, Run
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_tree import Tree
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import parse_show

MASTER = 100
STRANGER = Holder(7, "/usr/bin/python3", "alice", "old.service")
CONF = "include gatehouse/sites/*.conf;\n"
ONE = {"nginx.conf": CONF.encode(), "sites/a.conf": b"listen 80; # one\n"}
TWO = {"nginx.conf": CONF.encode(), "sites/a.conf": b"listen 80; # two\n", "sites/b.conf": b"listen 81;\n"}
ABSENT = ["sites-enabled/default"]


class FakeNginx:
    """nginx, systemd and the kernel as far as Run asks them. Tests set what goes wrong, and at which call.

    It reads its configuration as nginx does, at a reload and at a start: `running` is the text that it runs.
    """

    service = "nginx.service"

    def __init__(self, root):
        self.root = str(root)
        self.clock = 1000.0
        self.load = "loaded"
        self.active = "active"
        self.master = MASTER
        self.workers = [101, 102]
        self.born = 900.0
        self.running = self.read(os.path.join(self.root, "nginx.conf"))[0]
        self.calls = []
        self.tests = 0
        self.refuses_test = None  # number of the test that fails
        self.verb_fails = None
        self.workers_never_change = False
        self.master_ends = False
        self.log = ""
        self.log_after_reload = ""
        self.unit_lines = []
        self.holders = {}
        self.changed = {}
        self.failures = 1  # how many activations fail, before one is like any other

    # What Run asks

    def read(self, conf):
        folder = os.path.dirname(conf)
        paths = [conf]
        for name in ("gatehouse/sites", "sites-enabled", "conf.d"):
            below = os.path.join(folder, name)
            if os.path.isdir(below):
                paths += [os.path.join(below, each) for each in sorted(os.listdir(below))]
        text = ""
        for path in paths:
            with open(path, encoding="utf-8") as file:
                text += "# configuration file %s:\n%s\n" % (path, file.read())
        return text, paths

    def test(self, conf):
        self.tests += 1
        text, paths = self.read(conf)
        for path in paths:
            with open(path, encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    if "bad" in line:
                        message = 'nginx: [emerg] unknown directive "bad" in %s:%d\n' % (path, number)
                        return 1, "", message
        if self.refuses_test == self.tests:
            return 1, "", "nginx: [emerg] no more memory\n"
        return 0, text, "nginx: [warn] be careful in %s:1\n" % conf

    def build(self):
        return "configure arguments: --prefix=/usr/share/nginx --error-log-path=/var/log/nginx/error.log"

    def unit(self):
        text = "LoadState=%s\nActiveState=%s\nMainPID=%d\n"
        return parse_show(text % (self.load, self.active, self.master if self.active == "active" else 0))

    def unit_log(self, since):
        return self.unit_lines

    def systemctl(self, verb, seconds):
        self.calls.append(verb)
        failing = self.failures > 0
        self.failures -= 1
        if failing and self.verb_fails:
            return self.verb_fails
        if failing and self.log_after_reload:
            self.log += self.log_after_reload
            return 0, ""
        if failing and self.master_ends:
            self.workers, self.master = [], 999
            self.active = "failed"
            return 0, ""
        if failing and self.workers_never_change:
            return 0, ""
        self.running = self.read(os.path.join(self.root, "nginx.conf"))[0]
        self.active = "active"
        self.workers = [pid + 100 for pid in self.workers] or [201, 202]
        self.born = self.clock
        return 0, ""

    def family(self, master):
        if self.active != "active" or master != self.master:
            return []
        return [Process(master, 1, "nginx: master process")] + [Process(pid, master, WORKER) for pid in self.workers]

    def started(self, pid):
        return self.born

    def changed_at(self, path):
        return self.changed.get(path)

    def now(self):
        return self.clock

    def log_size(self, path):
        return len(self.log)

    def log_since(self, path, size):
        return self.log[size:]

    def strangers(self, address, port, master):
        return self.holders.get(port, [])

    def sleep(self, seconds):
        self.clock += seconds


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "nginx"
    (root / "sites-enabled").mkdir(parents=True)
    (root / "nginx.conf").write_text("include sites-enabled/*;\n")
    (root / "sites-enabled" / "default").write_text("listen 80 default_server; # package\n")
    return root


@pytest.fixture
def host(root):
    return FakeNginx(root)


@pytest.fixture
def run(root, host, tmp_path):
    def go(files, main=True, absent=tuple(ABSENT), check=False, allow_empty=False):
        tree = Tree(str(root), "gatehouse")
        story = Run(
            tree,
            files,
            main,
            list(absent),
            host,
            timeout=10,
            allow_empty=allow_empty,
            stage_base=str(tmp_path),
            clock=lambda: host.clock,
            sleep=host.sleep,
        )
        return story.converge(check)

    return go


def fail(run, *args, **kwargs):
    with pytest.raises(GatehouseError) as caught:
        run(*args, **kwargs)
    return caught.value


def tree_of(root):
    """Every path below root with its text or its link's target."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            if os.path.islink(path):
                found[relative] = "-> " + os.readlink(path)
            elif os.path.isfile(path):
                with open(path, encoding="utf-8") as file:
                    found[relative] = file.read()
            else:
                found[relative] = "folder"
    return found


def events(timeline):
    return [step["event"].split(":")[0] for step in timeline]


def test_a_first_run_adopts_the_host(run, host, root):
    result = run(ONE)
    assert result["outcome"] == "reloaded"
    assert result["changed"] is True
    assert "# one" in host.running
    assert "# package" not in host.running
    assert result["workers"] == [201, 202]
    assert result["removed"] == [str(root / "sites-enabled" / "default")]
    assert result["unused"] == result["shadows"] == []
    assert result["warnings"] == ["nginx: be careful in %s/nginx.conf:1" % root]
    assert result["reasons"] == [
        "Files of the set differ: nginx.conf, sites/a.conf.",
        "%s/sites-enabled/default is to be absent." % root,
        "%s/nginx.conf is not the set's." % root,
    ]
    assert events(result["timeline"]) == [
        "the new set passed nginx's test",
        "the new set is in place",
        "the files on disk passed nginx's test",
        "systemctl reload nginx.service",
        "new workers",
    ]


def test_a_second_run_changes_nothing(run, host, root):
    run(ONE)
    before = tree_of(root)
    result = run(ONE)
    assert (result["changed"], result["outcome"], result["reasons"]) == (False, "unchanged", [])
    assert host.calls == ["reload"]
    assert tree_of(root) == before


def test_a_change_tells_what_went_away_and_what_is_not_read(run):
    run(TWO)
    result = run(dict(ONE, stray=b"x"))
    assert [name.rpartition("/gatehouse/")[2] for name in result["removed"]] == ["sites/b.conf"]
    assert result["unused"] == ["stray"]
    assert "no include names it" in result["warnings"][-1]
    assert [pair["after_header"].rpartition("/gatehouse/")[2] for pair in result["diff"]] == [
        "sites/a.conf",
        "(absent)",
        "stray",
    ]


@pytest.mark.parametrize("files", [ONE, dict(ONE, **{"sites/a.conf": b"bad\n"})], ids=["good", "bad"])
def test_check_mode_tests_and_touches_nothing(run, host, root, files):
    before = tree_of(root)
    if files is ONE:
        assert run(files, check=True)["outcome"] == "reloaded"
    else:
        assert fail(run, files, check=True).cause == "config_invalid"
    assert tree_of(root) == before
    assert (host.calls, host.tests) == ([], 1)


def test_check_mode_sees_a_killed_run_and_leaves_it(run, root):
    run(ONE)
    tree = Tree(str(root), "gatehouse")
    tree.begin(tree.plan(TWO, True, []))
    before = tree_of(root)
    assert run(ONE, check=True)["reasons"][0] == "An earlier run was killed half-way."
    assert tree_of(root) == before


# Each step that can fail, and what is then left

FAILURES = {
    "the staged test": (dict(refuses_test=1), "config_invalid", "unchanged", []),
    "the test in place": (dict(refuses_test=2), "config_invalid", "reverted", ["reload"]),
    "systemctl": (dict(verb_fails=(1, "Job failed.")), "reload_failed", "reverted", ["reload"] * 2),
    "systemctl in time": (dict(verb_fails=(124, "did not end")), "timed_out", "reverted", ["reload"] * 2),
    "the workers": (dict(workers_never_change=True), "timed_out", "reverted", ["reload"] * 2),
    "a bind": (
        dict(
            log_after_reload="2026/11/21 04:00:00 [emerg] 100#100: bind() to 0.0.0.0:81 failed "
            "(98: Address already in use)\n"
        ),
        "port_conflict",
        "reverted",
        ["reload"] * 2,
    ),
    "the master": (
        dict(log_after_reload="2026/11/21 04:00:00 [emerg] 100#100: no memory\n"),
        "reload_failed",
        "reverted",
        ["reload"] * 2,
    ),
}


@pytest.mark.parametrize("first", [True, False], ids=["adoption", "change"])
@pytest.mark.parametrize("step", FAILURES)
def test_whatever_fails_the_former_set_is_back_and_runs(run, host, root, step, first):
    if not first:
        run(ONE)
    before, serving = tree_of(root), host.running
    settings, cause, outcome, calls = FAILURES[step]
    host.calls, host.tests, host.failures = [], 0, 1 if step != "the test in place" else 0
    vars(host).update(settings)

    error = fail(run, TWO)

    assert error.cause == cause
    assert error.facts["outcome"] == outcome
    assert error.hint
    assert tree_of(root) == before
    assert host.running == serving
    assert host.calls == calls
    assert not [name for name in os.listdir(root.parent) if name.startswith("gatehouse-nginx")]
    # And the next run is like any other.
    host.refuses_test = None
    host.failures = 0
    assert run(TWO)["outcome"] == "reloaded"
    assert "# two" in host.running


@pytest.mark.parametrize("act", ["rename", "replace", "symlink", "link"])
def test_a_disk_that_refuses_is_undone_too(run, root, host, monkeypatch, act):
    before = tree_of(root)
    genuine = getattr(os, act)
    calls = []

    def refuse_once(*args, **kwargs):
        calls.append(args)
        # The journal's own rename comes first, before anything is touched.
        if len(calls) == (2 if act == "replace" else 1):
            raise OSError(28, "No space left on device")
        return genuine(*args, **kwargs)

    with monkeypatch.context() as patch:
        # The stage is made of links as well, so only what happens below root counts.
        patch.setattr(os, act, lambda *a, **k: refuse_once(*a, **k) if str(root) in str(a[1]) else genuine(*a, **k))
        error = fail(run, ONE)
    assert error.cause == "unwritable"
    assert error.facts["outcome"] == "reverted"
    assert tree_of(root) == before
    assert "# package" in host.running


def test_a_bad_line_is_shown_with_its_neighbours_under_its_real_path(run, root):
    error = fail(run, dict(ONE, **{"sites/a.conf": b"one\ntwo\nbad\nfour\nfive\nsix\n"}))
    path = "%s/gatehouse/sites/a.conf:3" % root
    assert path in error.message
    assert path in error.hint
    assert error.facts["excerpt"] == ["    1 | one", "    2 | two", ">   3 | bad", "    4 | four", "    5 | five"]


def test_a_port_that_is_held_is_known_before_anything_is_touched(run, host, root):
    run(ONE)
    before = tree_of(root)
    host.holders = {81: [STRANGER]}
    error = fail(run, TWO)
    assert (error.cause, error.facts["outcome"]) == ("port_conflict", "unchanged")
    assert "pid 7" in error.message
    assert "old.service" in error.message
    assert error.facts["listeners"] == [STRANGER._asdict()]
    assert tree_of(root) == before
    assert host.calls == ["reload"]


def test_what_the_failed_reload_still_writes_does_not_fail_the_undo(run, host):
    run(ONE)
    line = "2026/11/21 04:00:00 [emerg] 100#100: bind() to 0.0.0.0:81 failed (98: Address already in use)\n"
    host.failures, host.log_after_reload = 1, line
    genuine = host.log_size
    host.log_size = lambda path: 0 if host.log else genuine(path)
    assert fail(run, TWO).facts["outcome"] == "reverted"


def test_an_undo_that_fails_says_so(run, host):
    run(ONE)
    host.failures, host.workers_never_change = 2, True
    error = fail(run, TWO)
    assert error.facts["outcome"] == "failed"
    assert "could not be brought back to life" in error.message


def test_a_master_that_dies_is_noticed_at_once(run, host):
    run(ONE)
    host.failures, host.master_ends = 1, True
    started = host.clock
    error = fail(run, TWO)
    assert error.cause == "reload_failed"
    assert "100 has ended" in error.message
    assert host.clock == started


def test_workers_that_are_not_all_new_are_waited_for(run, host):
    run(ONE)
    families = []
    genuine = host.family

    def slowly(master):
        family = genuine(master)
        if host.calls[-1:] == ["reload"] and len(host.calls) == 2 and len(families) < 3:
            old, new = Process(201, master, WORKER), Process(302, master, WORKER)
            unready = Process(303, master, "nginx: master process")
            family = [family[0]] + [[old, new], [new, unready], [Process(201, master, WORKER)]][len(families)]
            families.append(family)
        return family

    host.family = slowly
    result = run(TWO)
    assert len(families) == 3
    assert result["workers"] == [301, 302]


# Activation is state


def test_a_host_that_does_not_serve_is_started(run, host):
    run(ONE)
    host.active = "failed"
    result = run(ONE)
    assert (result["outcome"], result["changed"]) == ("started", True)
    assert result["reasons"] == ["nginx.service is failed."]
    assert host.calls == ["reload", "start"]


def test_a_start_that_fails_says_what_nginx_told_systemd(run, host):
    run(ONE)
    host.active, host.failures, host.verb_fails = "inactive", 1, (1, "Job for nginx.service failed.")
    host.unit_lines = ["nginx: [emerg] bind() to [::]:80 failed (98: Address already in use)"]
    host.holders = {}
    error = fail(run, ONE)
    assert error.cause == "port_conflict"
    assert "port 80" in error.message


def test_a_change_newer_than_the_workers_is_reloaded_once(run, host, root):
    run(ONE)
    host.clock += 50
    host.changed = {"%s/gatehouse/sites/a.conf" % root: host.clock - 10}
    looked = run(ONE, check=True)
    assert (looked["outcome"], host.calls) == ("reloaded", ["reload"])
    result = run(ONE)
    assert result["outcome"] == "reloaded"
    assert "sites/a.conf changed" in result["reasons"][0]
    assert run(ONE)["outcome"] == "unchanged"


@pytest.mark.parametrize("what", ["gatehouse", "gatehouse/sites", "certs/a.pem"])
def test_links_folders_and_certificates_count_as_configuration(run, host, root, what):
    files = dict(ONE, **{"sites/a.conf": b"ssl_certificate certs/a.pem;\n"})
    run(files)
    host.clock += 50
    host.changed = {"%s/%s" % (root, what): host.clock - 10}
    assert run(files)["outcome"] == "reloaded"


def test_a_broken_file_outside_the_set_fails_the_run_that_would_have_to_reload_it(run, host, root):
    run(ONE)
    (root / "conf.d").mkdir()
    (root / "conf.d" / "hand.conf").write_text("bad\n")
    error = fail(run, ONE)
    assert (error.cause, error.facts["outcome"]) == ("config_invalid", "unchanged")
    assert "%s/conf.d/hand.conf:1" % root in error.message
    assert host.calls == ["reload"]


# Killed runs


def leave_half_done(root, files, main=True):
    tree = Tree(str(root), "gatehouse")
    change = tree.plan(files, main, list(ABSENT))
    tree.begin(change)
    tree.write(change.after, files)
    change.apply()
    return tree


@pytest.mark.parametrize("wanted", [ONE, TWO], ids=["undone", "finished"])
def test_a_run_killed_before_its_reload_is_put_right(run, host, root, wanted):
    run(ONE)
    tree = leave_half_done(root, TWO)
    result = run(wanted)
    assert result["reasons"][0] == "An earlier run was killed half-way."
    assert tree.read(tree.pointed()) == wanted
    assert tree.interrupted() is None
    assert ("# two" in host.running) == (wanted is TWO)
    # Finishing is one reload; undoing one is as well, and there is nothing left to change then.
    assert host.calls == ["reload", "reload"]


def test_a_killed_change_that_can_not_be_finished_is_undone(run, host, root):
    run(ONE)
    before = tree_of(root)
    leave_half_done(root, TWO)
    host.failures, host.verb_fails = 1, (1, "no")
    assert fail(run, TWO).facts["outcome"] == "reverted"
    assert tree_of(root) == before
    assert "# one" in host.running


def test_a_killed_run_is_undone_before_a_set_is_refused(run, host, root):
    run(ONE)
    before = tree_of(root)
    leave_half_done(root, TWO)
    assert fail(run, dict(ONE, **{"sites/a.conf": b"bad\n"})).cause == "config_invalid"
    assert tree_of(root) == before
    assert "# one" in host.running


# What can't be asked


@pytest.mark.parametrize("load", ["not-found", "masked"])
def test_a_unit_that_can_not_run_is_named(run, host, root, load):
    before = tree_of(root)
    host.load = load
    error = fail(run, ONE)
    assert error.cause == "not_installed"
    assert load in error.message
    assert tree_of(root) == before


def test_a_command_that_hangs_is_ended():
    code, _output, messages = Host("nginx", "nginx.service").run(["sleep", "60"], 0.01)
    assert code == _nginx_run.TIMED_OUT
    assert "sleep 60 did not end within" in messages


def test_the_family_of_a_master_is_read_from_proc(tmp_path):
    for pid, parent, title in [
        (100, 1, b"nginx: master process\0"),
        (101, 100, b"nginx: worker process\0\0\0"),
        (102, 100, b"nginx: worker process is shutting down"),
        (103, 101, b"nginx: worker process\0"),
    ]:
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text("%d (nginx) S %d 1 1 0 -1 0" % (pid, parent))
        (folder / "cmdline").write_bytes(title)
    (tmp_path / "104").mkdir()
    (tmp_path / "net").mkdir()
    family = Host("nginx", "nginx.service", proc=str(tmp_path)).family(100)
    assert sorted(family) == [
        Process(100, 1, "nginx: master process"),
        Process(101, 100, "nginx: worker process"),
        Process(102, 100, "nginx: worker process is shutting down"),
    ]


def test_a_log_is_read_from_where_it_was(tmp_path):
    host, path = Host("nginx", "nginx.service"), tmp_path / "error.log"
    assert host.log_size(str(path)) == 0
    assert host.log_since(str(path), 0) == ""
    path.write_text("old\n")
    size = host.log_size(str(path))
    path.write_text("old\nnew\n")
    assert host.log_since(str(path), size) == "new\n"
    path.write_text("n\n")  # rotated
    assert host.log_since(str(path), size) == "n\n"


def test_when_a_link_or_what_it_leads_to_changed(tmp_path):
    host = Host("nginx", "nginx.service")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    newest = max(os.lstat(tmp_path / "link").st_ctime, os.stat(tmp_path / "file").st_ctime)
    assert host.changed_at(str(tmp_path / "link")) == newest
    assert host.changed_at(str(tmp_path / "none")) is None


def test_a_file_that_the_configuration_names_is_taken_up_on_demand(run, host, root):
    run(ONE)
    (root / "conf.d").mkdir(exist_ok=True)
    (root / "conf.d/tls.conf").write_text("ssl_certificate /tls/chat.pem;\n")
    run(dict(ONE, **{"nginx.conf": (CONF + "include conf.d/*.conf;\n").encode()}))
    made = Run(Tree(str(root), "gatehouse"), {}, False, [], host, 5, sleep=lambda _seconds: None)
    before = list(host.workers)
    assert made.reload("/tls/other.pem") is False
    assert host.workers == before
    assert made.reload("/tls/chat.pem") is True
    assert not set(host.workers) & set(before)
    host.active = "inactive"
    assert made.reload("/tls/chat.pem") is False


def test_the_certificates_that_the_configuration_names_are_known_as_long_as_nginx_takes_it(host, root):
    site = root / "sites-enabled" / "default"
    site.write_text("server { ssl_certificate /tls/chat.pem; ssl_certificate_key tls/chat.key; }\n")
    (root / "nginx.conf").write_text("http { include %s; }\n" % site)
    made = Run(Tree(str(root), "gatehouse"), {}, False, [], host, 5)
    assert made.certificates() == [("/tls/chat.pem", str(root / "tls/chat.key"))]
    assert host.calls == []
    site.write_text(site.read_text() + "bad;\n")
    assert made.certificates() == []


SERVED = {**ONE, "sites.conf": b"server { server_name chat.example.com; location / { proxy_pass http://chat; } }\n"}
UNSERVED = {
    **ONE,
    "sites.conf": b"server { server_name _; return 444; }\n",
    "status.conf": b"server { listen 127.0.0.1:8999; server_name localhost; location / { stub_status; } }\n",
}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("files", [ONE, UNSERVED])
def test_a_set_that_answers_for_no_name_in_place_of_one_that_does_is_refused(run, root, files, check):
    run(SERVED)
    before = tree_of(root)
    error = fail(run, files, check=check)
    assert error.cause == "nothing_left"
    assert "answers for chat.example.com now" in error.message
    assert error.facts["outcome"] == "unchanged"
    assert tree_of(root) == before


def test_it_is_taken_when_it_is_meant(run):
    run(SERVED)
    assert run(UNSERVED, allow_empty=True)["changed"] is True
    # There is nothing left to lose.
    assert run(ONE)["changed"] is True


def test_a_set_for_another_name_is_taken(run):
    run(SERVED)
    other = SERVED["sites.conf"].replace(b"chat.example", b"www.example")
    assert run({**SERVED, "sites.conf": other})["changed"] is True
