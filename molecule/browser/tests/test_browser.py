"""The chat in a real browser on this machine, against the site in the container."""

import os
import subprocess
from pathlib import Path

BROWSER_TESTS = Path(__file__).parents[3] / "tests" / "browser"


def test_the_chat_in_a_browser(host):
    address = host.check_output("hostname -I").split()[0]
    settings = {"GATEHOUSE_SITE": f"http://{address}", "GATEHOUSE_HOST": host.check_output("hostname")}
    run = subprocess.run(
        ["npm", "test"],
        cwd=BROWSER_TESTS,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(run.stdout)
    assert run.returncode == 0, "see what the tests printed; pictures are in .cache/browser"
