"""What the benchmarks under load share: nginx as tutorials have it, and how what was found is shown."""

import re
from types import SimpleNamespace

import _traffic
import pytest

from testbed import steps


def test_each_port_of_the_usual_nginx_leads_to_its_apps():
    text = _traffic.usual_nginx({8080: [9000], 8081: [9001, 9002]})
    servers = dict(re.findall(r"listen 127\.0\.0\.1:(\d+); location / \{ proxy_pass http://(\w+); \}", text))
    upstreams = dict(re.findall(r"upstream (\w+) \{ (.*) keepalive 32; \}", text))
    assert upstreams[servers["8080"]] == "server 127.0.0.1:9000;"
    assert upstreams[servers["8081"]] == "server 127.0.0.1:9001; server 127.0.0.1:9002;"
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, "-"),
        ({"reset": 2, "status_502": 455}, "455 status_502, 2 reset"),
        (iter([1001, 1006, 1001]), "2 1001, 1 1006"),
    ],
)
def test_values_are_shown_by_how_often_they_came(values, shown):
    assert _traffic.counts(values) == shown


def found(**values):
    known = {"requests": 5000, "failed": 2, "failures": {"eof": 2}, "outage_s": 0.1, "lag_ms": 12.3}
    return SimpleNamespace(**{**known, "p50_ms": 1.26, "p99_ms": 20.5, "worst_ms": 300.4, **values})


@pytest.mark.parametrize("versions", [[], ["v1"], ["v2"], ["v0", "v1"], ["v0", "v1", "v2"]])
def test_what_was_found_without_a_change_shows_nothing(versions):
    with pytest.raises(steps.Failure, match="to be followed by version v2"):
        _traffic.changed(found(versions=dict.fromkeys(versions)), "v2")


def test_what_was_found_during_a_change_is_given():
    there = found(versions={"v1": [], "v2": []})
    assert _traffic.changed(there, "v2") is there


def test_a_row_tells_what_became_of_the_requests():
    row = _traffic.row("ours", found())
    assert (row["side"], row["requests"], row["failed"], row["failed by"]) == ("ours", 5000, 2, "2 eof")
    assert (row["outage"], row["p50"], row["worst"], row["generator late"]) == ("0.1 s", "1 ms", "300 ms", "12 ms")


def test_a_generator_that_was_late_is_told(capsys):
    _traffic.say_when_busy(found(), found(lag_ms=99))
    assert capsys.readouterr().out == ""
    _traffic.say_when_busy(found(), found(lag_ms=140.2), found())
    assert "up to 140 ms late" in capsys.readouterr().out
