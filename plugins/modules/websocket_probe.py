#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: websocket_probe
short_description: Open a WebSocket for real and judge it
version_added: 0.1.0
description:
  - Opens a WebSocket as RFC 6455 asks. The server must answer 101 with the right Sec-WebSocket-Accept, and must answer
    a ping with its pong. Then it is closed properly.
  - A proxy that passes the upgrade without its headers, or answers in the app's place, fails here by name.
  - With O(wait=true) it goes on trying until it has worked often enough, as a gate does.
  - Changes nothing, so it runs in check mode too.
options:
  url:
    description: What to open, for example V(ws://127.0.0.1:8000/ws) or V(wss://chat.example.com/ws).
    type: str
    required: true
  send:
    description: Text to send once the WebSocket is open.
    type: str
  reply:
    description: Text that some message from the server must then contain.
    type: str
extends_documentation_fragment:
  - gatehouse.webapp.gate.transport
  - gatehouse.webapp.gate.patience
  - gatehouse.webapp.gate.promises
seealso:
  - module: gatehouse.webapp.http_probe
  - module: gatehouse.webapp.health_restart
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Check that WebSockets pass through nginx
  gatehouse.webapp.websocket_probe:
    url: ws://127.0.0.1/api/v1/chat/ws/probe
    host: chat.example.com

- name: Talk to the chat
  gatehouse.webapp.websocket_probe:
    url: wss://chat.example.com/api/v1/chat/ws/probe
    send: '{"type": "message", "message": "hello"}'
    reply: '"type":"response"'
"""

RETURN = r"""
status:
  description: The status code that the handshake was answered with, when it was.
  returned: when a server answered
  type: int
  sample: 101
latency:
  description: Seconds from the first packet of the last try to the judged answer.
  returned: always
  type: float
  sample: 0.0062
headers:
  description: The headers of the handshake's answer, names in lower case.
  returned: when a server answered
  type: dict
attempts:
  description: How many times it was tried.
  returned: always
  type: int
elapsed:
  description: Seconds from start to end.
  returned: always
  type: float
cause:
  description:
    - Why it failed. One of V(dns), V(refused), V(unreachable), V(timed_out), V(reset), V(tls), V(not_http),
      V(not_upgraded), V(bad_body), V(bad_input).
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
    PROBE_PATIENCE,
    WEBSOCKET,
    run_probe,
    websocket_probe,
)


def main():
    module = AnsibleModule(
        argument_spec=dict(WEBSOCKET, url=dict(type="str", required=True), **PROBE_PATIENCE),
        supports_check_mode=True,
    )
    try:
        result = run_probe(websocket_probe, module.params)
    except GatehouseError as error:
        module.fail_json(**error.result())
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
