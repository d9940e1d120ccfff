"""Which release is live, which one came before it, and which unit an instance has: links and files on a real disk."""

import hashlib
import json
import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _activation
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import Activation
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

GATE = {"http": {"path": "/health"}, "timeout": 60.0}
SERVICES = [{"name": "app@8000.service", "port": 8000}]


@pytest.fixture(autouse=True)
def root(monkeypatch):
    """The tests need not run as root: whoever runs them writes what root would."""
    monkeypatch.setattr(_activation, "OWNER", os.getuid())


@pytest.fixture
def srv(tmp_path):
    """Three releases, each with its unit, and a place for units on the host."""
    for name in ("one", "two", "three"):
        release = tmp_path / "releases" / name
        release.mkdir(parents=True)
        (release / "app@.service").write_text(f"unit of {name}")
    (tmp_path / "system").mkdir()
    return tmp_path


def activation(srv, name):
    return Activation(str(srv / "current"), str(srv / "releases" / name), "app@.service", str(srv / "system"))


def make_live(srv, name, green=False):
    made = activation(srv, name)
    made.record(GATE, SERVICES)
    return made, made.flip(green)


def live(srv):
    return os.path.basename(os.path.realpath(srv / "current")) if os.path.islink(srv / "current") else None


def follows(srv):
    """What a proxy finds at the place where it looks."""
    return (srv / "current" / "green").exists()


def test_the_link_names_the_live_release_by_a_relative_path(srv):
    made, before = make_live(srv, "one")
    assert (live(srv), made.is_live(), before) == ("one", True, (None, False))
    assert os.readlink(srv / "current") == "releases/one"


@pytest.mark.parametrize("former_green", [False, True])
@pytest.mark.parametrize("green", [False, True])
def test_the_flip_moves_the_traffic_and_can_be_taken_back(srv, former_green, green):
    make_live(srv, "one", former_green)
    made, before = make_live(srv, "two", green)
    assert (live(srv), follows(srv)) == ("two", green)
    made.flip_back(before)
    assert (live(srv), follows(srv)) == ("one", former_green)


def test_the_live_release_can_change_its_set(srv):
    make_live(srv, "one")
    made, before = make_live(srv, "one", green=True)
    assert (live(srv), follows(srv)) == ("one", True)
    made.flip_back(before)
    assert (live(srv), follows(srv)) == ("one", False)


def test_taking_back_the_first_release_leaves_no_link(srv):
    made, before = make_live(srv, "one")
    made.flip_back(before)
    assert made.live() is None


def test_a_link_to_a_release_that_is_gone_names_none(srv):
    os.symlink("releases/gone", srv / "current")
    assert activation(srv, "one").live() is None


def test_a_release_keeps_the_gate_it_passed_and_where(srv):
    made, _before = make_live(srv, "one")
    assert made.passed(made.target) == {"gate": GATE, "services": SERVICES, "after": None}
    assert os.stat(srv / "releases" / "one" / "passed.json").st_mode & 0o777 == 0o600
    assert made.record(GATE, SERVICES) is False
    assert made.record(dict(GATE, timeout=30.0), SERVICES) is True


def test_a_record_that_was_cut_short_counts_for_none(srv):
    (srv / "releases" / "one" / "passed.json").write_text('{"gate": ')
    assert Activation.passed(str(srv / "releases" / "one")) == {}


def lineage(srv):
    return [os.path.basename(path) for path in _activation.lineage(str(srv / "releases"), str(srv / "current"))]


def test_each_release_knows_the_one_before_it(srv):
    for name in ("one", "two", "three"):
        make_live(srv, name)
    assert lineage(srv) == ["two", "one"]


def test_going_back_does_not_make_the_bad_release_the_one_to_go_back_to(srv):
    for name in ("one", "two", "three", "two"):
        make_live(srv, name)
    assert lineage(srv) == ["one"]
    make_live(srv, "one")
    assert lineage(srv) == []


def test_a_release_that_is_deployed_again_comes_after_the_live_one(srv):
    for name in ("one", "two", "one", "two"):
        make_live(srv, name)
    assert lineage(srv) == ["one"]


def test_what_was_pruned_ends_the_line(srv):
    for name in ("one", "two", "three"):
        make_live(srv, name)
    for path in (srv / "releases" / "two").iterdir():
        path.unlink()
    (srv / "releases" / "two").rmdir()
    assert lineage(srv) == []


def test_a_line_that_bites_its_tail_ends(srv):
    for name, after in (("one", "two"), ("two", "one")):
        (srv / "releases" / name / "passed.json").write_text(json.dumps({"after": after}))
    os.symlink("releases/one", srv / "current")
    assert len(lineage(srv)) <= 2


