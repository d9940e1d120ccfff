"""What only a deploy asks of a host."""

import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _survey
from ansible_collections.gatehouse.webapp.plugins.module_utils._survey import OUR_UNIT, Surveyor, reboot, ufw

APP = {
    "name": "shop",
    "runtime": "uvicorn",
    "local": True,
    "services": [{"name": "shop@8000.service", "port": 8000}],
    "green": [{"name": "shop@18000.service", "port": 18000}],
    "ports": [8000],
    "requires": [],
    "interpreter": "python3.12",
    "writable_paths": [],
    "users": ["shop", "shop-build"],
    "own_folders": [],
    "allow_network": True,
}
RULE = "### tuple ### %s tcp %s 0.0.0.0/0 any 0.0.0.0/0 in\n"


def surveyor(tmp_path, databases=(), node="/usr/bin/node", **app):
    app = {**APP, "root": str(tmp_path / "shop"), "state_dir": str(tmp_path), **app}
    return Surveyor(list(databases), node, [app], [], {}, lambda name: None, 10.0)


def test_all_is_asked_and_what_fails_is_told(tmp_path, monkeypatch):
    asked = surveyor(tmp_path, [{"app": "shop", "name": "DSN", "url": "mysql://x@y/z", "code": "src"}])
    monkeypatch.setattr(asked, "run", lambda argv: (127, "", "not there"))
    monkeypatch.setattr(_survey._database, "look", lambda *given: {"ok": True, "given": given})
    found = asked.survey()
    assert found["databases"] == [
        {
            "ok": True,
            "app": "shop",
            "name": "DSN",
            "given": ("mysql://x@y/z", "shop", asked.apps[0]["root"], "src", "/usr/bin/node", 9.0),
        }
    ]
    assert found["apps"] == [{"name": "shop", "live": APP["services"]}]
    assert "units" in found["unanswered"]
    assert {"listeners", "disks", "memory", "system", "programs", "paths", "ufw", "reboot", "now", "took"} <= set(found)
    assert found["certified"] == []


def test_a_unit_is_ours_when_its_file_says_so(tmp_path, monkeypatch):
    (tmp_path / "ours").write_text(f"# managed\n{OUR_UNIT}/srv/shop/releases/1\n[Unit]\n")
    (tmp_path / "theirs").write_text("[Service]\n")
    files = {"shop@8000.service": "ours", "shop@18000.service": "theirs", "nginx.service": None}
    asked = []

    def states(names, _run):
        asked.extend(names)
        return {name: {"files": [str(tmp_path / file)] if file else []} for name, file in files.items()}

    monkeypatch.setattr(_survey, "units_states", states)
    found = surveyor(tmp_path).units()
    assert [found[name]["ours"] for name in files] == [True, False, False]
    assert {"shop.service", "chrony.service", *files} <= set(asked)


@pytest.mark.parametrize(
    ("output", "filtered"), [("refused\n", True), ("sent\n", False), ("", None), ("Traceback ...", None)]
)
def test_whether_a_unit_is_kept_from_addresses_is_tried(tmp_path, monkeypatch, output, filtered):
    asked = surveyor(tmp_path)
    told = []
    monkeypatch.setattr(asked, "run", lambda argv: told.append(argv) or (0, output, ""))
    assert asked.filtered() is filtered
    assert told[0][0] == "systemd-run" and "--property=IPAddressDeny=any" in told[0]
    compile(told[0][-1], "SEND", "exec")


def test_where_nobody_can_send_it_is_not_the_unit_that_is_kept_from_it(tmp_path, monkeypatch):
    class Refuses(_survey.socket.socket):
        def sendto(self, *_given):
            raise PermissionError

    monkeypatch.setattr(_survey.socket, "socket", Refuses)
    asked = surveyor(tmp_path)
    monkeypatch.setattr(asked, "run", lambda argv: (0, "refused\n", ""))
    assert asked.filtered() is None


@pytest.mark.parametrize("allow_network", [True, False])
def test_it_is_tried_where_an_app_may_not_use_the_network(tmp_path, monkeypatch, allow_network):
    asked = surveyor(tmp_path, allow_network=allow_network)
    monkeypatch.setattr(asked, "run", lambda argv: (0, "sent\n", ""))
    assert ("filtered" in asked.survey()) is not allow_network


def test_the_comments_of_the_users_tell_whose_they_are(tmp_path, monkeypatch):
    entries = {"shop": type("Entry", (), {"pw_gecos": "MySQL Server,,,"})}
    monkeypatch.setattr(_survey.pwd, "getpwnam", lambda name: entries[name])
    monkeypatch.setattr(_survey.grp, "getgrnam", lambda name: {"shop-build": ["a"]}[name])
    assert surveyor(tmp_path).accounts() == {
        "shop": {"comment": "MySQL Server,,,", "group": False},
        "shop-build": {"comment": None, "group": True},
    }


def test_a_folder_that_is_to_be_an_app_s_and_is_none_is_told(tmp_path):
    (tmp_path / "data").write_text("")
    asked = surveyor(tmp_path, own_folders=[str(tmp_path / "data"), str(tmp_path / "none")])
    assert asked.foreign() == {str(tmp_path / "data"): "it is no folder"}


