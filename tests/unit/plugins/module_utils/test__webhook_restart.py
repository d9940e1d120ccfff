"""The gated redeploy of a hosted app as a story, told with a hosting in small: hook, status and app on one local server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.gatehouse.webapp.plugins.module_utils import _webhook_restart
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._webhook_restart import (
    WebhookRestart,
    fill,
    secrets_of,
    value_at,
)
from ansible_collections.gatehouse.webapp.plugins.modules.health_restart import ARGUMENTS, story

KEY = "kQ7-f00d-v3ry-s3cret"


class Hosting:
    """What the server answers, and what it was asked."""

    def __init__(self, server):
        self.at = "http://127.0.0.1:%d" % server.server_port
        self.hooks = []
        self.asked = []
        self.hook_answers = (201, {"deploy": {"id": "dep 1"}})
        self.statuses = []  # of the deploy, one after another; the last one stays
        self.before = (200, {"status": "healthy", "build": {"commit": "aaa"}})
        self.after = (200, {"status": "healthy", "build": {"commit": "bbb"}})
        self.old_answers = 0  # how often the former deploy still answers after the hook

    def answer(self, method, path, headers, body):
        self.asked.append((method, path))
        if path.startswith("/hook"):
            self.hooks.append((method, path, headers, body))
            return self.hook_answers
        if path.startswith("/status"):
            return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if self.hooks and self.old_answers <= 0:
            return self.after
        self.old_answers -= 1 if self.hooks else 0
        return self.before


@pytest.fixture
def hosting():
    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            told = found.answer(self.command, self.path, dict(self.headers), body)
            if told is None:
                self.close_connection = True
                return
            status, document = told
            content = json.dumps(document).encode()
            self.send_response(status)
            if status == 308:
                self.send_header("Location", "https://elsewhere.example" + self.path)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Hosting(server)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


class Clock:
    """A clock that only pauses move."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def params(hosting, webhook=(), **options):
    """A task's options as the module reads them."""
    given = {
        "manager": "webhook",
        "name": "shop",
        "webhook": {"url": "%s/hook/srv-1?key=%s" % (hosting.at, KEY), **dict(webhook)},
        "http": {"url": hosting.at + "/health", "json": {"status": "healthy"}},
        "timeout": 20,
        **options,
    }
    read = ArgumentSpecValidator(ARGUMENTS).validate(given)
    assert not read.error_messages
    return read.validated_parameters


def a_restart(hosting, webhook=(), **options):
    clock = Clock()
    read = params(hosting, webhook, **options)
    return WebhookRestart(
        read["name"], read["webhook"], read, read["state"] == "current", clock=clock, sleep=clock.sleep
    ), clock


def carried_out(restart):
    restart.check()
    restart.plan()
    restart.run()
    return restart.result()


def failure_of(restart):
    with pytest.raises(GatehouseError) as caught:
        carried_out(restart)
    told = json.dumps([caught.value.result(), restart.result()])
    assert KEY not in told
    assert "srv-1" not in told
    return caught.value


def status_of(hosting, **options):
    return {
        "url": hosting.at + "/status/{deploy.id}",
        "json": {"status": "live"},
        "failed": [{"json": {"status": "build_failed"}}, {"text": "cancel"}],
        **options,
    }


def test_the_hook_is_sent_once_and_then_the_app_is_asked(hosting):
    restart, _clock = a_restart(hosting, {"headers": {"X-From": "ansible"}, "body": {"clear": True}}, successes=2)
    told = carried_out(restart)
    ((method, path, headers, body),) = hosting.hooks
    assert (method, path, headers["X-From"], json.loads(body)) == (
        "POST", "/hook/srv-1?key=" + KEY, "ansible", {"clear": True},
    )  # fmt: skip
    assert headers["Content-Type"] == "application/json"
    assert [path for _method, path in hosting.asked] == ["/hook/srv-1?key=" + KEY, "/health", "/health"]
    assert (restart.changed, told["outcome"], told["reasons"], told["attempts"]) == (True, "healthy", [], 2)
    assert told["webhook"] == {
        "sent": True, "status": 201, "confirmed_by": [], "version_before": None, "version": None,
    }  # fmt: skip
    assert "nothing tells whether it was the new deploy" in told["timeline"][-1]["event"]
    assert KEY not in json.dumps(told)


