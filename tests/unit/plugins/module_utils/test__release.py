"""Release folders on a real disk: staged, filled, sealed, pruned. The tests own the files they make."""

import collections
import hashlib
import json
import os
import stat

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _activation, _release
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import Activation
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._release import LONGEST_BUILD, Releases

NOW = 1_000_000_000.0


ME = os.getuid()
GROUP = 4321


@pytest.fixture
def owners(monkeypatch):
    """Who owns what, by chown alone: the tests need not run as root. Root is another user than the one that runs them."""
    told = {}

    def chown(path, uid, gid, dir_fd=None, follow_symlinks=True):
        told[os.path.join(os.readlink("/proc/self/fd/%d" % dir_fd), path) if dir_fd is not None else str(path)] = (
            uid,
            gid,
        )

    monkeypatch.setattr(_release.os, "chown", chown)
    monkeypatch.setattr(
        _release.os, "fchown", lambda handle, uid, gid: chown(os.readlink("/proc/self/fd/%d" % handle), uid, gid)
    )
    monkeypatch.setattr(_release, "ROOT", ME + 1)
    monkeypatch.setattr(_activation, "OWNER", ME)
    return told


@pytest.fixture
def ended(monkeypatch):
    """The users whose processes were ended."""
    users = []
    monkeypatch.setattr(_release, "end_those_of", users.append)
    return users


@pytest.fixture
def releases(tmp_path, owners, ended):
    # The user of the build is whoever runs the tests.
    return Releases(str(tmp_path / "app"), GROUP, (ME, os.getgid()), now=lambda: NOW)


def make(releases, name, at=0, whole=True):
    releases.stage(name)
    if whole:
        releases.seal(name, {"app": "shop"})
        os.utime(os.path.join(releases.path(name), "manifest.json"), (at, at))
    else:
        os.utime(releases.path(name), (at, at))


def fill(releases, name, **files):
    """Write files into the source of a staged release, as its build would."""
    for path, content in files.items():
        place = os.path.join(releases.path(name), "src", *path.split("__"))
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as file:
            file.write(content)


def test_a_staged_release_is_empty_and_not_whole(releases):
    assert releases.stage("r1") is True
    assert os.listdir(releases.path("r1")) == ["src"]
    assert not releases.is_whole("r1")


def test_what_a_killed_build_left_is_wiped(releases):
    releases.stage("r1")
    open(os.path.join(releases.path("r1"), "src", "half"), "w").close()
    releases.stage("r1")
    assert os.listdir(os.path.join(releases.path("r1"), "src")) == []


def test_a_build_that_outlived_its_play_is_ended(releases, ended):
    make(releases, "one", whole=False)
    del ended[:]
    releases.stage("one")
    assert ended == [ME]


def test_the_folder_is_root_s_and_what_a_build_fills_is_the_build_s(releases, owners):
    releases.stage("r1", ["src", "venv"])
    path = releases.path("r1")
    root, builder = (ME + 1, GROUP), (ME, os.getgid())
    assert {name: owners[os.path.join(path, name)] for name in ("", "src", "venv") if name} == {
        "src": builder,
        "venv": builder,
    }
    assert owners[path] == owners[releases.folder] == owners[releases.root] == root
    assert owners[releases.cache] == builder
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o751


def test_a_cache_of_another_user_is_made_anew(releases, tmp_path, monkeypatch):
    """As the app's own user had one before builds had a user of their own."""
    os.makedirs(releases.cache)
    open(os.path.join(releases.cache, "old"), "w").close()
    releases.builder = (ME + 7, os.getgid())
    releases.lay_out()
    assert os.listdir(releases.cache) == []


def test_a_whole_release_is_left_alone(releases):
    make(releases, "r1")
    before = os.stat(os.path.join(releases.path("r1"), "manifest.json"))
    releases.stage("r1")
    assert os.stat(os.path.join(releases.path("r1"), "manifest.json")) == before


def test_the_manifest_is_written(releases):
    make(releases, "r1")
    assert releases.manifest("r1") == {"app": "shop", "sealed": NOW, "env": {}, "dependencies": {}}
    assert releases.seal("r1", {"app": "other"}) is False


def test_sealing_gives_everything_to_root_and_closes_it_to_others(releases, owners, ended):
    releases.stage("r1")
    fill(releases, "r1", app__main="x")
    source = os.path.join(releases.path("r1"), "src", "app", "main")
    os.chmod(source, 0o777)
    owners.clear()
    ended.clear()
    releases.seal("r1", {})
    assert owners[source] == owners[os.path.dirname(source)] == (ME + 1, GROUP)
    assert os.stat(source).st_mode & 0o777 == 0o750
    assert ended == [ME]


def test_a_private_umask_of_the_source_does_not_lock_the_app_out(releases):
    releases.stage("r1")
    fill(releases, "r1", main="x")
    source = os.path.join(releases.path("r1"), "src", "main")
    os.chmod(source, 0o600)
    releases.seal("r1", {})
    assert os.stat(source).st_mode & 0o777 == 0o640


