"""Which packages are missing, and what apt-get is told. Outputs are recorded from dpkg 1.21 and apt 2.6 on Debian 12."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _packages
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.modules.debian_packages import install_missing

STATES = """\
curl\t7.88.1-10+deb12u14\tinstalled\t
exim4-daemon-light\t4.96-15+deb12u7\tinstalled\tdefault-mta, mail-transport-agent
libc6:amd64\t2.36-9+deb12u13\tinstalled\tlibc6-2.36
nginx\t1.22.1-9+deb12u3\tinstalled\thttpd, httpd-cgi, nginx-light (= 1.22.1-9+deb12u3)
ntp\t1:4.2.8p15+dfsg-2\tconfig-files\t
ufw\t0.36.2-1\thalf-configured\t
"""
POLICY = """\
libnginx-mod-http-brotli-filter:
  Installed: (none)
  Candidate: 1.0.0~rc-5+b1
  Version table:
     1.0.0~rc-5+b1 500
virtual-only:
  Installed: (none)
  Candidate: (none)
  Version table:
"""
FRONTEND_LOCK = """\
E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 10697 (unattended-upgr)
E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?
"""
LISTS_LOCK = """\
E: Could not get lock /var/lib/apt/lists/lock. It is held by process 815 (apt-get)
E: Unable to lock directory /var/lib/apt/lists/
"""
OLD_APT_LOCK = """\
E: Could not get lock /var/lib/dpkg/lock-frontend - open (11: Resource temporarily unavailable)
E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?
"""
UNKNOWN = "Reading package lists...\nE: Unable to locate package libpq55\n"
GONE = "E: Failed to fetch http://deb.example/pool/s/sl_5.02-1_amd64.deb  404  Not Found\nE: Unable to fetch some archives\n"


class Lists:
    def __init__(self, old):
        self.old = old
        self.fetched = 0

    def are_older(self, seconds):
        return self.old and seconds == 86400

    def mark_fetched(self):
        self.old = False
        self.fetched += 1


class SmallHost:
    """dpkg and apt-get of a host: `answers` are those of apt-get, in order; what it installs is installed afterwards."""

    def __init__(self, answers=(), old_lists=False, policy=POLICY):
        self.states = STATES
        self.answers = list(answers)
        self.lists = Lists(old_lists)
        self.policy = policy
        self.calls = []
        self.time = 0.0

    def run(self, argv, seconds, environment=None):
        if argv[0] == "dpkg-query":
            return 0, self.states, ""
        self.calls.append(argv)
        if argv[0] == "apt-cache":
            return 0, self.policy, ""
        assert environment["DEBIAN_FRONTEND"] == "noninteractive"
        answer = self.answers.pop(0) if self.answers else (0, "", "")
        if answer[0] == 0 and argv[1] == "install":
            for name in argv[len(_packages.INSTALL) :]:
                self.states += f"{name}\t1.0\tinstalled\t\n"
        return answer

    def sleep(self, seconds):
        self.time += seconds

    def packages(self, lock_timeout=600):
        return _packages.Packages(lock_timeout, 86400, self.run, self.lists, lambda: self.time, self.sleep)

    def install(self, names, optional=(), check_mode=False, lock_timeout=600):
        return install_missing(self.packages(lock_timeout), list(names), list(optional), check_mode)

    @property
    def commands(self):
        return [" ".join(argv[:2]) for argv in self.calls]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("nginx", True),
        ("nginx=1.22.1-9+deb12u3", True),
        ("nginx=1.22.*", True),
        ("nginx=1.24.*", False),
        ("nginx/bookworm-backports", True),
        ("httpd", True),
        ("nginx-light", True),
        ("nginx-light=1.22.1-9+deb12u3", False),
        ("mail-transport-agent", True),
        ("libc6", True),
        ("libc6:amd64", True),
        ("libc6:i386", False),
        ("curl:arm64", True),  # dpkg tells architectures apart only where several may be installed
        ("ngin", False),
        ("ntp", False),
        ("ufw", False),
    ],
)
def test_what_counts_as_installed(request_, expected):
    assert _packages.is_installed(request_, _packages.parse_installed(STATES)) is expected


@pytest.mark.parametrize("name", ["--purge", "nginx curl", "Nginx", "", "nginx=", "./local.deb", "a;b", "nginx\n"])
def test_what_is_no_package_is_refused_before_anything_is_asked(name):
    host = SmallHost()
    with pytest.raises(GatehouseError, match="Write it as nginx, nginx=1.22") as failure:
        host.install(["curl", name])
    assert failure.value.cause == "bad_name"
    assert host.calls == []


def test_where_nothing_is_missing_apt_is_not_asked():
    host = SmallHost(old_lists=True)
    assert host.install(["nginx", "curl"], optional=["httpd"]) == {"changed": False, "missing": [], "installed": []}
    assert host.calls == []


def test_what_is_missing_is_installed_in_one_transaction():
    host = SmallHost()
    result = host.install(["nginx", "sl", "cowsay"])
    assert host.calls == [[*_packages.INSTALL, "sl", "cowsay"]]
    assert result == {
        "changed": True,
        "missing": ["sl", "cowsay"],
        "installed": ["cowsay=1.0", "sl=1.0"],
        "diff": {"before": "", "after": "cowsay=1.0\nsl=1.0\n"},
    }


def test_the_lists_are_fetched_first_where_they_are_old():
    host = SmallHost(old_lists=True)
    host.install(["sl"])
    assert host.commands == ["apt-get update", "apt-get install"]
    assert host.lists.fetched == 1


def test_check_mode_says_what_is_missing_and_runs_no_apt_get():
    host = SmallHost(old_lists=True)
    result = host.install(["nginx", "sl"], check_mode=True)
    assert (result["changed"], result["missing"], result["installed"]) == (True, ["sl"], [])
    assert result["diff"]["after"] == "sl\n"
    assert host.calls == []


@pytest.mark.parametrize("check_mode", [False, True])
def test_optional_packages_are_installed_where_an_archive_has_them(check_mode):
    host = SmallHost()
    optional = ["libnginx-mod-http-brotli-filter", "virtual-only", "nowhere"]
    result = host.install(["nginx"], optional, check_mode)
    assert result["missing"] == ["libnginx-mod-http-brotli-filter"]
    assert host.commands == ["apt-cache --quiet"] + ([] if check_mode else ["apt-get install"])


def test_optional_packages_that_no_archive_has_are_no_change():
    host = SmallHost()
    assert host.install(["nginx"], ["virtual-only"])["changed"] is False
    assert host.commands == ["apt-cache --quiet"]


@pytest.mark.parametrize("lock", [FRONTEND_LOCK, LISTS_LOCK, OLD_APT_LOCK])
def test_a_lock_that_another_process_holds_is_waited_for(lock):
    host = SmallHost(answers=[(100, "", lock)] * 40)
    assert host.install(["sl"])["changed"] is True
    assert host.commands == ["apt-get install"] * 41
    assert host.time > 0.5


def test_a_lock_that_is_held_too_long_is_told_with_its_holder():
    host = SmallHost(answers=[(100, "", FRONTEND_LOCK)] * 1000)
    with pytest.raises(GatehouseError) as failure:
        host.install(["sl"], lock_timeout=30)
    assert failure.value.cause == "packages_locked"
    assert failure.value.hint == "ps -o pid,user,etime,args -p 10697"
    assert str(failure.value) == (
        "sl could not be installed: for 30 s the package manager has been locked by process 10697 (unattended-upgr)"
    )
    assert 29 < host.time < 33
    assert "apt-get update" not in host.commands


@pytest.mark.parametrize(
    ("printed", "holder"),
    [
        (FRONTEND_LOCK, "process 10697 (unattended-upgr)"),
        (LISTS_LOCK, "process 815 (apt-get)"),
        (OLD_APT_LOCK, "another process"),
        (UNKNOWN, None),
        ("", None),
    ],
)
def test_who_holds_the_lock(printed, holder):
    found = _packages.lock_holder(printed)
    assert (None if found is None else str(found)) == holder


@pytest.mark.parametrize("printed", [UNKNOWN, GONE])
def test_lists_that_no_longer_fit_the_archive_are_fetched_and_it_is_tried_again(printed):
    host = SmallHost(answers=[(100, printed, "")])
    assert host.install(["sl"])["changed"] is True
    assert host.commands == ["apt-get install", "apt-get update", "apt-get install"]


def test_a_package_that_no_archive_has_is_named():
    host = SmallHost(answers=[(100, "", UNKNOWN), (0, "", ""), (100, "", UNKNOWN)])
    with pytest.raises(GatehouseError, match="no archive of this host has a package libpq55") as failure:
        host.install(["libpq55"])
    assert (failure.value.cause, failure.value.hint) == ("package_unknown", "apt-cache search libpq55")


def test_what_apt_says_of_another_failure_is_shown():
    broken = (
        100,
        "Reading package lists...\n",
        "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'\n",
    )
    host = SmallHost(answers=[broken, (0, "", ""), broken])
    with pytest.raises(GatehouseError, match="dpkg was interrupted") as failure:
        host.install(["sl"])
    assert (failure.value.cause, failure.value.hint) == ("install_failed", "dpkg --audit; apt-get --fix-broken install")
    assert "Reading package lists" not in str(failure.value)


def test_lists_that_cannot_be_fetched_are_told():
    host = SmallHost(
        answers=[(100, "", "E: The repository 'http://x bookworm Release' does not have a Release file.\n")],
        old_lists=True,
    )
    with pytest.raises(GatehouseError, match="does not have a Release file") as failure:
        host.install(["sl"])
    assert (failure.value.cause, failure.value.hint) == ("update_failed", "apt-get update")
    assert host.lists.fetched == 0


def test_a_host_without_dpkg_is_told_as_that():
    packages = _packages.Packages(
        600, 86400, lambda argv, seconds, environment=None: (127, "", "no such file"), Lists(False)
    )
    with pytest.raises(GatehouseError) as failure:
        packages.missing(["nginx"])
    assert failure.value.cause == "not_debian"


def test_empty_lists_are_old_and_fetched_ones_are_not(tmp_path, monkeypatch):
    lists = tmp_path / "lists"
    monkeypatch.setattr(_packages, "LISTS", str(lists))
    monkeypatch.setattr(_packages, "UPDATE_STAMPS", (str(tmp_path / "stamp"), str(lists)))
    assert _packages.AptLists().are_older(86400)
    (lists / "partial").mkdir(parents=True)
    assert _packages.AptLists().are_older(86400)
    (lists / "deb.example_Packages").write_text("")
    assert not _packages.AptLists().are_older(86400)
    assert _packages.AptLists().are_older(-1)
