"""The story of a site's certificate: what nginx reads after each step, and after each failure."""

import os
from types import SimpleNamespace

import pytest
from authority import DAY, NOW, Issued, for_names
from cryptography.x509 import DNSName

from ansible_collections.gatehouse.webapp.plugins.module_utils import _site_certificate
from ansible_collections.gatehouse.webapp.plugins.module_utils._certificate import read_pem
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer
from ansible_collections.gatehouse.webapp.plugins.module_utils._site_certificate import Keeper, Wish, check_wish

CA = "https://ca.example.com/d"
GOOD = Answer(True, None, "answered 200", 0.001, 200)
REFUSED = Answer(False, "refused", "connection refused", 0.001)


class World:
    """certbot, openssl, the CA, and an nginx that serves what it read at its last reload."""

    def __init__(self, folder):
        self.root = str(folder / "tls")
        self.config = folder / "acme"
        self.webroot = str(folder / "webroot")
        self.lineages = folder / "letsencrypt"
        self.named = []  # pairs of files that nginx's configuration names
        self.now = NOW
        self.asked = []  # command lines of certbot
        self.directory = self.challenge = GOOD
        self.certbot_says = None
        self.issues = {}  # what the CA's certificates have beside the names
        self.reads = True  # whether nginx's configuration names the certificate
        self.refuses = self.is_deaf = False
        self.busy = 0
        self.serves = None
        self.reloads = 0
        self.missing = None

    # The host's commands

    def run(self, argv, _seconds, _environment=None):
        options = dict(zip(argv, argv[1:], strict=False))
        if argv[0] == self.missing:
            raise FileNotFoundError(argv[0])
        if argv[0] == "openssl":
            names = [name.partition(":")[2] for name in options["-addext"].partition("=")[2].split(",")]
            days = (self.now - NOW) / DAY
            subject = options["-subj"].partition("CN=")[2]
            issued = Issued(subject, names=[DNSName(name) for name in names], begins=days, ends=days + 90)
            self._write(issued.pem, options["-out"], issued.key_pem(), options["-keyout"])
            return 0, "", ""
        self.asked.append(argv)
        if self.certbot_says:
            return 1, self.certbot_says, ""
        names = [word for before, word in zip(argv, argv[1:], strict=False) if before == "--domain"]
        days = (self.now - NOW) / DAY
        issued = for_names(*names, **{"issuer": Issued("ca"), "begins": days, "ends": days + 90, **self.issues})
        live = self.config / "live" / options["--cert-name"]
        live.mkdir(parents=True, exist_ok=True)
        (self.config / "renewal").mkdir(exist_ok=True)
        (self.config / "renewal" / (options["--cert-name"] + ".conf")).write_text("server = %s\n" % options["--server"])
        self._write(issued.pem, live / "fullchain.pem", issued.key_pem(), live / "privkey.pem")
        return 0, "", ""

    def _write(self, certificate, certificate_path, key, key_path):
        for text, path in ((certificate, certificate_path), (key, key_path)):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)

    def made_by_hand(self, *names, name="hand", issuer="Hand CA", **options):
        """A lineage of a certbot that people run themselves. Returns its files."""
        issued = for_names(*names, issuer=issuer and Issued(issuer), **options)
        folder = self.lineages / name
        folder.mkdir(parents=True)
        pair = str(folder / "fullchain.pem"), str(folder / "privkey.pem")
        self._write(issued.pem, pair[0], issued.key_pem(), pair[1])
        return pair

    # nginx

    def certificates(self):
        return self.named

    def reload(self, path):
        if self.busy:
            self.busy -= 1
            raise GatehouseError("Another run is changing /etc/nginx.", cause="busy")
        if not self.reads:
            return False
        if self.refuses:
            raise GatehouseError("nginx refuses the configuration", cause="config_invalid")
        self.reloads += 1
        if not self.is_deaf:
            with open(path, encoding="ascii") as file:
                self.serves = read_pem(file.read(), path)[0]
        return True

    def probe(self, url, _timeout, _expectation, headers=None, tls=None):
        return self.challenge if headers else self.directory

    # What a test looks at

    def live(self, name="chat"):
        found = _site_certificate.Store(self.root, name).read()
        return found and (found[0][0], found[1])


