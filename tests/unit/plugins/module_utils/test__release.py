"""Release folders on a real disk: staged, filled, sealed, pruned. The tests own the files they make."""

import collections
import io
import json
import os
import signal
import stat
import subprocess
import tarfile

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _release
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import Activation
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._release import LONGEST_BUILD, Releases

NOW = 1_000_000_000.0


@pytest.fixture
def owners(monkeypatch):
    """Who owns what, by chown alone: the tests need not run as root."""
    told = {}

    def chown(path, uid, gid):
        told[str(path)] = (uid, gid)

    monkeypatch.setattr(_release.os, "chown", chown)
    monkeypatch.setattr(_release.os, "lchown", chown)
    return told


@pytest.fixture
def releases(tmp_path, owners):
    # The user of the app is whoever runs the tests.
    return Releases(str(tmp_path / "app"), (os.getuid(), os.getgid()), now=lambda: NOW)


def make(releases, name, at=0, whole=True):
    releases.stage(name)
    if whole:
        releases.seal(name, {"app": "shop"})
        os.utime(os.path.join(releases.path(name), "manifest.json"), (at, at))
    else:
        os.utime(releases.path(name), (at, at))


def tar(tmp_path, *members):
    """A tar file of (name, content) pairs and TarInfo objects."""
    path = tmp_path / "source.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size, info.mode = len(member[1]), 0o644
                archive.addfile(info, io.BytesIO(member[1]))
    return str(path)


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_staged_release_is_empty_and_not_whole(releases):
    assert releases.stage("r1") is True
    assert os.listdir(releases.path("r1")) == ["src"]
    assert not releases.is_whole("r1")


def test_what_a_killed_build_left_is_wiped(releases):
    releases.stage("r1")
    open(os.path.join(releases.path("r1"), "src", "half"), "w").close()
    releases.stage("r1")
    assert os.listdir(os.path.join(releases.path("r1"), "src")) == []


def test_a_build_that_outlived_its_play_is_ended(releases):
    make(releases, "one", whole=False)
    source = os.path.join(releases.path("one"), "src")
    with subprocess.Popen(["sleep", "60"], cwd=source) as left, subprocess.Popen(["sleep", "60"]) as other:
        releases.stage("one")
        assert left.wait() == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_a_whole_release_is_left_alone(releases):
    make(releases, "r1")
    before = os.stat(os.path.join(releases.path("r1"), "manifest.json"))
    releases.stage("r1")
    assert os.stat(os.path.join(releases.path("r1"), "manifest.json")) == before


def test_the_manifest_is_written(releases):
    make(releases, "r1")
    assert releases.manifest("r1") == {"app": "shop", "sealed": NOW, "env": {}, "dependencies": {}}
    assert releases.seal("r1", {"app": "other"}) is False


def test_sealing_gives_everything_to_root_and_closes_it_to_others(releases, owners, tmp_path):
    releases.stage("r1")
    releases.unpack("r1", tar(tmp_path, ("app/main.py", b"x")))
    source = os.path.join(releases.path("r1"), "src", "app", "main.py")
    os.chmod(source, 0o777)
    owners.clear()
    releases.seal("r1", {})
    assert owners[source] == (0, releases.gid)
    assert owners[os.path.dirname(source)] == (0, releases.gid)
    assert os.stat(source).st_mode & 0o777 == 0o750


def test_a_private_umask_of_the_source_does_not_lock_the_app_out(releases, tmp_path):
    releases.stage("r1")
    releases.unpack("r1", tar(tmp_path, ("main.py", b"x")))
    source = os.path.join(releases.path("r1"), "src", "main.py")
    os.chmod(source, 0o600)
    releases.seal("r1", {})
    assert os.stat(source).st_mode & 0o777 == 0o640


def test_what_root_wrote_keeps_its_mode(tmp_path, owners):
    """The environment file is root's and 0600; it must not be opened to the group."""
    stranger = Releases(str(tmp_path / "app"), (os.getuid() + 1, os.getgid()), now=lambda: NOW)
    stranger.stage("r1")
    env = os.path.join(stranger.path("r1"), "env")
    open(env, "w").close()
    os.chmod(env, 0o600)
    stranger.seal("r1", {})
    assert os.stat(env).st_mode & 0o777 == 0o600


