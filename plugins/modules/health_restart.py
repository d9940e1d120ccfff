#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: health_restart
short_description: Restart services one after another, each behind a health gate, and go back when one stays shut
version_added: 0.1.0
description:
  - Restarts a service, or several in turn, and goes on to the next only once the gate has measured the last one healthy.
  - A crash ends the wait when it happens, not at the timeout. So does a stranger on the port, and an app that turns out
    to answer on another port.
  - A good answer counts only while the port is held by the service itself (by its control group), never by an old process
    or by another program that happens to sit there.
  - With O(activate) a release is made the live one. Its link is flipped once the gate has opened. When it stays shut, what ran
    before runs again, and has to pass the gate too.
  - With O(strategy=blue_green) the release is started beside the live one. It is gated there, the traffic is moved over in one
    step, and the former one is drained and stopped. A release that fails never gets a request.
  - With O(state=current) only what does not run what is on disk is restarted, and the rest is measured all the same. A run
    that was killed half-way is put right by the next one.
  - With O(manager=pm2) the processes of a PM2 app are restarted. In cluster mode one more worker is started first. It must pass
    the gate, and serves while the others are restarted one after another, each gated. Each question of the gate is asked of the
    very worker that it is about. A worker is told to end with a connection of its own held, so that it hands back what it is
    still dealt, also when it ends with its last connection. C(pm2 reload) is not used. It ends the old worker once PM2's
    C(listen_timeout) is over, ready or not, and what was dealt to a worker that ends is lost.
  - With O(manager=webhook) an app that is hosted elsewhere (Render, Railway, Vercel and their like) is deployed anew by its deploy hook.
    The hook is sent once, the hosting is asked for the deploy's end where it can be, and then the app must pass the gate at its
    own address.
