"""The control node's half of preflight_inventory: what it reads, what it asks the host for, and what it refuses."""

import pytest
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.gatehouse.webapp.plugins.action import preflight_inventory

APPS = [
    {
        "name": "shop",
        "runtime": "uvicorn",
        "source": {"directory": "src"},
        "uvicorn": {"target": "a:b"},
        "port": 8000,
        "env": {"SECRET_KEY": "canary-value"},
        "health": {"path": "/health"},
    }
]
SITES = [{"name": "shop", "server_names": ["shop.example.com"], "routes": [{"path": "/", "app": "shop"}]}]
SERVES = {"apps": {"shop": [8000]}, "names": ["shop.example.com"], "ports": [80], "firewall": True}
OPTIONS = {
    "apps": "webapp_apps",
    "sites": "webapp_sites",
    "services": True,
    "only": None,
    "stages": [],
    "release": None,
    "empty": False,
    "remove": None,
    "remove_data": False,
}
REMAINS = {
    "shop": {
        "ports": [8000],
        "units": ["shop@8000.service"],
        "files": ["/srv/shop"],
        "users": ["shop"],
        "data": [],
        "runs_as": "shop",
        "source": None,
        "led": False,
    },
    "old": {
        "ports": [9000],
        "units": ["old@9000.service"],
        "files": ["/srv/old"],
        "users": ["old"],
        "data": [],
        "runs_as": "old",
        "source": None,
        "led": False,
    },
}


class Manager:
    """What a play knows before it has a host."""

    def __init__(self, **of_play):
        self.of_play = of_play

    def get_vars(self, play, include_hostvars):
        return self.of_play


class Task:
    def __init__(self, manager):
        self.manager = manager

    def get_variable_manager(self):
        return self.manager

    def get_play(self):
        return "play"


class Action(preflight_inventory.ActionModule):
    """The plugin on a host that says what it serves."""

    def __init__(self, seen=None, of_play=None, **options):
        self.options = {**OPTIONS, **options}
        self.seen = (
            {
                "serves": SERVES,
                "targets": {"shop": {"target": "one", "releases": ["two", "one"]}},
                "remains": {"shop": REMAINS["shop"]},
                "led": ["shop"],
            }
            if seen is None
            else {"remains": {}, "led": [], **seen}
            if "serves" in seen
            else seen
        )
        self._task = Task(Manager(**(of_play or {})))
        self.asked = 0

    def validate_argument_spec(self, argument_spec):
        assert set(argument_spec) == set(self.options)
        return None, self.options

    def _execute_module(self, module_args=None, task_vars=None):
        self.asked += 1
        return dict(self.seen)


@pytest.fixture(autouse=True)
def ansible(monkeypatch):
    monkeypatch.setattr(preflight_inventory.ActionBase, "run", lambda self, tmp, task_vars: {})


def run(action, **variables):
    variables = {"inventory_hostname": "app1", "webapp_apps": APPS, "webapp_sites": SITES, **variables}
    variables = {name: value for name, value in variables.items() if value is not Action}
    action._loader = DataLoader()
    action._templar = Templar(loader=action._loader, variables=variables)
    return action.run(task_vars=variables)


def refused(action, **variables):
    result = run(action, **variables)
    assert result["failed"] is True, result
    assert "canary-value" not in str(result)
    return result["cause"], result["msg"]


def test_a_right_inventory_is_told_in_a_line_and_the_host_is_left_alone():
    action = Action()
    result = run(action)
    assert result["msg"] == "1 app on port 8000; 1 site on port 80"
    assert (result["warnings"], result["changed"], action.asked) == ([], False, 0)


@pytest.mark.parametrize("name", ["webapp_app", "webapp_domain"])
def test_an_unknown_variable_is_refused(name):
    cause, message = refused(Action(), **{name: []})
    assert cause == "unknown_variable"
    assert message.startswith(f"{name}: unknown variable.")


def test_all_unknown_variables_are_told_at_once():
    _cause, message = refused(Action(), webapp_app=[], webapp_site=[])
    assert message.count("Did you mean") == 2


def test_a_name_near_one_of_a_role_is_a_warning():
    assert run(Action(), ufw_rule=[])["warnings"] == ["app1: ufw_rule: no role reads it. Did you mean: ufw_rules"]


