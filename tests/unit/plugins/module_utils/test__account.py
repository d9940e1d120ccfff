"""The users of an app: made where they are missing, and nobody else's."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._account import Accounts
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError


class Host:
    """The users of a host: {name: comment}. expires: the day on which each account expires."""

    def __init__(self, folder, status=0, expires="", **users):
        self.users = {name.replace("_", "-"): comment for name, comment in users.items()}
        self.status = status
        self.shadow = folder / "shadow"
        self.told = []
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
        return Accounts(check, self.run, self.find, str(self.shadow))


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
