# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The program that a host's timer runs: the code of the module tls_certificate, as one file that needs no Ansible."""

from __future__ import annotations

import argparse
import glob
import io
import json
import os
import re
import shutil
import sys
import zipfile

from ansible_collections.gatehouse.webapp.plugins.module_utils import _site_certificate
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_run import Host, Run
from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_tree import Tree

PACKAGE = "ansible_collections.gatehouse.webapp.plugins.module_utils"
START = "import sys\nfrom %s._renewal import main\nsys.exit(main(sys.argv[1:]))\n" % PACKAGE
# A zip file holds the time of each part: the same code is to give the same file.
SOME_TIME = (2026, 1, 1, 0, 0, 0)


def program(source_of):
    """The bytes of the program. source_of: gives the text of one of the modules of this package, by its name."""
    folders = PACKAGE.split(".")
    parts = {"/".join(folders[: depth + 1]) + "/__init__.py": "" for depth in range(len(folders))}
    parts["__main__.py"] = START
    waiting = ["_renewal"]
    while waiting:
        name = waiting.pop()
        path = "%s/%s.py" % ("/".join(folders), name)
        if path not in parts:
            parts[path] = source_of(name)
            waiting += re.findall(r"^from %s\.(_\w+) import" % re.escape(PACKAGE), parts[path], re.M)
            waiting += re.findall(r"^from %s import (_\w+)$" % re.escape(PACKAGE), parts[path], re.M)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(parts):
            archive.writestr(zipfile.ZipInfo(path, SOME_TIME), parts[path])
    return data.getvalue()


def loaded_source(name):
    """The text of a module as it was loaded, also from the archive in which Ansible brings it."""
    full = "%s.%s" % (PACKAGE, name)
    text = sys.modules[full].__loader__.get_source(full)
    return text.decode("utf-8") if isinstance(text, bytes) else text


def keeper(wish, root=_site_certificate.ROOT, service="nginx.service", timeout=60):
    """What keeps the site's certificate on this host, with its nginx where there is one."""
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    host = Host(nginx, service)
    run = None
    if nginx and os.path.isdir("/etc/nginx"):
        run = Run(Tree("/etc/nginx", "gatehouse"), {}, False, [], host, timeout)
    return _site_certificate.Keeper(wish, host, run, root, timeout=timeout)


def renew(paths, keep, say):
    """Keep the certificate of each site, whatever becomes of the others. Returns the exit code.

    paths: the files of the wishes.   keep: takes a wish, gives a result or raises GatehouseError.
    say: takes each line for the journal.
    """
    failed = False
    for path in paths:
        site = os.path.basename(path)[: -len(".json")]
        try:
            with open(path, encoding="utf-8") as file:
                result = keep(_site_certificate.Wish(**json.load(file)))
            words = " ".join(result["reasons"]) if result["changed"] else "nothing to do."
            say("%s: %s Serving until %s." % (site, words, result["certificate"]["not_after"]))
        except GatehouseError as error:
            failed = True
            say("%s: %s" % (site, error.result()["msg"]))
            if "certificate" in error.facts:
                kept = error.facts["certificate"]
                say("%s: what was served before goes on: of %s, until %s." % (site, kept["issuer"], kept["not_after"]))
        except (OSError, ValueError, TypeError) as error:
            failed = True
            say("%s: %s: %s" % (site, path, error))
    return 1 if failed else 0


def main(argv):
    parser = argparse.ArgumentParser(description="Keep the certificates of this host's sites.")
    parser.add_argument("--force", action="store_true", help="take new ones, even where the old ones do")
    parser.add_argument("site", nargs="*", help="only these; all without any")
    options = parser.parse_args(argv)
    paths = [os.path.join(_site_certificate.ROOT, site + ".json") for site in options.site]
    paths = paths or sorted(glob.glob(os.path.join(_site_certificate.ROOT, "*.json")))
    return renew(paths, lambda wish: keeper(wish).keep(force=options.force), lambda line: sys.stdout.write(line + "\n"))
