"""What can't be meant: names that nobody reads, tags that nothing has, and a model that says nothing."""

import re
from pathlib import Path

import pytest
import yaml
from shop import APP, SITE, model

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _inventory

ROOT = Path(__file__).parents[4]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
KNOWN = [
    name
    for role in ROLES
    for name in yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
]


def test_every_variable_that_roles_and_playbooks_read_is_known():
    read = set()
    for path in [
        *(ROOT / "roles").rglob("*.yml"),
        *(ROOT / "roles").rglob("*.j2"),
        *(ROOT / "playbooks").glob("*.yml"),
    ]:
        read |= set(re.findall(r"\bwebapp_[a-z_]+\b", path.read_text()))
    assert read == {*_inventory.VARIABLES, *_inventory.WORKED_OUT}


def test_every_variable_is_in_the_documentation():
    text = (ROOT / "docs" / "model.md").read_text()
    for name in _inventory.VARIABLES:
        assert f"\n| `{name}` |" in text, name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("webapp_app", "Did you mean: webapp_apps"),
        ("webapp_site", "Did you mean: webapp_sites"),
        ("webapp_Apps", "Did you mean: webapp_apps"),
        ("webapp_proxy", "Did you mean: webapp_proxies"),
        ("webapp_emtpy", "Did you mean: webapp_empty"),
        ("webapp_node_vesrion", "Did you mean: webapp_node_version"),
        ("webapp_domain", "give yours another one, such as my_domain"),
    ],
)
def test_an_unknown_variable_is_told_with_the_nearest(name, told):
    (sentence,) = _inventory.unknown_variables({name, "webapp_sites", "webapp_here", "other", "my_webapp_app"})
    assert sentence.startswith(name + ": unknown variable. ")
    assert told in sentence


def test_known_variables_and_those_of_others_pass():
    names = {*_inventory.VARIABLES, *_inventory.WORKED_OUT, *KNOWN, "app_name", "ansible_host", "webapps"}
    assert _inventory.unknown_variables(names) == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ufw_rule", "ufw_rules"),
        ("ufw_ruels", "ufw_rules"),
        ("verify_sucesses", "verify_successes"),
        ("nginx_proxy_ipv", "nginx_proxy_ipv6"),
        ("uvicorn_apps_only", "uvicorn_app_only"),
        ("webap_sites", "webapp_sites"),
    ],
)
def test_a_name_that_is_one_or_two_letters_from_a_known_one_is_told(name, near):
    assert _inventory.mistyped([name], KNOWN) == [f"{name}: no role reads it. Did you mean: {near}"]


@pytest.mark.parametrize(
    "name",
    [
        "postgresql_version", "host_ip", "app_name", "app_port", "ufw_enabled", "ufw_default_policy", "verify_ssl", "host_name", "report",
        "nginx_version", "nginx_worker_processes", "pm2_version", "users", "domain", "ansible_user", "__ufw_rule",
        *KNOWN, *_inventory.VARIABLES,
    ],
)  # fmt: skip
def test_what_others_call_theirs_passes_without_a_word(name):
    assert _inventory.mistyped([name], KNOWN) == []


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("", "", True),
        ("ab", "abcd", True),
        ("abcd", "ab", True),
        ("abc", "axc", True),
        ("abcd", "badc", True),
        ("xabcdx", "abcd", True),
        ("abc", "xyz", False),
        ("a", "abcd", False),
        ("abcdef", "badcfe", False),
    ],
)
def test_near_is_two_changes(one, other, near):
    assert _inventory.is_near(one, other) is near
    assert _inventory.is_near(other, one) is near


def test_what_plays_choose_their_hosts_by_is_not_read_from_the_inventory():
    (sentence,) = _inventory.unread({"webapp_proxies", "webapp_apps"})
    assert sentence.startswith("webapp_proxies: ")
    assert "Write: -e webapp_proxies=proxies" in sentence
    assert _inventory.unread({"webapp_apps", "webapp_only"}) == []


TAGS = {"activate", "ufw", "verify", "always"}


@pytest.mark.parametrize(
    ("run", "skip", "problems", "warnings"),
    [
        (["all"], [], 0, 0),
        (["ufw", "verify"], [], 0, 0),
        (["activte"], [], 1, 0),
        (["ufw", "activte"], [], 1, 0),
        (["databases"], [], 1, 0),
        (["databases", "ufw"], [], 0, 1),
        (["all"], ["uwf"], 1, 0),
        (["all"], ["databases"], 0, 1),
        (["tagged"], ["always"], 0, 0),
    ],
)
def test_tags_that_nothing_has(run, skip, problems, warnings):
    found = _inventory.unknown_tags(run, skip, TAGS)
    assert (len(found[0]), len(found[1])) == (problems, warnings)
    assert all("always" not in sentence for sentence in found[0] + found[1])


