"""What can't be meant: names that nobody reads, tags that nothing has, and a model that would take a host down."""

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _inventory
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve

ROOT = Path(__file__).parents[4]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
KNOWN = [
    name
    for role in ROLES
    for name in yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
]
APP = {
    "name": "shop",
    "runtime": "uvicorn",
    "source": {"directory": "src"},
    "uvicorn": {"target": "a:b"},
    "port": 8000,
    "instances": 2,
    "health": {"path": "/health"},
}
SITE = {"name": "shop", "server_names": ["shop.example.com"], "routes": [{"path": "/", "app": "shop"}]}
SERVES = {"apps": {"shop": [8000, 8001]}, "names": ["shop.example.com"], "ports": [80], "firewall": True}


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
    ("run", "skip", "activates", "configures"),
    [
        (["all"], [], True, True),
        (["tagged"], [], True, True),
        (["activate"], [], True, False),
        (["uvicorn_app"], [], True, False),
        (["nginx_proxy", "ufw"], [], False, True),
        (["ufw"], [], False, False),
        (["untagged"], [], False, False),
        (["all"], ["nginx_proxy"], True, False),
        (["all"], ["tagged"], False, False),
        (["all"], ["pm2_app"], False, True),
    ],
)
def test_which_stages_run(run, skip, activates, configures):
    assert _inventory.is_to_run("activate", run, skip) is activates
    assert _inventory.is_to_run("nginx_proxy", run, skip) is configures


def test_the_tags_of_a_stage_are_those_of_site_yml():
    tasks = [task for play in yaml.safe_load((ROOT / "playbooks" / "site.yml").read_text()) for task in play["tasks"]]
    for stage, tags in _inventory.STAGES.items():
        assert set(tags) == {tag for task in tasks if stage in task["tags"] for tag in task["tags"]} - {"check"}


def model(apps=(APP,), sites=(SITE,)):
    return resolve(list(apps), list(sites))


def left_out(apps, sites, serves):
    found = model(apps, sites)
    return _inventory.left_out("app1", found["apps"], found["sites"], serves)


@pytest.mark.parametrize(
    ("serves", "apps", "sites"),
    [
        (SERVES, [APP], [SITE]),
        ({"apps": {}, "names": []}, [APP], [SITE]),
        ({"apps": {}, "names": []}, [APP], []),
        # An app host, a proxy, workers: each has one of both alone.
        ({"apps": {"shop": [8000]}, "names": []}, [APP], []),
        ({"apps": {}, "names": ["shop.example.com"]}, [APP], [SITE]),
        # A site without a name.
        ({"apps": {}, "names": ["_"]}, [APP], [{**SITE, "server_names": [], "default": True}]),
        # Names know no case.
        ({"apps": {}, "names": ["shop.example.com"]}, [APP], [{**SITE, "server_names": ["Shop.Example.com"]}]),
    ],
)
def test_a_model_that_keeps_some_of_what_is_served_passes(serves, apps, sites):
    assert left_out(apps, sites, serves) == (None, [])


def test_some_of_what_is_served_is_told():
    serves = {"apps": {"shop": [8000], "old": [9000]}, "names": ["shop.example.com", "old.example.com"]}
    error, warnings = left_out([APP], [SITE], serves)
    assert error is None
    assert warnings == [
        "answers for old.example.com now, and no site of the model does",
        "runs old now, which the model does not have: it is left as it is",
    ]


@pytest.mark.parametrize(
    ("serves", "apps", "sites", "told"),
    [
        (SERVES, [APP], [], "app1 answers for shop.example.com now, and webapp_sites has no site for it"),
        ({"apps": {"shop": []}, "names": []}, [], [], "app1 runs shop now, and webapp_apps has no app for it"),
        (
            {"apps": {"old": [9000]}, "names": ["old.example.com"]},
            [APP],
            [SITE],
            "app1 answers for old.example.com now, and webapp_sites has no site for it; it runs old now, and webapp_apps has no app",
        ),
        # A mistyped name, or that of another environment, while the app is the same; and the other way round.
        ({**SERVES, "names": ["old.example.com"]}, [APP], [SITE], "app1 answers for old.example.com now"),
        ({**SERVES, "apps": {"old": [9000]}}, [APP], [SITE], "app1 runs old now"),
        (
            {"apps": {}, "names": ["a.example", "b.example", "c.example", "d.example"]},
            [APP],
            [],
            "a.example, b.example, c.example and 1 more now",
        ),
        ({"apps": {}, "names": ["_"]}, [APP], [], "app1 answers for any name now"),
    ],
)
def test_a_model_that_has_none_of_what_is_served_is_refused(serves, apps, sites, told):
    error, warnings = left_out(apps, sites, serves)
    assert (error.cause, warnings) == ("nothing_left", [])
    assert told in error.message
    assert "Nothing was touched." in error.message
    assert "-e webapp_empty=true" in error.hint


MOVED = {**APP, "port": 8100}
STAGES = [(True, False), (False, True)]


