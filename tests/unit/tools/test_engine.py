"""Whose engine it is."""

import json
import os

import pytest

from testbed import engine, machine, steps


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "STATE", tmp_path / "engine.json")
    return engine.STATE


def test_an_engine_that_answers_is_left_as_it_is(state, monkeypatch):
    monkeypatch.setattr(engine, "answers", lambda: True)
    monkeypatch.setattr(machine, "may_install", lambda: pytest.fail("it went on to install one"))
    engine.ensure()
    assert not state.exists()


def test_where_none_may_be_installed_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setattr(engine, "answers", lambda: False)
    monkeypatch.setattr(machine, "may_install", lambda: False)
    with pytest.raises(steps.Failure, match="^no Docker Engine answers: install one .*docker.io.*$"):
        engine.ensure()


def test_an_engine_of_others_is_not_stopped(state):
    assert engine.stop() is None


def test_an_engine_with_containers_is_not_stopped(state, monkeypatch):
    state.write_text(json.dumps({"pid": os.getpid()}))
    monkeypatch.setattr(engine, "answers", lambda: True)
    monkeypatch.setattr(steps, "output", lambda command: "0123456789ab\n")
    assert engine.stop() == "engine kept: other containers run in it"
    assert state.exists()


def test_a_process_that_has_taken_the_engines_number_is_not_stopped(state, monkeypatch):
    state.write_text(json.dumps({"pid": os.getpid()}))
    monkeypatch.setattr(engine, "answers", lambda: False)
    killed = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    engine.stop()
    assert killed == []
    assert not state.exists()
