"""docs/model.md and the schema say the same."""

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _schema
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve

DOC = (Path(__file__).resolve().parents[4] / "docs" / "model.md").read_text()
SCHEMAS = {
    "webapp_apps[]": _schema.APP,
    "webapp_apps[].source": _schema.SOURCE,
    "webapp_apps[].uvicorn": _schema.UVICORN,
    "webapp_apps[].pm2": _schema.PM2,
    "webapp_apps[].static": _schema.STATIC,
    "webapp_apps[].health": _schema.HEALTH,
    "webapp_apps[].deploy_status": _schema.DEPLOY_STATUS,
    "webapp_apps[].deploy_status.failed[]": _schema.DEPLOY_FAILED,
    "webapp_apps[].websocket": _schema.WEBSOCKET,
    "webapp_apps[].requires[]": _schema.REQUIREMENT,
    "webapp_apps[].balance": _schema.BALANCE,
    "webapp_apps[].sandbox": _schema.SANDBOX,
    "webapp_sites[]": _schema.SITE,
    "webapp_sites[].tls": _schema.TLS,
    "webapp_sites[].tls.hsts": _schema.HSTS,
    "webapp_sites[].maintenance": _schema.MAINTENANCE,
    "webapp_sites[].routes[]": _schema.ROUTE,
    "webapp_sites[].routes[].auth_basic": _schema.AUTH_BASIC,
    "webapp_sites[].routes[].cors": _schema.CORS,
    "webapp_sites[].routes[].retries": _schema.RETRIES,
    "webapp_sites[].verify[]": _schema.CHECK,
    "webapp_sites[].verify[].expect": _schema.EXPECT,
}


def tables(section):
    """The tables of a section: a list of rows each, a row being a dict by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", section, flags=re.MULTILINE):
        head, _rule, *rows = [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in block.splitlines()]
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def section(place):
    pattern = r"^#+ [^\n]*`%s`\n(.*?)(?=^#|\Z)" % re.escape(place)
    return re.search(pattern, DOC, flags=re.MULTILINE | re.DOTALL).group(1)


def nested_schemas(place, schema):
    yield place, schema
    for key, entry in schema.items():
        if "options" in entry:
            inner = "%s.%s%s" % (place, key, "[]" if entry["type"] == "list" else "")
            yield from nested_schemas(inner, entry["options"])


def test_every_schema_has_a_section():
    every = [*nested_schemas("webapp_apps[]", _schema.APP), *nested_schemas("webapp_sites[]", _schema.SITE)]
    assert dict(every) == SCHEMAS
    assert set(re.findall(r"^##.*`(webapp_.*)`$", DOC, flags=re.MULTILINE)) == set(SCHEMAS)


@pytest.mark.parametrize("place", SCHEMAS)
def test_table_agrees_with_schema(place):
    schema = SCHEMAS[place]
    rows = {row["key"].strip("`"): row for row in tables(section(place))[0]}
    assert list(rows) == list(schema)
    for key, entry in schema.items():
        row = rows[key]
        if "choices" in entry:
            assert row["type"] == " / ".join("`%s`" % choice for choice in entry["choices"])
        else:
            assert row["type"] == entry["type"] + (" of " + entry["elements"] if "elements" in entry else "")
        if entry.get("required"):
            assert row["default"] == "required", key
        elif "default" in entry:
            assert yaml.safe_load(row["default"].strip("`")) == entry["default"], key
        else:
            assert row["default"] == "-", key
        assert yaml.safe_load(row["example"].strip("`")) == {key: entry["example"]}
        assert len(row["meaning"]) > 10
        if place == "webapp_apps[]" and "only" in entry:
            others = [choice for choice in _schema.APP["runtime"]["choices"] if choice not in entry["only"]]
            only, without = (" and ".join("`%s`" % name for name in names) for names in (entry["only"], others))
            assert "nly with " + only in row["meaning"] or "ot with " + without in row["meaning"]


def test_route_defaults_agree():
    rows = {row["key"].strip("`"): row for row in tables(section("webapp_sites[].routes[]"))[1]}
    columns = {
        "app": "route to an app",
        "websocket": "with `websocket: true`",
        "stream": "with `stream: true`",
        "grpc": "with `grpc: true`",
        "url": "`url`",
        "static": "`static`, `redirect`, `return`",
        "files": "an app of files",
    }
    assert list(rows) == list(_schema.ROUTE_DEFAULTS["app"])
    for kind, column in columns.items():
        for key, value in _schema.ROUTE_DEFAULTS[kind].items():
            assert rows[key][column] == "-" if value is None else yaml.safe_load(rows[key][column].strip("`")) == value


def test_examples_pass_their_own_checks():
    for place, schema in SCHEMAS.items():
        for key, entry in schema.items():
            if "check" in entry and entry["type"] != "dict":
                values = entry["example"] if entry["type"] == "list" else [entry["example"]]
                assert [entry["check"](value) for value in values] == [None] * len(values), "%s.%s" % (place, key)


def test_first_example_resolves():
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", DOC, flags=re.DOTALL).group(1))
    (probe,) = resolve(example["webapp_apps"], example["webapp_sites"])["probes"]
    assert (probe["path"], probe["websocket"]) == ("/health", "/api/v1/chat/ws/probe")


def test_derived_keys_are_described():
    app = {
        "name": "a", "runtime": "uvicorn", "port": 8000, "health": {"path": "/"}, "source": {"directory": "."},
        "uvicorn": {"target": "a:b"}, "requires": [{"tcp": "db:1"}], "expose": ["192.0.2.20"],
    }  # fmt: skip
    route = {"path": "/", "app": "a", "cors": {"origins": ["https://a.example"]}}
    model = resolve([app], [{"name": "s", "default": True, "routes": [route], "verify": [{"path": "/"}]}])
    derived = DOC[DOC.index("## What is derived") :]
    for key in set(model["apps"][0]) - set(_schema.APP):
        assert "`apps[].%s`" % key in derived
    for key in set(model["sites"][0]) - set(_schema.SITE):
        assert "`sites[].%s`" % key in derived
    for key in set(model["sites"][0]["routes"][0]) - set(_schema.ROUTE):
        assert "`sites[].routes[].%s`" % key in derived
    for key in set(model) - {"apps", "sites"}:
        row = next(row for row in tables(derived)[0] if row["key"] == "`%s[]`" % key)
        assert set(yaml.safe_load(row["example"].strip("`").replace("{...}", "null"))) == set(model[key][0])
