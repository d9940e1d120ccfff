#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_certificate
short_description: Keep a site's certificate, self-signed or from an ACME CA, and see that nginx serves it
version_added: 0.3.0
author: The gatehouse.webapp authors (@gatehouse-webapp)
description:
  - Keeps a certificate and its key under one path that never changes, C(/etc/gatehouse/tls/NAME/fullchain.pem) and C(privkey.pem).
    A new pair goes live by the renaming of one link, so nginx never sees a certificate with the key of another one.
  - With O(mode=acme) it is obtained by certbot over HTTP-01, while nginx serves. As long as the CA has issued none, another one
    stands in, so nginx can be configured before there is a certificate. If the host has one that a CA issued for all O(names), and that
    is valid, it is a copy of that (what nginx names now, what other sites have here, or what is in C(/etc/letsencrypt/live)), so a
    live site goes on as it did. Otherwise one that is signed by itself is made.
  - A new one is asked for when there is none, when names or CA differ, when a third of its life is left, and when it is
    not valid yet, as after a clock that was ahead. Before that it is seen that the CA answers and that nginx serves the challenges.
  - Then nginx tests its whole configuration, is reloaded, and has to serve the new certificate. If anything fails, the former one
    is put back.
  - Installs the program that a timer can run, C(/usr/local/lib/gatehouse/tls-certificates), which is the code of this module.
  - The key is readable for root only, and never part of a result or a diff.
options:
  name:
    description: Name of the site.
    type: str
    required: true
  mode:
    description: Where the certificate comes from.
    type: str
    choices: [self_signed, acme]
    required: true
  names:
    description:
      - The host names that it is for. With O(mode=acme) at least one, and no wildcards. Without names it is for C(localhost).
    type: list
    elements: str
    default: []
  email:
    description: Where the CA writes to. Required with O(mode=acme).
    type: str
  directory:
    description: Address of the CA's ACME directory. Required with O(mode=acme).
    type: str
  ca_bundle:
    description:
      - File on the host with the authorities to trust when it speaks to O(directory). The system's when left out.
    type: path
  webroot:
    description: Folder below which nginx serves C(/.well-known/acme-challenge/).
    type: path
    default: /var/lib/gatehouse/acme
  http_port:
    description: Where nginx serves the challenges.
    type: int
    default: 80
  port:
    description: Where nginx serves the site over TLS. The new certificate has to be seen there.
    type: int
    default: 443
  stand_in:
    description:
      - Only see to it that there is a certificate that nginx can begin with. No CA is asked.
    type: bool
    default: false
  force:
    description: Take a new one even though the old one does.
    type: bool
    default: false
  service:
    description: The systemd unit that runs nginx.
    type: str
    default: nginx.service
  timeout:
    description: Seconds within which nginx must have taken up the new certificate.
    type: float
    default: 60
requirements:
  - openssl; with O(mode=acme) certbot 1.10 or newer
attributes:
  check_mode:
    description: Says what would be done. The CA is not asked.
    support: full
  diff_mode:
    description: Names, issuer and end of the old and the new certificate.
    support: full
seealso:
  - module: gatehouse.webapp.certificate_check
  - module: gatehouse.webapp.nginx_config
"""

EXAMPLES = r"""
- name: Give nginx something to begin with
  gatehouse.webapp.tls_certificate:
    name: chat
    mode: acme
    names: [chat.example.com, www.chat.example.com]
    email: ops@example.com
    directory: https://acme-v02.api.letsencrypt.org/directory
    stand_in: true

- name: Obtain the certificate, now that nginx serves the challenges
  gatehouse.webapp.tls_certificate:
    name: chat
    mode: acme
    names: [chat.example.com, www.chat.example.com]
    email: ops@example.com
    directory: https://acme-v02.api.letsencrypt.org/directory
"""

RETURN = r"""
outcome:
  description:
    - V(unchanged), or what the certificate is now, V(self_signed), V(acme), or V(adopted) if it is one that the host had.
    - V(kept) if the CA gave no new one, and the former one is still good. That is a warning, not a failure.
    - On failure V(reverted) if nginx did not take the new one up, and the former one is back.
  returned: when it came to that
  type: str
  sample: acme
