"""Ports and inventories of throw-away hosts."""

import json
import socket

import pytest

from testbed import host, steps


def test_the_preferred_port_when_it_is_free():
    assert host.free_port(8080, is_free=lambda port: True) == 8080


def test_the_next_free_port():
    assert host.free_port(8080, is_free=lambda port: port >= 8083) == 8083


def test_no_free_port():
    with pytest.raises(steps.Failure, match="no free port from 8080 to 8082"):
        host.free_port(8080, attempts=3, is_free=lambda port: False)


def test_a_port_above_the_last_one_is_not_tried():
    with pytest.raises(steps.Failure):
        host.free_port(65535, is_free=lambda port: port > 65535)


def test_a_listener_takes_its_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not host.loopback_port_is_free(port)
    assert host.loopback_port_is_free(port)


def test_inventory():
    assert json.loads(host.inventory("box", alias="app1", variables={"x": 1})) == {
        "webapp": {"hosts": {"app1": {"ansible_connection": "community.docker.docker", "ansible_host": "box", "x": 1}}}
    }


def test_an_inventory_file_goes_with_its_host(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "FILES", tmp_path / "hosts")
    monkeypatch.setattr(host, "image_of", lambda name: None)
    path = host.inventory_file("box", alias="app1")
    assert path.read_text() == host.inventory("box", alias="app1")
    assert host.remove("box") is False
    assert not path.exists()


def test_inventory_without_an_alias():
    assert list(json.loads(host.inventory("box", groups=("a", "b")))["b"]["hosts"]) == ["box"]


def test_a_play_for_a_program_is_told_as_ansible_tells_it(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "FILES", tmp_path)
    monkeypatch.setattr(host.subprocess, "run", lambda command, env, **_options: env)
    assert host.play("box", "site.yml")["ANSIBLE_STDOUT_CALLBACK"] == "ansible.builtin.default"
