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


def left_out(apps, sites, serves, *removes):
    found = model(apps, sites)
    return _served.left_out("app1", found["apps"], found["sites"], serves, removes)


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


def test_a_host_may_be_emptied_when_each_of_its_apps_is_named():
    serves = {"apps": {"old": [9000], "older": []}, "names": ["old.example.com"]}
    assert left_out([], [], serves, "old", "older") == (None, [])
    assert left_out([APP], [SITE], serves, "old", "older") == (None, [])
    for named in (["old"], ["olde", "older"], []):
        assert left_out([], [], serves, *named)[0].cause == "nothing_left"
    # An app that stays needs the names that lead to it.
    kept = {"apps": {"old": [9000], "shop": []}, "names": ["old.example.com"]}
    assert left_out([APP], [], kept, "old")[0].cause == "nothing_left"
    assert left_out([], [], {"apps": {}, "names": ["old.example.com"]}, "old")[0].cause == "nothing_left"


def test_what_looks_like_another_name_is_told_in_place_of_a_lost_app_but_not_of_a_lost_site():
    found, error = model([APP], [SITE]), _served.GatehouseError("renamed", "renamed")
    for names, told in ((["shop.example.com"], "renamed"), (["other.example.com"], "nothing_left"), ([], "renamed")):
        serves = {"apps": {"old": []}, "names": names}
        assert _served.left_out("app1", found["apps"], found["sites"], serves, (), error)[0].cause == told


def test_the_only_app_of_a_host_may_have_another_name():
    assert left_out([{**APP, "renamed_from": "old"}], [SITE], {**SERVES, "apps": {"old": [9000]}}) == (None, [])


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


@pytest.mark.parametrize(("activates", "configures"), STAGES)
@pytest.mark.parametrize("chosen", [["shop"], []])
def test_a_run_that_renames_an_app_or_leads_nginx_to_its_new_name_alone_is_refused(activates, configures, chosen):
    apps, serves = model([{**APP, "renamed_from": "old"}])["apps"], {**SERVES, "apps": {"old": [8000, 8001]}}
    error = _served.half_moved("app1", apps, chosen, serves, activates, configures)
    if activates and not chosen:
        assert error is None
    else:
        assert (error.cause, "shop from the name old to shop" in error.message) == ("port_changed", True)
    assert _served.half_moved("app1", apps, ["shop"], serves, True, True) is None
    assert _served.half_moved("app1", apps, [], serves, True, True).cause == "port_changed"
    # Once it is there, it is an app as others are.
    both = {**serves, "apps": {"old": [8000, 8001], "shop": [18000, 18001]}}
    assert _served.half_moved("app1", apps, ["shop"], both, activates, configures) is None


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
    return {
        "ports": [],
        "units": list(units),
        "files": list(files),
        "users": [],
        "data": list(data),
        "runs_as": None,
        "source": None,
        "led": False,
    }


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
        " A deploy leaves that as it is.",
        "command": "ansible-playbook -i INVENTORY gatehouse.webapp.remove -e webapp_remove=old,web",
    }
    remains["web"]["led"] = True
    assert _served.orphans(["shop"], remains)["command"] == _served.REPLACE % "old,web"
    assert _served.orphans(["shop", "old", "web"], remains) == {"names": ["kept"], "told": "", "command": ""}


def test_what_an_app_left_under_its_former_name_is_its_own():
    apps = model([{**APP, "renamed_from": "old"}, {**APP, "name": "web", "port": 9000}])["apps"]
    assert _served.names_of(apps) == {"shop", "old", "web"}


FORMER = {**there(["old@8000.service"], ["/srv/old"]), "ports": [8000], "runs_as": "old", "source": "src"}


