"""The folder on disk: what a change does, what is left when it is killed, and what the stage holds."""

import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _nginx_tree
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_tree import Stage, Tree

PACKAGE_CONF = b"include sites-enabled/*;\n"
ONE = {"nginx.conf": b"include gatehouse/sites/*;\n", "sites/a.conf": b"default_server\n"}
TWO = {"nginx.conf": b"include gatehouse/sites/*;\n", "sites/b.conf": b"default_server two\n"}
ABSENT = ["sites-enabled/default"]


class Killed(BaseException):
    """What SIGKILL is to a test: nothing in the code may catch it."""


@pytest.fixture
def root(tmp_path):
    """nginx's folder as Debian leaves it, in so far as it matters here."""
    root = tmp_path / "nginx"
    for folder in ("sites-enabled", "sites-available", "conf.d"):
        (root / folder).mkdir(parents=True)
    (root / "nginx.conf").write_bytes(PACKAGE_CONF)
    (root / "sites-available" / "default").write_bytes(b"default_server package\n")
    (root / "sites-enabled" / "default").symlink_to(root / "sites-available" / "default")
    return root


@pytest.fixture
def tree(root):
    return Tree(str(root), "gatehouse")


def snapshot(root):
    """Every path below root, with the text or the link's target, permissions included."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            if os.path.islink(path):
                found[relative] = "-> " + os.readlink(path)
            elif os.path.isdir(path):
                found[relative] = "folder %o" % (os.stat(path).st_mode & 0o777)
            else:
                with open(path, "rb") as file:
                    found[relative] = file.read()
    return found


def is_valid(root):
    """nginx's opinion, as far as these files go: one default server, and an nginx.conf."""
    main = (root / "nginx.conf").read_bytes()
    folder = root / ("gatehouse/sites" if b"gatehouse" in main else "sites-enabled")
    servers = [path.read_bytes() for path in folder.iterdir()]
    if b"gatehouse" in main:
        servers += [path.read_bytes() for path in (root / "sites-enabled").iterdir()]
    return len(servers) <= 1


def change_to(tree, files, main=True, absent=tuple(ABSENT)):
    change = tree.plan(files, main, list(absent))
    tree.begin(change)
    if change.fresh and not os.path.lexists(tree.path(change.after)):
        tree.write(change.after, files)
    change.apply()
    return change


def adopt(tree, files):
    change = change_to(tree, files)
    tree.end()
    tree.prune(change.before)
    return change


def test_an_adoption_and_its_undoing(tree, root):
    before = snapshot(root)
    change = change_to(tree, ONE)

    assert tree.read(tree.pointed()) == ONE
    assert os.readlink(root / "nginx.conf") == "gatehouse/nginx.conf"
    assert (root / "nginx.conf").read_bytes() == ONE["nginx.conf"]
    assert (root / "nginx.conf.before-gatehouse").read_bytes() == PACKAGE_CONF
    assert not os.path.lexists(root / "sites-enabled" / "default")
    assert tree.plan(ONE, True, ABSENT) is None

    change.undo()
    tree.end()
    assert snapshot(root) == before


def test_the_set_can_be_read_by_all_whatever_the_umask(tree, root):
    former = os.umask(0o077)
    try:
        change_to(tree, ONE)
    finally:
        os.umask(former)
    for path in (root / "gatehouse", root / "gatehouse" / "sites"):
        assert path.stat().st_mode & 0o777 == 0o755
    assert (root / "gatehouse" / "sites" / "a.conf").stat().st_mode & 0o777 == 0o644


def test_a_second_change_is_one_flip_and_keeps_the_set_before(tree, root):
    adopt(tree, ONE)
    change = change_to(tree, TWO)
    assert (change.removed, change.main_kept) == ([], None)
    tree.end()
    tree.prune(change.before)
    assert sorted(os.listdir(tree.store)) == sorted(
        ["before-gatehouse", os.path.basename(change.before), os.path.basename(change.after)]
    )
    assert tree.read(change.before) == ONE


def test_going_back_uses_the_set_that_was_kept(tree):
    first = adopt(tree, ONE)
    adopt(tree, TWO)
    change = change_to(tree, ONE)
    assert (change.after, change.fresh) == (first.after, False)
    change.undo()
    assert tree.read(change.after) == ONE


def test_a_live_set_edited_by_hand_is_written_anew(tree, root):
    first = adopt(tree, ONE)
    (root / "gatehouse" / "sites" / "a.conf").write_text("edited")
    change = change_to(tree, ONE)
    assert change.after == first.after + ".1"
    assert tree.read(tree.pointed()) == ONE
    assert tree.read(change.before)["sites/a.conf"] == b"edited"


def test_a_link_put_into_the_set_by_hand_is_seen(tree, root):
    adopt(tree, ONE)
    (root / "gatehouse" / "sites" / "b.conf").symlink_to("a.conf")
    (root / "gatehouse" / "more").symlink_to("/etc")
    assert set(tree.read(tree.pointed())) == {"nginx.conf", "sites/a.conf", "sites/b.conf", "more"}