@pytest.fixture
def world(tmp_path, monkeypatch):
    found = World(tmp_path)
    monkeypatch.setattr(_site_certificate, "probe_http", found.probe)
    monkeypatch.setattr(_site_certificate, "served", lambda *_arguments: found.serves)
    monkeypatch.setattr(_site_certificate, "_log", lambda: "")

    def once(step, _deadline, **_options):
        """No test waits: a wait is some tries and then its end."""
        return next((answer for answer in (step() for _try in range(3)) if answer is not None), None)

    monkeypatch.setattr(_site_certificate, "poll", once)
    return found


@pytest.fixture
def keep(world):
    def run(stand_in=False, force=False, check=False, **changes):
        names = ["chat.example.com", "www.chat.example.com"]
        wish = Wish("chat", "acme", names, "ops@example.com", CA, None, world.webroot, 80, 443)._replace(**changes)
        host = SimpleNamespace(run=world.run)
        keeper = Keeper(wish, host, world, world.root, str(world.config), lambda: world.now, 1, str(world.lineages))
        return keeper.keep(stand_in, force, check)

    return run


@pytest.fixture
def fails(keep):
    def run(**options):
        with pytest.raises(GatehouseError) as caught:
            keep(**options)
        return caught.value

    return run


SELF_SIGNED = {"mode": "self_signed", "directory": None, "email": None}


def test_something_stands_in_before_any_ca_is_asked(world, keep):
    result = keep(stand_in=True)
    certificate, directory = world.live()
    assert (result["changed"], result["outcome"], directory, world.asked) == (True, "self_signed", None, [])
    assert certificate.names == ["chat.example.com", "www.chat.example.com"]
    for check in (True, False):
        again = keep(stand_in=True, check=check)
        assert (again["changed"], world.live()[0]) == (False, certificate)


def test_the_real_one_takes_its_place_when_nginx_serves(world, keep):
    keep(stand_in=True)
    result = keep()
    certificate, directory = world.live()
    assert (result["outcome"], result["reasons"], directory) == ("acme", ["It is signed by itself."], CA)
    assert (world.serves, len(world.asked)) == (certificate, 1)
    assert keep()["changed"] is False
    assert keep(stand_in=True)["changed"] is False
    assert len(world.asked) == 1


def test_keys_are_for_root_alone_and_both_files_change_in_one_step(world, keep):
    keep()
    link = os.path.join(world.root, "chat")
    assert os.path.islink(link)
    assert oct(os.stat(os.path.join(link, "privkey.pem")).st_mode & 0o777) == "0o600"
    assert oct(os.stat(os.path.join(link, "fullchain.pem")).st_mode & 0o777) == "0o644"


def test_the_live_version_and_the_one_before_are_kept(world, keep):
    for _time in range(4):
        keep(force=True)
    assert len(os.listdir(os.path.join(world.root, ".chat"))) == 2


@pytest.mark.parametrize(
    ("days", "due"),
    [(59, []), (61, ["It expires in 29 days."])],
)
def test_a_third_before_its_end_a_new_one_is_due(world, keep, days, due):
    keep()
    world.now += days * DAY
    assert keep(check=True)["reasons"] == due
    assert keep()["changed"] is bool(due)


NAMES = ["chat.example.com", "www.chat.example.com"]


@pytest.mark.parametrize("names", [NAMES, ["*.example.com", "*.chat.example.com"]])
def test_a_certificate_that_the_host_has_serves_on_until_the_ca_has_issued(world, keep, fails, names):
    certificate, _key = world.made_by_hand(*names)
    result = keep(stand_in=True)
    assert (result["changed"], result["outcome"], world.live()[1]) == (True, "adopted", None)
    assert world.live()[0].issuer == "Hand CA"
    assert keep(stand_in=True)["changed"] is False
    world.directory = REFUSED
    assert (fails().cause, world.live()[0].issuer) == ("ca_unreachable", "Hand CA")
    world.directory = GOOD
    result = keep()
    assert (result["outcome"], result["reasons"][0]) == ("acme", "It is of Hand CA, and was not obtained here.")
    assert (world.live()[1], os.path.exists(certificate)) == (CA, True)


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (NAMES[:1], {}),
        (NAMES, {"ends": -1}),
        (NAMES, {"begins": 1}),
        (NAMES, {"issuer": None}),
    ],
)
def test_what_clients_would_refuse_is_not_taken(world, keep, names, options):
    world.made_by_hand(*names, **options)
    assert (keep(stand_in=True)["outcome"], world.live()[0].issuer) == ("self_signed", "chat")