def test_a_tag_is_told_with_the_nearest_or_with_all():
    assert _inventory.unknown_tags(["all"], ["uwf"], TAGS)[0] == [
        "--skip-tags uwf: nothing has this tag. Did you mean: ufw"
    ]
    assert _inventory.unknown_tags(["x"], [], TAGS)[0] == [
        "--tags x: nothing has this tag. Tags: activate, ufw, verify"
    ]
    assert _inventory.unknown_tags(["x"], [], {"always"})[0] == ["--tags x: nothing has this tag. There are no tags"]


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("'team_apps' is undefined", "'team_apps' is undefined"),
        ("{{ a }}: [{'env': {'KEY': 'canary'}}]: 'nope' is undefined. 'nope' is undefined", "'nope' is undefined"),
        ("object of type 'dict' has no attribute 'apps'", "has no attribute 'apps'"),
        ("'dict object' has no attribute 'apps'. canary", "has no attribute 'apps'"),
        ("list object has no element 3", "has no element 3"),
        ("something else about canary", "it needs what is not there"),
    ],
)
def test_of_what_is_undefined_nothing_but_the_name_is_told(why, told):
    message = _inventory.undefined("webapp_apps", "app1", why).message
    assert message == f"webapp_apps can't be worked out: {told}. Nothing was touched."


def test_an_empty_model_is_told_with_names_that_are_near():
    error = _inventory.empty("app1", {"webapp_hosts", "webap_apps", "webpap_sites", "x"}, ["web", "all"])
    assert error.cause == "empty_model"
    assert "but webap_apps, webpap_sites (its groups: web, all)" in error.message
    assert "group_vars/web.yml beside the inventory" in error.hint
    assert ", but" not in _inventory.empty("app1", {"webapp_hosts"}, []).message


def test_a_pattern_without_hosts_is_told_with_the_groups():
    groups = {"all": ["a", "b"], "ungrouped": ["b"], "webap": ["a"], "db": []}
    error = _inventory.no_host("webapp", groups)
    assert error.message == "No host of the inventory is in webapp. Its groups: db (no host); webap (a); in no group: b"
    assert error.hint == "name the group that is meant: -e webapp_hosts=webap, or call it webapp"
    assert (
        _inventory.no_host("prox", groups, "webapp_proxies").hint
        == "name the group that is meant: -e webapp_proxies=db"
    )


def test_a_group_without_hosts_and_an_inventory_without_groups():
    assert "put a host into it" in _inventory.no_host("webapp", {"webapp": []}).hint
    assert (
        _inventory.no_host("webapp", {"ungrouped": ["a"]}).hint
        == "name the group that is meant: -e webapp_hosts=all, or call it webapp"
    )


def test_an_inventory_without_hosts():
    assert "-i INVENTORY" in _inventory.no_host("webapp", {"all": [], "ungrouped": []}).hint


HOSTED = {"name": "web", "runtime": "external", "url": "https://web.example.com", "health": {"path": "/"}}


@pytest.mark.parametrize(
    ("lists", "hosted"),
    [
        ([[HOSTED]], True),
        ([[HOSTED], None], True),
        ([[HOSTED, APP]], False),
        ([[HOSTED], [APP]], False),
        ([[{"name": "x", "runtime": "external", "port": 80, "hosts": ["192.0.2.1"]}]], False),
        ([None], False),
        ([[]], False),
        (["{{ elsewhere }}"], False),
    ],
)
def test_an_inventory_of_hosted_apps_alone(lists, hosted):
    assert _inventory.only_hosted(lists, [None, []]) is hosted
    assert _inventory.only_hosted(lists, [[SITE]]) is False


@pytest.mark.parametrize("value", [1, "1", "25%", [1, "25%"], ["1", 3]])
def test_a_serial_that_ansible_takes(value):
    assert _inventory.wrong_serial(value) == []


@pytest.mark.parametrize("value", ["abc", "0", -1, "", [], [1, "x"], {"a": 1}, "1.5"])
def test_a_serial_that_ansible_would_stumble_over(value):
    (sentence,) = _inventory.wrong_serial(value)
    assert sentence.startswith("webapp_serial: ")


@pytest.mark.parametrize("value", [None, True, False, "true", "False", "no", "1", 0, "{{ elsewhere }}"])
def test_a_switch_that_is_true_or_false(value):
    assert _inventory.wrong_switches({"webapp_empty": value}) == []


@pytest.mark.parametrize("value", ["maybe", "", "ture", [], {}])
def test_a_switch_that_is_neither(value):
    (sentence,) = _inventory.wrong_switches({"webapp_empty": value, "webapp_break_lock": None})
    assert sentence == "webapp_empty: is neither true nor false. Write: -e webapp_empty=true"


def test_one_problem_is_a_sentence_and_several_are_a_list():
    assert _inventory.listed(["a: x"], "c").message == "a: x. Nothing was touched."
    assert _inventory.listed(["a", "b"], "c").message == "There are 2 problems. Nothing was touched.\n  - a\n  - b"


def test_the_summary_says_what_there_is():
    assert _inventory.summary(model()) == "1 app on ports 8000, 8001; 1 site on port 80"
    assert _inventory.summary(model([HOSTED], [])) == "1 app; 0 sites"