def test_planning_sends_nothing(hosting):
    restart, _clock = a_restart(hosting)
    restart.check()
    restart.plan()
    assert restart.changed
    assert hosting.asked == []
    assert restart.result()["timeline"][-1]["event"] == "shop: its deploy hook is due: POST to 127.0.0.1"


def test_the_deploy_is_followed_to_its_end(hosting):
    building = (200, {"status": "build_in_progress"})
    hosting.statuses = [(404, {}), building, building, (200, {"status": "live"})]
    restart, clock = a_restart(hosting, {"deploy_status": status_of(hosting, headers={"Authorization": "Bearer t"})})
    told = carried_out(restart)
    paths = [path for _method, path in hosting.asked]
    assert paths[1:] == ["/status/dep%201"] * 4 + ["/health"]
    assert told["webhook"]["confirmed_by"] == ["deploy_status"]
    assert clock.pauses[:3] == [5.0, 5.0, 5.0]
    said = [entry["event"] for entry in told["timeline"]]
    assert said[2:-1] == [
        "shop: deploy is not done: it answered 404, not 200",
        'shop: deploy is not done: its JSON has status = "build_in_progress", not "live"',
        "shop: the hosting says that the deploy is done",
    ]


@pytest.mark.parametrize("document", [{"status": "build_failed"}, {"status": "cancelled"}])
def test_a_failed_deploy_ends_the_wait(hosting, document):
    hosting.statuses = [(200, {"status": "building"}), (200, document)]
    restart, _clock = a_restart(hosting, {"deploy_status": status_of(hosting)})
    failure = failure_of(restart)
    assert failure.cause == "deploy_failed"
    assert document["status"] in failure.message
    assert restart.result()["outcome"] == "failed"
    assert ("GET", "/health") not in hosting.asked


def test_a_deploy_that_takes_too_long(hosting):
    hosting.statuses = [(200, {"status": "building"})]
    restart, clock = a_restart(hosting, {"deploy_status": status_of(hosting), "deploy_timeout": 60})
    failure = failure_of(restart)
    assert failure.cause == "timed_out"
    assert 'within 60 s: its JSON has status = "building", not "live"' in failure.message
    assert clock.now == pytest.approx(60)


def test_a_status_that_may_not_be_asked_ends_the_wait(hosting):
    hosting.statuses = [(401, {})]
    restart, clock = a_restart(hosting, {"deploy_status": status_of(hosting)})
    assert failure_of(restart).cause == "status_refused"
    assert clock.now == 0


def test_a_field_that_the_hooks_answer_lacks(hosting):
    hosting.hook_answers = (200, {"job": {"id": 7}})
    restart, _clock = a_restart(hosting, {"deploy_status": status_of(hosting)})
    failure = failure_of(restart)
    assert failure.cause == "bad_input"
    assert "no field deploy.id" in failure.message
    assert restart.result()["webhook"]["sent"]


def test_only_the_new_version_opens_the_gate(hosting):
    hosting.old_answers = 3
    restart, _clock = a_restart(hosting, {"version_field": "build.commit"})
    told = carried_out(restart)
    assert told["webhook"]["confirmed_by"] == ["version"]
    assert (told["webhook"]["version_before"], told["webhook"]["version"]) == ("aaa", "bbb")


def test_a_version_that_stays(hosting):
    hosting.after = hosting.before
    restart, clock = a_restart(hosting, {"version_field": "build.commit", "deploy_timeout": 100})
    failure = failure_of(restart)
    assert failure.cause == "old_version"
    assert "build.commit is aaa, as before the deploy" in failure.message
    assert clock.now == pytest.approx(100)


def test_once_the_hosting_is_done_the_gate_waits_for_the_version(hosting):
    hosting.after = hosting.before
    hosting.statuses = [(200, {"status": "live"})]
    options = {"version_field": "build.commit", "version": "ccc", "deploy_status": status_of(hosting)}
    restart, clock = a_restart(hosting, options)
    failure = failure_of(restart)
    assert failure.cause == "old_version"
    assert "build.commit is aaa, not ccc" in failure.message
    assert clock.now == pytest.approx(20)