def test_links_are_neither_followed_nor_changed(releases, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o666)
    releases.stage("r1")
    os.symlink(outside, os.path.join(releases.path("r1"), "src", "link"))
    releases.seal("r1", {})
    assert outside.stat().st_mode & 0o777 == 0o666


def test_there_is_nothing_to_seal(releases):
    with pytest.raises(GatehouseError) as caught:
        releases.seal("missing", {})
    assert "there is no release" in caught.value.message


@pytest.mark.parametrize(("strip", "found"), [(False, ["shop-1.0"]), (True, ["main.py", "sub"])])
def test_the_one_folder_of_an_archive_is_left_out_on_request(releases, tmp_path, strip, found):
    releases.stage("r1")
    releases.unpack("r1", tar(tmp_path, ("shop-1.0/main.py", b"x"), ("shop-1.0/sub/a", b"y")), strip)
    assert sorted(os.listdir(os.path.join(releases.path("r1"), "src"))) == found


def test_one_file_is_no_folder_to_leave_out(releases, tmp_path):
    releases.stage("r1")
    releases.unpack("r1", tar(tmp_path, ("main.py", b"x")), strip_folder=True)
    assert os.listdir(os.path.join(releases.path("r1"), "src")) == ["main.py"]


@pytest.mark.parametrize(
    "member",
    [
        ("/etc/passwd", b"x"),
        ("../outside", b"x"),
        ("a/../../outside", b"x"),
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("a/link", tarfile.SYMTYPE, "../../outside"),
        special("hard", tarfile.LNKTYPE, "../outside"),
        special("device", tarfile.CHRTYPE),
        special("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: member[0] if isinstance(member, tuple) else member.name + " " + member.linkname,
)
def test_an_archive_that_leads_out_is_refused_before_a_file_is_written(releases, tmp_path, member):
    releases.stage("r1")
    with pytest.raises(GatehouseError) as caught:
        releases.unpack("r1", tar(tmp_path, ("first", b"x"), member))
    assert caught.value.cause == "bad_source"
    assert os.listdir(os.path.join(releases.path("r1"), "src")) == []


def test_links_within_the_source_are_kept(releases, tmp_path):
    releases.stage("r1")
    releases.unpack("r1", tar(tmp_path, ("a/real", b"x"), special("a/link", tarfile.SYMTYPE, "../a/real")))
    assert os.readlink(os.path.join(releases.path("r1"), "src", "a", "link")) == "../a/real"


def test_the_oldest_go_first(releases):
    for number in range(5):
        make(releases, "r%d" % number, at=number)
    assert releases.superfluous(keep=3) == ["r0", "r1"]
    releases.prune(["r0", "r1"])
    assert sorted(os.listdir(releases.folder)) == ["r2", "r3", "r4"]
    assert releases.superfluous(keep=3) == []


def go_live(releases, name):
    made = Activation(os.path.join(releases.root, "current"), releases.path(name), "shop@.service")
    made.record({}, [])
    made.flip()


def test_the_live_release_and_the_one_to_go_back_to_stay_however_old(releases):
    for number in range(5):
        make(releases, "r%d" % number, at=number)
    go_live(releases, "r0")
    go_live(releases, "r1")
    assert releases.superfluous(keep=2) == ["r2", "r3", "r4"]


def test_the_release_that_is_to_go_live_next_stays(releases):
    for number in range(4):
        make(releases, "r%d" % number, at=number)
    go_live(releases, "r3")
    assert releases.choose("r0") is True
    assert releases.choose("r0") is False
    assert releases.superfluous(keep=2) == ["r1", "r2"]


def test_the_release_of_which_open_pages_ask_stays(releases):
    for name in ("one", "two", "three", "four"):
        make(releases, name, at=int(NOW))
    os.symlink("releases/one", os.path.join(releases.root, "former"))
    os.symlink("releases/four", os.path.join(releases.root, "current"))
    assert "one" not in releases.superfluous(2)


def test_what_is_not_whole_can_not_go_live_next(releases):
    releases.stage("r1")
    with pytest.raises(GatehouseError):
        releases.choose("r1")


def test_a_release_that_may_still_be_built_stays_and_an_old_ruin_goes(releases):
    make(releases, "building", at=NOW - LONGEST_BUILD + 60, whole=False)
    make(releases, "ruin", at=NOW - LONGEST_BUILD - 60, whole=False)
    assert releases.superfluous(keep=5) == ["ruin"]


def test_a_removal_that_is_cut_short_leaves_nothing_that_looks_whole(releases, monkeypatch):
    make(releases, "r1")

    def cut_short(_path):
        raise KeyboardInterrupt

    monkeypatch.setattr(_release.shutil, "rmtree", cut_short)
    with pytest.raises(KeyboardInterrupt):
        releases.prune(["r1"])
    assert not releases.is_whole("r1")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "-x", "x" * 65])
