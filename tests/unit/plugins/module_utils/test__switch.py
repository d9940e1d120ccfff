"""A release of files goes live, on a real disk, before a proxy that serves what it is told to."""

import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import Activation
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer
from ansible_collections.gatehouse.webapp.plugins.module_utils._switch import Switch


@pytest.fixture
def srv(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / "releases" / name / "src"
        folder.mkdir(parents=True)
        (folder / "index.html").write_text(f"<p>page of {name}</p>\n")
    return tmp_path


class Proxy:
    """Serves what the link names, `late` answers later; or, being `stuck`, what it named at first."""

    def __init__(self, srv, late=0, stuck=False):
        self.page = srv / "current" / "src" / "index.html"
        self.pages = []
        self.late, self.stuck = late, stuck

    def __call__(self, _timeout):
        if not self.page.exists():
            return Answer(False, "bad_status", "it answered 404", 0.001, 404, {}, "")
        self.pages.append(self.page.read_text())
        seen = 0 if self.stuck else max(0, len(self.pages) - 1 - self.late)
        return Answer(True, None, "answered 200", 0.001, 200, {}, self.pages[seen])


def switch(srv, name, ask=None):
    ticks = iter(range(10**6))
    activation = Activation(str(srv / "current"), str(srv / "releases" / name))
    return Switch(
        activation, "src/index.html", ask, sleep=lambda _s: None, deadline=lambda: Deadline(10, lambda: next(ticks))
    )


def live(srv):
    return os.path.basename(os.path.realpath(srv / "current")) if os.path.islink(srv / "current") else None


@pytest.mark.parametrize("late", [0, 2])
def test_the_release_is_live_once_the_proxy_serves_its_page(srv, late):
    proxy = Proxy(srv, late)
    for name in ("one", "two"):
        story = switch(srv, name, proxy)
        assert story.plan()
        story.run()
        assert live(srv) == name
    assert len(proxy.pages) == 2 + late
    assert not switch(srv, "two", proxy).plan()
    assert Activation.passed(str(srv / "releases" / "two"))["after"] == "one"
    assert os.readlink(srv / "former") == "releases/one"


def test_the_first_release_goes_live_before_there_is_a_proxy(srv):
    switch(srv, "one", Proxy(srv)).run()
    assert live(srv) == "one"


@pytest.mark.parametrize("names", [["one"], ["one", "two"]])
def test_where_the_proxy_leads_to_another_app_until_it_is_configured_nothing_is_asked_of_it(srv, names):
    answer = Answer(True, None, "answered 200", 0.001, 200, {}, "<p>another app</p>")
    for name in names:
        switch(srv, name, lambda _timeout: answer).run()
    assert live(srv) == names[-1]


def test_a_switch_that_the_proxy_does_not_follow_is_taken_back(srv):
    proxy = Proxy(srv, stuck=True)
    switch(srv, "one", proxy).run()
    with pytest.raises(GatehouseError, match="another page than the release's") as error:
        switch(srv, "two", proxy).run()
    assert (error.value.cause, live(srv)) == ("not_switched", "one")
    assert Activation.passed(str(srv / "releases" / "two")) == {}


@pytest.mark.parametrize(("page", "words"), [(None, "has no entry page"), ("", "is empty"), (" \n", "is empty")])
def test_a_release_without_its_page_never_goes_live(srv, page, words):
    switch(srv, "one").run()
    path = srv / "releases" / "two" / "src" / "index.html"
    path.unlink() if page is None else path.write_text(page)
    with pytest.raises(GatehouseError, match=words) as error:
        switch(srv, "two").plan()
    assert (error.value.cause, live(srv)) == ("bad_source", "one")
