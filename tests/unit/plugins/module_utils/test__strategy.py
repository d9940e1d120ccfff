"""Deploys on a small host: in place and blue/green, and killed or rebooted at each of their steps."""

import itertools

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer

BLUE, GREEN = (8000, 8001), (18000, 18001)
WAYS = {
    "blue_green": {"strategy": "blue_green"},
    "restart": {"strategy": "restart", "green": ()},
}


def on(ports, release):
    return dict.fromkeys(ports, release)


@pytest.fixture
def served(host):
    """Release one is live on the first set, with a proxy in front."""
    for name in ("one", "two", "three"):
        host.release(name)
    host.release("bad", sick=True)
    host.deploy("one")
    host.heed()
    host.effects.clear()
    host.asked.clear()
    return host


def fails(host, name, **options):
    made = host.story(name, **options)
    with pytest.raises(GatehouseError) as caught:
        made.check()
        made.plan()
        made.run()
    return made, caught.value


# Blue/green


def test_the_first_release_goes_to_the_first_set(host):
    host.release("one")
    made = host.deploy("one")
    assert (made.outcome, host.live(), host.runs()) == ("healthy", "one", on(BLUE, "one"))
    assert host.enabled == {"app@8000.service", "app@8001.service"}


@pytest.mark.parametrize(
    ("runs", "ports"), [((8000, 8001), GREEN), ((8001,), GREEN), ((), BLUE), ((18000, 18001), BLUE)]
)
def test_the_first_release_starts_beside_the_app_whose_place_it_takes(host, runs, ports):
    host.release("one")
    former = {"old@%d.service" % port: ("theirs", 1) for port in runs}
    host.running.update(former)
    made = host.deploy("one", instead_of="old")
    assert (made.outcome, host.live()) == ("healthy", "one")
    assert {unit: run for unit, run in host.running.items() if unit.startswith("old")} == former
    assert {port for port in ports if "app@%d.service" % port in host.running} == set(ports)
    assert (host.root / "current" / "green").exists() == (ports == GREEN)


@pytest.mark.parametrize("follows", [None, "green"])
def test_a_run_that_was_cut_short_before_the_former_instances_went_goes_on(host, follows):
    host.release("one")
    host.running.update({"old@%d.service" % port: ("theirs", 1) for port in BLUE})
    host.deploy("one", instead_of="old")
    if follows:
        host.heed(follows)
    host.release("two")
    made = host.deploy("two", instead_of="old")
    assert (made.outcome, host.live()) == ("healthy", "two")
    assert [unit for unit in host.running if unit.startswith("old")] == ["old@%d.service" % port for port in BLUE]
    assert {port for port in GREEN if "app@%d.service" % port in host.running} == set(GREEN)
    assert not {port for port in BLUE if "app@%d.service" % port in host.running}


def test_releases_change_sets_in_turn(served):
    for name, ports in (("two", GREEN), ("three", BLUE), ("two", GREEN)):
        assert served.deploy(name).outcome == "healthy"
        assert (served.live(), served.runs(), served.traffic()) == (name, on(ports, name), {name})
        assert served.enabled == {"app@%d.service" % port for port in ports}
        assert sorted(path.name for path in served.system.iterdir()) == sorted(served.enabled)


def test_the_new_set_is_gated_and_starts_at_boot_before_the_switch_and_the_old_one_stops_after(served):
    served.deploy("two")
    order = [
        next(i for i, effect in enumerate(served.effects) if effect.startswith(words))
        for words in ("restart app@18000", "enable app@18001", "point", "stop app@8000")
    ]
    assert order == sorted(order)


def test_a_second_run_changes_nothing(served):
    served.deploy("two")
    served.effects.clear()
    again = served.deploy("two")
    assert (again.changed, again.reasons, served.effects) == (False, [], [])


def test_a_failing_release_never_gets_a_request_and_leaves_nothing(served):
    made, failure = fails(served, "bad")
    assert (made.outcome, failure.cause) == ("reverted", "unhealthy")
    assert "went on serving, and is healthy" in failure.message
    assert (served.live(), served.runs(), served.traffic()) == ("one", on(BLUE, "one"), {"one"})
    assert sorted(path.name for path in served.system.iterdir()) == ["app@8000.service", "app@8001.service"]
    assert not any(effect.startswith("point") for effect in served.effects)


def test_a_former_release_that_is_sick_too_is_not_called_healthy(served):
    served.sick.add("one")
    made, failure = fails(served, "bad")
    assert made.outcome == "failed"
    assert "not well either" in failure.message