def test_what_is_kept_is_never_written_over(tree, root):
    adopt(tree, ONE)
    for text in ("second", "third"):
        (root / "nginx.conf").unlink()
        (root / "nginx.conf").write_text(text)
        (root / "sites-enabled" / "default").write_text(text)
        adopt(tree, ONE)
    kept = root / ".gatehouse" / "before-gatehouse"
    assert (root / "nginx.conf.before-gatehouse").read_bytes() == PACKAGE_CONF
    assert [(kept / ("nginx.conf.%d" % n)).read_text() for n in (1, 2)] == ["second", "third"]
    assert [(kept / "sites-enabled" / ("default.%d" % n)).read_text() for n in (1, 2)] == ["second", "third"]
    assert os.path.islink(kept / "sites-enabled" / "default")


def test_a_host_without_nginx_conf(tree, root):
    (root / "nginx.conf").unlink()
    before = snapshot(root)
    change = change_to(tree, ONE)
    assert (root / "nginx.conf").read_bytes() == ONE["nginx.conf"]
    change.undo()
    tree.end()
    assert snapshot(root) == before


def test_a_folder_that_is_not_ours_is_refused(tree, root):
    (root / "gatehouse").mkdir()
    with pytest.raises(GatehouseError) as caught:
        tree.plan(ONE, True, [])
    assert str(root / "gatehouse") in caught.value.message
    assert "`set`" in caught.value.hint


def test_without_main_the_host_s_nginx_conf_is_left_alone(tree, root):
    change_to(tree, ONE, main=False, absent=[])
    assert (root / "nginx.conf").read_bytes() == PACKAGE_CONF
    assert not os.path.islink(root / "nginx.conf")


def kill_at(monkeypatch, number):
    """Kill at the number-th act on the disk: before it if the number is even, right after it if it is odd."""
    acts = []

    def killing(act):
        def acted(*args, **kwargs):
            acts.append(act)
            mine = len(acts) == number // 2 + 1
            if mine and number % 2 == 0:
                raise Killed
            try:
                return act(*args, **kwargs)
            finally:
                # Also where the act failed, as making a folder does that is there already.
                if mine:
                    raise Killed

        return acted

    for name in ("rename", "replace", "symlink", "link", "unlink", "mkdir"):
        monkeypatch.setattr(_nginx_tree.os, name, killing(getattr(os, name)))


def killed_adoptions(root, tree, files):
    """Kill a change at each of its acts in turn; yields the disk as each leaves it, until one goes through."""
    number = 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, number)
            try:
                change_to(tree, files)
                return
            except Killed:
                pass
        yield number
        number += 1


def recover(tree, files):
    """What a next run does with what it finds, and then its own change."""
    change = tree.interrupted()
    if change and not tree.reaches(change, files, True, ABSENT):
        change.undo()
        tree.end()
        change = None
    change = change or tree.plan(files, True, ABSENT)
    if change:
        tree.begin(change)
        if change.fresh and not os.path.lexists(tree.path(change.after)):
            tree.write(change.after, files)
        change.apply()
        tree.end()
    tree.prune(change.before if change else None)


@pytest.mark.parametrize("wanted", [ONE, TWO], ids=["same set", "other set"])
def test_a_killed_adoption_is_valid_on_disk_and_recovered_from(root, tree, wanted):
    before = snapshot(root)
    kills = 0
    for _number in killed_adoptions(root, tree, ONE):
        kills += 1
        assert is_valid(root)
        recover(tree, wanted)
        assert tree.read(tree.pointed()) == wanted
        assert tree.main_is_ours()
        assert (root / "nginx.conf.before-gatehouse").read_bytes() == PACKAGE_CONF
        assert not os.path.lexists(root / "sites-enabled" / "default")
        assert not [name for name in os.listdir(tree.store) if name.startswith("new-")]
        assert tree.interrupted() is None
        # Back to the package's state for the next kill.
        os.replace(root / "nginx.conf.before-gatehouse", root / "nginx.conf")
        os.unlink(root / "gatehouse")
        os.rename(tree.path(".gatehouse/before-gatehouse/sites-enabled/default"), root / "sites-enabled" / "default")
        _nginx_tree.shutil.rmtree(tree.store)
        assert snapshot(root) == before
    assert kills > 15


def test_an_undoing_that_is_killed_can_be_done_again(root, tree):
    before = snapshot(root)
    number = 0
    while True:
        change = change_to(tree, ONE)
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, number)
            try:
                change.undo()
                break
            except Killed:
                pass
        assert is_valid(root)
        tree.interrupted().undo()
        tree.end()
        assert snapshot(root) == before
        number += 1
    assert number > 4


def test_a_journal_that_can_not_be_read_says_what_to_do(tree):
    os.mkdir(tree.store)
    with open(tree.journal, "w", encoding="utf-8") as file:
        file.write("{")
    with pytest.raises(GatehouseError) as caught:
        tree.interrupted()
    assert caught.value.cause == "bad_journal"
    assert tree.journal in caught.value.hint


