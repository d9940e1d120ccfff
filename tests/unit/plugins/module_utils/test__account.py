"""The users of an app: made where they are missing, and nobody else's."""

import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _account
from ansible_collections.gatehouse.webapp.plugins.module_utils._account import Accounts, refuse_foreign
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError


class Host:
    """The users of a host: {name: comment}. expires: the day on which each account expires."""

    def __init__(self, folder, status=0, expires="", **users):
        self.users = {name.replace("_", "-"): comment for name, comment in users.items()}
        self.status = status
        self.shadow = folder / "shadow"
        self.told = []
        self.groups = {}
        self._keep(dict.fromkeys(self.users, expires))

    def _keep(self, expires):
        self.expires = expires
        self.shadow.write_text("".join("%s:!:1::::::\n" % name if not day else "%s:!:1:::::%s:\n" % (name, day)
                                       for name, day in expires.items()))  # fmt: skip

    def find(self, name):
        return type("Entry", (), {"pw_gecos": self.users[name], "pw_uid": 7, "pw_gid": 8})

    def run(self, argv, seconds):
        self.told.append(argv)
        if not self.status:
            self.users.setdefault(argv[-1], argv[argv.index("--comment") + 1] if "--comment" in argv else None)
            self._keep(dict(self.expires, **{argv[-1]: "1"}))
        return self.status, "", "no"

    def accounts(self, check=False):
        return Accounts(check, self.run, self.find, str(self.shadow), self.groups.__getitem__)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_the_user_that_builds_is_made_once_with_a_home_of_root_s(host):
    assert host.accounts().builder("shop-build", "shop") == (7, 8)
    assert host.accounts().builder("shop-build", "shop") == (7, 8)
    (made,) = host.told
    assert made[made.index("--home-dir") + 1] == "/run/gatehouse/home"
    assert {"--system", "--no-create-home", "/usr/sbin/nologin"} < set(made)


def test_the_user_that_runs_has_the_app_s_data_as_its_home_and_nobody_logs_in_as_it(host):
    assert host.accounts().runner("shop", "shop", "/var/lib/shop") == (7, 8)
    (made,) = host.told
    assert made[made.index("--home-dir") + 1] == "/var/lib/shop"
    assert made[made.index("--comment") + 1] == "gatehouse app shop"
    assert made[made.index("--expiredate") + 1] == "1970-01-02"


@pytest.mark.parametrize("expires", ["", "99999"])
def test_of_one_that_is_there_already_log_ins_are_refused_too(tmp_path, expires):
    host = Host(tmp_path, expires=expires, shop="gatehouse app shop")
    host.accounts().runner("shop", "shop", "/var/lib/shop")
    host.accounts().runner("shop", "shop", "/var/lib/shop")
    assert host.told == [["usermod", "--expiredate", "1970-01-02", "shop"]]


def test_a_host_that_keeps_no_days_is_not_told(tmp_path):
    host = Host(tmp_path, shop="gatehouse app shop")
    host.shadow.unlink()
    host.accounts().runner("shop", "shop", "/var/lib/shop")
    assert host.told == []


@pytest.mark.parametrize("comment", ["", "Jane Doe,,,", "gatehouse app shop-build", "gatehouse build of other"])
def test_a_user_that_builds_and_is_somebody_else_s_is_refused(tmp_path, comment):
    host = Host(tmp_path, shop_build=comment)
    with pytest.raises(GatehouseError) as caught:
        host.accounts().builder("shop-build", "shop")
    assert caught.value.cause == "user_conflict"
    assert "not made for the app shop" in caught.value.message
    assert host.told == []


@pytest.mark.parametrize(
    "comment", ["MySQL Server,,,", "gatehouse build of other", "gatehouse log reader", "gatehouse app other"]
)
def test_a_user_that_is_somebody_else_s_runs_no_app(tmp_path, comment):
    host = Host(tmp_path, mysql=comment)
    with pytest.raises(GatehouseError) as caught:
        host.accounts().runner("mysql", "mysql", "/var/lib/mysql")
    assert caught.value.cause == "user_conflict"
    assert caught.value.hint.endswith("usermod --comment 'gatehouse app mysql' mysql")
    assert host.told == []


def test_a_user_that_can_not_be_made_is_told(tmp_path):
    with pytest.raises(GatehouseError) as caught:
        Host(tmp_path, status=9).accounts().builder("shop-build", "shop")
    assert caught.value.message == "the user shop-build of the app shop can't be made: no"
    assert caught.value.hint.startswith("useradd --system --comment 'gatehouse build of shop'")


def test_check_mode_makes_none_and_refuses_what_is_somebody_else_s(tmp_path):
    host = Host(tmp_path, shop="gatehouse app shop", mysql="MySQL Server,,,")
    accounts = host.accounts(check=True)
    assert accounts.builder("shop-build", "shop") == (0, 0)
    assert accounts.runner("shop", "shop", "/var/lib/shop") == (7, 8)
    with pytest.raises(GatehouseError):
        accounts.runner("mysql", "mysql", "/var/lib/mysql")
    assert host.told == []


@pytest.mark.parametrize("check", [False, True])
def test_a_group_of_that_name_is_not_made_the_user_s(host, check):
    host.groups["shop"] = ["staff"]
    with pytest.raises(GatehouseError) as caught:
        host.accounts(check).runner("shop", "shop", "/var/lib/shop")
    assert caught.value.cause == "user_conflict"
    assert "groupdel shop" in caught.value.hint
    assert host.told == []


@pytest.fixture
def owned(monkeypatch):
    """The user ids of names: `me` is whoever runs the tests."""
    monkeypatch.setattr(_account, "name_of", lambda uid: "user %d" % uid)
    entries = {"me": os.getuid(), "other": os.getuid() + 1}
    return lambda name: type("Entry", (), {"pw_uid": entries[name]})


def test_folders_that_hold_what_is_somebody_else_s_are_told(tmp_path, owned):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "boot.sh").write_text("")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("data")

    def whose(name, user):
        return _account.foreign_owner(str(tmp_path / name), user, owned)

    assert (whose("data", "me"), whose("none", "me")) == (None, None)
    for user in ("other", "not-made-yet"):
        assert whose("data", user) == "it belongs to user %d" % os.getuid()
    # As where the data was moved to another disk.
    assert (whose("link", "me"), whose("link", "other")) == (None, "it belongs to user %d" % os.getuid())
    assert whose("file", "me") == "it is no folder"
    (tmp_path / "broken").symlink_to("nowhere")
    assert whose("broken", "me") == "it leads nowhere"


def test_an_empty_folder_of_root_s_or_a_disk_is_nobody_s(tmp_path, owned, monkeypatch):
    real = os.stat
    monkeypatch.setattr(
        _account.os, "stat", lambda path: os.stat_result((real(path).st_mode, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    )
    for name, whose in (("lost+found", None), ("data.db", "it belongs to user 0")):
        (tmp_path / name).mkdir()
        assert _account.foreign_owner(str(tmp_path), "other", owned) == whose


def test_a_folder_of_somebody_else_s_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    refuse_foreign([str(tmp_path / "none")], "shop")
    with pytest.raises(GatehouseError) as caught:
        refuse_foreign([str(tmp_path / "none"), str(tmp_path / "file")], "shop")
    assert caught.value.cause == "path_conflict"
    assert caught.value.hint.endswith("chown -R shop:shop %s" % (tmp_path / "file"))
