#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: pm2_process
short_description: Declare one app of PM2, the process manager of Node.js
version_added: 0.3.0
description:
  - Compares what PM2 runs with what is declared, and closes the difference. Other apps of the same PM2 are not touched.
  - PM2 forgets a variable only together with the process that has it. A restart, with C(--update-env) or from a file, keeps it. So
    when the definition differs, new processes replace the former ones, and have just what is declared.
  - In cluster mode one worker is started beside the former ones first. They are then replaced one after another, and it goes again, so
    the app never has fewer workers than before. When it does not come up, it is taken away, and the former ones go on. Where the
    port is the variable C(PORT), no request is lost to a worker that ends, as with M(gatehouse.webapp.health_restart).
  - In fork mode a process has its port for itself, so the former one ends before the new one starts. When the new one does not come
    up, the former definition is started again.
  - A process counts as started once it has lived for a second, and with O(wait_ready) only when it has said so in time.
    Whether it answers is measured by M(gatehouse.webapp.health_restart) with C(manager=pm2), or by M(gatehouse.webapp.http_probe).
  - The dump, from which C(pm2 resurrect) starts at boot, is saved when it does not hold what runs.
options:
  name:
    description: The app's name in PM2.
    type: str
    required: true
  state:
    description:
      - V(started), it runs as declared.
      - V(reloaded), it runs as declared, in new processes.
      - V(stopped), none of its processes runs. PM2 keeps them. What else is declared is not compared.
      - V(absent), PM2 does not know it.
    type: str
    choices: [started, reloaded, stopped, absent]
    default: started
  script:
    description:
      - The program, a full path or one below O(cwd). For V(started) and V(reloaded), this or O(npm) is required.
    type: path
  npm:
    description:
      - The script of the C(package.json) in O(cwd) to run, for example V(start). In fork mode only.
    type: str
  args:
    description: The arguments of the program, or of the npm script.
    type: list
    elements: str
    default: []
  cwd:
    description:
      - The folder to run in, a full path. A link is followed at each start. By default the folder of O(script).
    type: path
  exec_mode:
    description:
      - V(cluster), workers that share one port, for Node.js. V(fork), processes of their own.
    type: str
    choices: [fork, cluster]
    default: fork
  instances:
    description: How many processes.
    type: int
    default: 1
  env:
    description:
      - The app's variables, as a whole. It has these, C(HOME), C(USER), C(LOGNAME), C(PATH), and what PM2 adds. A variable
        that is left out goes. The values are never shown.
      - In cluster mode a worker also has what the PM2 daemon was started with. One that this module starts has nothing else.
    type: dict
  interpreter:
    description:
      - What runs the script. By default PM2 chooses, by the ending of the script's name.
    type: str
  node_args:
    description: The arguments of the interpreter.
    type: list
    elements: str
    default: []
  max_memory_restart:
    description:
      - The memory above which PM2 restarts a process, for example V(300M). By default it does not.
    type: str
  wait_ready:
    description:
      - Whether the app tells when it is ready, by C(process.send('ready')).
    type: bool
    default: false
  listen_timeout:
    description:
      - Seconds that PM2 waits for the app to be ready. By default 3.
    type: float
  kill_timeout:
    description:
      - Seconds between SIGINT and SIGKILL. By default 1.6. An app that is to finish its requests needs more.
    type: float
  out_file:
    description:
      - The file for the app's output, of all its processes. By default one for each in C(PM2_HOME/logs).
    type: path
  error_file:
    description: The file for the app's errors, likewise.
    type: path
  user:
    description:
      - The user whose PM2 it is. By default the one that the module runs as. Only root can use another's.
    type: str
  home:
    description:
      - The C(PM2_HOME). By default C(.pm2) in the user's home.
    type: path
  executable:
    description:
      - The path of C(pm2). By default it is looked for in the system's folders. Programs beside it, such as its Node.js, are found too.
    type: path
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
notes:
  - Nothing here makes PM2 start at boot. C(pm2 startup) installs a unit for that.
  - PM2's daemon must be of the version of O(executable). C(pm2 update) restarts all its apps, so it is left to you.
  - When PM2 does not run, and its dump holds apps, nothing is started, since the next save would lose them.
  - Settings that are not options here, such as C(watch), are left to PM2's defaults when a process is replaced.