def test_a_name_that_is_no_name_is_refused(releases, name):
    with pytest.raises(GatehouseError) as caught:
        releases.path(name)
    assert "can't name a release" in caught.value.message


def test_the_manifest_tells_values_apart_and_tells_none(releases):
    for name, url in (("r1", "mysql://u:hunter22@db"), ("r2", "mysql://u:hunter22@db"), ("r3", "mysql://u:other@db")):
        releases.stage(name)
        releases.seal(name, {}, {"DATABASE_URL": url, "EMPTY": ""})
    one, two, three = (releases.manifest(name)["env"] for name in ("r1", "r2", "r3"))
    assert one == two
    assert one["DATABASE_URL"] != three["DATABASE_URL"]
    assert one["EMPTY"] == three["EMPTY"]
    assert "hunter22" not in json.dumps(one)
    assert os.stat(os.path.join(releases.root, "digest.key")).st_mode & 0o777 == 0o600


def test_the_manifest_has_what_is_installed(releases):
    releases.stage("r1")
    packages = os.path.join(releases.path("r1"), "venv", "lib", "python3.11", "site-packages")
    os.makedirs(os.path.join(packages, "fastapi-0.116.1.dist-info"))
    os.makedirs(os.path.join(packages, "typing_extensions-4.12.2.dist-info"))
    os.makedirs(os.path.join(packages, "fastapi"))
    releases.seal("r1", {})
    assert releases.manifest("r1")["dependencies"] == {"fastapi": "0.116.1", "typing-extensions": "4.12.2"}


def test_what_is_served_is_open_to_all_and_nothing_else_is(releases):
    releases.stage("one")
    source = os.path.join(releases.path("one"), "src")
    for path in ("web/dist/assets/a.js", "web/secret.js"):
        os.makedirs(os.path.dirname(os.path.join(source, path)), exist_ok=True)
        with open(os.path.join(source, path), "w") as file:
            file.write("x")
        os.chmod(os.path.join(source, path), 0o600)
    os.symlink("assets/a.js", os.path.join(source, "web/dist/b.js"))
    releases.seal("one", {}, served="src/web/dist")
    modes = {path: stat.S_IMODE(os.stat(os.path.join(source, path)).st_mode) & 0o007 for path in ("", "web", "web/dist",
             "web/dist/assets", "web/dist/assets/a.js", "web/secret.js")}  # fmt: skip
    assert modes == {
        "": 1,
        "web": 1,
        "web/dist": 5,
        "web/dist/assets": 5,
        "web/dist/assets/a.js": 4,
        "web/secret.js": 0,
    }


@pytest.mark.parametrize(
    ("served", "words"),
    [("src/dist", "no folder src/dist"), ("src/out", "leads out of the folder"), ("src/etc", "no folder src/etc")],
)
def test_what_can_not_be_served_is_never_sealed(releases, served, words):
    releases.stage("one")
    source = os.path.join(releases.path("one"), "src")
    os.mkdir(os.path.join(source, "out"))
    os.symlink("../../env", os.path.join(source, "out", "env"))
    os.symlink("/etc", os.path.join(source, "etc"))
    with pytest.raises(GatehouseError, match=words):
        releases.seal("one", {}, served=served)
    assert not releases.is_whole("one")


def test_the_manifest_has_what_npm_installed(releases):
    releases.stage("one")
    folder = os.path.join(releases.path("one"), "src", "node_modules")
    os.mkdir(folder)
    packages = {"node_modules/ws": {"version": "8.18.0"}, "node_modules/@a/b": {"version": "1.0.0"},
                "node_modules/ws/node_modules/c": {"version": "2.0.0"}, "node_modules/linked": {"link": True}}  # fmt: skip
    with open(os.path.join(folder, ".package-lock.json"), "w") as file:
        json.dump({"packages": packages}, file)
    releases.seal("one", {})
    assert releases.manifest("one")["dependencies"] == {"ws": "8.18.0", "@a/b": "1.0.0"}