def test_the_wanted_version_may_be_the_one_that_runs(hosting):
    hosting.after = hosting.before
    restart, _clock = a_restart(hosting, {"version_field": "build.commit", "version": "aaa"})
    assert carried_out(restart)["webhook"]["version"] == "aaa"


def test_a_health_without_the_version_is_refused_before_anything_is_sent(hosting):
    restart, _clock = a_restart(hosting, {"version_field": "commit"})
    assert failure_of(restart).cause == "bad_input"
    assert hosting.hooks == []


def test_a_sick_app_is_deployed_though_its_version_is_unknown(hosting):
    hosting.before = (503, {"status": "sick"})
    restart, _clock = a_restart(hosting, {"version_field": "build.commit"})
    assert carried_out(restart)["webhook"]["version"] == "bbb"


def test_the_gate_stays_shut(hosting):
    hosting.after = (200, {"status": "sick"})
    restart, clock = a_restart(hosting)
    failure = failure_of(restart)
    assert (failure.cause, failure.facts["probe"], failure.facts["service"]) == ("unhealthy", "bad_body", "shop")
    assert failure.message.startswith("shop: not healthy within 20 s: ")
    assert failure.hint.startswith("curl -si '%s/health'" % hosting.at)
    assert clock.now == pytest.approx(20)
    assert len(hosting.hooks) == 1


# state: current


def test_a_healthy_app_is_left_alone(hosting):
    restart, clock = a_restart(hosting, state="current", stable_for=10)
    told = carried_out(restart)
    assert clock.now == 0
    assert (restart.changed, told["outcome"], told["reasons"], hosting.hooks) == (False, "healthy", [], [])
    assert told["webhook"]["sent"] is False


def test_a_sick_app_is_deployed(hosting):
    hosting.before = (503, {})
    restart, _clock = a_restart(hosting, state="current")
    told = carried_out(restart)
    assert restart.changed
    assert "shop is not healthy: " in told["reasons"][0]
    assert len(hosting.hooks) == 1


@pytest.mark.parametrize(("version", "sent"), [("aaa", 0), ("bbb", 1)])
def test_another_version_is_deployed(hosting, version, sent):
    restart, _clock = a_restart(hosting, {"version_field": "build.commit", "version": version}, state="current")
    told = carried_out(restart)
    assert len(hosting.hooks) == sent
    assert told["reasons"] == (["shop is version aaa, not bbb"] if sent else [])
    assert told["webhook"]["version"] == version


# The hook itself


@pytest.mark.parametrize("status", [401, 404, 500, 308])
def test_a_hook_that_is_refused(hosting, status):
    hosting.hook_answers = (status, {"error": "no deploy for /hook/srv-1?key=" + KEY})
    restart, _clock = a_restart(hosting)
    failure = failure_of(restart)
    assert failure.cause == "hook_refused"
    assert "127.0.0.1 answered %d, not 200 or 201 or 202 or 204" % status in failure.message
    assert len(hosting.hooks) == 1


def test_a_hook_without_an_answer_is_not_sent_again(hosting):
    hosting.hook_answers = None
    restart, _clock = a_restart(hosting)
    failure = failure_of(restart)
    assert failure.cause == "hook_unanswered"
    assert "A deploy may have begun, so it was not sent again" in failure.message
    assert (len(hosting.hooks), restart.told["sent"]) == (1, True)


def test_a_server_that_is_not_there_is_tried_again(hosting, monkeypatch):
    tries = []

    def connect(host, port, deadline):
        tries.append(host)
        if len(tries) < 4:
            raise ConnectionRefusedError()
        return real(host, port, deadline)

    real = _webhook_restart.open_connection
    monkeypatch.setattr(_webhook_restart, "open_connection", connect)
    restart, clock = a_restart(hosting)
    assert carried_out(restart)["outcome"] == "healthy"
    assert (len(tries), len(hosting.hooks), clock.pauses) == (4, 1, [1.0, 1.0, 1.0])