@pytest.mark.parametrize("name", ["webapp_apps", "webapp_sites"])
def test_a_list_that_another_variable_was_to_give_is_refused(name):
    cause, message = refused(Action(), **{name: trust_as_template("{{ team_list }}")})
    assert cause == "undefined"
    assert message.startswith(f"{name} can't be worked out: 'team_list' is undefined.")


def test_a_value_within_a_list_that_is_not_there_is_refused():
    apps = [{**APPS[0], "env": {"TOKEN": trust_as_template("{{ vault_token }}")}}]
    cause, message = refused(Action(), webapp_apps=apps)
    assert cause == "undefined"
    assert "'vault_token' is undefined" in message


def test_every_variable_must_have_a_value():
    cause, message = refused(Action(), webapp_release=trust_as_template("{{ chosen_release }}"))
    assert cause == "undefined"
    assert message.startswith("webapp_release can't be worked out")


def test_templates_are_read():
    assert run(Action(), webapp_apps=trust_as_template("{{ mine }}"), mine=APPS)["msg"].startswith("1 app ")


def test_the_names_of_the_variables_can_be_others():
    action = Action(apps="preflight_apps", sites="preflight_sites")
    assert (
        run(action, webapp_apps=Action, webapp_sites=Action, preflight_apps=APPS, preflight_sites=[])["msg"]
        == "1 app on port 8000; 0 sites"
    )


def test_a_wrong_model_is_told_once():
    result = run(Action(), webapp_apps=[{**APPS[0], "prot": 1}])
    assert result["cause"] == "bad_model"
    assert str(result).count("prot: unknown key") == 1


@pytest.mark.parametrize("empty", [[], None, Action])
def test_an_empty_model_is_refused_unless_it_is_meant(empty):
    cause, message = refused(Action(), webapp_apps=empty, webapp_sites=empty, webap_apps=APPS)
    assert cause == "empty_model"
    assert "but webap_apps" in message
    assert run(Action(empty=True), webapp_apps=empty, webapp_sites=empty)["msg"] == "0 apps; 0 sites"


def test_an_app_host_and_a_proxy_alone_are_normal():
    static = [{**SITES[0], "routes": [{"path": "/", "static": "/var/www"}]}]
    assert run(Action(), webapp_sites=Action)["msg"] == "1 app on port 8000; 0 sites"
    assert run(Action(), webapp_apps=Action, webapp_sites=static)["msg"] == "0 apps; 1 site on port 80"


def test_an_unknown_app_is_refused():
    cause, message = refused(Action(only="shop,blog"))
    assert (cause, message.splitlines()[0]) == ("bad_input", "no app is called blog (apps: shop)")


STAGES = ["activate", "nginx_proxy", "ufw"]


def test_the_host_is_asked_where_it_is_to_change():
    action = Action(stages=STAGES)
    assert run(action)["changed"] is False
    assert action.asked == 1


def test_a_host_that_can_not_be_asked_is_told_as_it_is():
    assert run(Action(stages=STAGES, seen={"unreachable": True, "msg": "no route"}))["unreachable"] is True


def test_a_model_without_what_the_host_serves_is_refused_unless_it_is_meant():
    cause, _message = refused(Action(stages=STAGES), webapp_sites=Action)
    assert cause == "nothing_left"
    assert run(Action(stages=STAGES, empty=True), webapp_sites=Action)["msg"] == "1 app on port 8000; 0 sites"


def test_apps_of_other_hosts_are_not_this_hosts():
    cause, _message = refused(
        Action(stages=STAGES, seen={"serves": {**SERVES, "names": []}, "targets": {}}, services=False)
    )
    assert cause == "nothing_left"


MOVED = [{**APPS[0], "port": 9000}]


@pytest.mark.parametrize(
    ("stages", "run_tags", "skip_tags"),
    [
        (STAGES, ["activate"], []),
        (STAGES, ["nginx_proxy"], []),
        (STAGES, ["all"], ["nginx_proxy"]),
        (["rollback"], ["all"], []),
    ],
)
def test_a_move_by_half_is_refused(monkeypatch, stages, run_tags, skip_tags):
    monkeypatch.setattr(Action, "_known_tags", lambda self: {"activate", "nginx_proxy"})
    action = Action(stages=stages)
    cause, _message = refused(action, webapp_apps=MOVED, ansible_run_tags=run_tags, ansible_skip_tags=skip_tags)
    assert cause == "port_changed"


