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
  - With O(activate) a release link is flipped first. When the gate stays shut, the link is flipped back, the former
    release is restarted and has to pass the gate too.
  - With O(state=current) only what does not run what is on disk is restarted, and the rest is measured all the same. A run
    that was killed half-way is put right by the next one.
options:
  name:
    description:
      - The unit to restart, for example V(chat-api.service). Use this or O(instances).
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
    suboptions:
      name:
        description: The unit, for example V(chat-api@8000.service).
        type: str
        required: true
      port:
        description: The TCP port that it must listen on.
        type: int
  manager:
    description: What manages the services.
    type: str
    choices: [systemd]
    default: systemd
  state:
    description:
      - V(restarted) restarts every service. V(current) restarts those that do not run what is on disk, which are those that
        are not running, whose unit or environment file is newer than their process, or (with O(activate)) whose
        working directory is not in the release.
    type: str
    choices: [restarted, current]
    default: restarted
  enabled:
    description: Whether the services are also enabled at boot once they are healthy. V(false) leaves that as it is.
    type: bool
    default: false
  activate:
    description:
      - The release to make the live one first. Its unit should name its folder in C(WorkingDirectory=), since that is how it
        is told which release a process runs.
      - Beside the link a second one, C(last_good), names the release that last passed its gate.
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
      files:
        description:
          - Files of the release that have their place elsewhere on the host, such as its unit. They are copied there with
            the flip, and put back with it.
        type: list
        elements: dict
        default: []
        suboptions:
          src:
            description: The file's path below O(activate.target).
            type: str
            required: true
          dest:
            description: Where it belongs on the host.
            type: path
            required: true
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
  on_failure:
    description:
      - What to do when the gate stays shut. V(revert) flips O(activate) back, and stops what did not run before. V(leave)
        leaves all as it is, for someone to look at.
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
      files:
        - {src: chat-api@.service, dest: /etc/systemd/system/chat-api@.service}
    http: {path: /health}
    websocket: {path: /api/v1/chat/ws/probe}
    timeout: 60
"""

RETURN = r"""
outcome:
  description:
    - V(healthy), all gates opened. V(reverted), a gate stayed shut and the former release runs again, healthy.
      V(failed), a gate stayed shut and nothing else took its place.
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
    - Or why there was nothing to measure. V(manager_refused), systemd does not take the unit. V(unwritable), the release
      could not be made live.
    - Before anything is touched also V(bad_input), V(no_unit) and V(dependency).
  returned: on failure
  type: str
probe:
  description: With the cause V(unhealthy), what was wrong with the answer, in the terms of M(gatehouse.webapp.http_probe).
  returned: on failure
  type: str
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
  description: The unit's last lines since its restart, without the values of its environment files.
  returned: on failure
  type: list
  elements: str
hint:
  description: The next command to type.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils import _processes
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import Activation
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import GATE
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import Listeners
from ansible_collections.gatehouse.webapp.plugins.module_utils._restart import GatedRestart, Service
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import Systemd

ARGUMENTS = dict(
    GATE,
    name=dict(type="str"),
    port=dict(type="int"),
    instances=dict(
        type="list",
        elements="dict",
        options=dict(name=dict(type="str", required=True), port=dict(type="int")),
    ),
    manager=dict(type="str", choices=["systemd"], default="systemd"),
    state=dict(type="str", choices=["restarted", "current"], default="restarted"),
    enabled=dict(type="bool", default=False),
    activate=dict(
        type="dict",
        options=dict(
            link=dict(type="path", required=True),
            target=dict(type="path", required=True),
            files=dict(
                type="list",
                elements="dict",
                default=[],
                options=dict(src=dict(type="str", required=True), dest=dict(type="path", required=True)),
            ),
        ),
    ),
    requires=dict(type="list", elements="dict", default=[], options=dict(tcp=dict(type="str", required=True))),
    on_failure=dict(type="str", choices=["revert", "leave"], default="revert"),
)


def story(params, run):
    """The restart that these parameters ask for. run: runs a command, as AnsibleModule.run_command does."""
    activate = params["activate"]
    return GatedRestart(
        services=[Service(item["name"], item["port"]) for item in params["instances"] or [params]],
        gate=params,
        manager=Systemd(run),
        listeners=Listeners(),
        processes=_processes,
        activation=activate
        and Activation(activate["link"], activate["target"], [(f["src"], f["dest"]) for f in activate["files"]]),
        requires=[item["tcp"] for item in params["requires"]],
        only_stale=params["state"] == "current",
        enabled=params["enabled"],
        on_failure=params["on_failure"],
    )


def main():
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_one_of=[("name", "instances")],
        mutually_exclusive=[("name", "instances"), ("port", "instances")],
        supports_check_mode=True,
    )
    restart = story(module.params, module.run_command)
    try:
        restart.check()
        restart.plan()
        if not module.check_mode:
            restart.run()
    except GatehouseError as error:
        module.fail_json(changed=restart.changed, **dict(restart.result(), **error.result()))
    module.exit_json(changed=restart.changed, **restart.result())


if __name__ == "__main__":
    main()