def test_what_nginx_names_goes_before_what_lasts_longer(world, keep, tmp_path):
    world.named = [("/gone.pem", "/gone.key"), for_names(*NAMES, issuer=Issued("Named CA")).write(tmp_path)]
    world.made_by_hand(*NAMES, name="short", issuer="Short CA", ends=100)
    world.made_by_hand(*NAMES, name="long", issuer="Long CA", ends=300)
    keep(stand_in=True)
    assert world.live()[0].issuer == "Named CA"
    world.named = []
    keep(stand_in=True, name="other")
    assert world.live("other")[0].issuer == "Long CA"


def test_a_site_that_gets_another_name_goes_on_with_what_it_had(world, keep):
    keep()
    before = world.live()
    assert keep(stand_in=True, name="talk")["changed"] is True
    assert world.live("talk") == before
    assert keep(name="talk")["changed"] is False
    assert (keep(name="third")["outcome"], world.live("third"), len(world.asked)) == ("acme", before, 1)
    keep(name="talk", force=True)
    assert (world.live("talk") != before, world.live()) == (True, before)


def test_what_is_to_be_self_signed_is_so_whatever_the_host_has(world, keep):
    world.made_by_hand(*NAMES)
    keep(stand_in=True)
    assert world.live()[0].issuer == "Hand CA"
    for name in ("chat", "other"):
        assert keep(name=name, **SELF_SIGNED)["outcome"] == "self_signed"


def test_a_version_that_can_not_be_used_is_not_taken_for_one_of_the_host(world, keep):
    keep()
    os.unlink(os.path.join(world.root, "chat", "origin.json"))
    keep(stand_in=True)
    assert world.live()[1] is None


TOO_EARLY = "It is valid from 2027-01-17 08:00 UTC on only."


@pytest.mark.parametrize("stand_in", [True, False])
def test_a_self_signed_one_of_a_clock_that_was_ahead_is_replaced(world, keep, stand_in):
    world.now += 2 * DAY
    keep(**SELF_SIGNED)
    world.now = NOW
    result = keep(stand_in=stand_in, **SELF_SIGNED)
    assert (result["changed"], result["reasons"]) == (True, [TOO_EARLY])
    assert world.live()[0].not_before <= NOW


def test_what_stands_in_since_a_clock_was_ahead_is_replaced_before_any_ca_is_asked(world, keep):
    world.now += 2 * DAY
    keep(stand_in=True)
    world.now = NOW
    assert keep(stand_in=True, check=True)["changed"] is True
    assert keep(stand_in=True)["changed"] is True
    assert (world.live()[0].not_before <= NOW, world.live()[1], world.asked) == (True, None, [])


def test_what_a_ca_issued_is_not_asked_for_again_because_the_clock_is_behind(world, keep):
    world.now += 2 * DAY
    keep()
    before = world.live()
    world.now = NOW
    world.asked.clear()
    assert keep(stand_in=True)["changed"] is False
    assert (keep()["changed"], world.live(), world.asked) == (False, before, [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"names": ["chat.example.com"]}, "It is for chat.example.com, www.chat.example.com."),
        ({"directory": "https://other.example.com/d"}, "It is from https://ca.example.com/d."),
        ({"force": True}, "It is asked for."),
        (SELF_SIGNED, "It is from https://ca.example.com/d."),
    ],
)
def test_what_differs_from_the_wish_is_replaced(world, keep, changes, reason):
    keep()
    before = world.live()
    result = keep(**changes)
    assert (result["reasons"], result["changed"]) == ([reason], True)
    assert world.live() != before
    assert world.serves == world.live()[0]


def test_check_mode_says_it_and_touches_nothing(world, keep):
    result = keep(check=True)
    assert (result["changed"], result["reasons"]) == (True, ["There is no certificate."])
    assert not os.path.exists(world.root)
    assert world.asked == []