def test_a_whole_move_passes():
    assert run(Action(stages=STAGES), webapp_apps=MOVED)["msg"] == "1 app on port 9000; 1 site on port 80"


def test_a_rollback_needs_a_release_of_each_app():
    assert "failed" not in run(Action(stages=["rollback"]))
    cause, message = refused(
        Action(stages=["rollback"], seen={"serves": SERVES, "targets": {"shop": {"target": None, "releases": ["one"]}}})
    )
    assert cause == "no_release"
    assert "no release to go back to of shop (it has one)" in message


@pytest.mark.parametrize("name", ["webapp_hosts", "webapp_proxies", "webapp_serial"])
def test_what_plays_choose_hosts_by_is_refused_in_the_inventory(name):
    cause, message = refused(Action(), **{name: "x"})
    assert cause == "bad_input"
    assert message.startswith(f"{name}: is read from the command line")
    value = "1" if name == "webapp_serial" else "x"
    assert "failed" not in run(Action(of_play={name: value}), **{name: value})


def test_a_wrong_serial_is_refused_before_ansible_stumbles_over_it():
    cause, message = refused(Action(of_play={"webapp_serial": "abc"}), webapp_serial="abc")
    assert (cause, message.split(".")[0]) == ("bad_input", "webapp_serial: abc is no number of hosts")


def test_a_release_given_to_a_deploy_is_refused():
    cause, message = refused(Action(stages=STAGES), webapp_release="3f9a1c2b71d0")
    assert (cause, "gatehouse.webapp.rollback" in message) == ("bad_input", True)
    assert "failed" not in run(Action(stages=["rollback"]), webapp_release="one")


def test_what_the_model_leaves_of_what_is_served_is_a_warning():
    serves = {**SERVES, "names": ["shop.example.com", "old.example.com"]}
    result = run(Action(stages=STAGES, seen={"serves": serves, "targets": {}}))
    assert result["warnings"] == ["app1: answers for old.example.com now, and no site of the model does"]


def test_a_site_on_other_ports_is_refused_without_the_firewall(monkeypatch):
    monkeypatch.setattr(Action, "_known_tags", lambda self: {"activate", "nginx_proxy", "ufw"})
    sites = [{**SITES[0], "http_port": 8080}]
    cause, _message = refused(Action(stages=STAGES), webapp_sites=sites, ansible_run_tags=["nginx_proxy"])
    assert cause == "port_changed"
    assert "failed" not in run(Action(stages=STAGES), webapp_sites=sites)


PLAYBOOK = """
- hosts: all
  gather_facts: false
  tags: [whole]
  tasks:
    - ansible.builtin.debug: {msg: x}
      tags: [greet]
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.debug: {msg: y}
          tags: [leave]
"""


@pytest.fixture
def playbook(tmp_path, monkeypatch):
    (tmp_path / "p.yml").write_text(PLAYBOOK)
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict(args=(str(tmp_path / "p.yml"),)))


@pytest.mark.parametrize("tags", [["greet"], ["whole", "leave"], ["all"]])
def test_tags_of_any_play_are_known(playbook, tags):
    assert run(Action(), ansible_run_tags=tags)["warnings"] == []


def test_a_tag_that_nothing_has_is_refused(playbook):
    cause, message = refused(Action(), ansible_run_tags=["gret"])
    assert (cause, message) == (
        "bad_input",
        "--tags gret: nothing has this tag. Did you mean: greet. Nothing was touched.",
    )
    cause, message = refused(Action(), ansible_skip_tags=["laeve"], ansible_run_tags=["all"])
    assert message.startswith("--skip-tags laeve: nothing has this tag. Did you mean: leave")


def test_a_far_tag_beside_one_that_there_is_is_a_warning(playbook):
    result = run(Action(), ansible_run_tags=["greet", "databases"])
    assert result["warnings"] == ["app1: --tags databases: nothing has this tag. Tags: greet, leave, whole"]


ORPHAN = "app1: has old, which the model does not have: old@9000.service, /srv/old. A deploy leaves that as it is. To remove it: "


