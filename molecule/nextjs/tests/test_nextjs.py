"""Next.js as it is meant to run: built for production in its release, and never live without its build."""

import copy
import os
import re
import subprocess
from pathlib import Path

import pytest
import requests
import yaml

from testbed.plays import Run

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
PROJECT = SCENARIO.parents[1]
HOST = "gatehouse-" + SCENARIO.name

MODEL = yaml.safe_load((SCENARIO / "vars" / "main.yml").read_text())
MODEL["webapp_apps"][0]["source"] = {"directory": str(PROJECT / "examples" / "nextjs")}


def inside(text):
    done = subprocess.run(["docker", "exec", HOST, "sh", "-c", text], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def get(path):
    return requests.get(f"http://{inside('hostname -I').split()[0]}{path}", timeout=10)


def test_the_page_and_the_routes_come_through_nginx():
    assert get("/api/health").json()["status"] == "healthy"
    page = get("/")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    script = re.search(r'src="(/_next/static/[^"]+\.js)"', page.text).group(1)
    assert "immutable" in get(script).headers["Cache-Control"]


def test_it_runs_what_was_built_for_production():
    built = inside("cat /srv/shop-web/current/src/.next/BUILD_ID")
    assert len(built) > 5
    assert built in get("/").text
    main = inside("systemctl show --value --property MainPID shop-web@3000.service")
    assert inside(f"pgrep --parent {main} --full npm")
    server = inside("pgrep --full ^next-server")
    assert "NODE_ENV=production" in inside(f"tr '\\0' '\\n' < /proc/{server}/environ").split()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"build": []}, "there is no .next/BUILD_ID. Right in the model: build: [npm run build]"),
        ({"build": ["npm run build", ": > .next/BUILD_ID"]}, ".next/BUILD_ID is empty, so the build did not end well"),
        ({"pm2": {"npm": "dev"}}, "The command is a development server"),
        ({"pm2": {"npm": "serve"}}, "package.json has no script serve"),
    ],
)
def test_without_its_build_it_does_not_go_live(changes, words):
    model = copy.deepcopy(MODEL)
    model["webapp_apps"][0].update(changes)
    run = Run(INVENTORY, PROJECT / "site.yml", model, ["--tags", "stage,activate"])
    assert words in run.failure["msg"]
    assert "What runs was not touched" in run.failure["msg"]
    assert not run.did("Make the release the live one")
    assert get("/api/health").json()["status"] == "healthy"