def test_what_root_wrote_keeps_its_mode_and_is_noted(releases):
    """The environment file is root's and 0600; it must not be opened to the group."""
    releases.stage("r1")
    env = os.path.join(releases.path("r1"), "env")
    with open(env, "w", encoding="utf-8") as file:
        file.write("A=1")
    os.chmod(env, 0o600)
    releases.seal("r1", {})
    assert os.stat(env).st_mode & 0o777 == 0o600
    written = os.path.join(releases.path("r1"), "written.json")
    assert stat.S_IMODE(os.stat(written).st_mode) == 0o600
    with open(written, encoding="utf-8") as file:
        assert json.load(file) == {"env": hashlib.sha256(b"A=1").hexdigest()}


@pytest.mark.parametrize(
    "name", ["src", "venv", "manifest.json", "written.json", "../env", "src/env", ".env", "", "env\n"]
)
def test_a_file_that_is_not_root_s_to_write_is_refused(releases, name):
    releases.stage("a")
    with pytest.raises(GatehouseError) as caught:
        releases.configure("a", {"shop@.service": "[Unit]\n", name: "x"})
    assert caught.value.cause == "bad_input"
    assert os.listdir(releases.path("a")) == ["src"]


def test_what_root_gives_a_release_is_written_once_and_the_environment_is_root_s_alone(releases, owners):
    files = {"env": 'KEY="value"\n', "shop@.service": "[Unit]\n"}
    releases.stage("a")
    assert releases.configure("a", files)
    assert not releases.configure("a", files)
    assert releases.configure("a", dict(files, env='KEY="other"\n'))
    env, unit = (os.path.join(releases.path("a"), name) for name in files)
    with open(env, encoding="utf-8") as file:
        assert file.read() == 'KEY="other"\n'
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (env, unit)] == [0o600, 0o640]
    assert [owners[env], owners[unit]] == [(_release.ROOT, _release.ROOT), (_release.ROOT, GROUP)]


@pytest.mark.parametrize("state", ["missing", "owned", "sealed"])
def test_only_a_release_in_the_making_is_given_files(releases, state):
    if state != "missing":
        releases.stage("a")
        releases.configure("a", {"env": ""})
        releases.take_over("a") if state == "owned" else releases.seal("a", {})
    with pytest.raises(GatehouseError) as caught:
        releases.configure("a", {"env": "other"})
    assert caught.value.hint == "state: staged, before state: configured"


def test_links_that_leave_the_release_are_refused_and_nothing_behind_them_is_touched(releases, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o666)
    releases.stage("r1")
    os.symlink(outside, os.path.join(releases.path("r1"), "src", "link"))
    with pytest.raises(GatehouseError) as caught:
        releases.seal("r1", {})
    assert "src/link is a link that leaves the release" in caught.value.message
    assert outside.stat().st_mode & 0o777 == 0o666
    assert not releases.is_whole("r1")


def test_what_git_knows_of_the_source_s_address_is_not_kept(releases):
    releases.stage("r1")
    fill(releases, "r1", **{".git__config": "url = https://user:secret@git.example.com", "main": "x"})
    releases.seal("r1", {})
    assert os.listdir(os.path.join(releases.path("r1"), "src")) == ["main"]


def test_what_was_taken_over_before_is_not_taken_over_again(releases, ended):
    releases.stage("r1")
    assert releases.take_over("r1") is True
    del ended[:]
    assert releases.take_over("r1") is False
    assert ended == []


def test_what_was_refused_stays_refused_until_it_is_staged_anew(releases):
    releases.stage("r1")
    os.mkfifo(os.path.join(releases.path("r1"), "src", "pipe"))
    for attempt in (releases.take_over, releases.take_over, lambda name: releases.seal(name, {})):
        with pytest.raises(GatehouseError):
            attempt("r1")
    assert not releases.is_whole("r1")
    releases.stage("r1")
    assert releases.seal("r1", {}) is True


def test_there_is_nothing_to_seal(releases):
    with pytest.raises(GatehouseError) as caught:
        releases.seal("missing", {})
    assert "there is no release" in caught.value.message


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

    monkeypatch.setattr(_release, "remove", cut_short)
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
    [("src/dist", "no folder src/dist"), ("src/out", "leads out of the folder"), ("src/file", "no folder src/file")],
)
def test_what_can_not_be_served_is_never_sealed(releases, served, words):
    releases.stage("one")
    source = os.path.join(releases.path("one"), "src")
    os.mkdir(os.path.join(source, "out"))
    os.symlink("../file", os.path.join(source, "out", "link"))
    open(os.path.join(source, "file"), "w").close()
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


@pytest.mark.parametrize(
    "content", ["[]", "{", "3", '{"packages": []}', '{"packages": {"node_modules/x": 3}}', "[" * 100000]
)
def test_a_list_of_packages_that_a_build_has_made_up_is_no_obstacle(releases, content):
    releases.stage("r1")
    modules = os.path.join(releases.path("r1"), "src", "node_modules")
    os.makedirs(modules)
    with open(os.path.join(modules, ".package-lock.json"), "w") as file:
        file.write(content)
    releases.seal("r1", {})
    assert releases.manifest("r1")["dependencies"] == {}


def test_a_list_of_packages_that_is_too_long_is_not_read(releases, monkeypatch):
    monkeypatch.setattr(_release, "LARGEST_LOCK", 10)
    test_a_list_of_packages_that_a_build_has_made_up_is_no_obstacle(
        releases, '{"packages": {"node_modules/x": {"version": "1"}}}'
    )
