#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: http_probe
short_description: Ask an HTTP server one question and judge the answer
version_added: 0.1.0
description:
  - Sends one HTTP request and compares status, JSON keys and body text with what is expected.
  - With O(wait=true) it goes on asking until the answer has been good often enough, as a gate does.
  - Never follows a redirect unless told to, and never takes longer than O(timeout), however the server behaves.
  - Changes nothing, so it runs in check mode too.
options:
  url:
    description: What to ask, for example V(http://127.0.0.1:8000/health).
    type: str
    required: true
  method:
    description: The request's method.
    type: str
    default: GET
  body:
    description:
      - What to send. A dictionary or list is sent as JSON with its content type, anything else as text.
    type: raw
  status:
    description: The accepted status codes.
    type: list
    elements: int
    default: [200]
  json:
    description:
      - Keys that the answer's JSON object must hold with these values. Nested objects are compared the same way.
        Other keys do not matter.
    type: dict
  text:
    description: Text that the answer's body must contain.
    type: str
  follow_redirects:
    description:
      - Whether a redirect is followed, up to five times. When it is not, a redirect is an answer like any other, and
        fails unless its code is in O(status).
    type: bool
    default: false
extends_documentation_fragment:
  - gatehouse.webapp.gate.transport
  - gatehouse.webapp.gate.patience
  - gatehouse.webapp.gate.promises
seealso:
  - module: gatehouse.webapp.websocket_probe
  - module: gatehouse.webapp.health_restart
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Check the service on its own port
  gatehouse.webapp.http_probe:
    url: http://127.0.0.1:8000/health
    json: {status: healthy}

- name: Wait until the site answers through nginx, twice in a row
  gatehouse.webapp.http_probe:
    url: http://127.0.0.1/health
    host: chat.example.com
    wait: true
    successes: 2
    timeout: 30

- name: Post a message from the control node
  gatehouse.webapp.http_probe:
    url: https://chat.example.com/api/v1/chat/message
    method: POST
    body: {session_id: probe, message: hello}
    json: {session_id: probe}
  delegate_to: localhost
"""

RETURN = r"""
status:
  description: The answer's status code, when there was one.
  returned: when a server answered
  type: int
  sample: 200
latency:
  description: Seconds from the first packet of the last question to its judged answer.
  returned: always
  type: float
  sample: 0.0041
headers:
  description: The answer's headers, names in lower case.
  returned: when a server answered
  type: dict
body:
  description: The first 300 characters of the answer's body.
  returned: when a server answered
  type: str
attempts:
  description: How many times it was asked.
  returned: always
  type: int
elapsed:
  description: Seconds from start to end.
  returned: always
  type: float
cause:
  description:
    - Why it failed. One of V(dns), V(refused), V(unreachable), V(timed_out), V(reset), V(tls), V(not_http),
      V(bad_status), V(bad_body), V(bad_input).
  returned: on failure
  type: str
hint:
  description: What to look at or type next.
  returned: on failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import (
    HTTP,
    PROBE_PATIENCE,
    http_probe,
    run_probe,
)


def main():
    module = AnsibleModule(
        argument_spec=dict(HTTP, url=dict(type="str", required=True), **PROBE_PATIENCE),
        supports_check_mode=True,
    )
    try:
        result = run_probe(http_probe, module.params)
    except GatehouseError as error:
        module.fail_json(**error.result())
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
