#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_check
short_description: Look at a certificate, in files or as a server shows it, and judge it
version_added: 0.3.0
author: The gatehouse.webapp authors (@gatehouse-webapp)
description:
  - Reads a certificate from O(path), or asks the server at O(address) and O(port) for the one that it shows to O(server_name).
  - Fails when it is not for all O(names), is expired, or has fewer than O(fail_days) days left; for files also when
    the key is another one's, or the chain is in a wrong order.
  - Warns when it has fewer than O(warn_days) days left, and for files when public clients would not trust it, as with an incomplete chain.
  - Changes nothing, so it runs in check mode too. Never shows a key.
options:
  path:
    description: The file on the host, PEM, the server's certificate first and then its chain.
    type: path
  key:
    description: The file of the key. Only with O(path).
    type: path
  address:
    description: The server's address.
    type: str
    default: 127.0.0.1
  port:
    description: The server's port. Give this or O(path).
    type: int
  server_name:
    description: The name to ask for (SNI). Default is the first of O(names), or O(address).
    type: str
  names:
    description: The names that it must be good for.
    type: list
    elements: str
    default: []
  fail_days:
    description: With fewer days left than this it fails. Fractions are allowed. An expired one fails in any case.
    type: float
    default: 0
  warn_days:
    description: With fewer days left than this there is a warning.
    type: float
    default: 14
  validate_certs:
    description:
      - Whether a server's certificate must be trusted by the system's authorities or O(ca_path). Files are never refused for that.
    type: bool
    default: true
  ca_path:
    description: A file of CA certificates to trust in place of the system's.
    type: path
  timeout:
    description: Seconds that a server may take to answer.
    type: float
    default: 10
attributes:
  check_mode:
    description: Can run in check mode, in which nothing on the host is changed.
    support: full
  platform:
    description: Where the module runs. It needs Python 3.8 or later and nothing beyond the standard library.
    platforms: posix
    support: full
seealso:
  - module: gatehouse.webapp.tls_certificate
  - module: gatehouse.webapp.http_probe
"""

EXAMPLES = r"""
- name: Refuse a pair of files that would not do
  gatehouse.webapp.certificate_check:
    path: /etc/ssl/certs/chat.pem
    key: /etc/ssl/private/chat.key
    names: [chat.example.com]

- name: See what is served, and for how long it is good
  gatehouse.webapp.certificate_check:
    port: 443
    names: [chat.example.com]
    warn_days: 14
    fail_days: 3
"""

RETURN = r"""
names:
  description: The names and addresses that it is for.
  returned: when a certificate was read
  type: list
  elements: str
issuer:
  description: Who issued it.
  returned: when a certificate was read
  type: str
subject:
  description: Whom it was issued to.
  returned: when a certificate was read
  type: str
not_before:
  description: From when on it is valid.
  returned: when a certificate was read
  type: str
  sample: 2026-01-01 12:00 UTC
not_after:
  description: Until when it is valid.
  returned: when a certificate was read
  type: str
days_left:
  description: Days until then; below zero when it is expired.
  returned: when a certificate was read
  type: float
self_signed:
  description: Whether it is signed by itself.
  returned: when a certificate was read
  type: bool
ocsp:
  description: The URL of the CA's OCSP responder, where the CA has one.
  returned: when a certificate was read
  type: str
fingerprint:
  description: Its SHA-256, in hexadecimal digits.
  returned: when a certificate was read
  type: str
cause:
  description:
    - Why it failed. One of V(missing), V(unreadable), V(encrypted_key), V(key_mismatch), V(wrong_name), V(not_yet_valid), V(expired),
      V(expires_soon), V(broken_chain), V(untrusted), V(not_served), V(bad_input).
  returned: on failure
  type: str
hint:
  description: What to look at or type next.
  returned: on failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._certificate import check_files, check_served
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError


def main():
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "key": {"type": "path"},
            "address": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int"},
            "server_name": {"type": "str"},
            "names": {"type": "list", "elements": "str", "default": []},
            "fail_days": {"type": "float", "default": 0},
            "warn_days": {"type": "float", "default": 14},
            "validate_certs": {"type": "bool", "default": True},
            "ca_path": {"type": "path"},
            "timeout": {"type": "float", "default": 10},
        },
        mutually_exclusive=[("path", "port")],
        required_one_of=[("path", "port")],
        supports_check_mode=True,
    )
    check = check_files if module.params["path"] else check_served
    try:
        result, warnings = check(module.params, time.time())
    except GatehouseError as error:
        module.fail_json(**error.result())
    for warning in warnings:
        module.warn(warning)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
