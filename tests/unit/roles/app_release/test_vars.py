"""Which of an app's hosts this is, which units are no longer asked for, and what is told of releases and migrations."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve

FACTS = {"all_ipv4_addresses": ["192.0.2.11", "10.0.0.11"], "all_ipv6_addresses": ["2001:db8::11"], "fqdn": "app1.lan"}


@pytest.fixture
def app(an_app):
    """Give an app as the filter resolve gives it."""
    return lambda **changes: resolve([an_app(**changes)], [])["apps"][0]


@pytest.mark.parametrize(
    ("hosts", "file"),
    [
        (["10.0.0.12", "10.0.0.11"], "10.0.0.11"),
        (["2001:db8::10", "2001:db8::11"], "2001_db8__11"),
        (["app1.lan", "app2.lan"], "app1.lan"),
        (["app1", "app2"], "app1"),
    ],
)
def test_a_host_is_found_among_those_of_the_app(value_of, app, hosts, file):
    host = {"inventory_hostname": "app1", "ansible_facts": FACTS, "app_release_app": app(hosts=hosts, listen="::")}
    assert value_of("app_release", "__app_release_part", **host)["when"] == "/run/gatehouse/rotation/shop/" + file


def test_a_host_that_is_none_of_the_apps_has_no_part(value_of, app):
    apart = app(hosts=["10.0.0.12", "10.0.0.13"], listen="::")
    host = {"inventory_hostname": "app1", "ansible_facts": FACTS, "app_release_app": apart}
    assert value_of("app_release", "__app_release_address", **host).strip() == ""
    assert value_of("app_release", "__app_release_part", **host) == {}


def test_a_lone_host_is_never_left_out(value_of, app):
    alone = app(hosts=["10.0.0.11"], listen="::")
    host = {"inventory_hostname": "app1", "ansible_facts": FACTS, "app_release_app": alone}
    assert value_of("app_release", "__app_release_part", **host) == {}


@pytest.mark.parametrize(
    ("units", "superfluous"),
    [
        (["shop@8000.service", "shop@18000.service"], []),
        (["shop@8000.service", "shop@8001.service", "shop@.service"], ["shop@.service", "shop@8001.service"]),
    ],
)
def test_units_that_the_model_does_not_have_are_superfluous(value_of, app, units, superfluous):
    found = {"files": [{"path": "/etc/systemd/system/" + name} for name in units]}
    assert (
        value_of("app_release", "__app_release_superfluous", app_release_app=app(), __app_release_units=found)
        == superfluous
    )


def test_history_is_a_line_for_each_release_and_what_changed(value_of, app):
    history = {
        "live": "r2",
        "target": "r1",
        "compared": ["r1", "r2"],
        "changes": ["environment LOG_LEVEL: changed"],
        "releases": [
            {"id": "r2", "live": True, "sealed": 0, "revision": "b" * 40, "who": "alice on laptop"},
            {"id": "r1", "live": False, "sealed": 0, "revision": "a" * 40},
        ],
    }
    host = {"inventory_hostname": "app1", "app_release_app": app(), "__app_release_history": history}
    lines = value_of("app_release", "__app_release_report", **host).splitlines()
    assert lines[0] == "shop on app1"
    assert lines[1].startswith("* r2  ")
    assert lines[1].endswith("bbbbbbbbbbbb  alice on laptop  live")
    assert lines[2].startswith("- r1  ")
    assert lines[2].endswith("a rollback goes here")
    assert lines[3:] == ["What changed from r1 to r2:", "  environment LOG_LEVEL: changed"]
