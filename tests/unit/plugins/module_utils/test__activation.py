"""Which release is live: links and files on a real disk, at each place where a run can be killed."""

import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import Activation
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

GATE = {"http": {"path": "/health"}, "timeout": 60.0}


@pytest.fixture
def srv(tmp_path):
    """Two releases, each with its unit, and a place for the unit on the host."""
    for name in ("one", "two"):
        release = tmp_path / "releases" / name
        release.mkdir(parents=True)
        (release / "app@.service").write_text(f"unit of {name}")
    (tmp_path / "system").mkdir()
    return tmp_path


def activation(srv, name):
    return Activation(
        str(srv / "current"),
        str(srv / "releases" / name),
        [("app@.service", str(srv / "system" / "app@.service"))],
    )


def unit(srv):
    path = srv / "system" / "app@.service"
    return path.read_text() if path.exists() else None


def live(srv):
    return os.path.basename(os.path.realpath(srv / "current")) if os.path.islink(srv / "current") else None


def make_good(srv, name):
    made = activation(srv, name)
    made.go_live()
    made.confirm(GATE)
    return made


def test_the_first_release_goes_live(srv):
    first = activation(srv, "one")
    assert len(first.reasons()) == 2
    first.go_live()
    assert (live(srv), unit(srv)) == ("one", "unit of one")
    assert first.reasons() == []
    assert os.readlink(srv / "current") == "releases/one"


def test_there_is_nothing_to_go_back_to_before_the_first_good_release(srv):
    first = activation(srv, "one")
    before = first.go_live()
    assert first.last_good() is None
    first.go_back(None, before)
    assert (live(srv), unit(srv)) == (None, None)


def test_going_back_restores_link_and_files(srv):
    make_good(srv, "one")
    second = activation(srv, "two")
    before = second.go_live()
    assert (live(srv), unit(srv)) == ("two", "unit of two")
    assert second.last_good() == str(srv / "releases" / "one")
    second.go_back(second.last_good(), before)
    assert (live(srv), unit(srv)) == ("one", "unit of one")


def test_a_hand_made_file_is_put_back_where_there_was_no_release(srv):
    (srv / "system" / "app@.service").write_text("by hand")
    first = activation(srv, "one")
    before = first.go_live()
    first.go_back(None, before)
    assert unit(srv) == "by hand"


def test_a_run_killed_between_link_and_files_is_seen(srv):
    make_good(srv, "one")
    second = activation(srv, "two")
    os.unlink(srv / "current")
    os.symlink("releases/two", srv / "current")
    assert second.reasons() == [f"{srv}/system/app@.service is not the one of {srv}/releases/two"]
    second.go_live()
    assert second.reasons() == []


def test_a_run_killed_before_its_gate_still_knows_what_was_good(srv):
    make_good(srv, "one")
    activation(srv, "two").go_live()
    again = activation(srv, "two")
    assert again.reasons() == []
    assert again.is_unconfirmed()
    assert again.last_good() == str(srv / "releases" / "one")
    # Nobody remembers what lay there before, so the former release's own files are taken.
    again.go_back(again.last_good(), [(str(srv / "system" / "app@.service"), None)])
    assert (live(srv), unit(srv)) == ("one", "unit of one")


def test_a_half_made_link_of_a_killed_run_is_no_hindrance(srv):
    os.symlink("nowhere", srv / "current.new")
    activation(srv, "one").go_live()
    assert live(srv) == "one"
    assert not os.path.lexists(srv / "current.new")


def test_confirming_is_news_once_and_keeps_the_gate_with_the_release(srv):
    first = activation(srv, "one")
    first.go_live()
    assert first.confirm(GATE) is True
    assert first.confirm(GATE) is False
    assert Activation.gate_of(str(srv / "releases" / "one")) == GATE
    assert (srv / "releases" / "one" / "gate.json").stat().st_mode & 0o777 == 0o600
    assert Activation.gate_of(str(srv / "releases" / "two")) is None


def test_the_live_release_is_not_what_to_go_back_to(srv):
    assert make_good(srv, "one").last_good() is None


def test_a_good_release_that_was_removed_is_not_what_to_go_back_to(srv):
    make_good(srv, "one")
    os.unlink(srv / "releases" / "one" / "app@.service")
    os.unlink(srv / "releases" / "one" / "gate.json")
    os.rmdir(srv / "releases" / "one")
    assert activation(srv, "two").last_good() is None


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda srv: None, "releases/three does not exist"),
        (lambda srv: (srv / "releases" / "three").mkdir(), "has no file app@.service"),
        (
            lambda srv: ((srv / "releases" / "three").mkdir(), (srv / "current").mkdir()),
            "is not a link",
        ),
    ],
)
def test_what_can_not_go_live_is_refused(srv, break_it, words):
    break_it(srv)
    with pytest.raises(GatehouseError) as caught:
        activation(srv, "three").check()
    assert words in caught.value.message
    assert caught.value.cause == "bad_input"
