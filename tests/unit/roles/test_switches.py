"""Switches given as text (-e NAME=false, NAME=false in an INI inventory) mean what they say, in every role and filter."""

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.gatehouse.webapp.plugins.filter import openings, security_group_plan

ROOT = Path(__file__).parents[3]
FILES = sorted(
    path
    for pattern in ("tasks/*.yml", "vars/*.yml", "templates/**/*", "handlers/*.yml", "files/**/*.j2")
    for path in (ROOT / "roles").glob("*/" + pattern)
    if path.is_file()
)


def switches():
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            for name, option in (entry.get("options") or {}).items():
                if option.get("type") == "bool":
                    yield name


SWITCHES = sorted(set(switches()))


def module_options():
    """{module: its options of type bool}, of this collection and of those modules that roles give switches to."""
    found = {"ansible.builtin.systemd_service": {"enabled", "daemon_reload", "masked"}}
    for path in (ROOT / "plugins" / "modules").glob("*.py"):
        document = yaml.safe_load(re.search(r'DOCUMENTATION = r"""(.*?)"""', path.read_text(), re.S).group(1))
        options = document.get("options") or {}
        found["gatehouse.webapp." + path.stem] = {name for name, one in options.items() if one.get("type") == "bool"}
    return found


def uses(name):
    """[(file, line)] where a role reads the switch."""
    for path in FILES:
        for line in path.read_text(errors="replace").splitlines():
            if re.search(r"\b%s\b" % name, re.sub(r"#.*|>-.*", "", line)) and not line.strip().startswith(name + ":"):
                yield path, line


def converted_by_its_module(path, line, name):
    """Whether the line is `option: "{{ SWITCH }}"` of a module that has that option as a bool."""
    match = re.match(r'\s+(\w+): "\{\{ %s \}\}"$' % name, line)
    if not match:
        return False
    modules = module_options()
    tasks = yaml.safe_load(path.read_text()) or []
    return any(
        match.group(1) in modules.get(key, ())
        for task in tasks
        for key, args in task.items()
        if isinstance(args, dict) and args.get(match.group(1)) == "{{ %s }}" % name
    )


def test_there_are_switches():
    assert len(SWITCHES) > 10


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_read_as_a_boolean_wherever_it_is_read(name):
    found = list(uses(name))
    assert found, "nothing reads it"
    for path, line in found:
        # A sentence about the switch is none: code goes on with an operator, a bracket or the line's end.
        reads = re.findall(r"\b%s\b(?! \| bool\b)(?=\s*(?:[|),]|else\b|and\b|or\b|\}\}|%%\}|$))" % name, line)
        assert not reads or converted_by_its_module(path, line, name), f"{path.relative_to(ROOT)}: {line.strip()}"


SSH = [{"port": 22}]


@pytest.mark.parametrize("text", ["false", "False", "no", "0", False])
def test_the_filter_openings_takes_text_for_a_switch(text):
    with pytest.raises(Exception, match="opens SSH"):
        openings.openings(SSH, [], text)


@pytest.mark.parametrize("text", ["true", "yes", "1", True])
def test_the_filter_openings_opens_when_told(text):
    assert openings.openings(SSH, [], text)


@pytest.mark.parametrize(("text", "purges"), [("false", False), (False, False), ("true", True), (True, True)])
def test_the_filter_security_group_plan_takes_text_for_a_switch(text, purges):
    assert security_group_plan.security_group_plan([], [], text)["purge_rules"] is purges


@pytest.mark.parametrize(
    ("role", "name", "switch"),
    [
        ("ufw", "__ufw_wanted", "ufw_expose"),
        ("aws_ingress", "__aws_ingress_openings", "aws_ingress_expose"),
    ],
)
def test_a_derived_value_is_the_same_for_the_text_and_the_boolean(value_of, an_app, role, name, switch):
    def value(given):
        apps = [an_app(listen="0.0.0.0", expose=["192.0.2.0/24"])]
        return value_of(role, name, webapp_apps=apps, webapp_sites=[], inventory_hostname="app1", **{switch: given})

    assert value("false") == value(False) != value(True) == value("true")