def test_others_may_pass_through_a_release_and_see_nothing(releases):
    make(releases, "r1")
    for path in (releases.root, releases.folder, releases.path("r1")):
        assert os.stat(path).st_mode & 0o777 == 0o751
    assert os.stat(os.path.join(releases.path("r1"), "src")).st_mode & 0o007 == 0
    assert os.stat(os.path.join(releases.path("r1"), "manifest.json")).st_mode & 0o007 == 0


Disk = collections.namedtuple("Disk", "f_bavail f_frsize f_files f_favail")
MEGABYTE = 1024 * 1024


@pytest.mark.parametrize(
    ("free", "files", "words"),
    [
        (100 * MEGABYTE, 10**6, "room for 100 M more bytes"),
        (10**12, 500, "room for 500 more files"),
    ],
)
def test_a_disk_too_full_for_a_build_is_refused(releases, free, files, words):
    releases.lay_out()
    with pytest.raises(GatehouseError) as caught:
        releases.refuse_full_disk(lambda _path: Disk(free, 1, 10**7, files))
    assert caught.value.cause == "disk_full"
    assert words in caught.value.message


def test_a_release_is_not_even_staged_on_a_full_disk(releases, monkeypatch):
    releases.lay_out()

    def full(_self):
        raise GatehouseError("full", cause="disk_full")

    monkeypatch.setattr(Releases, "refuse_full_disk", full)
    with pytest.raises(GatehouseError):
        releases.stage("r1")
    assert os.listdir(releases.folder) == []


def test_a_file_system_that_does_not_count_files_is_not_out_of_them(releases):
    releases.lay_out()
    releases.refuse_full_disk(lambda _path: Disk(10**12, 1, 0, 0))


def test_a_large_release_makes_the_next_build_need_as_much(releases, monkeypatch):
    make(releases, "r1")
    releases.refuse_full_disk(lambda _path: Disk(400 * MEGABYTE, 1, 0, 0))
    monkeypatch.setattr(_release, "_size", lambda path: (600 * MEGABYTE, 10))
    with pytest.raises(GatehouseError, match="room for 400 M more bytes .* may take 900 M"):
        releases.refuse_full_disk(lambda _path: Disk(400 * MEGABYTE, 1, 0, 0))


def test_history_is_told_from_the_newest_on(releases):
    for number in range(3):
        releases._now = lambda number=number: NOW + number
        make(releases, "r%d" % number)
    releases.stage("building")
    go_live(releases, "r1")
    told = [(release["id"], release["live"]) for release in releases.history()]
    assert told == [("r2", False), ("r1", True), ("r0", False)]


def test_a_rollback_goes_to_what_was_live_before(releases):
    assert releases.to_go_back_to() == []
    for name in ("r0", "r1", "r2"):
        make(releases, name)
        go_live(releases, name)
    assert (releases.live(), releases.to_go_back_to()) == ("r2", ["r1", "r0"])


def test_a_release_that_is_not_there_is_named_with_those_that_are(releases):
    make(releases, "r1")
    with pytest.raises(GatehouseError) as caught:
        releases.manifest("r9")
    assert (caught.value.cause, caught.value.hint) == ("no_release", "one of: r1")


def test_what_changed_between_two_releases_is_told_without_values():
    old = {
        "revision": "a" * 40,
        "python": "3.11",
        "dependencies": {"fastapi": "0.115.0", "httpx": "0.28"},
        "env": {"A": "1", "B": "2"},
    }
    new = {
        "revision": "b" * 40,
        "python": "3.11",
        "dependencies": {"fastapi": "0.116.1", "uvloop": "0.21"},
        "env": {"B": "3", "C": "4"},
    }
    assert _release.compare(old, new) == [
        "revision: aaaaaaaaaaaa -> bbbbbbbbbbbb",
        "dependency fastapi: 0.115.0 -> 0.116.1",
        "dependency httpx: removed",
        "dependency uvloop: added (0.21)",
        "environment A: removed",
        "environment B: changed",
        "environment C: added",
    ]
    assert _release.compare(old, old) == []