def test_a_server_that_stays_away(hosting, monkeypatch):
    def refuse(_host, _port, _deadline):
        raise ConnectionRefusedError()

    monkeypatch.setattr(_webhook_restart, "open_connection", refuse)
    restart, clock = a_restart(hosting)
    failure = failure_of(restart)
    assert failure.cause == "hook_unreachable"
    assert "was not sent: 127.0.0.1 connection refused" in failure.message
    assert (restart.told["sent"], hosting.hooks) == (False, [])
    assert clock.now == pytest.approx(30)


# Input


@pytest.mark.parametrize(
    ("webhook", "options", "words"),
    [
        ({"url": "hook.example/key-12345678"}, {}, "webhook.url is no http(s) address"),
        ({"url": "https://hook.example/key-12345678\n"}, {}, "webhook.url has a blank or a line break"),
        ({"headers": {"X": "key-12345678\n"}}, {}, "webhook.headers.X has a line break"),
        ({"timeout": 0}, {}, "webhook.timeout is 0"),
        ({"deploy_timeout": -1}, {}, "webhook.deploy_timeout is -1"),
        ({"version": "1"}, {}, "not where the app tells its version"),
        ({"deploy_status": {"url": "https://h.example/{id}"}}, {}, "what a deploy that is done looks like"),
        ({"deploy_status": {"url": "https://h.example/", "text": "a", "failed": [{}]}}, {}, "entry that says nothing"),
        ({"deploy_status": {"url": "https://h.example/", "text": "a", "interval": 0}}, {}, "interval is 0"),
        ({"deploy_status": {"url": "h.example", "text": "a"}}, {}, "webhook.deploy_status.url is no http(s) address"),
        ({}, {"http": None}, "nothing is measured"),
        ({}, {"http": {"path": "/health"}}, "http.path is asked of a port on this host"),
        ({}, {"websocket": {"path": "/ws"}}, "websocket.path is asked of a port on this host"),
        ({}, {"timeout": 0}, "timeout is 0"),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(hosting, webhook, options, words):
    restart, _clock = a_restart(hosting, webhook, **options)
    failure = failure_of(restart)
    assert failure.cause == "bad_input"
    assert words in failure.message
    assert failure.hint
    assert "key-12345678" not in json.dumps(failure.result())
    assert hosting.asked == []


@pytest.mark.parametrize(
    "options",
    [
        {"port": 80},
        {"requires": [{"tcp": "db:1"}]},
        {"strategy": "blue_green"},
        {"activate": {"link": "/l", "target": "/t", "unit": "u"}},
        {"pm2": {"user": "web"}},
    ],
)
def test_what_is_for_services_of_this_host_is_refused(hosting, options):
    with pytest.raises(GatehouseError, match="is not for manager: webhook"):
        story(params(hosting, **options), None, None)


def test_the_module_makes_this_story(hosting):
    restart = story(params(hosting, state="current"), None, None)
    assert (type(restart), restart.name, restart.only_stale) == (WebhookRestart, "shop", True)


def test_values_in_an_answer():
    text = json.dumps({"deployments": [{"uid": "d1"}], "n": 0})
    assert [value_at(text, field) for field in ("deployments.0.uid", "deployments.1.uid", "n", "n.x", "x")] == [
        "d1", None, 0, None, None,
    ]  # fmt: skip
    assert value_at("not JSON", "a") is None
    assert fill("https://h.example/{deployments.0.uid}/{n}", text) == "https://h.example/d1/0"


def test_what_is_secret_of_a_request():
    found = secrets_of(
        {
            "url": "https://me:passw0rd@h.example/v1/hooks/prj_Ab12345?key=abcdefghijkl",
            "headers": {"Authorization": "Bearer t0ken-1"},
        }
    )
    assert {"passw0rd", "prj_Ab12345", "key=abcdefghijkl"[4:], "Bearer t0ken-1", "t0ken-1"} <= set(found)
    assert not {"v1", "hooks", "h.example", "Bearer"} & set(found)
    assert found == sorted(found, key=lambda text: (-len(text), text))