seealso:
  - module: gatehouse.webapp.health_restart
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Run the front end in two workers
  gatehouse.webapp.pm2_process:
    name: chat-web
    script: server.js
    cwd: /srv/chat-web/current
    exec_mode: cluster
    instances: 2
    env: {NODE_ENV: production, PORT: 3000, SESSION_SECRET: "{{ session_secret }}"}
    max_memory_restart: 300M
    wait_ready: true
    listen_timeout: 30
    kill_timeout: 10
    user: chat-web
    executable: /opt/pm2/node_modules/.bin/pm2
  become: true

- name: Run an npm script
  gatehouse.webapp.pm2_process:
    name: shop
    npm: start
    cwd: /srv/shop
    env: {PORT: 3010}
    user: shop
  become: true

- name: Take an app away
  gatehouse.webapp.pm2_process:
    name: old-shop
    state: absent
    user: shop
  become: true
"""

RETURN = r"""
reasons:
  description: What differed, as sentences. Empty when all was as declared.
  returned: always
  type: list
  elements: str
processes:
  description: The app's processes at the end.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: PM2's number of it.
      type: int
    pid:
      description: The process, V(0) when it does not run.
      type: int
    status:
      description: PM2's word for its state. V(online), V(launching), V(stopping), V(stopped), V(errored) and others.
      type: str
    restarts:
      description: How often PM2 has restarted it.
      type: int
    unstable_restarts:
      description: How often of late it ended within a second.
      type: int
    uptime:
      description: Seconds since its start.
      type: float
cause:
  description:
    - Why it failed. V(crashed), V(port_conflict), V(not_ready), V(timed_out), V(manager_refused), V(no_answer).
    - Before anything is touched also V(bad_input), V(no_script), V(no_pm2), V(no_daemon), V(bad_dump), V(other_version).
  returned: on failure
  type: str
log:
  description:
    - The last lines of the app that crashed, without the values of its variables. PM2 opens the logs of a worker in cluster mode in
      the background, and loses what the worker says before that.
  returned: on failure
  type: list
  elements: str
hint:
  description: The next command to type.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2 import Pm2, account
from ansible_collections.gatehouse.webapp.plugins.module_utils._pm2_app import Pm2App, wanted
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import take_variables

ARGUMENTS = dict(
    name=dict(type="str", required=True),
    state=dict(type="str", choices=["started", "reloaded", "stopped", "absent"], default="started"),
    script=dict(type="path"),
    npm=dict(type="str"),
    args=dict(type="list", elements="str", default=[]),
    cwd=dict(type="path"),
    exec_mode=dict(type="str", choices=["fork", "cluster"], default="fork"),
    instances=dict(type="int", default=1),
    env=dict(type="dict", no_log=True),
    interpreter=dict(type="str"),
    node_args=dict(type="list", elements="str", default=[]),
    max_memory_restart=dict(type="str"),
    wait_ready=dict(type="bool", default=False),
    listen_timeout=dict(type="float"),
    kill_timeout=dict(type="float"),
    out_file=dict(type="path"),
    error_file=dict(type="path"),
    user=dict(type="str"),
    home=dict(type="path"),
    executable=dict(type="path"),
)


def app(params):
    """The app that these parameters declare."""
    manager = Pm2(account(params["user"]), params["home"], params["executable"])
    declares = params["state"] in ("started", "reloaded")
    definition = wanted(params, manager.environment()) if declares else None
    return Pm2App(params["name"], params["state"], definition, params["instances"], manager)


def main():
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "started", ["script", "npm"], True), ("state", "reloaded", ["script", "npm"], True)],
        required_by={"npm": "cwd"},
        mutually_exclusive=[("script", "npm")],
        supports_check_mode=True,
    )
    params = take_variables(module, "env")
    try:
        declared = app(params)
        declared.plan()
    except GatehouseError as error:
        module.fail_json(changed=False, **error.result())
    try:
        if not module.check_mode:
            declared.run()
    except GatehouseError as error:
        module.fail_json(changed=declared.changed, **dict(declared.result(), **error.result()))
    module.exit_json(changed=declared.changed, diff=declared.diff(), **declared.result())


if __name__ == "__main__":
    main()
