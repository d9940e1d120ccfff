"""One fact in three places: a role's defaults, its argument spec and its README agree."""

from pathlib import Path

import pytest
import yaml

ROLES = sorted(path for path in (Path(__file__).parents[3] / "roles").iterdir() if path.is_dir())


@pytest.fixture(params=ROLES, ids=lambda path: path.name)
def role(request):
    return request.param


def load(path):
    return yaml.safe_load(path.read_text()) or {}


def options(role):
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]


def is_template(value):
    return isinstance(value, str) and "{{" in value


def folded(value):
    return " ".join(value.split()) if isinstance(value, str) else value


def test_defaults_agree_with_the_argument_spec(role):
    defaults = load(role / "defaults" / "main.yml")
    spec = options(role)
    assert set(defaults) == set(spec)
    for name, entry in spec.items():
        if is_template(defaults[name]):
            # A wrong type anywhere has Ansible print the whole spec, with the values of templates: those have secrets.
            assert "default" not in entry, name
        else:
            assert folded(entry.get("default")) == folded(defaults[name]), name


def test_every_variable_is_the_roles_own_by_name(role):
    for name in load(role / "defaults" / "main.yml"):
        assert name.startswith(role.name + "_")
    for name in load(role / "vars" / "main.yml"):
        assert name.startswith("__" + role.name + "_")


def test_every_variable_is_in_the_readme(role):
    readme = (role / "README.md").read_text()
    for name in options(role):
        assert f"`{name}`" in readme, name


def test_tasks_main_is_a_contents_page(role):
    for task in load(role / "tasks" / "main.yml"):
        steps = task.get("block", [task])
        for step in steps:
            assert any("include_tasks" in key or "import_tasks" in key for key in step), step
