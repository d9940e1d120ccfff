"""What people read: the words are there, and nothing that a host has said can break out of them."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._diagnosis import diagnose
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._report import document, lines, page

RECORDED = Path(__file__).parent / "recorded_faults"
HEALTHY = json.loads((RECORDED / "healthy.json").read_text())


NONE = {"names": [], "told": "", "command": ""}


def found(fault=None):
    evidence = dict(HEALTHY["evidence"])
    if fault:
        evidence.update(json.loads((RECORDED / f"{fault}.json").read_text())["evidence"])
    return dict(diagnose(HEALTHY["asked"], evidence), evidence=evidence, orphans=dict(NONE))


class Page(HTMLParser):
    """Which elements a page has, with which attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def count(self, tag):
        return len([name for name, _attributes in self.tags if name == tag])


def hostile(text):
    cause = {
        "cause": "unhealthy", "title": text, "link": "health", "effect": "outage", "app": text, "site": text, "confidence": 60,
        "message": text, "evidence": [text], "show": text, "mend": text, "consequences": [{"message": text}],
    }  # fmt: skip
    way = {"site": text, "app": text, "links": [{"link": "health", "state": "broken", "told": text}]}
    orphans = {"names": [text], "told": text, "command": text}
    return {
        "ok": False,
        "causes": [cause],
        "chain": [way],
        "orphans": orphans,
        "evidence": {"unanswered": {text: text}},
    }


@given(
    st.text(min_size=1, max_size=60)
    | st.sampled_from(["<script>alert(1)</script>", '" onmouseover="x', "</pre><img src=x>", "&lt;", "%s %(body)s"])
)
def test_nothing_that_a_host_says_becomes_markup(text):
    plain, told = Page(page({"host": hostile("x")}, 0)), Page(page({text or "host": hostile(text)}, 0))
    assert [name for name, _attributes in told.tags] == [name for name, _attributes in plain.tags]
    assert {key for _name, attributes in told.tags for key in attributes} == {
        key for _name, attributes in plain.tags for key in attributes
    }


@given(st.text(max_size=60))
def test_no_line_moves_the_terminals_cursor(text):
    for line in lines(hostile(text + "\x1b[2J\r\n\u202e")):
        assert all(character.isprintable() or not character.isascii() for character in line)
        assert not set(line) & set("\x1b\r\n\u202e\x9b")


def test_a_page_needs_nothing_from_elsewhere():
    tags = Page(page({"app-1": found("dependency_down")}, 0)).tags
    assert not [attributes for _name, attributes in tags if "src" in attributes or "href" in attributes]
    policy = next(
        attributes["content"] for _name, attributes in tags if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")


def test_a_page_marks_the_failing_node_and_gives_the_commands():
    told = Page(page({"app-1": found("dependency_down"), "app-2": found(), "app-3": None}, 1795260584))
    broken = [attributes for name, attributes in told.tags if name == "li" and attributes.get("class") == "broken"]
    assert len(broken) == 1
    assert "systemctl start mariadb" in told.text
    assert "2 of 3 hosts need attention: app-1, app-3" in told.text
    assert told.text.index("app-3 not reached") < told.text.index("app-2 well")
    assert "2026-11-21 11:29:44 UTC" in told.text


def test_a_page_of_healthy_hosts_says_so():
    assert "All 2 hosts are well." in Page(page({"a": found(), "b": found()}, 0)).text
    assert "The host is well." in Page(page({"a": found()}, 0)).text


def test_lines_walk_the_chain_and_tell_the_cause():
    told = lines(found("dependency_down"))
    assert "chat-api at site chat" in told
    assert any(line.startswith("  ✘ Dependencies  chat-api needs 127.0.0.1:3306") for line in told)
    assert any(line.startswith("1. chat-api needs 127.0.0.1:3306") for line in told)
    assert "   mend it: systemctl start mariadb" in told
    assert "Nothing is wrong." in lines(found())


def test_what_the_model_does_not_have_is_told_and_is_no_cause():
    state = dict(found(), orphans={"names": ["old"], "told": "has old. It is left as it is.", "command": "remove old"})
    told = lines(state)
    assert told[told.index("Nothing is wrong.") + 1 :] == [
        "the host has old. It is left as it is.",
        "   remove it: remove old",
    ]
    shown = Page(page({"a": state}, 0)).text
    assert "The host has old. It is left as it is." in shown
    assert "remove old" in shown
    assert "The host is well." in shown


def test_lines_tell_what_was_not_answered():
    state = found()
    state["evidence"] = dict(state["evidence"], unanswered={"clock": "no answer in time"})
    assert lines(state)[-1] == "not answered: clock (no answer in time)"


@pytest.mark.parametrize("fault", [None, "dependency_down"])
def test_the_document_is_json_and_names_its_schema(fault):
    told = json.loads(json.dumps(document({"a": found(fault), "b": None})))
    assert told["schema"] == 1
    assert told["hosts"]["b"] is None
    assert set(told["hosts"]["a"]) == {"ok", "causes", "chain", "orphans", "evidence"}
