"""What well-known scanners say of a site: testssl.sh's grade of its TLS, and MDN's HTTP Observatory's of its headers.

First of a tutorial's nginx in front of an API, then of what nginx_proxy makes of a plain inventory on the same host: an API, a page
and an API that says in its model that it is to be reached by HTTPS alone (`hsts`), all with the profile `intermediate`; and the same
on another port with `modern`. The certificates are of an authority that the host trusts. Everything is asked from the host itself.
"""

from __future__ import annotations

import json
from pathlib import Path

from _common import figures, install_service, table, write

from testbed import host, image, steps

NAME = "gatehouse-bench-scan"
OBSERVATORY = "@mdn/mdn-http-observatory@1.4.8"
DOMAIN = "scan.example.com"
YEAR = 31536000

PREPARE = f"""
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --quiet --yes --no-install-recommends testssl.sh
# At its installation it would download the list of the names that browsers ask by HTTPS alone. These are not among them.
npm install --global --ignore-scripts --no-audit --no-fund {OBSERVATORY}
echo '{{}}' > "$(npm root --global)/@mdn/mdn-http-observatory/conf/hsts-preload.json"

mkdir -p /etc/bench /srv/www
cd /etc/bench
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 300 -subj /CN=Bench -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={DOMAIN} -keyout site.key -out site.csr
printf 'subjectAltName=DNS:{DOMAIN},DNS:*.{DOMAIN}\\nextendedKeyUsage=serverAuth\\n' > site.ext
openssl x509 -req -in site.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile site.ext -out site.pem
cat ca.pem >> /etc/ssl/certs/ca-certificates.crt
for name in tutorial api page api-hsts page-hsts modern; do echo "127.0.0.1 $name.{DOMAIN}" >> /etc/hosts; done
printf '<!doctype html><html lang="en"><title>A page</title><script src="/page.js"></script><h1>A page</h1></html>' \\
    > /srv/www/index.html
echo '"use strict";' > /srv/www/page.js
"""

# As it stands in a hundred tutorials.
TUTORIAL = f"""
server {{
    listen 80;
    server_name tutorial.{DOMAIN};
    return 301 https://$host$request_uri;
}}
server {{
    listen 443 ssl;
    server_name tutorial.{DOMAIN};
    ssl_certificate /etc/bench/site.pem;
    ssl_certificate_key /etc/bench/site.key;
    location / {{
        proxy_pass http://127.0.0.1:9000;
        proxy_set_header Host $host;
    }}
}}
"""

# Whose grade is asked of which scanner: (site, its port).
HEADERS = ("tutorial", "api", "page", "api-hsts", "page-hsts")
TLS = (("tutorial", 443), ("api", 443), ("api-hsts", 443), ("modern", 8443))


def shell(script):
    result = host.execute(NAME, "bash", "-ec", script)
    if result.returncode:
        raise steps.Failure(steps.tail(result.stdout + result.stderr))
    return result.stdout


def model():
    app = {"name": "bench", "runtime": "external", "port": 9000, "health": {"path": "/health"}}
    to_app = [{"path": "/", "app": "bench", "rate": "none"}]
    to_page = [{"path": "/", "static": "/srv/www", "security_headers": "page"}]

    def site(name, routes, port=443, **tls):
        tls = {"mode": "files", "certificate": "/etc/bench/site.pem", "key": "/etc/bench/site.key", **tls}
        names = [f"{name}.{DOMAIN}"]
        return {"name": name, "server_names": names, "https_port": port, "tls": tls, "routes": routes}

    hsts = {"max_age": YEAR}
    sites = [
        site("api", to_app),
        site("page", to_page),
        site("api-hsts", to_app, hsts=hsts),
        site("page-hsts", to_page, hsts=hsts),
        site("modern", to_app, 8443, hsts=hsts, profile="modern"),
    ]
    return {"ansible_user": "root", "webapp_apps": [app], "webapp_sites": sites}


def serve_ours():
    play = Path(host.FILES) / f"{NAME}.yml"
    play.parent.mkdir(parents=True, exist_ok=True)
    play.write_text("- hosts: all\n  roles: [gatehouse.webapp.nginx_proxy]\n")
    result = host.play(NAME, play, variables=model())
    if result.returncode:
        raise steps.Failure(steps.tail(result.stdout + result.stderr))


def headers_of(name):
    """The grade, the score of 100 and more, and the tests that were not passed."""
    trust = "NODE_EXTRA_CA_CERTS=/etc/bench/ca.pem"
    scanner = "$(npm root --global)/@mdn/mdn-http-observatory/src/scan.js"
    found = json.loads(shell(f"{trust} node {scanner} {name}.{DOMAIN}"))
    if "scan" not in found:
        raise steps.Failure(f"the Observatory gave no grade to {name}: {found}")
    failed = sorted(test for test, result in found["tests"].items() if not result["pass"])
    return found["scan"]["grade"], found["scan"]["score"], failed


def tls_of(name, port):
    """The grade, and what testssl.sh calls worse than a remark."""
    shell(
        f"rm -f /tmp/tls.json; testssl --quiet --color 0 --warnings off --add-ca /etc/bench/ca.pem --ip 127.0.0.1"
        f" --jsonfile /tmp/tls.json {name}.{DOMAIN}:{port} > /tmp/tls.log || true"
    )
    found = json.loads(shell("cat /tmp/tls.json"))
    grades = [entry["finding"] for entry in found if entry["id"] == "overall_grade"]
    if not grades:
        raise steps.Failure("testssl.sh gave no grade:\n" + steps.tail(shell("cat /tmp/tls.log")))
    bad = sorted(entry["id"] for entry in found if entry["severity"] in ("MEDIUM", "HIGH", "CRITICAL"))
    return grades[0], bad


def main():
    headers, tls = {}, {}

    def ask(names):
        headers.update({name: headers_of(name) for name in HEADERS if name in names})
        tls.update({name: tls_of(name, port) for name, port in TLS if name in names})

    with host.booted(NAME, image.ensure("trixie")):
        shell(PREPARE)
        install_service(NAME, "bench-app", 9000, 0)
        write(NAME, "/etc/nginx/sites-enabled/tutorial.conf", TUTORIAL)
        shell("systemctl start bench-app && systemctl restart nginx")
        ask(["tutorial"])
        shell("rm /etc/nginx/sites-enabled/tutorial.conf")
        serve_ours()
        ask([name for name in (*HEADERS, *(name for name, _port in TLS)) if name != "tutorial"])

    table(
        ["headers of", "grade", "score", "not passed"],
        [[name, grade, score, ", ".join(failed) or "-"] for name, (grade, score, failed) in headers.items()],
    )
    table(
        ["TLS of", "grade", "medium and worse"],
        [[name, grade, ", ".join(bad) or "-"] for name, (grade, bad) in tls.items()],
    )
    figures(
        "scan",
        **{f"headers_{name.replace('-', '_')}": score for name, (_grade, score, _failed) in headers.items()},
        # Of the three of ours.
        tls_a=sum(tls[name][0] in ("A", "A+") for name, _port in TLS[1:]),
        tls_a_plus=sum(tls[name][0] == "A+" for name, _port in TLS[1:]),
    )


main()
