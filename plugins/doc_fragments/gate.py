# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Options that several modules share, documented once. Their specs are in module_utils/_gate.py."""

from __future__ import annotations


class ModuleDocFragment:
    # The whole gate: what must answer, and for how long.
    DOCUMENTATION = r"""
options:
  address:
    description:
      - The address that C(port), O(http.path) and O(websocket.path) are asked at.
    type: str
    default: 127.0.0.1
  http:
    description:
      - An HTTP question that must be answered as described.
    type: dict
    suboptions:
      url:
        description:
          - The full URL to ask. Use this or O(http.path).
        type: str
      path:
        description:
          - The path to ask for at O(address) and the port, for example V(/health).
        type: str
      method:
        description: The request's method.
        type: str
        default: GET
      headers:
        description: Headers to send, a mapping of name to value.
        type: json
      host:
        description: The Host header to send in place of the URL's own.
        type: str
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
          - Whether a redirect is followed, up to five times. When it is not, a redirect is an answer like any other,
            and fails unless its code is in O(http.status).
        type: bool
        default: false
      validate_certs:
        description: Whether the certificate must be valid for the name that is asked.
        type: bool
        default: true
      ca_path:
        description: A file of CA certificates to trust in place of the system's.
        type: path
      server_name:
        description: The name to ask for in the TLS handshake (SNI), and to find in the certificate. Default is the URL's.
        type: str
  websocket:
    description:
      - A WebSocket that must open. The handshake is checked in full (RFC 6455), and a ping must be answered by its pong.
    type: dict
    suboptions:
      url:
        description:
          - The full URL to open, with V(ws) or V(wss). Use this or O(websocket.path).
        type: str
      path:
        description:
          - The path to open at O(address) and the port, for example V(/ws).
        type: str
      headers:
        description: Headers to send with the handshake, a mapping of name to value, for example C(Origin) or C(Cookie).
        type: json
      host:
        description: The Host header to send in place of the URL's own.
        type: str
      send:
        description: Text to send once the WebSocket is open.
        type: str
      reply:
        description: Text that some message from the server must then contain.
        type: str
      validate_certs:
        description: Whether the certificate must be valid for the name that is asked.
        type: bool
        default: true
      ca_path:
        description: A file of CA certificates to trust in place of the system's.
        type: path
      server_name:
        description: The name to ask for in the TLS handshake (SNI), and to find in the certificate. Default is the URL's.
        type: str
  successes:
    description:
      - How many good answers in a row it takes.
    type: int
    default: 1
  stable_for:
    description:
      - For how many seconds there must have been neither a bad answer nor a restart.
    type: float
    default: 0
  timeout:
    description:
      - Seconds after which the gate stays shut. One deadline over everything that is waited for, fractions allowed.
    type: float
    default: 60
  interval:
    description:
      - The longest pause between two questions, in seconds. The first pause is 5 ms, and pauses grow to a tenth of the
        time already waited, up to this.
    type: float
    default: 0.1
"""

    # How long and how often, for modules whose own options are the question.
    PATIENCE = r"""
options:
  wait:
    description:
      - Whether to go on asking until the gate opens. When it is V(false), one answer decides.
    type: bool
    default: false
  successes:
    description:
      - How many good answers in a row it takes. Needs O(wait=true) to be more than one.
    type: int
    default: 1
  stable_for:
    description:
      - For how many seconds there must have been no bad answer. Needs O(wait=true).
    type: float
    default: 0
  timeout:
    description:
      - Seconds after which it has failed. One deadline over everything, name look-up and TLS included, fractions allowed;
        a body that drips in byte by byte cannot stretch it.
    type: float
    default: 10
  interval:
    description:
      - The longest pause between two questions, in seconds. The first pause is 5 ms, and pauses grow to a tenth of the
        time already waited, up to this.
    type: float
    default: 0.1
"""

    # How a question travels: shared by http_probe and websocket_probe.
    TRANSPORT = r"""
options:
  headers:
    description: Headers to send, a mapping of name to value.
    type: json
  host:
    description: The Host header to send in place of the URL's own.
    type: str
  validate_certs:
    description: Whether the certificate must be valid for the name that is asked.
    type: bool
    default: true
  ca_path:
    description: A file of CA certificates to trust in place of the system's.
    type: path
  server_name:
    description: The name to ask for in the TLS handshake (SNI), and to find in the certificate. Default is the URL's.
    type: str
"""

    # What every module here promises.
    PROMISES = r"""
attributes:
  check_mode:
    description: Can run in check mode, in which nothing on the host is changed.
    support: full
  platform:
    description: Where the module runs. It needs Python 3.8 or later and nothing beyond the standard library.
    platforms: posix
    support: full
options: {}
"""
