#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: release_step
short_description: Run one step of a release's making in a unit of its own
version_added: 0.4.0
description:
  - Fetches, builds or tries what M(gatehouse.webapp.release) has staged. The command is run in a transient unit of systemd that ends
    with all that it started, also what went into the background.
  - What fetches and builds is run by a user that is used for nothing else. The unit has the app's sandbox and a C(/tmp) of its own. It
    writes to C(src), and with O(step=build) to C(venv) and the cache too, and to nothing else. It uses the network whatever the app
    may, and has limits of its own.
  - With O(step=app) the command is run as the app is, by its user and in its whole sandbox. It writes to the app's data folder and to
    what else the app may.
  - A status other than 0 does not fail the task, as what it means is said best by who asked for the step.
  - In check mode nothing is run, and the task counts as skipped.
options:
  app:
    description:
      - The app's name, which names the unit, C(gatehouse-build-NAME.service), or with O(step=app) C(gatehouse-run-NAME.service).
    type: str
    required: true
  root:
    description: The app's folder, for example V(/srv/chat-api).
    type: path
    required: true
  id:
    description: The release's name.
    type: str
    required: true
  build_user:
    description:
      - The system user that fetches and builds the app's releases, as M(gatehouse.webapp.release) has made it. Needed unless O(step=app).
    type: str
  user:
    description: The system user that runs the app. Needed with O(step=app).
    type: str
  home:
    description:
      - The app's data folder, one below C(/var/lib), with O(step=app). It is the command's C(HOME), and it may write there. C(/var/lib/APP)
        when it is not given.
    type: path
  step:
    description:
      - V(fetch), what gets the code. It alone has copies of what git and ssh of the host's root have, C(~/.ssh), C(.gitconfig),
        C(.git-credentials), C(.netrc), in the place of root's home and of its own, and may ask the ssh agent of the task's
        C(SSH_AUTH_SOCK). The cache, in which earlier builds could have put
        settings, can't be seen.
      - V(build), what installs dependencies, builds and checks.
      - V(app), what runs as the app, such as a migration. It has the app's environment.
    type: str
    choices: [fetch, build, app]
    default: build
  argv:
    description: The command and its arguments. It works in C(src), or in O(folder).
    type: list
    elements: str
    required: true
  folder:
    description: Where it works, a folder below the release.
    type: str
    default: src
  stdin:
    description: What the command reads, such as a script.
    type: str
  app_environment:
    description:
      - Whether the command has the app's environment, which is in the release's file C(env). With O(step=app) it has it in any case.
    type: bool
    default: false
  environment:
    description:
      - More environment variables. They are given in a file that only root can read. Their values are masked in what is returned, and so
        are those of O(app_environment), but for paths and for values under 6 characters.
      - Variables that name a proxy (C(https_proxy) and the like), trusted CAs (C(SSL_CERT_FILE) and the like) or settings of installers
        (C(PIP_INDEX_URL), C(UV_...), C(NPM_CONFIG_...) and the like) are passed on from the task's own environment, which a host's
        C(/etc/environment) fills; with O(step=fetch) those of git (C(GIT_SSH_COMMAND) and the like) too.
    type: dict
    default: {}
  path:
    description: The C(PATH), where O(environment) and the app's environment have none.
    type: str
    default: /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  sandbox:
    description: The sandbox of the app's unit, as directives of systemd and their values.
    type: dict
    default: {}
  timeout:
    description: Seconds that the command may take.
    type: float
    default: 900
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Build the page
  gatehouse.webapp.release_step:
    app: shop
    root: /srv/shop
    id: "{{ staged.id }}"
    build_user: shop-build
    argv: [npm, run, build]
    app_environment: true
  register: built
  failed_when: built.status != 0

- name: Migrate the database, as the app
  gatehouse.webapp.release_step:
    app: shop
    root: /srv/shop
    id: "{{ staged.id }}"
    step: app
    user: shop
    argv: [sh, -c, ../venv/bin/alembic upgrade head]
  register: migrated
  failed_when: migrated.status != 0
"""

RETURN = r"""
status:
  description: The command's status; V(124) when it did not end in its time.
  returned: when it was run
  type: int
stdout:
  description: The last lines of what it wrote to standard output.
  returned: when it was run
  type: str
lines:
  description: The last lines of all that it wrote, in the order in which they came.
  returned: when it was run
  type: list
  elements: str
timed_out:
  description: Whether it did not end in its time.
  returned: when it was run
  type: bool
