"""A play whose hosts nobody is must not look like one that did its work."""

import pytest
from ansible import context
from ansible.errors import AnsibleError
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.gatehouse.webapp.plugins.lookup import hosts

GROUPS = {"all": ["a", "b", "c"], "ungrouped": ["c"], "webap": ["a"], "proxies": ["b"], "none": []}


@pytest.fixture
def patterns(tmp_path, monkeypatch):
    """Look the patterns up in an inventory, written as INI."""

    def look(*terms, inventory="[webap]\na\n", options=None, **variables):
        path = tmp_path / "hosts.ini"
        path.write_text(inventory)
        monkeypatch.setattr(context, "CLIARGS", ImmutableDict(inventory=(str(path),), **(options or {})))
        loader = DataLoader()
        lookup = hosts.LookupModule(loader=loader, templar=Templar(loader=loader, variables={}))
        return lookup.run(list(terms), {"groups": GROUPS, **variables})

    return look


@pytest.mark.parametrize("pattern", ["webap", "all", "c", "webap:proxies", "proxies:!a", "we*"])
def test_a_pattern_with_hosts_is_given_back(patterns, pattern):
    assert patterns(pattern, "") == [pattern]


def test_several_patterns(patterns):
    assert patterns("webap", "proxies") == ["webap", "proxies"]


def test_a_list_in_a_pattern_is_refused(patterns):
    with pytest.raises(AnsibleError, match="-e webapp_hosts=app1:app2"):
        patterns(["webap", "proxies"])


def test_a_group_without_hosts_wants_one(patterns):
    with pytest.raises(AnsibleError, match=r"The group none has no host\.(.|\n)*put a host into it"):
        patterns("none")


@pytest.mark.parametrize("pattern", ["webapp", "d", "webap:!a"])
def test_a_pattern_without_hosts_is_an_error_that_lists_the_groups(patterns, pattern):
    with pytest.raises(AnsibleError) as caught:
        patterns(pattern)
    assert f"No host of the inventory is in {pattern}." in str(caught.value)
    assert "none (no host); proxies (b); webap (a); in no group: c" in str(caught.value)


def test_each_pattern_must_have_hosts(patterns):
    with pytest.raises(AnsibleError, match=r"is in proxis\.(.|\n)*-e webapp_proxies=proxies"):
        patterns("webap", "proxis", webapp_proxies="proxis")


@pytest.mark.parametrize("option", ["syntax", "listhosts", "listtasks", "listtags"])
def test_a_run_that_only_lists_is_no_run(patterns, option):
    assert patterns("webapp", options={option: True}) == ["webapp"]


HOSTED = """
[all:vars]
webapp_apps=[{"name": "web", "runtime": "external", "url": "https://web.example.com"}]
"""


def test_a_site_needs_a_host_also_of_hosted_apps(patterns):
    inventory = "[webap]\na\n" + HOSTED + 'webapp_sites=[{"name": "web"}]\n'
    with pytest.raises(AnsibleError, match="No host of the inventory is in webapp"):
        patterns("webapp", inventory=inventory)


@pytest.mark.parametrize("inventory", [HOSTED, "laptop\n" + HOSTED, "[ci]\nlaptop\n" + HOSTED])
def test_an_inventory_of_hosted_apps_alone_needs_no_host(patterns, inventory):
    assert patterns("webapp", inventory=inventory) == ["webapp"]