@pytest.mark.parametrize("stages", [["read"], ["activate", "nginx_proxy", "ufw"], ["rollback"]])
def test_an_app_that_the_model_does_not_have_is_told_with_what_removes_it(stages):
    targets = {"shop": {"target": "one", "releases": ["two", "one"]}}
    action = Action({"serves": SERVES, "targets": targets, "remains": REMAINS, "led": ["shop"]}, stages=stages)
    result = run(action)
    command = "ansible-playbook -i INVENTORY gatehouse.webapp.remove -e webapp_remove=old"
    assert result["warnings"] == [ORPHAN + command]
    assert (result["known"], result["orphans"]) == (["old", "shop"], ["old"])


def test_where_a_run_only_reads_what_the_host_serves_is_no_error():
    result = run(Action({"serves": {**SERVES, "names": ["other.example.com"]}}, stages=["read"]))
    assert "failed" not in result


def removal(remove, led=()):
    seen = {"serves": SERVES, "targets": {}, "remains": REMAINS, "led": led}
    return Action(seen, stages=["remove"], remove=remove)


@pytest.mark.parametrize("remove", ["old", ["old"], " old ,"])
def test_an_app_that_the_model_does_not_have_can_go(remove):
    result = run(removal(remove))
    assert (result["removes"], result["warnings"]) == (["old"], [])


def test_a_deploy_removes_what_is_named_once_nginx_leads_elsewhere():
    seen = {"serves": SERVES, "targets": {}, "remains": REMAINS, "led": ["old", "shop"]}
    result = run(Action(seen, stages=STAGES, remove="old"))
    assert (result["removes"], result["warnings"]) == (["old"], [])
    other = run(Action(seen, stages=STAGES, remove="other"))
    assert [ORPHAN[:9] in one for one in other["warnings"]] == [True]
    for remove, cause in (("shop", "in_use"), ("", "bad_input")):
        assert refused(Action(seen, stages=STAGES, remove=remove))[0] == cause


def test_a_host_may_be_emptied_by_a_deploy_that_names_its_apps():
    assert "failed" not in run(Action(stages=STAGES, remove="shop"), webapp_apps=[], webapp_sites=[])
    assert refused(Action(stages=STAGES, remove="other"), webapp_apps=[], webapp_sites=[])[0] == "nothing_left"


def test_another_name_is_told_before_that_nothing_is_left():
    remains = {"blog": {**REMAINS["shop"], "runs_as": "blog"}}
    seen = {"serves": {**SERVES, "apps": {"blog": [8000]}}, "targets": {}, "remains": remains, "led": ["blog"]}
    cause, message = refused(Action(seen, stages=STAGES))
    assert (cause, "renamed_from: blog" in message) == ("renamed", True)
    assert "failed" not in run(Action(seen, stages=STAGES), webapp_apps=[{**APPS[0], "renamed_from": "blog"}])


@pytest.mark.parametrize(
    ("remove", "near"), [("olt", {"olt": ["old"]}), ("old", {}), ("other-one", {}), ("shup,old", {"shup": ["shop"]})]
)
def test_nearly_the_name_of_an_app_is_told_for_all_hosts_to_judge(remove, near):
    assert run(removal(remove))["near"] == near


def test_the_last_app_can_go_too():
    assert run(removal("shop"), webapp_apps=[], webapp_sites=[])["removes"] == ["shop"]


@pytest.mark.parametrize(
    ("remove", "led", "cause", "words"),
    [
        (None, [], "bad_input", "webapp_remove names no app"),
        ([], [], "bad_input", "webapp_remove names no app"),
        (" ", [], "bad_input", "webapp_remove is empty"),
        ({"old": 1}, [], "bad_input", "webapp_remove is neither a list"),
        ("old,../etc,OLD", [], "bad_input", "webapp_remove: ../etc, OLD: no app has such a name"),
        ("old,shop", [], "in_use", "app1: the model has shop."),
        ("old", ["old"], "in_use", "app1: nginx still leads requests to old."),
    ],
)
def test_what_can_not_go_is_refused(remove, led, cause, words):
    found, message = refused(removal(remove, led))
    assert found == cause
    assert message.startswith(words)