def test_a_failing_release_stays_to_be_looked_at_when_asked_so(served):
    fails(served, "bad", on_failure="leave")
    assert served.runs() == {**on(BLUE, "one"), **on(GREEN, "bad")}
    assert served.traffic() == {"one"}


def test_the_old_set_is_drained_before_it_stops_and_no_longer_than_asked(served):
    served.connected = {8000: 3}
    began = served.now
    made = served.deploy("two", drain_timeout=7.0)
    assert 7 <= served.now - began < 8
    assert "3 connections are left after 7 s" in str(made.timeline.events)
    served.connected = {}
    began = served.now
    served.deploy("three", drain_timeout=7.0)
    assert served.now - began < 1


PROXY = {"url": "http://127.0.0.1/health", "host": "chat.example.com"}


def test_the_switch_is_seen_through_the_proxy(served):
    made = served.deploy("two", proxy=PROXY)
    assert "the proxy sends to app@18000.service, app@18001.service" in str(made.timeline.events)


def test_a_proxy_that_does_not_follow_undoes_the_switch(served):
    served.established = lambda port: 0
    made, failure = fails(served, "two", proxy=PROXY)
    assert (failure.cause, made.outcome) == ("not_switched", "reverted")
    assert (served.live(), served.runs(), served.traffic()) == ("one", on(BLUE, "one"), {"one"})


def test_a_release_that_is_well_on_its_port_and_not_through_the_proxy_is_undone(served):
    refused = Answer(False, "bad_status", "it answered 400, not 200", 0.001, 400)
    served.proxy_answers = {"two": refused}
    _made, failure = fails(served, "two", proxy=PROXY)
    assert "it answered 400" in failure.message
    assert (served.live(), served.traffic()) == ("one", {"one"})


def test_a_proxy_that_was_down_before_does_not_hold_up_the_deploy(served):
    served.sick.add("one")
    made = served.deploy("two", proxy=PROXY)
    assert "gave no good answer before the switch either" in str(made.timeline.events)
    assert served.live() == "two"


def test_without_a_proxy_that_follows_the_release_is_restarted_in_place(host):
    host.release("one")
    host.release("two")
    host.deploy("one")
    host.deploy("two")
    assert (host.live(), host.runs()) == ("two", on(BLUE, "two"))


def test_a_proxy_that_does_not_follow_the_link_yet_is_not_relied_on(served):
    """The strategy has just changed in the model, and nginx is still set up for the other one."""
    served.heed("parts")
    served.deploy("two")
    assert (served.runs(), served.traffic()) == (on(BLUE, "two"), {"two"})


def test_another_number_of_instances_is_taken_up_with_the_switch(served):
    served.deploy("two", blue=(8000, 8001, 8002), green=(18000, 18001, 18002))
    assert served.runs() == on((18000, 18001, 18002), "two")


def test_an_app_that_moves_to_other_ports_is_served_on_its_old_ones_until_the_proxy_changes(served):
    served.deploy("two", blue=(9000, 9001), green=(19000, 19001))
    assert served.runs() == {**on(BLUE, "one"), **on((9000, 9001), "two")}
    assert served.traffic() == {"one"}
    assert served.traffic((9000, 9001), (19000, 19001)) == {"two"}


def test_ports_that_overlap_with_the_live_ones_are_refused(served):
    failure = refused(served, blue=(8001, 8002), green=(18001, 18002))
    assert "served on port 8001 now" in failure.message
    assert served.effects == []


def refused(host, **options):
    with pytest.raises(GatehouseError) as caught:
        host.story("two", **options)
    return caught.value


@pytest.mark.parametrize("green", [(), (18000,), (8000, 18001)])
def test_a_second_set_that_can_not_be_one_is_refused(served, green):
    failure = refused(served, green=green)
    assert failure.cause == "bad_input"
    assert "green:" in failure.hint


def test_going_back_is_a_deploy_of_the_former_release(served):
    served.deploy("two")
    made = served.deploy("one")
    assert (made.outcome, served.live(), served.traffic()) == ("healthy", "one", {"one"})


def test_going_back_can_be_measured_by_the_gate_that_was_passed(served):
    served.deploy("two", gate={"successes": 5})
    served.asked.clear()
    served.deploy("one", gate={"successes": 9}, own_gate=True)
    assert served.asked.count((8000, "one")) == 1
    served.deploy("three", gate={"successes": 2}, own_gate=True)
    assert served.asked.count((18000, "three")) == 2


