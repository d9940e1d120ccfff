"""One fact in two places: every module's documentation and its argument spec say the same."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.gatehouse.webapp.plugins.doc_fragments import gate

MODULES = sorted(path.stem for path in (Path(__file__).parents[4] / "plugins" / "modules").glob("*.py"))


class Stop(Exception):
    pass


def argument_spec(monkeypatch, module):
    """What main() gives to AnsibleModule."""
    caught = {}

    def capture(**options):
        caught.update(options)
        raise Stop

    monkeypatch.setattr(module, "AnsibleModule", capture)
    with pytest.raises(Stop):
        module.main()
    return caught


def fragment(name):
    attribute = name.split(".")[3].upper() if name.count(".") == 3 else "DOCUMENTATION"
    return yaml.safe_load(getattr(gate.ModuleDocFragment, attribute))["options"]


def documented(module):
    document = yaml.safe_load(module.DOCUMENTATION)
    options = {}
    for name in document.get("extends_documentation_fragment", []):
        options.update(fragment(name))
    options.update(document.get("options", {}))
    return document, options


def compare(place, options, spec):
    assert set(options) == set(spec), place
    for name, entry in spec.items():
        told, where = options[name], f"{place}.{name}"
        assert told["description"], where
        assert told.get("type", "str") == entry.get("type", "str"), where
        assert told.get("elements") == entry.get("elements"), where
        assert told.get("default") == entry.get("default"), where
        assert told.get("choices") == entry.get("choices"), where
        assert told.get("required", False) == entry.get("required", False), where
        compare(where, told.get("suboptions", {}), entry.get("options", {}))


@pytest.fixture(params=MODULES)
def module(request):
    return importlib.import_module("ansible_collections.gatehouse.webapp.plugins.modules." + request.param)


def test_options_agree(module, monkeypatch):
    _document, options = documented(module)
    compare(module.__name__, options, argument_spec(monkeypatch, module)["argument_spec"])


def test_check_mode_is_supported(module, monkeypatch):
    assert argument_spec(monkeypatch, module)["supports_check_mode"] is True


def test_examples_are_tasks_of_this_collection(module):
    name = module.__name__.rsplit(".", 1)[1]
    examples = yaml.safe_load(module.EXAMPLES)
    assert examples
    for task in examples:
        assert re.match(r"[A-Z]", task["name"])
        assert f"gatehouse.webapp.{name}" in task


def test_examples_use_options_that_exist(module):
    name = module.__name__.rsplit(".", 1)[1]
    _document, options = documented(module)
    for task in yaml.safe_load(module.EXAMPLES):
        assert set(task[f"gatehouse.webapp.{name}"]) <= set(options)


def test_results_are_described(module):
    for name, entry in yaml.safe_load(module.RETURN).items():
        assert entry["description"] and entry["type"] and entry["returned"], name
