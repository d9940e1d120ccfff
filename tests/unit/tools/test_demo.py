"""What the demo reads from a play's output."""

import pytest

from testbed import demo, steps

OUTPUT = """\
PLAY [Serve every web app] ****
TASK [gatehouse.webapp.ufw : Open the ports] ****
changed: [app1]
TASK [gatehouse.webapp.ufw : Look] ****
ok: [app1]
TASK [gatehouse.webapp.verify : Say what was measured] ****
ok: [app1] =>
    msg:
    - '    host  link   what               result        ms'
    - '  ✔ app1  port   shop@8000.service  holds 8000     1'
    - '  ? app1  firewall  UFW  not judged'
    - '  ✔ app1  proxy  shop.example.com/health  200     12'
    - ''
    - 'app1: 2 well, 1 not judged.'
PLAY RECAP ****
app1                       : ok=12   changed=3    unreachable=0    failed=0    skipped=4    rescued=0    ignored=0
"""


def test_a_play_is_read():
    assert demo.read_play(OUTPUT.splitlines()) == {
        "ok": 12,
        "changed": 3,
        "verified": ["port  shop@8000.service  holds 8000", "proxy  shop.example.com/health  200"],
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("TASK [gatehouse.webapp.ufw : Open the ports] ****\n", "ufw : Open the ports"),
        ("TASK [Gathering Facts] *****", "Gathering Facts"),
        ("ok: [app1]", None),
        ("PLAY [x] ***", None),
    ],
)
def test_task_name(line, expected):
    assert demo.task_name(line) == expected


@pytest.mark.parametrize("arguments", [["up"], ["--port"], ["--port", "x"], ["down", "--every"]])
def test_a_wrong_command_line_shows_the_right_ones(arguments):
    with pytest.raises(steps.Failure, match="bin/demo down"):
        demo.main(arguments)
