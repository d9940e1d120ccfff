"""The report as a person sees it: real runs of ansible-playbook on this machine, in tasks that need no module there."""

import io
import os
import pty
import re
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
import yaml

from ansible_collections.gatehouse.webapp.plugins.callback import timeline

ROOT = Path(__file__).resolve().parents[4]

INVENTORY = """
all:
  hosts: {app1: {}, app2: {}}
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""

PLAYBOOK = """
- name: Serve
  hosts: all
  gather_facts: false
  vars: {secret: hunter2}
  tasks:
    - name: Prepare
      tags: [prepare]
      ansible.builtin.set_fact: {shown: nothing}
    - name: Say a secret
      tags: [secrets]
      no_log: true
      ansible.builtin.debug: {msg: "{{ secret }}"}
    - name: Loop over secrets
      tags: [secrets]
      no_log: true
      loop: ["{{ secret }}", "{{ secret }}2"]
      ansible.builtin.debug: {msg: "{{ item }}"}
    - name: Fail with a secret
      tags: [secrets]
      no_log: true
      ignore_errors: true
      ansible.builtin.fail: {msg: "{{ secret }}"}
    - name: Fail with secrets
      tags: [secrets]
      no_log: true
      ignore_errors: true
      loop: ["{{ secret }}", "{{ secret }}2"]
      ansible.builtin.fail: {msg: "{{ item }}"}
    - name: Probe a secret place
      tags: [secrets]
      no_log: true
      ignore_errors: true
      when: inventory_hostname == 'app1'
      gatehouse.webapp.http_probe: {url: "http://127.0.0.1:1/{{ secret }}"}
    - name: Probe
      tags: [probed]
      ignore_errors: true
      when: inventory_hostname == 'app1'
      loop: [one, two]
      gatehouse.webapp.http_probe: {url: "http://127.0.0.1:1/{{ item }}"}
    - name: Look
      tags: [probed]
      when: inventory_hostname == 'app1'
      loop: [three]
      gatehouse.webapp.port_wait: {ports: [1], state: free}
    - name: Guard
      tags: [guarded]
      block:
        - name: Fail on one host
          when: inventory_hostname == 'app1'
          ansible.builtin.fail: {msg: it broke}
      rescue:
        - name: Say what was rescued
          ansible.builtin.debug: {msg: "all is well again"}
    - name: Greet
      tags: [guarded]
      loop: [one, two]
      ansible.builtin.debug: {msg: "hello {{ item }}"}
    - name: Show a variable
      tags: [shown]
      ansible.builtin.debug: {var: shown}
    - name: Skip
      tags: [nothing]
      when: false
      ansible.builtin.debug: {msg: never}
    - name: Break
      tags: [last]
      when: inventory_hostname == 'app2'
      ansible.builtin.fail: {msg: this is the end}
"""


def settings(**extra):
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
        "ANSIBLE_STDOUT_CALLBACK": "gatehouse.webapp.timeline",
        **extra,
    }


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("play")
    (folder / "hosts.yml").write_text(INVENTORY)
    (folder / "play.yml").write_text(PLAYBOOK)
    return [sys.executable, "-m", "ansible", "playbook", "-i", str(folder / "hosts.yml"), str(folder / "play.yml")]


@pytest.fixture(scope="module")
def plain(command):
    return subprocess.run(
        command, env=settings(), cwd=ROOT, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout


@pytest.fixture(scope="module")
def verbose(command):
    return subprocess.run(
        [*command, "-vv"],
        env=settings(),
        cwd=ROOT,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ).stdout


@pytest.fixture(scope="module")
def terminal(command):
    return on_terminal(command, settings(TERM="xterm", NO_COLOR="1", COLUMNS="100"))


def on_terminal(command, environment):
    """What a command writes to a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower
    )
    os.close(follower)
    written = b""
    try:
        while True:
            part = os.read(leader, 65536)
            if not part:
                break
            written += part
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    os.close(leader)
    process.wait()
    return written.decode().replace("\r\n", "\n")


def row(output, host):
    """A host's row of the table, which comes after the recap."""
    return next(
        line for line in output.split("PLAY RECAP")[1].splitlines() if line.startswith(f"{host} ") and " : " not in line
    )


def test_a_stage_has_a_line_when_it_starts_and_one_when_it_ends(plain):
    stages = re.findall(r"^\[ +[0-9.]+ s\] (\w+): (started|done|failed)", plain, re.M)
    names = ["prepare", "secrets", "probed", "guarded", "shown", "nothing", "last"]
    lines = [(name, word) for name in names for word in ("started", "failed" if name == "last" else "done")]
    assert stages == lines


def test_without_a_terminal_there_is_no_control_character(plain):
    assert not re.search(r"[^\n\x20-\x7e✗✓▸·–!]", plain)


def test_tasks_that_are_well_are_not_shown_one_by_one(plain):
    assert "Prepare" not in plain.split("PLAY RECAP")[0]
    assert "skipping" not in plain


def test_a_failure_looks_as_it_does_by_default(plain, verbose):
    assert "fatal: [app2]: FAILED! => \n    changed: false\n    msg: this is the end" in plain.split("TASK [Break]")[1]
    assert "fatal: [app2]: FAILED! => \n    changed: false\n    msg: this is the end" in verbose


def test_what_debug_says_is_shown(plain):
    assert "    app1  all is well again\n" in plain
    assert "    app1  hello two\n" in plain
    assert "All items completed" not in plain
    assert "    shown: nothing\n" in plain


