"""Apps from a folder, from git and from an archive: what is on the host, and what runs."""

import json
import time

import pytest

PORTS = {"from-folder": 8000, "from-git": 8010, "from-archive": 8020}


def health(host, port):
    return json.loads(host.check_output(f"curl --silent --fail http://127.0.0.1:{port}/health"))


def main_pid(host, unit):
    return host.check_output(f"systemctl show -P MainPID {unit}")


@pytest.mark.parametrize(("name", "port"), PORTS.items())
def test_each_source_becomes_a_healthy_service(host, name, port):
    assert health(host, port)["status"] == "healthy"
    assert host.service(f"{name}@{port}").is_enabled


@pytest.mark.parametrize(("name", "port"), PORTS.items())
def test_the_live_release_is_whole_and_is_what_runs(host, name, port):
    live = host.check_output(f"readlink -f /srv/{name}/current")
    passed = json.loads(host.file(f"{live}/passed.json").content_string)
    assert port in [service["port"] for service in passed["services"]]
    assert json.loads(host.file(f"{live}/manifest.json").content_string)["app"] == name
    assert host.check_output(f"readlink /proc/{main_pid(host, f'{name}@{port}')}/cwd") == f"{live}/src"


def test_git_is_checked_out_at_the_tag(host):
    manifest = json.loads(host.file("/srv/from-git/current/manifest.json").content_string)
    assert manifest["revision"] == host.check_output("git -C /opt/source rev-parse v1")


def test_the_environment_arrives_byte_for_byte(host):
    pid = main_pid(host, "from-folder@8001")
    variables = host.check_output(f"cat /proc/{pid}/environ").split("\0")
    assert 'SECRET=a "quoted" $value with \\backslash, `ticks` and %percent' in variables
    assert "LINES=first\nsecond" in variables
    assert "PORT=8001" in variables


def test_no_other_user_sees_the_environment(host):
    for command in ("systemctl show from-folder@8000", "ps -ef", "systemctl cat from-folder@8000"):
        assert "quoted" not in host.check_output(f"runuser -u nobody -- {command}")
    assert host.run("runuser -u nobody -- ls /srv/from-folder/").rc != 0


def test_builds_run_as_a_user_of_their_own_and_leave_nothing_it_can_change(host):
    built = host.file("/srv/from-folder/current/src/built")
    assert built.content_string == "built by from-folder-build\n"
    assert built.user == "root"
    for user in ("from-folder", "from-folder-build"):
        assert host.check_output(f"find /srv/from-folder/releases -user {user}") == ""


def test_the_app_may_write_to_its_own_data_alone(host):
    inside = f"nsenter --target {main_pid(host, 'from-folder@8000')} --mount runuser -u from-folder --"
    assert host.run(f"{inside} touch /var/lib/from-folder/data").rc == 0
    for path in ("/srv/from-folder/current/src/x", "/etc/x", "/var/x", "/opt/x"):
        assert host.run(f"{inside} touch {path}").rc != 0


def test_limits_are_set(host):
    assert host.check_output("systemctl show -P MemoryMax from-folder@8000") == str(300 * 1024 * 1024)
    assert "IPAddressDeny=any" in host.check_output("systemctl cat from-archive@8020")


def test_the_log_is_kept_in_the_journal_and_in_a_file(host):
    path = "/var/log/from-folder/from-folder.log"
    pid = main_pid(host, "from-folder@8000")
    host.check_output(f"kill -9 {pid}")
    for _attempt in range(100):
        if "Application startup complete" in host.file(path).content_string:
            break
        time.sleep(0.1)
    assert "Application startup complete" in host.file(path).content_string
    assert "Application startup complete" in host.check_output("journalctl -u from-folder@8000 --no-pager -o cat")
    assert host.run("logrotate --debug /etc/logrotate.d/from-folder").rc == 0
    assert host.run("logrotate --force /etc/logrotate.d/from-folder").rc == 0
    assert host.file(f"{path}.1").exists