"""

import contextlib
import os
import re
import tempfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._account import HOME, Accounts
from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import read_own
from ansible_collections.gatehouse.webapp.plugins.module_utils._build_unit import (
    LINE,
    TIMED_OUT,
    AppUnit,
    BuildUnit,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._fetch_home import fetch_home
from ansible_collections.gatehouse.webapp.plugins.module_utils._processes import end_those_of
from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import redact_logins
from ansible_collections.gatehouse.webapp.plugins.module_utils._services import (
    Masker,
    is_path,
    parse_environment,
    take_variables,
)

ARGUMENTS = dict(
    app=dict(type="str", required=True),
    root=dict(type="path", required=True),
    id=dict(type="str", required=True),
    build_user=dict(type="str"),
    user=dict(type="str"),
    home=dict(type="path"),
    step=dict(type="str", choices=["fetch", "build", "app"], default="build"),
    argv=dict(type="list", elements="str", required=True),
    folder=dict(type="str", default="src"),
    stdin=dict(type="str"),
    app_environment=dict(type="bool", default=False),
    environment=dict(type="dict", default={}, no_log=True),
    path=dict(type="str", default="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    sandbox=dict(type="dict", default={}),
    timeout=dict(type="float", default=900),
)


# Where systemd has the folders of StateDirectory=.
STATE = "/var/lib"

# Variables of the task's own environment that are passed on: how the host reaches others, and whom it trusts. What names a folder is not,
# as it is another user's.
PASSED_ON = re.compile(
    r"(?i)(?:https?|ftp|all|no)_proxy|SSL_CERT_(?:FILE|DIR)|(?:REQUESTS|CURL|AWS)_CA_BUNDLE|NODE_EXTRA_CA_CERTS"
    r"|(?:pip|uv|npm_config|pnpm|yarn|corepack|bun|poetry)_(?!.*(?:cache|home|prefix|_dir$|config_?(?:file|user|global)?$)).+"
)
OF_GIT = re.compile(r"GIT_.+")


def carry_out(params, variables):
    """Run the step. variables: the task's own environment. Returns the result's keys."""
    release = os.path.join(params["root"], "releases", params["id"])
    passed_on = {
        name: value
        for name, value in variables.items()
        if PASSED_ON.fullmatch(name) or (params["step"] == "fetch" and OF_GIT.fullmatch(name))
    }
    secrets = dict(params["environment"], **passed_on)
    options = {"variables": {"PATH": params["path"]}}
    if params["app_environment"] or params["step"] == "app":
        options["files"] = [os.path.join(release, "env")]
        secrets.update(parse_environment(read_own(release, "env").decode("utf-8")))
    with contextlib.ExitStack() as stack:
        if params["step"] == "app":
            home = params["home"] or os.path.join(STATE, params["app"])
            unit = AppUnit(params["app"], params["user"], params["sandbox"], state=state_folder(home))
            environment = {"HOME": home, **params["environment"]}
        else:
            unit = BuildUnit(params["app"], params["build_user"], params["sandbox"])
            environment = {**passed_on, **params["environment"]}
            environment = prepare(unit, params, release, environment, variables.get("SSH_AUTH_SOCK"), options, stack)
        stdin = stack.enter_context(tempfile.TemporaryFile())
        stdin.write((params["stdin"] or "").encode("utf-8"))
        stdin.seek(0)
        folder = os.path.join(release, params["folder"])
        done = unit.run(params["argv"], folder, params["timeout"], environment, stdin, **options)
    masker = Masker({name: str(value) for name, value in secrets.items() if not is_path(str(value))})

    def shown(line):
        return redact_logins(masker(line))[:LINE]

    return {
        "changed": True,
        "status": done.status,
        "stdout": "\n".join(map(shown, done.output.splitlines())),
        "lines": [shown(line) for line in done.lines],
        "timed_out": done.status == TIMED_OUT,
    }


def state_folder(home):
    """The folder as systemd's StateDirectory= has it."""
    folder = os.path.relpath(home, STATE)
    if folder.startswith(".") or os.path.isabs(folder):
        raise GatehouseError("home is %s, which is not below %s" % (home, STATE), "bad_input", "home: /var/lib/shop")
    return folder


def prepare(unit, params, release, environment, agent, options, stack):
    """Give a build or a fetch the folders that it may write. Returns its environment; options are those of the unit's run()."""
    builder = Accounts().builder(params["build_user"], params["app"])
    cache, venv = os.path.join(params["root"], "cache"), os.path.join(release, "venv")
    options["writable"] = [os.path.join(release, "src")]
    if params["step"] == "build":
        options["writable"] += [cache, *([venv] if os.path.isdir(venv) else [])]
        return {"HOME": cache, "XDG_CACHE_HOME": cache, **environment}
    # Whatever of this user runs elsewhere could look into what the unit has.
    end_those_of(builder[0])
    unit.lay_out()
    given = stack.enter_context(fetch_home(unit.given, builder, HOME, agent))
    options.update(mounts=given.mounts, hidden=[cache])
    return {"XDG_CACHE_HOME": HOME, **environment, **given.variables, "HOME": HOME}


def main():
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("step", "app", ["user"]), *(("step", step, ["build_user"]) for step in ("fetch", "build"))],
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True, skipped=True, msg="what the step does is known once it runs")
    params = take_variables(module, "environment")
    try:
        result = carry_out(params, os.environ)
    except GatehouseError as error:
        module.fail_json(**error.result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
