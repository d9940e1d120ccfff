"""The module remove_app: what it refuses before it touches anything, and the order of what it does."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.modules import remove_app


class Host:
    """A host with apps, which tells what was done to it."""

    def __init__(self, **ports):
        self.ports, self.done, self.leads = ports, [], set()

    def what(self, name):
        return {"ports": self.ports.get(name, []), "users": [name] if name in self.ports else []}

    def take_away(self, name, data, check):
        self.done.append((name, data, check))
        there = name in self.ports
        return (["/srv/" + name] if there else []), ({"/var/lib/" + name: "the app has written it"} if there else {})

    def led(self):
        return self.leads

    def drain(self, ports):
        self.done.append(ports)


def remove(host, names, check=False, data=False):
    return remove_app.carry_out({"names": names, "data": data, "drain_timeout": 1}, check, host, host.drain)


def test_connections_are_waited_for_before_anything_is_taken_away():
    host = Host(shop=[8000, 18000], web=[])
    told = remove(host, ["shop", " web", "shop", "gone"], data=True)
    # One without a user of its own may have written as one of the others.
    assert host.done == [[8000, 18000], ("gone", True, False), ("shop", True, False), ("web", True, False)]
    assert told["changed"] is True
    assert told["removed"] == {"shop": ["/srv/shop"], "web": ["/srv/web"]}
    assert sorted(told["kept"]) == ["shop", "web"]


def test_nothing_is_waited_for_in_check_mode():
    host = Host(shop=[8000])
    assert remove(host, ["shop"], check=True)["changed"] is True
    assert host.done == [("shop", False, True)]


def test_where_nothing_is_there_nothing_changes():
    host = Host()
    assert remove(host, ["shop"]) == {"changed": False, "removed": {}, "kept": {}}


@pytest.mark.parametrize("name", ["", "../etc", "Shop", "shop@8000", "a" * 32, "*", "-shop"])
def test_what_is_no_name_is_refused(name):
    host = Host(shop=[8000])
    with pytest.raises(GatehouseError) as caught:
        remove(host, ["shop", name])
    assert caught.value.cause == "bad_input"
    assert host.done == []


def test_what_nginx_leads_to_is_refused_before_anything_is_touched():
    host = Host(shop=[8000], web=[3000])
    host.leads = {"web", "other"}
    with pytest.raises(GatehouseError) as caught:
        remove(host, ["shop", "web"])
    assert caught.value.cause == "in_use"
    assert "leads requests to web." in caught.value.message
    assert host.done == []
    # A run in check mode may be one that would have led it elsewhere.
    assert remove(host, ["web"], check=True)["removed"] == {"web": ["/srv/web"]}
