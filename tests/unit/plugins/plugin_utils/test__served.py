"""What a run would do to what a host serves now."""

from pathlib import Path

import pytest
import yaml
from shop import APP, SITE, model

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _served

ROOT = Path(__file__).parents[4]
SERVES = {"apps": {"shop": [8000, 8001]}, "names": ["shop.example.com"], "ports": [80], "firewall": True}


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
    assert _served.is_to_run("activate", run, skip) is activates
    assert _served.is_to_run("nginx_proxy", run, skip) is configures


def test_the_tags_of_a_stage_are_those_of_site_yml():
    tasks = [task for play in yaml.safe_load((ROOT / "playbooks" / "site.yml").read_text()) for task in play["tasks"]]
    for stage, tags in _served.STAGES.items():
        assert set(tags) == {tag for task in tasks if stage in task["tags"] for tag in task["tags"]} - {"check"}


def left_out(apps, sites, serves):
    found = model(apps, sites)
    return _served.left_out("app1", found["apps"], found["sites"], serves)


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
    error = _served.half_moved("app1", model([MOVED])["apps"], ["shop"], SERVES, activates, configures)
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
    assert _served.half_moved("app1", apps, [app["name"]], SERVES, activates, configures) is None


def test_an_app_whose_ports_overlap_with_those_it_had_is_moved_too():
    apps = model([{**APP, "port": 8001}])["apps"]
    assert "to ports 8001, 8002" in _served.half_moved("app1", apps, ["shop"], SERVES, True, False).message


def test_fewer_instances_while_the_other_set_serves():
    apps = model([{**APP, "instances": 1}])["apps"]
    serves = {"apps": {"shop": [18000, 18001]}, "names": []}
    assert _served.half_moved("app1", apps, ["shop"], serves, True, False) is None


def test_an_app_that_is_not_chosen_stays_where_it_is_and_nginx_must_not_be_led_away():
    apps = model([MOVED, {**APP, "name": "blog", "port": 9000}])["apps"]
    error = _served.half_moved("app1", apps, ["blog"], SERVES, True, True)
    assert "This run would lead nginx there" in error.message
    assert "shop among webapp_only" in error.hint


def test_a_deploy_that_ended_before_the_old_instances_were_retired_goes_on():
    serves = {"apps": {"shop": [8000, 8001, 8100, 8101, 18100, 18101]}, "names": []}
    assert _served.half_moved("app1", model([MOVED])["apps"], ["shop"], serves, True, False) is None


WAYS = {"a": {"target": "1", "releases": ["2", "1"]}, "b": {"target": "2", "releases": ["3", "2"]}}


def test_a_rollback_of_several_apps_wants_names():
    error = _served.no_way_back("app1", ["a", "b"], None, WAYS)
    assert error.hint == "-e webapp_only=a   # or all of them: -e webapp_only=a,b"
    assert _served.no_way_back("app1", ["a", "b"], "a,b", WAYS) is None
    assert _served.no_way_back("app1", ["a"], [], WAYS) is None


def test_a_rollback_for_which_one_app_has_no_release_is_refused():
    error = _served.no_way_back(
        "app1", ["a", "b", "c"], "a,b,c", {**WAYS, "b": {"target": None, "releases": ["two", "one"]}}
    )
    assert error.cause == "no_release"
    assert error.message.startswith("app1: there is no release to go back to of b (it has two, one); c (it has none).")


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
    error, warnings = _served.half_opened("app1", opened, serves, configures, opens)
    assert (bool(error), len(warnings)) == (refused, warned)
    if error:
        assert error.cause == "port_changed"
        assert (
            "nginx would answer on port 8080, which this run does not open in UFW, and no longer on port 80"
            in error.message
        )


def there(units=(), files=(), data=()):
    return {"ports": [], "units": list(units), "files": list(files), "users": [], "data": list(data)}


def test_orphans_are_told_together_and_kept_data_is_not():
    remains = {
        "shop": there(["shop@8000.service"], ["/srv/shop"]),
        "old": there(["old@9000.service", "old@9001.service"], ["/srv/old"]),
        "web": there(files=["/srv/web"]),
        "kept": there(data=["/var/lib/kept"]),
    }
    assert _served.orphans(["shop"], remains) == {
        "names": ["kept", "old", "web"],
        "told": "has old, web, which the model does not have: old@9000.service, old@9001.service, /srv/old and 1 more."
        " It is left as it is.",
        "command": "ansible-playbook -i INVENTORY gatehouse.webapp.remove -e webapp_remove=old,web",
    }
    assert _served.orphans(["shop", "old", "web"], remains) == {"names": ["kept"], "told": "", "command": ""}