def test_an_instance_of_the_live_release_that_fell_is_brought_up_where_it_was(served):
    served.deploy("two")
    served.running.pop("app@18001.service")
    served.effects.clear()
    made = served.deploy("two")
    assert made.changed
    assert served.effects == ["restart app@18001.service"]


def test_a_restart_of_what_is_live_changes_sets_too(served):
    made = served.deploy("one", only_stale=False)
    assert made.outcome == "healthy"
    assert (served.live(), served.runs(), served.traffic()) == ("one", on(GREEN, "one"), {"one"})
    assert (served.root / "current" / "green").exists()


def test_check_mode_tells_and_touches_nothing(served):
    made = served.story("two")
    made.check()
    made.plan()
    assert made.changed
    assert "names" in made.reasons[0]
    assert served.effects == []


def test_what_is_taken_away_is_not_listed_as_failed_for_ever(served):
    served.forgotten.clear()
    fails(served, "bad")
    # Once before their start, and once more when they are gone.
    assert served.forgotten.count("app@18000.service") == 2


# In place


def test_a_lone_instance_stays_in_the_rotation(served):
    """There is nobody to take its place."""
    host = served
    host.deploy("one", strategy="restart", blue=(8000,), green=())
    host.heed("parts")
    host.effects.clear()
    host.deploy("two", strategy="restart", blue=(8000,), green=())
    assert not any("rotation" in effect and effect.startswith("write") for effect in host.effects)


def test_a_live_release_that_is_not_well_is_not_taken_away(served):
    """There is nothing that it replaced: what can be done is to look at it."""
    served.sick.add("one")
    served.running.pop("app@8001.service")
    made, failure = fails(served, "one")
    assert (made.outcome, failure.cause) == ("failed", "unhealthy")
    assert "oing back" not in failure.message
    assert (served.live(), served.runs()[8000]) == ("one", "one")
    assert not any(effect.startswith("stop") for effect in served.effects)


def test_instances_are_taken_out_of_the_rotation_while_they_restart(served):
    seen = []
    served.heed("parts")
    served.connections = lambda port: seen.append((port, (served.root / "rotation" / str(port)).exists())) or 0
    made = served.deploy("two", strategy="restart", green=())
    assert (made.outcome, served.runs()) == ("healthy", on(BLUE, "two"))
    assert set(seen) == {(8000, True), (8001, True)}
    assert [path.name for path in (served.root / "rotation").iterdir()] == ["follows"]


def test_in_place_a_failing_release_is_undone_on_the_first_instance(served):
    made, failure = fails(served, "bad", strategy="restart", green=())
    assert (made.outcome, failure.cause) == ("reverted", "unhealthy")
    assert (served.live(), served.runs()) == ("one", on(BLUE, "one"))
    assert "restart app@8001.service" not in served.effects


def test_a_first_release_that_fails_leaves_nothing_running(host):
    host.release("bad", sick=True)
    made, failure = fails(host, "bad")
    assert (made.outcome, host.live(), host.runs()) == ("failed", None, {})
    assert "There was no former release" in failure.message
    assert list(host.system.iterdir()) == []


def test_from_blue_green_to_in_place_no_request_is_lost(served):
    served.deploy("two")
    served.deploy("three", strategy="restart", green=())
    assert served.traffic() == {"three"}
    assert {port: served.runs()[port] for port in BLUE} == on(BLUE, "three")


def test_in_place_going_back_is_measured_by_the_gate_of_the_former_release(host):
    """What the next version wants of its gate must not undo the way back."""
    host.release("one")
    host.release("bad", sick=True)
    host.deploy("one", strategy="restart", green=(), gate={"successes": 4})
    host.asked.clear()
    fails(host, "bad", strategy="restart", green=(), gate={"successes": 1})
    assert host.asked[-4:] == [(8000, "one")] * 4
    assert host.asked[-5] == (8000, "bad")


def test_in_place_going_back_that_fails_is_told_too(served):
    served.sick.add("one")
    made, failure = fails(served, "bad", strategy="restart", green=())
    assert made.outcome == "failed"
    assert "releases/one failed too" in failure.message


def test_an_instance_that_is_new_does_not_stay_after_going_back(served):
    served.sick_ports = {8002}
    made, _failure = fails(served, "two", strategy="restart", blue=(8000, 8001, 8002), green=())
    assert (made.outcome, served.live(), served.runs()) == ("reverted", "one", on(BLUE, "one"))
    assert not (served.system / "app@8002.service").exists()


