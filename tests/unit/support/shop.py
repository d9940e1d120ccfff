"""A small model for tests: an app with two instances, and the site that leads to it."""

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve

APP = {
    "name": "shop",
    "runtime": "uvicorn",
    "source": {"directory": "src"},
    "uvicorn": {"target": "a:b"},
    "port": 8000,
    "instances": 2,
    "health": {"path": "/health"},
}
SITE = {"name": "shop", "server_names": ["shop.example.com"], "routes": [{"path": "/", "app": "shop"}]}


def model(apps=(APP,), sites=(SITE,)):
    return resolve(list(apps), list(sites))
