"""The filter as Ansible calls it."""

import os

import pytest
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.gatehouse.webapp.plugins.filter.resolve import FilterModule

APP = {
    "name": "chat-api",
    "runtime": "uvicorn",
    "source": {"directory": "src"},
    "uvicorn": {"target": "app.main:app"},
    "port": 8000,
    "env": {"TOKEN": "hush-hush"},
    "health": {"path": "/health"},
}

resolve = FilterModule().filters()["resolve"]


def trusted(value):
    """A template as it comes from an inventory. (Before ansible-core 2.19 every string is one.)"""
    try:
        from ansible.template import trust_as_template
    except ImportError:
        return value
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def test_relative_sources_start_where_the_play_was_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = resolve([APP])
    assert model["apps"][0]["source"]["directory"] == os.path.join(os.path.realpath(tmp_path), "src")


def test_wrong_model_is_a_filter_error():
    with pytest.raises(AnsibleFilterError) as caught:
        resolve([dict(APP, prot=1)], [])
    assert "webapp_apps[chat-api].prot: unknown key. Did you mean: port" in str(caught.value)
    assert caught.value.__cause__ is None
    assert "hush" not in str(caught.value)


def test_in_a_template_with_templates_inside():
    variables = trusted(
        {
            "first_port": 8000,
            "webapp_apps": [dict(APP, port="{{ first_port + 1 }}", env={"URL": "{{ 'a' ~ 'b' }}", "N": "{{ 7 }}"})],
            "webapp_sites": [{"name": "chat", "default": True, "routes": [{"path": "/", "app": "chat-api"}]}],
        }
    )
    templar = Templar(loader=DataLoader(), variables=variables)
    model = templar.template(trusted("{{ webapp_apps | gatehouse.webapp.resolve(webapp_sites) }}"))
    assert model["apps"][0]["ports"] == [8001]
    assert model["apps"][0]["env"] == {"URL": "ab", "N": "7"}
    assert model["probes"][0]["app"] == "chat-api"
