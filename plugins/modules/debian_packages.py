#!/usr/bin/python
# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)

from __future__ import annotations

DOCUMENTATION = r"""
module: debian_packages
short_description: Install Debian packages that are missing, in one transaction
version_added: 0.4.0
description:
  - Asks dpkg which of the packages are installed. Where all of them are, nothing else is done, and apt's cache is not opened.
  - Otherwise apt-get installs those that are missing, without recommended packages. Configuration files that somebody has changed stay.
  - While another process holds the package manager's lock, as on a cloud instance's first boot, the module waits for it.
  - Needs neither python3-apt nor, in check mode, anything else.
options:
  names:
    description:
      - The packages, each as apt-get takes it, V(nginx), V(nginx=1.22.*) or V(nginx/bookworm-backports).
      - A name that an installed package provides counts as installed.
    type: list
    elements: str
    required: true
  optional:
    description: Packages that are installed where an archive of the host has them, and left out where none has.
    type: list
    elements: str
    default: []
  update_after:
    description: Age of apt's lists, in seconds, from which they are fetched anew before something is installed.
    type: int
    default: 86400
  lock_timeout:
    description: Seconds to wait while another process holds the package manager's lock.
    type: float
    default: 600
extends_documentation_fragment:
  - gatehouse.webapp.gate.promises
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
- name: Install what the app needs
  gatehouse.webapp.debian_packages:
    names: [libpq5, imagemagick]

- name: Install nginx, and brotli where Debian has it
  gatehouse.webapp.debian_packages:
    names: [nginx]
    optional: [libnginx-mod-http-brotli-filter, libnginx-mod-http-brotli-static]
"""

RETURN = r"""
missing:
  description: Those of the packages that were not installed, in the order asked for. Check mode would install them.
  returned: success
  type: list
  elements: str
installed:
  description: What is new on the host, dependencies included, each as C(NAME=VERSION).
  returned: success
  type: list
  elements: str
cause:
  description: >-
    Why it failed: V(bad_name), V(package_unknown), V(packages_locked), V(update_failed), V(install_failed), V(dpkg_failed),
    V(not_debian).
  returned: failure
  type: str
hint:
  description: The next command to type.
  returned: failure, where there is one
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._packages import Packages, parse_request

ARGUMENTS = dict(
    names=dict(type="list", elements="str", required=True),
    optional=dict(type="list", elements="str", default=[]),
    update_after=dict(type="int", default=86400),
    lock_timeout=dict(type="float", default=600),
)


def install_missing(packages, names, optional, check_mode):
    for name in names + optional:
        parse_request(name)
    missing = packages.missing(names + optional)
    if not missing:
        return {"changed": False, "missing": [], "installed": []}
    if not check_mode:
        packages.update_old_lists()
    left_out = [name for name in missing if name in optional and name not in names]
    if left_out:
        available = packages.available(left_out)
        missing = [name for name in missing if name not in left_out or name in available]
    installed = packages.install(missing) if missing and not check_mode else []
    result = {"changed": bool(installed or (check_mode and missing)), "missing": missing, "installed": installed}
    result["diff"] = {"before": "", "after": "".join(line + "\n" for line in installed or missing)}
    return result


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    packages = Packages(module.params["lock_timeout"], module.params["update_after"])
    try:
        result = install_missing(packages, module.params["names"], module.params["optional"], module.check_mode)
    except GatehouseError as error:
        module.fail_json(**error.result())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
