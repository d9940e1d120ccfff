"""What deploys have left on a host for each app, and how it goes."""

import itertools
import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _remains
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

UNIT = "# Part of the release /srv/{0}/releases/one: copied here\n[Service]\nUser={0}\n"
LOG = "[Unit]\nDescription=Copy of the journal of {0} in /var/log/{0}\n"
PASSWD = "root:x:0:0:root:/root:/bin/bash\n"
USERS = (
    "{0}:x:990:990:gatehouse app {0}:/var/lib/{0}:/usr/sbin/nologin\n"
    "{0}-build:x:991:991:gatehouse build of {0}:/run/gatehouse/home:/usr/sbin/nologin\n"
)


class Machine(_remains.Host):
    """A host in a folder, with what was done to it."""

    def __init__(self, top):
        self.done, self.status = [], 0
        super().__init__(str(top), self.command, lambda uid: self.done.append("end %d" % uid), lambda path, user: None)
        self.top = top
        self.write("etc/passwd", PASSWD)

    def command(self, argv, _seconds):
        self.done.append(" ".join(argv))
        return self.status, "", "it is busy" if self.status else ""

    def write(self, path, text=""):
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def deploy(self, app, ports=(8000,)):
        self.write(f"srv/{app}/releases/one/manifest.json", "{}")
        for port in ports:
            self.write(f"etc/systemd/system/{app}@{port}.service", UNIT.format(app))
        self.write("etc/passwd", (self.top / "etc/passwd").read_text() + USERS.format(app))
        for place in ("var/lib", "var/log", "run/gatehouse/rotation"):
            (self.top / place / app).mkdir(parents=True)
        self.write(f"var/lib/{app}/data.db")

    def keep_log(self, app):
        self.write(f"etc/systemd/system/{app}-log.service", LOG.format(app))
        self.write(f"etc/logrotate.d/{app}", f"{self.top}/var/log/{app}/{app}.log {{\n daily\n}}\n")

    def short(self, paths):
        return [path.replace(str(self.top), "") for path in paths]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_nothing_is_left_on_a_fresh_host(machine):
    assert machine.find() == {}
    (machine.top / "etc/passwd").unlink()
    assert machine.find() == {}


def test_each_app_is_found_with_all_that_it_has(machine):
    machine.deploy("shop", (8000, 18000))
    machine.deploy("shop-web", (3000,))
    machine.keep_log("shop")
    found = machine.find()
    assert list(found) == ["shop", "shop-web"]
    assert found["shop"]["ports"] == [8000, 18000]
    assert found["shop"]["units"] == ["shop-log.service", "shop@18000.service", "shop@8000.service"]
    assert machine.short(found["shop"]["files"]) == [
        "/srv/shop",
        "/etc/logrotate.d/shop",
        "/run/gatehouse/rotation/shop",
    ]
    assert found["shop"]["users"] == ["shop", "shop-build"]
    assert machine.short(found["shop"]["data"]) == ["/var/lib/shop", "/var/log/shop"]
    assert found["shop-web"]["ports"] == [3000]


@pytest.mark.parametrize(
    "path", ["srv/cap/releases/one/app.rb", "srv/ftp/file", "etc/systemd/system/getty@1.service", "etc/logrotate.d/cap"]
)
def test_what_no_deploy_has_made_is_nobodys(machine, path):
    machine.write(path, "of somebody else's")
    assert machine.find() == {}


def test_an_app_is_found_by_any_of_what_it_has(machine):
    machine.write("srv/one/releases/a/manifest.json")
    machine.write("etc/systemd/system/two@8000.service", UNIT.format("two"))
    machine.write("etc/passwd", PASSWD + "three-build:x:7:7:gatehouse build of three:/:/bin/false\n")
    assert list(machine.find()) == ["one", "three", "two"]


@pytest.mark.parametrize("user", ["x:0:0:gatehouse app bad", "x:a:7:gatehouse app bad", "x:7:7:gatehouse app ../etc"])
def test_no_user_that_can_not_be_an_apps_is_one(machine, user):
    machine.write("etc/passwd", f"bad:{user}:/:/bin/false\nshort:x\n")
    assert machine.find() == {}