def test_an_instance_gets_its_own_copy_of_the_unit(srv):
    made = activation(srv, "one")
    assert made.has_other_unit("app@8000.service")
    assert made.install("app@8000.service", made.unit_of(made.target)) is True
    assert made.install("app@8000.service", made.unit_of(made.target)) is False
    assert (srv / "system" / "app@8000.service").read_text() == "unit of one"
    assert not made.has_other_unit("app@8000.service")
    assert activation(srv, "two").has_other_unit("app@8000.service")
    assert made.install("app@8000.service", None) is True
    assert made.installed("app@8000.service") is None


def test_a_release_that_does_not_exist_is_refused(srv):
    with pytest.raises(GatehouseError, match="does not exist"):
        activation(srv, "four").check()


def test_a_folder_in_the_links_place_is_refused(srv):
    (srv / "current").mkdir()
    with pytest.raises(GatehouseError, match="is not a link"):
        activation(srv, "one").check()


def test_a_release_without_its_unit_is_refused(srv):
    (srv / "releases" / "one" / "app@.service").unlink()
    with pytest.raises(GatehouseError, match="has no file app@.service"):
        activation(srv, "one").check()


def test_a_second_activation_waits_for_the_first_and_then_goes(srv):
    first, second = activation(srv, "one"), activation(srv, "two")
    waits = []
    held = first.alone()
    held.__enter__()

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:  # the first one ends
            held.__exit__(None, None, None)

    with second.alone(sleep=sleep):
        assert len(waits) == 3
    with first.alone(sleep=pytest.fail):
        pass


def test_an_activation_that_does_not_end_is_told(srv):
    clock = iter(range(0, 10000, 100))
    late = activation(srv, "two").alone(clock=lambda: next(clock), sleep=lambda _seconds: None)
    with activation(srv, "one").alone(), pytest.raises(GatehouseError, match="is under way") as error:
        late.__enter__()
    assert (error.value.cause, error.value.hint) == ("locked", f"fuser -v {srv}   # who holds it")


# What root wrote is what root reads again


def seal(srv, name):
    """What the module release leaves in a whole release."""
    release = srv / "releases" / name
    (release / "manifest.json").write_text("{}")
    (release / "env").write_text("A=1")
    written = {file: hashlib.sha256((release / file).read_bytes()).hexdigest() for file in ("env", "app@.service")}
    (release / "written.json").write_text(json.dumps(written))
    return release


def refused(made):
    with pytest.raises(GatehouseError) as caught:
        made.check()
    assert caught.value.cause == "not_as_written"
    return caught.value.message


def test_a_release_as_it_was_written_is_taken(srv):
    seal(srv, "one")
    activation(srv, "one").check()


@pytest.mark.parametrize("name", ["env", "app@.service"])
def test_a_file_that_holds_something_else_is_refused(srv, name):
    release = seal(srv, "one")
    (release / name).write_text("changed")
    assert "%s of the release %s is not what root wrote there: it holds something else" % (name, release) in refused(
        activation(srv, "one")
    )


def link(path, elsewhere):
    elsewhere.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(elsewhere)


def hard_link(path, elsewhere):
    os.link(path, elsewhere)


def pipe(path, _elsewhere):
    path.unlink()
    os.mkfifo(path)


def folder(path, _elsewhere):
    path.unlink()
    path.mkdir()


def open_to_others(path, _elsewhere):
    path.chmod(0o666)


@pytest.mark.parametrize("name", ["env", "app@.service", "written.json"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (link, "is a link"),
        (hard_link, "has another name too"),
        (pipe, "is no regular file"),
        (folder, "is no regular file"),
        (open_to_others, "can be written by others"),
    ],
)
def test_a_file_that_somebody_else_could_have_made_is_refused(srv, name, change, words):
    release = seal(srv, "one")
    change(release / name, srv / "elsewhere")
    assert words in refused(activation(srv, "one"))


def test_a_folder_that_others_can_write_is_refused(srv):
    seal(srv, "one").chmod(0o777)
    assert "can be written by others" in refused(activation(srv, "one"))


def test_the_folder_of_releases_that_others_can_write_is_refused(srv):
    seal(srv, "one").parent.chmod(0o777)
    assert "can be written by others" in refused(activation(srv, "one"))


def test_what_somebody_else_owns_is_refused(srv, monkeypatch):
    seal(srv, "one")
    monkeypatch.setattr(_activation, "OWNER", os.getuid() + 1)
    assert "belongs to user id %d" % os.getuid() in refused(activation(srv, "one"))


def test_a_release_of_a_version_that_noted_nothing_is_refused(srv):
    (seal(srv, "one") / "written.json").unlink()
    assert "made by a version before 0.4.0" in refused(activation(srv, "one"))


def test_a_file_that_was_written_and_is_gone_is_refused(srv):
    (seal(srv, "one") / "env").unlink()
    assert "env of the release" in refused(activation(srv, "one"))
