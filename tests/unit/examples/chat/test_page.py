"""The page and its files, as a browser under a strict content security policy needs them."""

import re
from html.parser import HTMLParser
from typing import NamedTuple

import pytest


class Tag(NamedTuple):
    name: str
    attributes: dict
    text: list


class Tags(HTMLParser):
    """The page's tags, in their order."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(Tag(tag, dict(attrs), []))

    def handle_data(self, data):
        if self.tags and data.strip():
            self.tags[-1].text.append(data.strip())

    def named(self, name):
        return [tag for tag in self.tags if tag.name == name]


@pytest.fixture
def page(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    return Tags(answer.text)


def test_every_file_that_the_page_names_is_served(client, page):
    named = [tag.attributes["src"] for tag in page.named("script")]
    named += [tag.attributes["href"] for tag in page.named("link")]
    modules = re.findall(r'from "\./(.+?)"', client.get("/page/page.js").text)

    types = {
        path.rpartition(".")[2]: client.get(path).headers["Content-Type"].partition(";")[0]
        for path in named + [f"/page/{module}" for module in modules]
    }
    assert modules == ["connection.js"]
    assert types.keys() == {"js", "css", "svg"}
    assert types["css"] == "text/css"
    assert types["js"] in ("text/javascript", "application/javascript")
    assert types["svg"] == "image/svg+xml"


def test_the_page_has_nothing_inline(page):
    assert [tag for tag in page.named("script") if tag.text] == []
    assert page.named("style") == []
    assert [name for tag in page.tags for name in tag.attributes if name == "style" or name[:2] == "on"] == []


def test_the_page_is_told_to_those_who_do_not_see_it(page):
    labels = {tag.attributes["for"]: tag.text for tag in page.named("label")}
    (entry,) = page.named("input")
    (conversation,) = page.named("main")
    (badge,) = [tag for tag in page.tags if tag.attributes.get("id") == "badge"]

    assert labels == {entry.attributes["id"]: ["Message"]}
    assert conversation.attributes["aria-live"] == "polite"
    assert badge.attributes["role"] == "status"
    assert page.named("html")[0].attributes["lang"] == "en"


def test_the_page_takes_as_much_as_the_service(page, main):
    assert page.named("input")[0].attributes["maxlength"] == str(main.LONGEST_MESSAGE)


def test_the_badge_has_a_text_for_every_state(client):
    states = re.findall(r'#setState\(.*?"(\w+)"(?: : "(\w+)")?\)', client.get("/page/connection.js").text)
    texts = re.search(r"const TEXTS = {(.+?)\n};", client.get("/page/page.js").text, re.DOTALL)

    shown = re.findall(r"^  (\w+):", texts.group(1), re.MULTILINE)
    assert {state for pair in states for state in pair if state} == set(shown)
    assert {"connecting", "connected", "reconnecting", "http", "offline"} == set(shown)