def test_all_but_the_data_goes(machine):
    machine.deploy("shop")
    machine.deploy("shop-web")
    machine.keep_log("shop")
    others = machine.what("shop-web")
    removed, kept = machine.take_away("shop")
    assert machine.short(removed) == [
        "shop-log.service",
        "shop@8000.service",
        "/srv/shop",
        "/etc/logrotate.d/shop",
        "/run/gatehouse/rotation/shop",
        "user shop-build",
    ]
    assert machine.short(kept) == ["/var/lib/shop", "/var/log/shop", "user shop"]
    assert (machine.top / "var/lib/shop/data.db").exists()
    assert machine.done == [
        "systemctl disable --now --quiet -- shop-log.service shop@8000.service",
        "systemctl daemon-reload",
        "systemctl reset-failed -- shop-log.service shop@8000.service",
        "end 990",
        "end 991",
        "userdel shop-build",
    ]
    assert machine.what("shop")["units"] + machine.what("shop")["files"] == []
    assert machine.what("shop-web") == others


def test_the_data_goes_where_that_is_said_and_the_user_last(machine):
    machine.deploy("shop")
    removed, kept = machine.take_away("shop", data=True)
    assert kept == {}
    assert machine.short(removed)[-4:] == ["/var/lib/shop", "/var/log/shop", "user shop", "user shop-build"]
    assert not (machine.top / "var/lib/shop").exists()
    assert machine.done[-2:] == ["userdel shop", "userdel shop-build"]


def test_a_second_time_there_is_nothing_to_do(machine):
    machine.deploy("shop")
    machine.take_away("shop")
    machine.write("etc/passwd", PASSWD + USERS.format("shop").splitlines(True)[0])
    assert machine.take_away("shop")[0] == []
    assert machine.take_away("other") == ([], {})


class Killed(Exception):
    """The process was ended at once."""


@pytest.mark.parametrize("data", [False, True])
def test_a_removal_that_is_cut_short_at_any_step_is_completed_by_the_next(tmp_path, monkeypatch, data):
    real, steps = _remains.remove, []

    def step(doing):
        steps.append(doing)
        if len(steps) > left:
            raise Killed

    class Cut(Machine):
        def command(self, argv, _seconds):
            step(" ".join(argv))
            if argv[0] == "userdel":
                lines = (self.top / "etc/passwd").read_text().splitlines(True)
                self.write("etc/passwd", "".join(line for line in lines if line.split(":")[0] != argv[1]))
            return 0, "", ""

    monkeypatch.setattr(_remains, "remove", lambda path: (step(path), real(path)))
    for count in itertools.count():
        top = tmp_path / str(count)
        top.mkdir()
        machine = Cut(top)
        machine.deploy("shop", (8000, 18000))
        machine.keep_log("shop")
        steps, left = [], count
        try:
            machine.take_away("shop", data)
            finished = True
        except Killed:
            finished = False
        left = 1000
        # What is left is found by what is left, so that it is told and can be named.
        assert finished or "shop" in machine.find()
        machine.take_away("shop", data)
        there = machine.what("shop")
        assert (there["units"], there["files"]) == ([], []), count
        assert there["users"] == ([] if data else ["shop"]), count
        assert bool(there["data"]) is not data, count
        if finished:
            assert count > 6
            return


def test_check_mode_tells_the_same_and_does_nothing(machine):
    machine.deploy("shop")
    machine.keep_log("shop")
    before = machine.what("shop")
    told = machine.take_away("shop", data=True, check=True)
    assert machine.done == []
    assert machine.what("shop") == before
    assert machine.take_away("shop", data=True) == told


def test_where_a_link_leads_stays(machine):
    machine.deploy("shop")
    (machine.top / "var/lib/shop").rename(machine.top / "disk")
    (machine.top / "var/lib/shop").symlink_to(machine.top / "disk")
    removed, kept = machine.take_away("shop", data=True)
    assert str(machine.top / "var/lib/shop") in removed
    assert machine.short(kept) == ["/disk", "user shop"]
    assert (machine.top / "disk/data.db").exists()


def test_drop_ins_of_an_administrator_stay_and_are_told(machine):
    machine.deploy("shop")
    for unit in ("shop@", "shop@8000", "shop-web@8000", "shop"):
        machine.write(f"etc/systemd/system/{unit}.service.d/more.conf")
    removed, kept = machine.take_away("shop", data=True)
    assert machine.short(kept) == ["/etc/systemd/system/shop@.service.d", "/etc/systemd/system/shop@8000.service.d"]
    assert "user shop" in removed