reasons:
  description: Why a new one was due, as sentences. Empty when none was.
  returned: success
  type: list
  elements: str
  sample: ["It is signed by itself."]
certificate:
  description: The live certificate, with its names, issuer, not_before, not_after, days_left, self_signed, ocsp and fingerprint.
  returned: when there is one
  type: dict
cause:
  description:
    - What kind of failure it was.
    - >-
      V(ca_unreachable), V(not_served) if nginx does not serve the challenges or the new certificate, V(challenge_failed), V(rate_limited),
      V(ca_refused), V(not_installed), V(unwritable), V(bad_input), or one of M(gatehouse.webapp.nginx_config).
  returned: failure, and with outcome V(kept)
  type: str
hint:
  description: What to type next.
  returned: failure
  type: str
still_good:
  description: Whether the certificate that goes on being served is from the same CA, for all the names, and not expired.
  returned: when no new one was obtained
  type: bool
"""

import json
import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import write
from ansible_collections.gatehouse.webapp.plugins.module_utils._certificate import describe
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._renewal import keeper, loaded_source, program
from ansible_collections.gatehouse.webapp.plugins.module_utils._site_certificate import ROOT, Wish, check_wish

PROGRAM = "/usr/local/lib/gatehouse/tls-certificates"


def install(wish, check):
    """Write what the timer runs and what it wants of this site. Returns whether that changed."""
    files = {
        PROGRAM: program(loaded_source),
        os.path.join(ROOT, wish.name + ".json"): json.dumps(wish._asdict(), indent=2).encode("utf-8"),
    }
    changed = False
    for path, content in files.items():
        try:
            with open(path, "rb") as file:
                same = file.read() == content
        except OSError:
            same = False
        changed = changed or not same
        if not same and not check:
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            write(path, content)
    return changed


def converge(params, check):
    """Bring the host to what the options ask for. Returns the module's result."""
    wish = Wish(**{field: params[field] for field in Wish._fields})
    check_wish(wish)
    kept = keeper(wish, service=params["service"], timeout=params["timeout"])
    before = kept.store.read()
    # Before nginx is configured for the wish, a timer must not act on it.
    installed = not params["stand_in"] and install(wish, check)
    try:
        result = kept.keep(params["stand_in"], params["force"], check)
    except GatehouseError as error:
        if not error.facts.get("still_good") or params["force"] or error.facts.get("outcome") == "reverted":
            raise
        result = dict(error.result(), outcome="kept", changed=False, reasons=[])
        until = result["certificate"]["not_after"]
        result["warnings"] = [result["msg"], "The former certificate is served on, until %s." % until]
    result["changed"] = result["changed"] or installed
    if result["changed"]:
        result["diff"] = {
            "before": summary(before and describe(before[0][0], kept.now())),
            "after": "new: %s\n" % wish.mode if check and result["reasons"] else summary(result.get("certificate")),
        }
    return result


def summary(certificate):
    if not certificate:
        return ""
    lines = ["%s: %s\n" % (key, certificate[key]) for key in ("issuer", "not_before", "not_after")]
    return "names: %s\n%s" % (", ".join(certificate["names"]), "".join(lines))


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "mode": {"type": "str", "choices": ["self_signed", "acme"], "required": True},
            "names": {"type": "list", "elements": "str", "default": []},
            "email": {"type": "str"},
            "directory": {"type": "str"},
            "ca_bundle": {"type": "path"},
            "webroot": {"type": "path", "default": "/var/lib/gatehouse/acme"},
            "http_port": {"type": "int", "default": 80},
            "port": {"type": "int", "default": 443},
            "stand_in": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            "service": {"type": "str", "default": "nginx.service"},
            "timeout": {"type": "float", "default": 60},
        },
        required_if=[("mode", "acme", ["email", "directory"])],
        supports_check_mode=True,
    )
    try:
        result = converge(module.params, module.check_mode)
    except GatehouseError as error:
        module.fail_json(**error.result())
    for warning in result.pop("warnings", []):
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