@pytest.mark.parametrize(
    ("app", "old", "words"),
    [
        ({}, {"source": None}, "has port 8000 as old does"),
        ({"port": 9000}, {}, "comes from the same source as old does"),
        ({"port": 9000, "green_port": 8000, "instances": 1}, {"source": None}, "has port 8000 as old does"),
        # It has had another name before.
        ({}, {"runs_as": "older"}, "has port 8000 as old does"),
    ],
)
def test_a_new_app_that_looks_like_one_that_is_gone_is_refused(app, old, words):
    apps = model([{**APP, **app}])["apps"]
    there_is = {**FORMER, "source": apps[0]["origin"], **old}
    error = _served.renamed("app1", apps, ["shop"], {"old": there_is})
    assert error.cause == "renamed"
    assert words in error.message
    assert "renamed_from: %s " % there_is["runs_as"] in error.hint
    assert "gatehouse.webapp.remove -e webapp_remove=old" in error.hint
    # What nginx leads to can't go first.
    other = _served.renamed("app1", apps, ["shop"], {"old": {**there_is, "led": True}}).hint
    assert "gatehouse.webapp.site -e webapp_remove=old" in other
    assert ("give shop other ports, and: " in other) is ("port" in words)
    assert ("In both cases" in other) is (there_is["runs_as"] == "older")
    assert _served.renamed("app1", apps, ["shop"], {"old": there_is}, ["old"]) is None
    assert _served.renamed("app1", apps, [], {"old": there_is}) is None
    renamed = model([{**APP, **app, "renamed_from": there_is["runs_as"]}])["apps"]
    assert _served.renamed("app1", renamed, ["shop"], {"old": there_is}, ["old"]) is None
    # Whose data it has is known then, and one that is not that is only in the way, by its ports.
    again = _served.renamed("app1", renamed, ["shop"], {"old": there_is})
    assert (again is None) is (there_is["runs_as"] == "old")
    assert again is None or again.hint == f"remove old first: {_served.REMOVE % 'old'}"
    elsewhere = {"old": {**there_is, "runs_as": "older", "ports": []}}
    known = model([{**APP, **app, "renamed_from": "older"}])["apps"]
    assert _served.renamed("app1", known, ["shop"], elsewhere) is None
    here = {**there(files=["/srv/shop"]), "runs_as": "shop"}
    assert _served.renamed("app1", apps, ["shop"], {"old": there_is, "shop": here}) is None


@pytest.mark.parametrize(
    "old", [{"ports": [7000], "source": "other"}, {"ports": [], "source": None}, {"files": [], "units": []}]
)
def test_a_new_app_beside_another_one_that_is_gone_passes(old):
    assert _served.renamed("app1", model()["apps"], ["shop"], {"old": {**FORMER, **old}}) is None


def test_a_former_name_that_was_taken_out_of_the_model_is_asked_for():
    here = {**there(["shop@8000.service"], ["/srv/shop"]), "runs_as": "old"}
    error = _served.renamed("app1", model()["apps"], ["shop"], {"shop": here})
    assert error.cause == "renamed"
    assert "renamed_from: old" in error.hint
    assert _served.renamed("app1", model([{**APP, "renamed_from": "old"}])["apps"], ["shop"], {"shop": here}) is None


def test_all_that_look_renamed_are_told_at_once():
    apps = model([APP, {**APP, "name": "web", "port": 8100}, {**APP, "name": "job", "port": 8200}])["apps"]
    remains = {
        "shop": {**there(files=["/srv/shop"]), "runs_as": "first"},
        "one": {**FORMER, "ports": [8100], "runs_as": None, "source": None},
        "two": {**FORMER, "ports": [7000], "runs_as": "two", "source": apps[2]["origin"]},
    }
    error = _served.renamed("app1", apps, ["shop", "web", "job"], remains)
    for words in (
        "shop runs as the user first",
        "web is new, and has port 8100",
        "job is new, and comes from the same",
    ):
        assert words in error.message
    assert [line.split(":")[0] for line in error.hint.split("\n")] == [
        "write in webapp_apps[shop]",
        "when it is, write in webapp_apps[web]",
        "when it is, write in webapp_apps[job]",
    ]
    assert "renamed_from: one" in error.hint


def test_an_app_that_is_renamed_again_keeps_the_data_of_its_first_name():
    apps = model([{**APP, "renamed_from": "old"}])["apps"]
    error = _served.renamed("app1", apps, ["shop"], {"old": {**FORMER, "runs_as": "older"}})
    assert (error.cause, "old runs as the user older" in error.message) == ("renamed", True)
    assert "renamed_from: older " in error.hint
    assert "gatehouse.webapp.site -e webapp_remove=old" in error.hint


def test_the_data_of_a_renamed_app_can_not_be_removed_by_its_former_name():
    assert _served.not_removable("app1", ["old"], ["shop"], [], ["old"], data=True).cause == "in_use"
    assert _served.not_removable("app1", ["old"], ["shop"], [], ["old"]) is None
