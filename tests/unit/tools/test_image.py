"""The recipe's hash and the mirrors that the base image is built from."""

import pytest

from testbed import image

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb http://mirror.example/debian/ bookworm main contrib
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://other.example/x stable main
"""
STANZAS = """\
Types: deb deb-src
URIs: http://deb.example/debian
# URIs: http://commented.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://deb.example/debian-security/
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 Enabled: no

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Enabled: no

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
"""


def test_the_same_recipe_has_the_same_hash():
    assert image.recipe_hash("a", b"b") == image.recipe_hash("a", "b")


@pytest.mark.parametrize("other", [("b", "a"), ("ab",), ("a", "b", ""), ("a",), ("a", "B")])
def test_another_recipe_has_another_hash(other):
    assert image.recipe_hash(*other) != image.recipe_hash("a", "b")


def test_a_recipe_hash_can_be_an_image_tag():
    assert image.recipe_hash("x").isalnum() and len(image.recipe_hash("x")) == 12


def test_one_line_sources():
    assert image.parse_sources(ONE_LINE) == [
        ("http://mirror.example/debian", "bookworm"),
        ("http://other.example/x", "stable"),
    ]


def test_stanza_sources():
    assert image.parse_sources(STANZAS) == [
        ("http://deb.example/debian", "bookworm"),
        ("http://deb.example/debian", "bookworm-updates"),
        ("http://deb.example/debian-security", "bookworm-security"),
    ]


def lines(archive, security=None):
    found = [f"deb {archive} bookworm main", f"deb {archive} bookworm-updates main"]
    return [*found, f"deb {security} bookworm-security main"] if security else found


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        pytest.param([], [], id="a machine that names none"),
        pytest.param(
            image.parse_sources(STANZAS),
            lines("http://deb.example/debian", "http://deb.example/debian-security"),
            id="its own",
        ),
        pytest.param(
            [("http://m.example/debian", "trixie"), ("http://m.example/debian-security", "trixie-security")],
            lines("http://m.example/debian", "http://m.example/debian-security"),
            id="another release of Debian",
        ),
        pytest.param(
            [("http://m.example/ubuntu", "noble"), ("http://m.example/ubuntu", "noble-security")], [], id="Ubuntu"
        ),
        pytest.param([("cdrom:[Debian 12]", "bookworm")], [], id="a disc"),
        pytest.param(
            [("http://first.example/debian", "bookworm"), ("http://second.example/debian", "bookworm")],
            lines("http://first.example/debian"),
            id="the first of two",
        ),
    ],
)
def test_mirrors(sources, expected):
    assert image.mirrors(sources) == expected


def test_sources_are_read_from_both_places(tmp_path):
    (tmp_path / "sources.list").write_text("deb http://a.example/debian bookworm main\n")
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "b.sources").write_text(
        "Types: deb\nURIs: http://b.example/debian\nSuites: bookworm\n"
    )
    (tmp_path / "sources.list.d" / "c.list").write_text("deb http://c.example/debian bookworm main\n")
    (tmp_path / "sources.list.d" / "d.save").write_text("deb http://d.example/debian bookworm main\n")
    addresses = [address for address, suite in image.machine_sources(tmp_path)]
    assert addresses == ["http://a.example/debian", "http://c.example/debian", "http://b.example/debian"]


def test_each_release_has_an_image_of_its_own(monkeypatch):
    made = []
    monkeypatch.setattr(image, "exists", lambda name: False)
    monkeypatch.setattr(image, "build_base", lambda name, suite: made.append((name, suite)))
    monkeypatch.setattr(image, "build_host", lambda name, base, bundle: made.append((name, base)))
    monkeypatch.delenv("GATEHOUSE_IMAGE", raising=False)
    names = {image.ensure(), image.ensure("trixie")}
    assert len(names) == 2
    assert [suite for _name, suite in made[::2]] == ["bookworm", "trixie"]


def test_a_named_image_is_for_its_release_alone():
    given = {"GATEHOUSE_IMAGE": "mine:12", "GATEHOUSE_IMAGE_TRIXIE": "mine:13"}
    assert [image.chosen(suite, given) for suite in ("bookworm", "trixie", "sid")] == ["mine:12", "mine:13", None]