def test_a_self_signed_one_is_for_every_name_and_asks_nobody(world, keep):
    keep(names=["a.example.com", "*.a.example.com", "192.0.2.1"][:2], **SELF_SIGNED)
    assert world.live()[0].names == ["a.example.com", "*.a.example.com"]
    keep(names=[], **SELF_SIGNED)
    assert world.live()[0].names == ["localhost"]
    assert world.asked == []


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        ({"directory": REFUSED}, "ca_unreachable"),
        ({"challenge": REFUSED}, "not_served"),
        ({"certbot_says": "nothing good"}, "ca_refused"),
        ({"issues": {"ends": -1, "begins": -2}}, "expired"),
    ],
)
def test_whatever_fails_at_the_ca_the_former_one_is_served(world, keep, fails, broken, cause):
    keep()
    before = world.live()
    vars(world).update(broken)
    error = fails(force=True)
    assert (error.cause, error.facts["still_good"], bool(error.hint)) == (cause, True, True)
    assert (world.live(), world.serves) == (before, before[0])
    assert (len(world.asked) == 1) is (cause in ("ca_unreachable", "not_served"))


def test_what_stands_in_goes_on_and_is_not_taken_for_good(world, fails):
    world.directory = REFUSED
    error = fails()
    assert (error.cause, error.facts["still_good"], error.facts["changed"]) == ("ca_unreachable", False, True)
    assert world.live()[1] is None


def test_the_hint_for_a_server_of_ones_own_says_what_it_lacks(world, fails):
    world.challenge = REFUSED
    error = fails()
    assert "location ^~ /.well-known/acme-challenge/ { root %s; }" % world.webroot in error.hint
    assert os.listdir(os.path.join(world.webroot, ".well-known/acme-challenge")) == []


@pytest.mark.parametrize("broken", ["refuses", "is_deaf"])
def test_what_nginx_does_not_take_up_is_taken_back(world, keep, fails, broken):
    keep()
    before = world.live()
    setattr(world, broken, True)
    error = fails(force=True)
    assert (error.facts["outcome"], error.facts["still_good"]) == ("reverted", True)
    assert (world.live(), world.serves) == (before, before[0])


def test_what_was_obtained_and_not_taken_up_is_taken_up_later_without_the_ca(world, keep, fails):
    keep(stand_in=True)
    world.refuses = True
    fails()
    assert world.live()[1] is None
    world.refuses = False
    assert keep()["outcome"] == "acme"
    assert len(world.asked) == 1


def test_a_run_that_was_killed_before_the_reload_is_finished_by_the_next(world, keep, monkeypatch):
    keep()
    before = world.live()

    class Killed(BaseException):
        pass

    def killed(_keeper):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Keeper, "_take_up", killed)
        keep(force=True)
    assert (world.live() != before, world.serves) == (True, before[0])
    assert keep(check=True)["changed"] is False
    result = keep()
    assert (result["changed"], result["reasons"]) == (True, ["nginx served another one."])
    assert world.serves == world.live()[0]
    assert keep()["changed"] is False


def test_another_run_that_changes_nginx_is_waited_for(world, keep, fails):
    keep()
    world.busy = 2
    assert keep(force=True)["changed"] is True
    world.busy = 9
    assert fails(force=True).cause == "busy"


def test_without_an_nginx_that_reads_it_nothing_is_reloaded(world, keep):
    world.reads = False
    assert keep()["outcome"] == "acme"
    assert (world.reloads, world.serves) == (0, None)


@pytest.mark.parametrize("missing", ["openssl", "certbot"])
def test_a_missing_program_is_named(world, fails, missing):
    world.missing = missing
    error = fails()
    assert (error.cause, error.hint) == ("not_installed", "apt-get install " + missing)


def test_nginx_may_look_into_the_folders_whatever_the_umask(world, keep):
    former = os.umask(0o077)
    try:
        keep()
    finally:
        os.umask(former)
    for path in (world.root, world.webroot, os.path.join(world.webroot, ".well-known/acme-challenge")):
        assert oct(os.stat(path).st_mode & 0o777) == "0o755"


def test_a_disk_that_refuses_is_told(world, fails, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_site_certificate.Store, "add", full)
    assert fails().cause == "unwritable"


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({"name": "../chat"}, "name: chat"),
        ({"names": []}, "names: [chat.example.com]"),
        ({"names": ["*.example.com"]}, "names: [chat.example.com]"),
        ({"names": ["192.0.2.1"]}, "names: [chat.example.com]"),
    ],
)
def test_a_wish_that_no_ca_fulfils_is_refused(changes, right):
    wish = Wish("chat", "acme", ["chat.example.com"], "ops@example.com", CA, None, "/w", 80, 443)
    check_wish(wish)
    with pytest.raises(GatehouseError) as caught:
        check_wish(wish._replace(**changes))
    assert right in caught.value.hint