def test_links_that_start_a_masked_instance_go_and_the_mask_stays(machine):
    machine.deploy("shop")
    folder = machine.top / "etc/systemd/system"
    (folder / "shop@8000.service").unlink()
    (folder / "shop@8000.service").symlink_to(os.devnull)
    machine.write("etc/systemd/system/shop@9000.service", "# by hand")
    wants = folder / "multi-user.target.wants"
    wants.mkdir()
    for name in ("shop@8000", "shop@8001", "shop@9000", "shop-web@8001"):
        (wants / f"{name}.service").symlink_to(f"/etc/systemd/system/{name}.service")
    _removed, kept = machine.take_away("shop", data=True)
    assert machine.short(kept) == ["/etc/systemd/system/shop@8000.service"]
    assert sorted(path.name for path in wants.iterdir()) == ["shop-web@8001.service", "shop@9000.service"]
    assert "systemctl daemon-reload" in machine.done
    assert (folder / "shop@8000.service").is_symlink()


def in_group(machine, monkeypatch, **groups):
    """Folders whose group is a user's, which only root could give them."""
    real = machine._group
    monkeypatch.setattr(machine, "_group", lambda *parts: groups.get("/".join(parts).replace("/", "_"), real(*parts)))


def test_a_front_end_goes_on_with_the_user_that_it_had_under_its_former_name(machine, monkeypatch):
    machine.deploy("front", ())
    machine.write("srv/facade/releases/one/manifest.json", "{}")
    in_group(machine, monkeypatch, srv_facade=990)
    assert machine.what("facade")["runs_as"] == "front"
    removed, kept = machine.take_away("front", data=True)
    assert machine.short(removed) == ["/srv/front", "/run/gatehouse/rotation/front", "user front-build"]
    assert set(kept.values()) == {_remains.GOES_ON}
    assert "user front" in kept


def test_the_log_of_an_app_that_ran_as_another_one_s_user_can_go(machine, monkeypatch):
    machine.deploy("shop")
    machine.write("var/log/store/store.log")
    machine.write("var/lib/store/file")
    assert "store" not in machine.find()
    in_group(machine, monkeypatch, var_log_store=990, var_lib_store=990)
    asked = []
    monkeypatch.setattr(machine, "_whose", lambda path, user: asked.append(user))
    monkeypatch.setattr(machine, "_user_of", lambda units: None)
    assert machine.short(machine.find()["store"]["data"]) == ["/var/log/store"]
    assert machine.short(machine.take_away("store", data=True)[0]) == ["/var/log/store"]
    assert not (machine.top / "var/log/store").exists()
    assert (machine.top / "var/lib/store").exists()


def test_somebody_else_s_data_stays(machine):
    machine.deploy("shop")
    machine._whose = lambda path, user: "it belongs to postgres" if "lib" in path else None
    _removed, kept = machine.take_away("shop", data=True)
    assert kept[str(machine.top / "var/lib/shop")] == "it belongs to postgres"
    assert "user shop" in kept


def test_what_does_not_end_stops_the_removal_before_anything_is_deleted(machine):
    machine.deploy("shop")
    machine.status = 1
    with pytest.raises(GatehouseError) as caught:
        machine.take_away("shop", data=True)
    assert caught.value.cause == "not_removed"
    assert "it is busy" in caught.value.message
    assert machine.what("shop")["units"] == ["shop@8000.service"]
    assert (machine.top / "srv/shop").exists()


@pytest.mark.parametrize(
    ("line", "led"),
    [
        ("upstream shop {", ["shop"]),
        ("        root /srv/shop/current/src/dist;", ["shop"]),
        ("if (-f /run/gatehouse/rotation/shop/8000) {", ["shop"]),
        ("upstream shop-web {", []),
        ("root /srv/shop-web/current/;", []),
        ("# shop", []),
    ],
)
def test_what_nginx_leads_to(machine, line, led):
    machine.write("etc/nginx/gatehouse/sites.conf", "x;\n%s\n" % line)
    machine.write("etc/nginx/gatehouse/notes.txt", "upstream shop {")
    machine.deploy("shop")
    assert machine.led() == set()
    assert machine.find()["shop"]["led"] is False
    machine.write("run/nginx.pid", "1\n")
    assert machine.led() & {"shop"} == set(led)
    assert machine.find()["shop"]["led"] is bool(led)