def test_who_may_put_something_else_in_the_place_of_a_served_folder_is_told(tmp_path, monkeypatch):
    (tmp_path / "open" / "www").mkdir(parents=True)
    (tmp_path / "closed" / "www").mkdir(parents=True)
    (tmp_path / "open").chmod(0o775)
    (tmp_path / "closed").chmod(0o755)
    asked = surveyor(tmp_path)
    asked.sites = [{"folders": [str(tmp_path / "open" / "www"), str(tmp_path / "closed" / "www") + "/", "/www"]}]
    real = os.stat

    def stat_of(path, **options):
        info, owner = real(path, **options), 7 if path == str(tmp_path) else 0  # root owns all but one
        return os.stat_result((info.st_mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))

    monkeypatch.setattr(_survey.os, "stat", stat_of)
    monkeypatch.setattr(_survey, "name_of", lambda uid: "user %d" % uid)
    assert asked.replaceable() == {
        str(tmp_path / "open" / "www"): [str(tmp_path / "open"), "several users"],
        str(tmp_path / "closed" / "www") + "/": [str(tmp_path), "user 7"],
    }


def test_versions_are_read_from_what_the_programs_print(tmp_path, monkeypatch):
    printed = {"python3.12": (0, "Python 3.12.4+\n", ""), "/usr/bin/node": (127, "", "")}
    asked = surveyor(tmp_path)
    asked.apps.append({**asked.apps[0], "runtime": "pm2", "interpreter": None})
    monkeypatch.setattr(asked, "run", lambda argv: printed[argv[0]])
    assert asked.programs() == {"python3.12": [3, 12, 4], "/usr/bin/node": None}


@pytest.mark.parametrize(
    ("folders", "file", "expected"),
    [
        ([], None, None),
        (["shop"], None, (True, True, True)),
        (["shop/releases"], None, (True, True, True)),
        (["shop"], "shop/app.py", (True, False, True)),
        (["shop/lost+found", "shop/data/uploads"], None, (True, True, True)),
        (["shop/lost+found", "shop/data/uploads"], "shop/app.py", (True, False, True)),
        (["shop/database"], None, (True, False, True)),
        (["shop/releases", "shop/current"], None, (True, True, False)),
        ([], "shop", (False, True, True)),
    ],
)
def test_what_is_where_releases_go(tmp_path, folders, file, expected):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    if file:
        (tmp_path / file).write_text("by hand")
    writable = [str(tmp_path / "shop/data/uploads"), str(tmp_path / "shop"), "/srv/elsewhere/database"]
    found = surveyor(tmp_path, writable_paths=writable).paths().get("shop")
    assert (found and (found["folder"], found["ours"], found["link"])) == expected


def test_which_sites_have_their_certificate(tmp_path):
    (tmp_path / "fullchain.pem").write_text("-----BEGIN CERTIFICATE-----")
    asked = surveyor(tmp_path)
    files = {"chat": str(tmp_path / "fullchain.pem"), "shop": str(tmp_path / "none.pem"), "plain": None}
    asked.sites = [{"name": name, "certificate": file} for name, file in files.items()]
    assert asked.certified() == ["chat"]


@pytest.fixture
def firewall(tmp_path, monkeypatch):
    """UFW's files with these rules and this word for ENABLED."""

    def write(rules, enabled):
        for name in ("user.rules", "user6.rules", "defaults"):
            (tmp_path / name).write_text("")
        (tmp_path / "user.rules").write_text(rules)
        (tmp_path / "ufw.conf").write_text(f"ENABLED={enabled}\n")

    monkeypatch.setattr(_survey, "RULE_FILES", {4: str(tmp_path / "user.rules"), 6: str(tmp_path / "user6.rules")})
    monkeypatch.setattr(_survey, "DEFAULTS_FILE", str(tmp_path / "defaults"))
    monkeypatch.setattr(_survey, "CONF_FILE", str(tmp_path / "ufw.conf"))
    return write


def test_a_host_without_ufw(firewall):
    assert ufw() is None


def test_the_ports_that_ufw_lets_in(firewall):
    firewall(RULE % ("allow", "22") + RULE % ("limit", "80,443") + RULE % ("deny", "25"), "yes")
    assert ufw() == {"enabled": True, "incoming": "deny", "ports": ["22", "443", "80"], "rules": 3}


def test_rules_of_ufw_that_nobody_can_read(firewall):
    firewall("### tuple ### what is this\n", "yes")
    found = ufw()
    assert (found["enabled"], found["ports"]) == (None, [])
    assert "can't be read" in found["error"]


def test_no_reboot(tmp_path):
    assert reboot(str(tmp_path)) == {"required": False, "packages": [], "scheduled": None}


def test_a_reboot_that_is_due_and_one_that_comes(tmp_path):
    (tmp_path / "reboot-required").write_text("*** System restart required ***\n")
    (tmp_path / "reboot-required.pkgs").write_text("linux-base\nlibc6\nlinux-base\n")
    (tmp_path / "systemd/shutdown").mkdir(parents=True)
    (tmp_path / "systemd/shutdown/scheduled").write_text("USEC=1790000000500000\nWARN_WALL=1\nMODE=reboot\n")
    assert reboot(str(tmp_path)) == {"required": True, "packages": ["libc6", "linux-base"], "scheduled": 1790000000.5}