@pytest.mark.parametrize(("activates", "configures"), STAGES)
def test_a_run_that_moves_an_app_or_what_leads_to_it_alone_is_refused(activates, configures):
    error = _inventory.half_moved("app1", model([MOVED])["apps"], ["shop"], SERVES, activates, configures)
    assert error.cause == "port_changed"
    assert "from ports 8000, 8001 to ports 8100, 8101" in error.message
    assert ("nginx would go on sending" in error.message) is activates
    assert ("start nothing there" in error.message) is configures


@pytest.mark.parametrize(
    ("app", "activates", "configures"),
    [
        (MOVED, True, True),
        (MOVED, False, False),
        (APP, True, False),
        ({**APP, "instances": 3}, True, False),
        ({**APP, "instances": 1}, True, False),
        ({**APP, "strategy": "restart"}, True, False),
        ({**APP, "strategy": "restart", "instances": 1}, True, False),
        ({**MOVED, "name": "new"}, True, False),
    ],
)
def test_other_changes_of_ports_pass(app, activates, configures):
    site = {**SITE, "routes": [{"path": "/", "app": app["name"]}]}
    apps = model([app], [site])["apps"]
    assert _inventory.half_moved("app1", apps, [app["name"]], SERVES, activates, configures) is None


def test_an_app_whose_ports_overlap_with_those_it_had_is_moved_too():
    apps = model([{**APP, "port": 8001}])["apps"]
    assert "to ports 8001, 8002" in _inventory.half_moved("app1", apps, ["shop"], SERVES, True, False).message


def test_fewer_instances_while_the_other_set_serves():
    apps = model([{**APP, "instances": 1}])["apps"]
    serves = {"apps": {"shop": [18000, 18001]}, "names": []}
    assert _inventory.half_moved("app1", apps, ["shop"], serves, True, False) is None


def test_an_app_that_is_not_chosen_stays_where_it_is_and_nginx_must_not_be_led_away():
    apps = model([MOVED, {**APP, "name": "blog", "port": 9000}])["apps"]
    error = _inventory.half_moved("app1", apps, ["blog"], SERVES, True, True)
    assert "This run would lead nginx there" in error.message
    assert "shop among webapp_only" in error.hint


def test_a_deploy_that_ended_before_the_old_instances_were_retired_goes_on():
    serves = {"apps": {"shop": [8000, 8001, 8100, 8101, 18100, 18101]}, "names": []}
    assert _inventory.half_moved("app1", model([MOVED])["apps"], ["shop"], serves, True, False) is None


WAYS = {"a": {"target": "1", "releases": ["2", "1"]}, "b": {"target": "2", "releases": ["3", "2"]}}


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


def test_a_rollback_of_several_apps_wants_names():
    error = _inventory.no_way_back("app1", ["a", "b"], None, WAYS)
    assert error.hint == "-e webapp_only=a   # or all of them: -e webapp_only=a,b"
    assert _inventory.no_way_back("app1", ["a", "b"], "a,b", WAYS) is None
    assert _inventory.no_way_back("app1", ["a"], [], WAYS) is None


def test_a_rollback_for_which_one_app_has_no_release_is_refused():
    error = _inventory.no_way_back(
        "app1", ["a", "b", "c"], "a,b,c", {**WAYS, "b": {"target": None, "releases": ["two", "one"]}}
    )
    assert error.cause == "no_release"
    assert error.message.startswith("app1: there is no release to go back to of b (it has two, one); c (it has none).")


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


OPEN = {**SERVES, "ports": [80]}


@pytest.mark.parametrize(
    ("opened", "serves", "configures", "opens", "refused", "warned"),
    [
        ([8080], OPEN, True, False, True, 0),
        ([80, 443], OPEN, True, False, False, 1),
        ([80], OPEN, True, False, False, 0),
        ([8080], OPEN, True, True, False, 0),
        ([8080], OPEN, False, True, False, 0),
        ([8080], {**OPEN, "firewall": False}, True, False, False, 0),
        ([8080], {**OPEN, "ports": []}, True, False, False, 0),
        ([], OPEN, True, False, False, 0),
    ],
)
def test_nginx_is_not_led_to_ports_that_stay_closed(opened, serves, configures, opens, refused, warned):
    error, warnings = _inventory.half_opened("app1", opened, serves, configures, opens)
    assert (bool(error), len(warnings)) == (refused, warned)
    if error:
        assert error.cause == "port_changed"
        assert (
            "nginx would answer on port 8080, which this run does not open in UFW, and no longer on port 80"
            in error.message
        )


def test_one_problem_is_a_sentence_and_several_are_a_list():
    assert _inventory.listed(["a: x"], "c").message == "a: x. Nothing was touched."
    assert _inventory.listed(["a", "b"], "c").message == "There are 2 problems. Nothing was touched.\n  - a\n  - b"


def test_the_summary_says_what_there_is():
    assert _inventory.summary(model()) == "1 app on ports 8000, 8001; 1 site on port 80"
    assert _inventory.summary(model([HOSTED], [])) == "1 app; 0 sites"