def test_a_gate_that_stays_shut_says_why(plain):
    told = plain[plain.index("    app1  two ") : plain.index("probed: done")]
    assert re.match(r"    app1  two +failed after \d+\.\d ms \(1 attempt\)\n", told)
    assert "\n      cause     refused\n" in told
    assert "\n      hint      ss -ltnp" in told
    assert "attempts: 1" not in told  # the dump of the result would say no more


def test_a_gate_that_opens_is_told_once_for_each_item(plain):
    told = plain[plain.index("    app1  three ") : plain.index("probed: done")].splitlines()[:-1]
    assert [line.split() for line in told] == [["app1", "three", "nothing", "listens", "on", "port", "1"]]


def test_a_gate_of_a_secret_is_not_told(capsys):
    # Older versions of Ansible may leave more in such a result than today's.
    left = {"_ansible_no_log": True, "_ansible_verbose_always": True, "_ansible_item_label": "hunter2", "status": 200}
    for action, message in (("gatehouse.webapp.http_probe", ""), ("debug", "hunter2"), ("debug", {"a": "hunter2"})):
        task = types.SimpleNamespace(name="Probe", action=action, no_log="{{ true }}", _uuid="1")
        host = types.SimpleNamespace(get_name=lambda: "app1")
        result = types.SimpleNamespace(_result=dict(left, msg=message), _task=task, _host=host)
        callback = timeline.CallbackModule()
        callback._tell(result)
        assert callback._measured(result) is None
        assert not callback._is_value(result)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("output", ["plain", "verbose", "terminal"])
def test_what_no_log_hides_stays_hidden(output, request):
    text = request.getfixturevalue(output)
    assert "Fail with secrets" in text  # the task is told of, not what it said
    assert "hunter2" not in text


@pytest.mark.parametrize("output", ["plain", "verbose", "terminal"])
def test_the_table_tells_each_hosts_end(output, request):
    text = request.getfixturevalue(output)
    assert re.search(r" ok, 1 rescued, 4 ignored$", row(text, "app1"))
    assert re.search(r" failed, 2 ignored$", row(text, "app2"))
    assert row(text, "app1").split()[-7] == "–"  # the stage named nothing, in which all was skipped


@pytest.mark.parametrize("output", ["plain", "verbose", "terminal"])
def test_programs_find_the_recap_they_know(output, request):
    recap = r"^app2 +: ok=\d+ +changed=0 +unreachable=0 +failed=1 +skipped=\d+ +rescued=0 +ignored=2"
    assert re.search(recap, request.getfixturevalue(output), re.M)


def test_verbosity_brings_the_default_output_back(verbose):
    assert "TASK [Prepare] *" in verbose
    assert "skipping: [app1]" in verbose
    assert "started" not in verbose


def test_on_a_terminal_the_running_stage_is_drawn_in_place(terminal):
    assert re.search(r"\r\x1b\[2K▸ guarded +\d+ s   0/2 hosts   Fail on one host", terminal)
    # What stays of a line that is drawn again is what was drawn last.
    left = [line.split("\x1b[2K")[-1] for line in terminal.split("\n")]
    assert not [line for line in left if line.startswith("▸")]
    assert left.count("  guarded") == 1  # its name, above what is told of it
    assert re.match(r"✓ prepare +\d+\.\d s$", next(line for line in left if "prepare" in line))
    assert next(line for line in left if line.startswith("✗ last")).endswith("failed on app2")


def test_a_dumb_terminal_gets_plain_lines(command):
    written = on_terminal([*command, "--tags", "prepare"], settings(TERM="dumb", ANSIBLE_NOCOLOR="1"))
    assert "prepare: started" in written
    assert "\x1b" not in written


def test_check_mode_is_said(command):
    shown = subprocess.run(
        [*command, "--tags", "prepare", "--check"],
        env=settings(),
        cwd=ROOT,
        text=True,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    assert "Serve  (app1, app2)   check mode: nothing is changed\n" in shown
    assert re.search(r"^Total .* in check mode$", shown, re.M)


# The live line


class Display:
    def __init__(self, stream):
        self.stream = stream

    def display(self, text):
        self.stream.write(text + "\n")


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def live(stream):
    line = timeline.LiveLine(stream, threading.RLock(), lambda: 12)
    line.content = lambda: [("preflight runs", None)]
    return line


def test_the_line_is_cut_to_the_terminal(live, stream):
    live.draw()
    assert stream.getvalue() == "\r\x1b[2Kpreflight …"


def test_what_is_printed_comes_above_the_line(live, stream):
    display = Display(stream)
    live.stand_below(display)
    live.draw()
    display.display("a warning")
    assert stream.getvalue().endswith("…\r\x1b[2Ka warning\n")
    display.display("another")
    assert stream.getvalue().endswith("a warning\nanother\n")


def test_a_worker_does_not_touch_the_terminal(live, stream, monkeypatch):
    display = Display(stream)
    live.stand_below(display)
    live.draw()
    monkeypatch.setattr(timeline.os, "getpid", lambda: -1)
    display.display("a warning")
    assert stream.getvalue().endswith("…a warning\n")


def test_a_stopped_line_is_gone(live, stream):
    live.draw()
    live.stop()
    live.draw()
    assert stream.getvalue().endswith("…\r\x1b[2K")


def test_between_two_stages_there_is_no_line(live, stream):
    live.draw()
    live.content = lambda: None
    live.draw()
    assert stream.getvalue().endswith("…\r\x1b[2K")


# Documentation


def test_the_documentation_names_the_plugin():
    document = yaml.safe_load(timeline.DOCUMENTATION)
    assert document["name"] == Path(timeline.__file__).stem
    assert document["type"] == timeline.CallbackModule.CALLBACK_TYPE
    assert "gatehouse.webapp." + document["name"] == timeline.CallbackModule.CALLBACK_NAME