def test_on_failure_leave_touches_nothing_more(served):
    made, _failure = fails(served, "bad", strategy="restart", green=(), on_failure="leave")
    assert (made.outcome, served.live()) == ("failed", "one")
    assert served.runs() == {8000: "bad", 8001: "one"}


def test_a_release_that_no_run_has_seen_through_has_to_be_stable(served, killed):
    """It runs what is wanted already; but it was never the live one, so it waits as a new one does."""
    served.kill_at = 12
    with pytest.raises(killed):
        served.deploy("two", strategy="restart", green=())
    served.kill_at = None
    assert served.runs()[8000] == "two"
    began = served.now
    served.deploy("two", strategy="restart", green=(), gate={"stable_for": 2.0})
    assert served.now - began >= 4
    began = served.now
    served.deploy("two", strategy="restart", green=(), gate={"stable_for": 2.0})
    assert served.now - began < 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (GatehouseError("Unit has a bad unit file setting", cause="manager_refused"), "manager_refused"),
        (OSError(28, "No space"), "unwritable"),
    ],
)
def test_a_unit_that_systemd_refuses_and_a_full_disk_are_undone_too(served, way, error, cause):
    start = served._start

    def refuse(unit):
        if "two" in served._files()[unit]:
            raise error
        start(unit)

    served._start = refuse
    made, failure = fails(served, "two", **WAYS[way])
    assert (failure.cause, made.outcome) == (cause, "reverted")
    assert (served.live(), served.runs(), served.traffic()) == ("one", on(BLUE, "one"), {"one"})


def test_a_process_in_another_folder_and_a_unit_that_differs_are_restarted(served):
    (served.system / "app@8001.service").write_text("by hand")
    served.running["app@8000.service"] = ("two-old", 99)
    made = served.deploy("one", strategy="restart", green=())
    assert "runs in %s/releases/two-old/src, not in" % served.root in made.reasons[0]
    assert "the unit file of app@8001.service changed on disk" in made.reasons[1]
    assert served.runs() == on(BLUE, "one")


def test_a_unit_that_was_changed_by_hand_and_taken_up_is_put_right(served):
    (served.system / "app@8001.service").write_text("by hand")
    served.reload_definitions()
    made = served.deploy("one", strategy="restart", green=())
    assert made.reasons == ["the unit of app@8001.service is not the one of %s/releases/one" % served.root]
    assert served.effects[-1] == "restart app@8001.service"
    assert served.runs() == on(BLUE, "one")


# Killed and rebooted, at each step


@pytest.mark.parametrize("reboots", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("then", ["two", "one", "three"])
def test_killed_at_any_step_the_host_serves_and_the_next_run_puts_it_right(host, killed, way, then, reboots):
    """Deploy two over one, killed before its first, second, third … effect; then deploy `then`."""
    for name in ("one", "two", "three"):
        host.release(name)
    host.deploy("one", **WAYS[way])
    host.heed({"blue_green": "green", "restart": "parts"}[way])
    for step in itertools.count():
        host.effects.clear()
        host.kill_at = step
        try:
            host.deploy("two", **WAYS[way])
            finished = True
        except killed:
            finished = False
        host.kill_at = None
        where = "killed before effect %d, after %s" % (step, host.effects[-1:])
        if reboots:
            host.reboot()
        assert host.traffic(), where
        assert host.traffic() <= {"one", "two"}, where
        if way == "blue_green":
            assert len(host.traffic()) == 1, where
            assert host.traffic() == {host.live()}, where
        made = host.deploy(then, **WAYS[way])
        assert made.outcome == "healthy", where
        assert host.live() == then, where
        assert host.traffic() == {then}, where
        assert set(host.runs().values()) == {then}, where
        assert len(host.runs()) == 2, where
        assert not list((host.root / "rotation").glob("*[0-9]")), where
        assert sorted(path.name for path in host.system.iterdir()) == sorted(host.enabled), where
        assert {"app@%d.service" % port for port in host.runs()} == host.enabled, where
        again = host.deploy(then, **WAYS[way])
        assert not again.changed, (where, again.reasons)
        if finished:
            assert step > 5
            return
        host.deploy("one", **WAYS[way])
        # The next round begins as the first one did, on the first set.
        if (host.root / "current" / "green").exists():
            host.deploy("three", **WAYS[way])
            host.deploy("one", only_stale=False, **WAYS[way])
