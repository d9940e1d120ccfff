"""Front ends as nginx serves them: what clients get and keep, and what a switch and a bad build do to them."""

import copy
import functools
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
import requests
import yaml

from testbed.plays import Run

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
EPHEMERAL = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
PROJECT = SCENARIO.parents[1]
HOST = "gatehouse-" + SCENARIO.name
FOR_EVER = "public, max-age=31536000, immutable"

MODEL = yaml.safe_load((SCENARIO / "vars" / "main.yml").read_text())
MODEL["node_release_archive"] = str(EPHEMERAL / "node.tar.gz")
for app in MODEL["webapp_apps"]:
    app["source"] = {"directory": str(SCENARIO / "files" / app["name"])}


def deploy(release, **changes):
    model = copy.deepcopy(MODEL)
    model["webapp_apps"][0].update(changes)
    model["webapp_apps"][0]["env"] = {"RELEASE": release}
    return Run(EPHEMERAL / "inventory", PROJECT / "site.yml", model, ["--tags", "stage,activate,retire"])


def inside(text):
    done = subprocess.run(["docker", "exec", HOST, "sh", "-c", text], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@functools.cache
def address():
    return inside("hostname -I").split()[0]


def get(path, host="front.example.com", **headers):
    return requests.get(
        f"http://{address()}{path}", headers={"Host": host, **headers}, timeout=5, allow_redirects=False
    )


def title(path="/"):
    return re.search("<title>(.*)</title>", get(path).text).group(1)


def script():
    return re.search('src="([^"]+)"', get("/").text).group(1)


@pytest.fixture
def first():
    """A test that asks for it begins and ends with the first release."""
    yield
    if title() != "first":
        assert deploy("first").status == 0


# What clients get


@pytest.mark.parametrize("path", ["/", "/index.html", "/orders/7", "/admin/", "/admin/users"])
def test_a_path_of_the_front_end_is_its_page_and_asked_for_anew(path):
    answer = get(path)
    assert (answer.status_code, title(path)) == (200, "first")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_that_has_not_changed_is_not_sent_again():
    again = get("/", **{"If-None-Match": get("/").headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")


@pytest.mark.parametrize("below", ["", "/admin"])
def test_a_script_with_a_digest_is_kept_for_ever(below):
    answer = get(below + script())
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, FOR_EVER)
    assert answer.headers["Content-Type"] == "application/javascript"


@pytest.mark.parametrize("path", ["/assets/index-00000000.js", "/admin/assets/index-00000000.js", "/favicon.ico"])
def test_a_file_that_is_not_there_is_not_the_page_and_not_kept(path):
    answer = get(path)
    assert (answer.status_code, answer.headers.get("Cache-Control")) == (404, None)


def test_a_text_comes_compressed_as_it_lies_there():
    answer = get(script(), **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Length"] == inside(f"stat --format %s /srv/front/current/src/dist{script()}.gz")


def test_nothing_else_of_the_release_is_served():
    assert get("/..%2fsecret.txt").status_code in (400, 404)
    assert get("/admin../secret.txt").status_code in (400, 404) or "not served" not in get("/admin../secret.txt").text
    assert inside("runuser -u www-data -- cat /srv/front/current/src/secret.txt") == ""
    assert inside("runuser -u www-data -- cat /srv/front/current/src/dist/robots.txt") == "User-agent: *"


def test_files_that_nothing_builds_are_served_as_they_are():
    assert "<title>plain</title>" in get("/", "plain.example.com").text
    assert get("/orders/7", "plain.example.com").status_code == 404


def test_the_node_that_was_asked_for_built_it():
    assert "/opt/gatehouse/node-99.0.0/bin/node" in inside("ls /opt/gatehouse/node-99.0.0/bin/node")
    assert inside("ls -d /opt/gatehouse/node-99.0.0.new") == ""


# Switches


@pytest.mark.usefixtures("first")
def test_a_switch_is_seen_by_nobody_and_open_pages_find_their_scripts():
    old, failed, stop = script(), [], threading.Event()

    def ask():
        while not stop.wait(0.05):
            failed.extend(answer.status_code for answer in (get("/"), get(script())) if answer.status_code != 200)

    client = threading.Thread(target=ask)
    client.start()
    try:
        run = deploy("second")
    finally:
        stop.set()
        client.join()
    assert run.status == 0, run.text
    assert failed == []
    assert title() == "second"
    assert script() != old
    assert get(old).headers["Cache-Control"] == FOR_EVER

    assert deploy("third").status == 0
    assert get(old).status_code == 404


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize(
    ("release", "changes", "words"),
    [
        ("pageless", {}, "after the build there is no src/dist/index.html"),
        ("elsewhere", {"static": {"root": "out"}}, "after the build there is no src/out/index.html"),
        ("broken", {"build": ["npm run build", "exit 4"]}, "this one failed with exit status 4: exit 4"),
        (
            "leaks",
            {"build": ["npm run build", "ln -s ../secret.txt dist/s.txt"]},
            "leads out of the folder that is served",
        ),
    ],
)
def test_a_build_that_can_not_be_served_is_refused_and_the_old_one_serves(release, changes, words):
    run = deploy(release, **changes)
    assert words in run.failure["msg"]
    assert title() == "first"


@pytest.mark.usefixtures("first")
def test_back_is_one_step():
    assert deploy("second").status == 0
    run = Run(EPHEMERAL / "inventory", PROJECT / "playbooks" / "rollback.yml", {**MODEL, "webapp_only": ["front"]})
    assert run.status == 0, run.text
    assert title() == "first"


@pytest.mark.usefixtures("first")
def test_a_switch_that_nginx_does_not_follow_is_taken_back():
    sites = "/etc/nginx/gatehouse/sites.conf"
    inside("cp -r /srv/front/current/src/dist /srv/stuck; chmod -R a+rX /srv/stuck")
    inside(
        f"cp {sites} /root/sites.conf; sed -i 's#/srv/front/current/src/dist#/srv/stuck#' {sites}; systemctl reload nginx"
    )
    try:
        run = deploy("unseen")
        assert run.failure["cause"] == "not_switched"
        assert title() == "first"
        assert "first" in inside("cat /srv/front/current/src/dist/index.html")
    finally:
        inside(f"mv /root/sites.conf {sites}; systemctl reload nginx; rm -r /srv/stuck")


def test_another_name_keeps_the_user_and_serves_its_own_page_once_nginx_leads_there(tmp_path):
    model = copy.deepcopy(MODEL)
    shutil.copytree(SCENARIO / "files" / "plain", tmp_path / "simple")
    page = tmp_path / "simple" / "site" / "index.html"
    page.write_text(page.read_text().replace("<title>plain", "<title>simple"))
    model["webapp_apps"][1].update(name="simple", renamed_from="plain", source={"directory": str(tmp_path / "simple")})
    model["webapp_sites"][1]["routes"][0]["app"] = "simple"

    def site(*arguments):
        return Run(EPHEMERAL / "inventory", PROJECT / "site.yml", model, arguments)

    # The Node of this scenario calls itself otherwise than its archive, which preflight does not like.
    run = site("--skip-tags", "preflight,ufw,verify")
    assert run.status == 0, run.text
    assert "<title>simple</title>" in get("/", "plain.example.com").text
    assert inside("ls /srv").split() == ["front", "simple"]
    assert inside("stat --format %G /srv/simple") == "plain"
    again = site("--tags", "stage,activate,retire")
    assert (again.status, again.changed) == (0, []), again.text
