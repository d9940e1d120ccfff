"""Roles as Ansible reads them, without a host."""

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLES = Path(__file__).parents[3] / "roles"


def read(role, path):
    return DataLoader().load_from_file(str(ROLES / role / path), trusted_as_template=True) or {}


@pytest.fixture
def value_of():
    """Give a variable of a role its value, on a host with these variables."""

    def value(role, name, **host):
        variables = {**read(role, "defaults/main.yml"), **read(role, "vars/main.yml"), **host}
        templar = Templar(loader=DataLoader(), variables=variables)
        return templar.template(variables[name])

    return value


@pytest.fixture
def tasks_of():
    """The tasks of one file of a role, as they are written."""
    return lambda role, name: read(role, "tasks/" + name)


@pytest.fixture
def an_app():
    """Give an app of the model, changed as told."""

    def app(**changes):
        return {
            "name": "shop",
            "runtime": "uvicorn",
            "source": {"directory": "src"},
            "uvicorn": {"target": "a:b"},
            "port": 8000,
            "health": {"path": "/health"},
            **changes,
        }

    return app