def test_finishing_needs_the_same_wish(tree):
    change = change_to(tree, ONE)
    found = tree.interrupted()
    assert found.record() == change.record()
    assert tree.reaches(found, ONE, True, ABSENT)
    assert not tree.reaches(found, TWO, True, ABSENT)
    assert not tree.reaches(found, ONE, False, ABSENT)
    assert not tree.reaches(found, ONE, True, [])


def test_pruning_without_a_change_keeps_the_set_before(tree):
    adopt(tree, ONE)
    former = tree.pointed()
    adopt(tree, TWO)
    os.mkdir(os.path.join(tree.store, "0123456789abcdef"))
    os.utime(os.path.join(tree.store, "0123456789abcdef"), (1, 1))
    os.mkdir(os.path.join(tree.store, "new-left"))
    tree.prune(None)
    assert tree.read(former) == ONE
    assert sorted(os.listdir(tree.store)) == sorted(
        ["before-gatehouse", os.path.basename(former), os.path.basename(tree.pointed())]
    )


def test_two_runs_at_a_time_are_refused(tree, root):
    with tree.locked(), pytest.raises(GatehouseError) as caught, Tree(str(root), "gatehouse").locked():
        pass
    assert caught.value.cause == "busy"
    with tree.locked():
        pass


# The stage


def staged(tree, tmp_path, files=None, main=True, absent=tuple(ABSENT)):
    return Stage(tree, ONE if files is None else files, main, list(absent), base=str(tmp_path))


def test_the_stage_is_the_folder_as_it_would_be(tree, root, tmp_path):
    (root / "conf.d" / "mention.conf").write_text("include %s/sites-available/*; # /opt%s/x\n" % (root, root))
    (root / "conf.d" / "plain.conf").write_text("gzip on;\n")
    (root / "conf.d" / "dangling.conf").symlink_to("nowhere")
    before = snapshot(root)
    files = dict(ONE, **{"sites/a.conf": b"include %s/conf.d/x;\n" % os.fsencode(root)})
    with staged(tree, tmp_path, files) as stage:
        assert os.stat(stage.path).st_mode & 0o777 == 0o700
        found = snapshot(stage.path)
        path = stage.path
    assert found == {
        "conf.d": "folder 755",
        "conf.d/mention.conf": ("include %s/sites-available/*; # /opt%s/x\n" % (path, root)).encode(),
        "conf.d/plain.conf": "-> %s/conf.d/plain.conf" % root,
        "conf.d/dangling.conf": "-> %s/conf.d/nowhere" % root,
        "gatehouse": "folder 755",
        "gatehouse/nginx.conf": ONE["nginx.conf"],
        "gatehouse/sites": "folder 755",
        "gatehouse/sites/a.conf": b"include %s/conf.d/x;\n" % os.fsencode(path),
        "nginx.conf": ONE["nginx.conf"],
        "sites-available": "folder 755",
        "sites-available/default": "-> %s/sites-available/default" % root,
        "sites-enabled": "folder 755",
    }
    assert not os.path.exists(path)
    assert snapshot(root) == before
    assert stage.real("in %s/gatehouse/sites/a.conf:1" % path) == "in %s/gatehouse/sites/a.conf:1" % root


def test_the_stage_leaves_out_the_live_set(tree, root, tmp_path):
    adopt(tree, TWO)
    with staged(tree, tmp_path) as stage:
        found = snapshot(stage.path)
    assert not [path for path in found if path.startswith(".gatehouse") or path.endswith("b.conf")]


def test_without_main_the_stage_has_the_host_s_nginx_conf(tree, root, tmp_path):
    with staged(tree, tmp_path, main=False, absent=[]) as stage:
        found = snapshot(stage.path)
    assert found["nginx.conf"] == "-> %s/nginx.conf" % root
    assert found["sites-enabled/default"] == "-> %s/sites-available/default" % root


def test_the_stage_does_not_copy_large_files_foreign_folders_or_loops(tree, root, tmp_path, monkeypatch):
    monkeypatch.setattr(_nginx_tree, "LARGEST_CONFIGURATION", 100)
    (root / "geo.db").write_text("%s/ " % root * 20)
    (root / "modules").symlink_to(tmp_path)
    (root / "conf.d" / "loop").symlink_to("../conf.d")
    with staged(tree, tmp_path) as stage:
        found = snapshot(stage.path)
    assert found["geo.db"] == "-> %s/geo.db" % root
    assert found["modules"] == "-> %s" % tmp_path
    assert found["conf.d/loop"] == "-> %s/conf.d" % root


def test_a_stage_that_a_killed_run_left_is_replaced(tree, tmp_path):
    first = staged(tree, tmp_path)
    first.__enter__()
    with staged(tree, tmp_path, TWO) as stage:
        assert stage.path == first.path
        assert "gatehouse/sites/a.conf" not in snapshot(stage.path)