options:
  name:
    description:
      - The unit to restart, for example V(chat-api.service), the PM2 app, or what the hosted app is called. Use this or O(instances).
    type: str
  port:
    description:
      - The TCP port that the service O(name) must listen on.
    type: int
  instances:
    description:
      - The services to restart, in this order.
    type: list
    elements: dict
    suboptions: &instance
      name:
        description: The unit, for example V(chat-api@8000.service).
        type: str
        required: true
      port:
        description: The TCP port that it must listen on.
        type: int
  strategy:
    description:
      - V(restart) restarts each instance in place, one after another.
      - V(blue_green) starts the release as the set of instances (O(instances) or O(green)) that is not the live one, and moves the
        traffic there. It needs a proxy on this host that follows the switch, as O(rotation) tells. Without one, and for the
        first release, V(restart) is done.
    type: str
    choices: [restart, blue_green]
    default: restart
  green:
    description:
      - With O(strategy=blue_green), the second set of instances, on other ports.
    type: list
    elements: dict
    default: []
    suboptions: *instance
  instead_of:
    description:
      - The name that the app had before, with O(strategy=blue_green). Where instances of that name have the ports of O(instances) and
        nothing of the app is live yet, it starts as O(green), beside them.
    type: str
    version_added: 0.4.0
  rotation:
    description:
      - The folder by which a proxy on this host is told, at each request, where to send. Its file C(follows) says what the proxy
        looks for. With V(green) it is a file C(green) in the live release, and then it sends to O(green). With V(parts) it is a
        file in this folder, named by the port of an instance to leave out.
      - The role P(gatehouse.webapp.nginx_proxy#role) makes it, as C(/run/gatehouse/rotation/NAME).
      - With O(strategy=restart) and several instances, each is taken out of the rotation and drained before its restart.
    type: path
  drain_timeout:
    description:
      - Seconds for which connections to an instance that is to stop may go on. Requests end in that time, and WebSockets live
        on until they close. What is left then is closed by the app's own shutdown.
    type: float
    default: 60
  proxy:
    description:
      - What to ask through the proxy after the switch, as O(http) is asked. The switch is taken back unless the answer is good and
        has come to a new instance. When the proxy gave no good answer before the switch either, it is not asked.
    type: dict
    suboptions:
      url:
        description: The full URL, for example V(http://127.0.0.1/health).
        type: str
        required: true
      host:
        description: The site's name, for the Host header and the TLS handshake.
        type: str
  manager:
    description:
      - What manages the services. With V(pm2), O(name) is a PM2 app, and its port is required. O(strategy), O(green), O(rotation),
        O(proxy), O(activate), O(enabled) and O(drain_timeout) are for V(systemd).
      - With V(webhook), somebody else does. O(webhook) and O(http.url) are required, and O(port), O(instances), O(requires) and O(pm2)
        are not for it either. It looks at nothing on the host it runs on, which may well be the control node. V(webhook) was added in
        version 0.3.0, as V(pm2) was.
    type: str
    choices: [systemd, pm2, webhook]
    default: systemd
  pm2:
    description: Which PM2, with O(manager=pm2).
    type: dict
    version_added: 0.3.0
    suboptions:
      user:
        description: The user whose PM2 it is. By default the one that the module runs as.
        type: str
      home:
        description: The C(PM2_HOME). By default C(.pm2) in the user's home.
        type: path
      executable:
        description: The path of C(pm2). By default it is looked for in the system's folders.
        type: path
  webhook:
    description:
      - The deploy hook, with O(manager=webhook). Who has its address can deploy, so it is a secret. It is neither logged nor returned, and
        messages name its server alone.
      - The hook is sent once. Where no connection could be made, nothing was sent, and that is tried again within
        O(webhook.timeout). Once there was a connection it is not sent again, whatever happens, since each may start a deploy.
    type: dict
    version_added: 0.3.0
    suboptions:
      url:
        description: The hook's address.
        type: str
        required: true
      method:
        description: The request's method.
        type: str
        default: POST
      headers: &headers
        description: Headers to send, name to value. They are secrets too.
        type: dict
      body: &body
        description:
          - What to send. A dictionary or list is sent as JSON with its content type, anything else as text. It is a secret too.
        type: raw
      status:
        description: The status codes that accept the hook.
        type: list
        elements: int
        default: [200, 201, 202, 204]
      validate_certs: &validate_certs
        description: Whether the certificate must be valid for the name that is asked.
        type: bool
        default: true
      ca_path: &ca_path
        description: A file of CA certificates to trust in place of the system's.
        type: path
      timeout:
        description: Seconds that sending the hook may take, attempts to connect and the answer included.
        type: float
        default: 30
      deploy_timeout:
        description:
          - Seconds that the deploy may take, from the hook's answer until O(webhook.deploy_status) says that it is done. Without that
            it is the time in which O(webhook.version_field) must change. After it comes the gate with its O(timeout).
        type: float
        default: 900
      deploy_status:
        description:
          - How the hosting tells whether the deploy is done. It is asked until the answer is O(webhook.deploy_status.json) and
            O(webhook.deploy_status.text), or one of O(webhook.deploy_status.failed).
          - An answer that is neither, or none at all, is asked for again. Status 401 and 403 end the wait.
        type: dict
        suboptions:
          url:
            description:
              - The address to ask. C({FIELD}) in it is replaced by that field of the hook's JSON answer, with dots into nested objects and
                lists, as in V(https://api.example.com/deploys/{deploy.id}). So it is asked for this very deploy.
            type: str
            required: true
          method:
            description: The request's method.
            type: str
            default: GET
          headers: *headers
          body: *body
          status:
            description: The status codes of an answer that says that the deploy is done.
            type: list
            elements: int
            default: [200]
          json:
            description: Keys that the answer's JSON object then holds with these values. It or O(webhook.deploy_status.text) is required.
            type: dict
          text:
            description: Text that the answer's body then contains.
            type: str
          failed:
            description: What an answer holds that says that the deploy has failed, each entry being one way to say so.
            type: list
            elements: dict
            default: []
            suboptions:
              json:
                description: Keys that the answer's JSON object holds with these values.
                type: dict
              text:
                description: Text that the answer's body contains.
                type: str
          interval:
            description: Seconds between two questions.
            type: float
            default: 5
          validate_certs: *validate_certs
          ca_path: *ca_path
      version_field:
        description:
          - The field of the app's own answer to O(http.url) that tells its version, with dots into nested objects, for example
            V(build.commit). Answers of the gate count only when it has another value than before the hook, or
            O(webhook.version) where that is given.
          - A deploy of what runs already has the same commit. Let the field be one that each deploy changes, or give O(webhook.version).
        type: str
      version:
        description:
          - The value that O(webhook.version_field) must have. With O(state=current) the hook is sent only if it has another.
        type: str
  state:
    description:
      - V(restarted) restarts every service. V(current) restarts those that do not run what is on disk, which are those that
        are not running, whose unit or environment file is newer than their process, or (with O(activate)) whose
        working directory is not in the release.
      - With O(manager=pm2), V(current) restarts the processes that are not online, whose script is newer, or whose working
        directory is not the one that the app's C(cwd) leads to now.
      - With O(manager=webhook), V(restarted) sends the hook. V(current) sends it only when the app has given no good answer for
        O(webhook.timeout), or is not O(webhook.version) where that is given, and measures it all the same.
    type: str
    choices: [restarted, current]
    default: restarted
  enabled:
    description: Whether the services are also enabled at boot once they are healthy. V(false) leaves that as it is.
    type: bool
    default: false
  activate:
    description:
      - The release to make the live one. Each instance gets a copy of the release's unit. The unit should name the release's folder
        in C(WorkingDirectory=), since that is how it is told which release a process runs.
      - The link names the release once it has passed the gate, and not before.
    type: dict
    suboptions:
      link:
        description: The link that names the live release, for example V(/srv/chat-api/current).
        type: path
        required: true
      target:
        description: The folder of the release, for example V(/srv/chat-api/releases/3f9a1c2b71d0).
        type: path
        required: true
      unit:
        description:
          - The path of the unit below O(activate.target), for example V(chat-api@.service). It is copied to
            C(/etc/systemd/system) under each instance's own name.
        type: str
        required: true
      own_gate:
        description:
          - Whether the release is measured by the gate that it passed last, when it has passed one, and not by the options of this
            task. That is what going back to it asks for.
        type: bool
        default: false
  requires:
    description:
      - What the services need to live. It must accept a connection before anything is touched.
    type: list
    elements: dict
    default: []
    suboptions:
      tcp:
        description: A host and port, for example V(127.0.0.1:3306).
        type: str
        required: true
  app:
    description:
      - The app that the services belong to, as P(gatehouse.webapp.resolve#filter) gives it. When the gate stays shut, the host is
        asked what M(gatehouse.webapp.diagnose_host) asks of this app, before anything is undone, and the likeliest cause is told in
        the message. That takes no more than six seconds, and nothing when all is well.
      - The values of its environment stay on the control node.
    type: json
    version_added: 0.3.0
  on_failure:
    description:
      - What to do when the gate stays shut. V(revert) lets what ran before run again, and stops what did not. V(leave)
        leaves all as it is, for someone to look at. The former release stays the live one in either case.
    type: str
    choices: [revert, leave]
    default: revert
extends_documentation_fragment:
  - gatehouse.webapp.gate
  - gatehouse.webapp.gate.promises
seealso:
  - module: gatehouse.webapp.port_wait
  - module: gatehouse.webapp.http_probe
notes:
  - A PM2 app in fork mode has its port for itself, so no other process can serve during its restart, and there is no
    former release to go back to. After a crash it is started once more, and gated. If it is not healthy it is left running.
  - In cluster mode the additional worker is taken away again when it does not pass, and those that ran go on. When a later one
    does not pass, it is taken away, and the additional worker stays in its place. A run that is killed leaves one worker too many, which
    M(gatehouse.webapp.pm2_process) takes away.
  - PM2 ends a worker with SIGINT. An app that does not finish its requests on it, within the app's C(kill_timeout), cuts them.
  - With O(manager=webhook) the former deploy answers until the new one takes over, and a gate can't see which of them it was. Without
    O(webhook.deploy_status) and O(webhook.version_field) it measures only that the app is healthy after the hook.
    RV(webhook.confirmed_by) tells what is known.
  - With O(manager=webhook) nothing is taken back. Most hostings keep the former deploy when the new one fails. O(on_failure) means nothing.
  - O(timeout) bounds each service's gate by itself, from the moment its restart is asked for. Stopping the old process is
    part of it.
  - A single question of the gate may take 5 seconds at most. Then the next one is asked.
  - The values of the unit's environment files are taken out of the log lines and messages in the result.
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Restart the API and wait until it is well
  gatehouse.webapp.health_restart:
    name: chat-api.service
    port: 8000
    http: {path: /health, json: {status: healthy}}
    successes: 2
    stable_for: 2

- name: Make a release the live one, instance by instance, or go back
  gatehouse.webapp.health_restart:
    instances:
      - {name: chat-api@8000.service, port: 8000}
      - {name: chat-api@8001.service, port: 8001}
    state: current
    enabled: true
    activate:
      link: /srv/chat-api/current
      target: /srv/chat-api/releases/3f9a1c2b71d0
      unit: chat-api@.service
    http: {path: /health}
    websocket: {path: /api/v1/chat/ws/probe}
    timeout: 60

- name: Start a release beside the live one and move the traffic over
  gatehouse.webapp.health_restart:
    strategy: blue_green
    instances:
      - {name: chat-api@8000.service, port: 8000}
    green:
      - {name: chat-api@18000.service, port: 18000}
    state: current
    activate:
      link: /srv/chat-api/current
      target: /srv/chat-api/releases/3f9a1c2b71d0
      unit: chat-api@.service
    http: {path: /health}
    rotation: /run/gatehouse/rotation/chat-api
    proxy: {url: "http://127.0.0.1/health", host: chat.example.com}

- name: Restart the workers of a PM2 app without a gap
  gatehouse.webapp.health_restart:
    manager: pm2
    pm2: {user: chat-web, executable: /opt/pm2/node_modules/.bin/pm2}
    name: chat-web
    port: 3000
    http: {path: /api/health}
    successes: 2
    stable_for: 2

- name: Deploy a hosted app anew, and wait until the new deploy is well
  gatehouse.webapp.health_restart:
    manager: webhook
    name: shop-api
    webhook:
      url: "{{ vault_shop_deploy_hook }}"
      deploy_status:
        url: "https://api.example.com/v1/services/shop/deploys/{deploy.id}"
        headers: {Authorization: "Bearer {{ vault_shop_token }}"}
        json: {status: live}
        failed:
          - {json: {status: build_failed}}
          - {json: {status: canceled}}
    http: {url: "https://shop-api.example.com/health", json: {status: healthy}}
    successes: 2
    stable_for: 2
  delegate_to: localhost

- name: Deploy it unless it is healthy and of this version
  gatehouse.webapp.health_restart:
    manager: webhook
    name: shop-api
    state: current
    webhook:
      url: "{{ vault_shop_deploy_hook }}"
      version_field: commit
      version: 4f2a9c1
    http: {url: "https://shop-api.example.com/health"}
  delegate_to: localhost
"""

RETURN = r"""
outcome:
  description:
    - V(healthy), all gates opened. V(reverted), a gate stayed shut and the former release serves, healthy.
      V(failed), a gate stayed shut and nothing healthy took its place.
  returned: always, except in check mode
  type: str
reasons:
  description: Why something had to be restarted, as sentences. Empty when all ran what is on disk.
  returned: always
  type: list
  elements: str
cause:
  description:
    - Why the gate stayed shut. V(crashed), V(port_conflict), V(wrong_port), V(not_listening), V(unhealthy), V(timed_out).
    - V(not_switched), the proxy did not send to the new instances, or their answers were not good through it.
    - Or why there was nothing to measure. V(manager_refused), systemd does not take the unit. V(unwritable), the release
      could not be made live.
    - Before anything is touched also V(bad_input), V(no_unit), V(dependency), and V(locked) when another activation of the same
      app does not end.
    - With PM2 also V(no_pm2), V(no_daemon), V(other_version) and V(no_answer).
    - With a webhook also V(hook_unreachable), nothing was sent. V(hook_refused), the answer was not one of O(webhook.status).
      V(hook_unanswered), the hook was sent and there was no answer, so a deploy may have begun. V(deploy_failed), the hosting says so.
      V(status_refused), it does not tell (401, 403). V(old_version), the app answers and is the former one still.
  returned: on failure
  type: str
probe:
  description: With the cause V(unhealthy), what was wrong with the answer, in the terms of M(gatehouse.webapp.http_probe).
  returned: on failure
  type: str
webhook:
  description: What became of the deploy hook.
  returned: with O(manager=webhook)
  type: dict
  contains:
    sent:
      description: Whether it was sent, as far as can be known.
      type: bool
    status:
      description: The status code that it was answered with. Null where there was none.
      type: int
    confirmed_by:
      description:
        - What told that it was the new deploy that passed the gate, V(deploy_status), V(version) or both. Empty where nothing
          did, and then the gate has measured that the app is healthy, and no more.
      type: list
      elements: str
    version_before:
      description: The version before the hook, where O(webhook.version_field) is given.
      type: str
    version:
      description: The version that passed the gate.
      type: str
  sample: {sent: true, status: 201, confirmed_by: [deploy_status], version_before: null, version: null}
service:
  description: The service whose gate stayed shut.
  returned: on failure
  type: str
elapsed:
  description: Seconds from start to end.
  returned: always
  type: float
attempts:
  description: How many rounds of questions were asked.
  returned: always
  type: int
timeline:
  description: What happened, at which millisecond since the start.
  returned: always
  type: list
  elements: dict
  sample:
    - {ms: 4, event: "chat-api@8000.service: restart asked for"}
    - {ms: 61, event: "chat-api@8000.service: started as pid 812"}
listeners:
  description: Where the service's port and its processes listen, and who holds those sockets.
  returned: on failure
  type: list
  elements: dict
log:
  description: The service's last lines since its restart, without the values of its environment.
  returned: on failure
  type: list
  elements: str
causes:
  description:
    - With O(app), what was wrong when the gate stayed shut, the likeliest first, as M(gatehouse.webapp.diagnose_host) tells it.
  returned: on failure
  type: list
  elements: dict
  version_added: 0.3.0
hint:
  description: The next command to type.
  returned: on failure
  type: str
"""

import contextlib
import json

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils import _processes
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import Activation
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._evidence import Witness
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import GATE
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import Service
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2 import Pm2, account
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2_restart import Pm2Restart
from ansible_collections.gatehouse.webapp.plugins.module_utils._rotation import Rotation
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Systemd
from ansible_collections.gatehouse.webapp.plugins.module_utils._strategy import choose
from ansible_collections.gatehouse.webapp.plugins.module_utils._webhook_restart import WEBHOOK, WebhookRestart

INSTANCES = dict(
    type="list",
    elements="dict",
    options=dict(name=dict(type="str", required=True), port=dict(type="int")),
)

ARGUMENTS = dict(
    GATE,
    name=dict(type="str"),
    port=dict(type="int"),
    instances=INSTANCES,
    strategy=dict(type="str", choices=["restart", "blue_green"], default="restart"),
    green=dict(INSTANCES, default=[]),
    instead_of=dict(type="str"),
    rotation=dict(type="path"),
    drain_timeout=dict(type="float", default=60.0),
    proxy=dict(type="dict", options=dict(url=dict(type="str", required=True), host=dict(type="str"))),
    manager=dict(type="str", choices=["systemd", "pm2", "webhook"], default="systemd"),
    pm2=dict(
        type="dict",
        options=dict(user=dict(type="str"), home=dict(type="path"), executable=dict(type="path")),
    ),
    webhook=dict(type="dict", options=WEBHOOK),
    state=dict(type="str", choices=["restarted", "current"], default="restarted"),
    enabled=dict(type="bool", default=False),
    activate=dict(
        type="dict",
        options=dict(
            link=dict(type="path", required=True),
            target=dict(type="path", required=True),
            unit=dict(type="str", required=True),
            own_gate=dict(type="bool", default=False),
        ),
    ),
    requires=dict(type="list", elements="dict", default=[], options=dict(tcp=dict(type="str", required=True))),
    app=dict(type="json", no_log=True),
    on_failure=dict(type="str", choices=["revert", "leave"], default="revert"),
)

# Seconds for all questions of the diagnosis of a gate that stays shut.
DIAGNOSIS = 6.0

# What only units of systemd have.
UNITS = ("activate", "app", "rotation", "proxy", "enabled", "green", "instead_of")


def story(params, run, activation, find=None):
    """The restart that these parameters ask for. run, find: run_command and get_bin_path of AnsibleModule."""
    if params["manager"] == "webhook":
        _refuse(params, UNITS + ("port", "instances", "requires", "pm2"), "name, webhook, state and the gate")
        return WebhookRestart(params["name"], params["webhook"], params, only_stale=params["state"] == "current")
    common = dict(
        gate=params,
        listeners=Listeners(),
        processes=_processes,
        requires=[item["tcp"] for item in params["requires"]],
        only_stale=params["state"] == "current",
        on_failure=params["on_failure"],
        witness=witness_of(json.loads(params["app"]), find) if params["app"] else None,
    )
    if params["manager"] == "pm2":
        _refuse(params, UNITS + ("webhook",), "name, port, pm2, state, requires, on_failure and the gate")
        pm2 = params["pm2"] or {}
        manager = Pm2(account(pm2.get("user")), pm2.get("home"), pm2.get("executable"))
        return Pm2Restart(_services(params["instances"] or [params]), manager=manager, **common)
    return choose(
        params["strategy"],
        blue=_services(params["instances"] or [params]),
        green=_services(params["green"]),
        rotation=Rotation(params["rotation"]) if params["rotation"] else None,
        proxy=params["proxy"],
        own_gate=bool(activation and params["activate"]["own_gate"]),
        instead_of=params["instead_of"],
        manager=Systemd(run),
        activation=activation,
        drain_timeout=params["drain_timeout"],
        enabled=params["enabled"],
        **common,
    )


def witness_of(asked, find):
    """Asks what there is to know of one service of an app. asked: what the action plugin has made of the app."""

    def testify(service, release, since):
        one = {"name": service.name, "port": service.port}
        app = dict(asked["app"], services=[one], green=[], ports=[service.port], release=release, since=since)
        return Witness([app], [], asked["headers"], find, DIAGNOSIS).testify()

    return testify


def _services(items):
    return [Service(item["name"], item["port"]) for item in items]


def _refuse(params, names, takes):
    """Refuse what means nothing to this manager."""
    given = [name for name in names if params[name]]
    if given or params["strategy"] != "restart":
        raise GatehouseError(
            "%s is not for manager: %s" % ((given or ["strategy: blue_green"])[0], params["manager"]),
            cause="bad_input",
            hint="manager: %s takes %s" % (params["manager"], takes),
        )


def main():
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_one_of=[("name", "instances")],
        required_if=[
            ("strategy", "blue_green", ["instances", "activate", "rotation"]),
            ("manager", "webhook", ["name", "webhook", "http"]),
        ],
        mutually_exclusive=[("name", "instances"), ("port", "instances")],
        supports_check_mode=True,
    )
    activate = module.params["activate"]
    activation = activate and Activation(activate["link"], activate["target"], activate["unit"])
    restart = None
    try:
        with activation.alone() if activation and not module.check_mode else contextlib.nullcontext():
            restart = story(module.params, module.run_command, activation, module.get_bin_path)
            restart.check()
            restart.plan()
            if not module.check_mode:
                restart.run()
    except GatehouseError as error:
        told = restart.result() if restart else {}
        module.fail_json(changed=bool(restart and restart.changed), **dict(told, **error.result()))
    module.exit_json(changed=restart.changed, **restart.result())


if __name__ == "__main__":
    main()
