"""The apps that a run is about."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._chosen import about, choose
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve

APPS = [{"name": "shop"}, {"name": "shop-web"}, {"name": "chat"}]


def names(only):
    return [app["name"] for app in choose(APPS, only)]


@pytest.mark.parametrize("only", [None, []])
def test_all_without_a_name(only):
    assert names(only) == ["shop", "shop-web", "chat"]


@pytest.mark.parametrize("only", ["", " , "])
def test_a_text_without_a_name_is_refused(only):
    with pytest.raises(GatehouseError, match="webapp_only is empty"):
        choose(APPS, only)


@pytest.mark.parametrize("only", ["chat,shop", " chat , shop,", ["chat", "shop"], ("shop", "chat", "chat")])
def test_those_that_are_named_in_the_order_of_the_model(only):
    assert names(only) == ["shop", "chat"]


def test_a_name_is_not_the_beginning_of_another():
    assert names("shop-web") == ["shop-web"]
    assert names("shop") == ["shop"]


@pytest.mark.parametrize("only", ["sho", "Shop", ["shop web"], "shop,ch", "shop;chat"])
def test_an_unknown_name_is_refused_with_those_there_are(only):
    with pytest.raises(GatehouseError, match=r"\(apps: shop, shop-web, chat\)") as caught:
        choose(APPS, only)
    assert caught.value.hint.startswith("-e webapp_only=")


@pytest.mark.parametrize("only", [True, 3, {"shop": 1}, [1], [["shop"]]])
def test_what_is_no_list_of_names_is_refused(only):
    with pytest.raises(GatehouseError, match="neither a list of names nor a text with commas"):
        choose(APPS, only)


def an_app(name, port):
    return {
        "name": name,
        "runtime": "uvicorn",
        "source": {"directory": "/src/" + name},
        "uvicorn": {"target": "a:b"},
        "port": port,
        "health": {"path": f"/{name}/health"},
    }


CORS = {"origins": ["https://a.example"]}
SITE = {
    "name": "site",
    "server_names": ["site.example.com"],
    "routes": [
        {"path": "/shop/", "app": "shop", "cors": CORS},
        {"path": "/chat/", "app": "chat", "cors": CORS},
        {"path": "/files/", "static": "/var/www"},
    ],
    "verify": [{"path": "/shop/x"}, {"path": "/chat/x"}, {"path": "/files/x"}, {"path": "/nowhere"}],
}


def test_a_model_about_some_apps_asks_nothing_of_others():
    model = about(resolve([an_app("shop", 8000), an_app("chat", 9000)], [SITE]), "chat")
    assert [app["name"] for app in model["apps"]] == ["chat"]
    assert [probe["app"] for probe in model["probes"]] == ["chat"]
    assert {asked["path"] for asked in model["preflights"]} == {"/chat/"}
    assert [asked["path"] for asked in model["checks"]] == ["/chat/x", "/files/x", "/nowhere"]
    assert [source["path"] for source in model["local_sources"]] == ["/src/chat"]
    assert [site["name"] for site in model["sites"]] == ["site"]


def test_a_model_about_all_apps_is_the_model():
    model = resolve([an_app("shop", 8000), an_app("chat", 9000)], [SITE])
    assert about(model, []) == model
