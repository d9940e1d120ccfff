"""What an app, its dependencies or its archive may try on the host, and what root makes of what they leave."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from testbed.plays import Run

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
SOURCES = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
INVENTORY = SOURCES / "inventory"
HOST = "gatehouse-" + SCENARIO.name

NEIGHBOUR, SHOP, PAGE = yaml.safe_load((SCENARIO / "vars" / "main.yml").read_text())["webapp_apps"]
ATTACKS = {
    "shop": dict(
        SHOP,
        source={"directory": f"{SOURCES}/shop-attacks"},
        # By pip, which runs a package's setup.py, as uv does; the others are installed by uv, since pip takes its time.
        uvicorn=dict(SHOP["uvicorn"], installer="pip"),
        build=["python attack.py build.json"],
        migrate=["python attack.py ~/migration.json", "(trap '' TERM; setsid sleep 300) & sleep 0.1; date >> ~/times"],
        # How the app's own service lives is not how its migration does.
        sandbox={"overrides": {"KillMode": "process", "Restart": "always"}},
    ),
    "page": dict(PAGE, source={"directory": f"{SOURCES}/page-attacks"}, build=["python3 attack.py build.json"]),
}
# Where each report lies below a release. Both have been written by code of others: a dependency's, and the app's own.
REPORTS = {
    ("shop", "install"): "venv/install.json",
    ("shop", "build"): "src/build.json",
    ("page", "install"): "src/install.json",
    ("page", "build"): "src/build.json",
}
PASSWORD = "the-forges-password"


def deploy(*apps):
    return Run(INVENTORY, SCENARIO / "converge.yml", {"webapp_apps": list(apps)})


def release(**arguments):
    """What the module says when it is called by itself."""
    arguments = {"root": "/srv/shop", "user": "shop", "build_user": "shop-build", "inputs": {}, **arguments}
    command = ["ansible", HOST, "-i", INVENTORY, "-m", "gatehouse.webapp.release", "-a", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def attacked(host):
    """The releases that were made while all attacks were tried: {app: folder}."""
    honest = {app: host.check_output(f"readlink -f /srv/{app}/current") for app in ATTACKS}
    run = deploy(NEIGHBOUR, *ATTACKS.values())
    assert run.status == 0, run.failure["msg"]
    releases = {app: host.check_output(f"readlink -f /srv/{app}/current") for app in ATTACKS}
    assert all(releases[app] != honest[app] for app in ATTACKS)
    return releases


@pytest.mark.parametrize(("app", "step"), REPORTS)
def test_every_attack_is_refused(host, attacked, app, step):
    told = json.loads(host.file(f"{attacked[app]}/{REPORTS[app, step]}").content_string)
    assert len(told) > 40
    assert {name for name, how in told.items() if not how.startswith("refused")} == set()
    # What was not there at all was not refused by anybody. Processes of others are hidden, and a page has no unit.
    missing = {name for name, how in told.items() if "No such file" in how}
    assert missing <= {"read the environment of the first process", *(["remove the unit"] if app == "page" else [])}


def test_a_migration_may_do_what_the_app_may_and_no_more(host, attacked):
    told = json.loads(host.file("/var/lib/shop/migration.json").content_string)
    assert {name for name, how in told.items() if not how.startswith("refused")} == {
        "write to the app's data",
        "write what PM2 keeps",
        "let somebody in who has a key",  # it can write the key, see below
        "ask others by the system's bus",
    }


def test_a_migration_runs_once_and_leaves_nothing_behind(host, attacked):
    assert len(host.check_output("cat /var/lib/shop/times").splitlines()) == 1
    assert host.run("pgrep -u shop -x sleep").rc == 1
    assert host.check_output("systemctl list-units --all --no-legend 'gatehouse-run-*'") == ""


def test_a_failing_migration_shows_no_part_of_a_value(host):
    key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n-----END KEY-----"
    tell = 'printf %01995d 0; echo $SECRET; echo "$KEY"; exit 3'
    run = deploy(dict(SHOP, migrate=[tell], env=dict(SHOP["env"], KEY=key)))
    assert run.status != 0
    message = run.failure["msg"]
    assert "0<SECR\n<KEY>\n<KEY>\n<KEY>\nthis one failed with exit status 3: " in message, message
    assert "What runs was not touched." in message
    assert "MIIEpAIBAAKCAQEA" not in message


def test_nobody_logs_in_as_the_app_with_a_key_that_the_app_has_put_there(host):
    host.check_output(
        "install -d -o shop -g shop -m 0700 /var/lib/shop/.ssh &&"
        "install -o shop -g shop -m 0600 /root/.ssh/deploy/key.pub /var/lib/shop/.ssh/authorized_keys"
    )
    # Its shell is none. But sshd would pass on connections, past the sandbox.
    command = "timeout 10 ssh -F none -i /root/.ssh/deploy/key -o BatchMode=yes -o StrictHostKeyChecking=no"
    assert host.run(f"{command} git@127.0.0.1 true").rc == 128, "the key itself is good: git-shell answers"
    done = host.run(f"echo | {command} -W 127.0.0.1:8000 shop@127.0.0.1")
    assert done.rc == 255
    assert "expired" in done.stderr, done.stderr


def test_what_reads_the_journal_is_no_process_of_the_app_s(host):
    reader = host.check_output("systemctl show -P MainPID shop-log")
    app = host.check_output("systemctl show -P MainPID shop@8000")
    assert host.check_output(f"ps -o user:20= -p {reader}") == "gatehouse-log"
    for act in (
        f"kill -0 {reader}",
        f"cat /proc/{reader}/environ",
        "touch /var/log/shop/planted",
        "journalctl -n 1 -q --no-pager",
    ):
        assert host.run(f"nsenter --target {app} --mount runuser -u shop -- {act}").stdout == "", act
    assert host.run(f"runuser -u shop -- kill -0 {reader}").rc != 0
    assert not host.file("/var/log/shop/planted").exists
    assert host.run("runuser -u shop -- head -c 1 /var/log/shop/shop.log").rc == 0


def test_a_log_that_the_app_s_user_kept_becomes_the_reader_s(host, attacked):
    """As it was before 0.4."""
    host.check_output(
        "sed -i 's/^User=.*/User=shop/' /etc/systemd/system/shop-log.service && systemctl daemon-reload && systemctl restart shop-log &&"
        "ln -s /root/precious/key /var/log/shop/link && rm /var/log/shop/shop.log && mkfifo /var/log/shop/shop.log"
    )
    assert host.check_output("stat -c %U /var/log/shop") == "shop"
    run = deploy(ATTACKS["shop"])
    assert run.status == 0, run.failure["msg"]
    reader = host.check_output("systemctl show -P MainPID shop-log")
    assert host.check_output(f"ps -o user:20= -p {reader}") == "gatehouse-log"
    assert host.check_output("find /var/log/shop -printf '%p %y %u %g %m\n' | sort") == (
        "/var/log/shop d gatehouse-log shop 750\n/var/log/shop/shop.log f gatehouse-log shop 640"
    )
    assert host.check_output("stat -c %U /root/precious/key") == "root"


def test_the_diagnosis_reads_no_file_of_root_s_that_a_process_calls_its_log(host):
    host.check_output(
        "install -d -o nobody /tmp/pm2 && echo known-to-root-alone > /root/precious/note && chmod 0600 /root/precious/note &&"
        "ln -sfn /root/precious/note /tmp/pm2/pm2.log && mkfifo -m 0666 /tmp/pm2/pm2.pid &&"
        "systemd-run --quiet --unit=pretender --property=User=nobody --setenv=PM2_HOME=/tmp/pm2 python3 -c 'import time; time.sleep(600)'"
        " pm2-runtime"
    )
    module = "gatehouse.webapp.diagnose_host"
    command = ["ansible", HOST, "-i", INVENTORY, "-m", module, "-a", json.dumps({"apps": [ATTACKS["shop"]]}), "-vvv"]
    variables = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=variables).stdout
    host.check_output("systemctl stop pretender; rm -r /tmp/pm2")
    assert '"pm2_log": []' in told
    assert "known-to-root-alone" not in told


@pytest.mark.parametrize(
    ("name", "comment"), [("shop-build", "gatehouse build of shop"), ("ledger", "Ledger Server,,,")]
)
def test_a_user_that_is_somebody_else_s_runs_no_app(host, name, comment):
    host.run("useradd --system --comment 'Ledger Server,,,' ledger")
    run = deploy(dict(PAGE, name=name))
    assert run.status != 0
    assert f"there is a user {name} already" in run.failure["msg"]
    assert f"usermod --comment 'gatehouse app {name}' {name}" in run.failure["hint"]
    assert host.check_output(f"getent passwd {name}").split(":")[4] == comment
    assert not host.file(f"/srv/{name}").exists


def test_a_folder_of_another_service_does_not_become_the_app_s(host):
    """As cloud-init's, of which root runs what lies there at the next boot."""
    host.check_output("mkdir -p /var/lib/provision/per-boot && echo 'echo hello' > /var/lib/provision/per-boot/run.sh")
    run = deploy(dict(SHOP, name="provision", port=8200, log_file=False))
    assert run.status != 0
    assert "/var/lib/provision is there already, and it belongs to root" in run.failure["msg"]
    assert host.check_output("stat -c %U /var/lib/provision /var/lib/provision/per-boot/run.sh | sort -u") == "root"
    assert not host.file("/srv/provision").exists


@pytest.mark.parametrize("app", ATTACKS)
def test_what_was_built_is_root_s_alone(host, attacked, app):
    for unwanted in ("! -user root", "-perm /6000", "-perm /0022 ! -type l", "-type f -links +1", "-name .git"):
        assert host.check_output(f"find {attacked[app]} {unwanted}") == "", unwanted
    assert host.check_output(f"cat {attacked[app]}/src/shared") == "the cache's"
    kept = host.file(f"/srv/{app}/cache/kept")
    assert (kept.user, kept.content_string) == (f"{app}-build", "the cache's")


def test_nothing_of_a_build_goes_on_or_is_left(host, attacked):
    for app in ATTACKS:
        assert host.run(f"pgrep -u {app}-build").rc == 1
        # A failed release stays until the next is staged.
        assert host.check_output(f"find / /dev/shm /run -xdev -user {app}-build -not -path '/srv/{app}/*'") == ""
        assert host.file(f"{attacked[app]}/src/later").size > 0  # it was under way
    for path in ("/tmp/planted", "/var/tmp/planted", "/dev/shm/planted", "/run/planted"):
        assert not host.file(path).exists, path
    assert host.check_output("find /run/gatehouse/build -mindepth 2") == ""
    assert host.check_output("systemctl list-units --all --no-legend 'gatehouse-build-*'") == ""


def test_the_app_runs_by_the_unit_and_the_variables_that_root_wrote(host, attacked):
    unit = "shop@8000.service"
    assert host.check_output(f"systemctl show -P User {unit}") == "shop"
    pid = host.check_output(f"systemctl show -P MainPID {unit}")
    assert host.check_output(f"stat -c %U /proc/{pid}") == "shop"
    variables = host.check_output(f"cat /proc/{pid}/environ").split("\0")
    assert "SECRET=the-shops-secret" in variables
    assert not any("neighbour" in variable for variable in variables)


def test_code_comes_by_root_s_key_which_a_build_can_t_see(host):
    assert host.file("/srv/neighbour/current/src/app/ok.py").exists
    seen = host.file("/srv/neighbour/current/src/seen").content_string
    assert ".ssh" not in seen
    assert "key" not in seen


def test_the_users_that_build_have_a_home_in_which_they_can_leave_nothing(host, attacked):
    for app in ATTACKS:
        assert host.user(f"{app}-build").home == "/run/gatehouse/home"
    assert host.check_output("stat -c '%U %a' /run/gatehouse/home") == "root 755"
    assert host.check_output("ls -A /run/gatehouse/home") == ""


def test_a_failed_build_shows_its_last_lines_and_neither_values_nor_what_a_terminal_obeys(host):
    """Also where it has passed its output to somebody else, who keeps it open."""
    give = (
        "import array, socket; c = socket.socket(socket.AF_UNIX); c.connect(chr(0) + 'holder');"
        "c.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [2]))]); c.recv(1)"
    )
    tell = r"printf 'first\n\033[31mred\033[0m \033]0;title\007\n'; echo $SECRET; exit 3"
    run = deploy(dict(SHOP, build=[f'python -c "{give}"', tell]))
    assert run.status != 0
    message = run.failure["msg"]
    assert "\nfirst\nred \\x1b]0;title\\x07\n<SECRET>\nthis one failed with exit status 3: " in message, message
    assert "the-shops-secret" not in message


def test_a_folder_that_is_deeper_than_a_path_is_refused_and_the_next_deploy_goes_on(host):
    dig = "python3 -c \"import os; [(os.mkdir('d'), os.chdir('d')) for level in range(1500)]\""
    for _attempt in range(2):
        run = deploy(dict(SHOP, build=[dig]))
        assert run.status != 0
        assert "folders deep" in run.failure["msg"]
    host.check_output("touch -d '2 days ago' /srv/shop/releases/*")
    status, told = release(state="pruned")
    assert status == 0, told


def test_what_root_can_t_take_over_is_refused_by_name(host):
    honest = host.check_output("readlink -f /srv/shop/current")
    before = host.check_output("find /root/precious -printf '%p %u %m %T@\n'")
    source = {"git": f"http://deploy:{PASSWORD}@127.0.0.1:8300/planted.git", "version": "main"}
    run = deploy(dict(SHOP, source=source, build=["grep -rs forges-password . ~ > told || true", "python refuse.py"]))
    assert run.status != 0
    message = run.failure["msg"]
    for named in (
        "src/held is held open by process",
        "src/logs is a link that leaves the release, to /root/precious",
        "src/pipe is a pipe",
        "src/socket is a socket",
        "src/up is a link that leaves the release, to ../../../../root/precious",
        "venv/bin/python0 is a link that leaves the release, to /srv/shop/cache/python3",
    ):
        assert named in message, message
    assert PASSWORD not in json.dumps(run.failure)
    assert host.check_output("cat /srv/shop/releases/*/src/told") == ""
    assert host.check_output("find /root/precious -printf '%p %u %m %T@\n'") == before
    assert host.check_output("readlink -f /srv/shop/current") == honest
    assert host.run("curl --fail --silent http://127.0.0.1:8000/health").rc == 0


def climbing_tar(archive):
    """Links, each harmless as text, that climb when they are followed one after the other."""
    with tarfile.open(archive, "w") as tar:

        def add(name, **attributes):
            info = tarfile.TarInfo(name)
            for key, value in attributes.items():
                setattr(info, key, value)
            content = b"* * * * * root touch /run/planted\n" if info.isreg() else b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))

        for name in ("p", "p/q"):
            add(name, type=tarfile.DIRTYPE, mode=0o755)
        add("p/q/r", type=tarfile.SYMTYPE, linkname=".")
        # As text it leads to p/q/etc/cron.d; followed, twelve folders up and then there.
        add("p/q/up", type=tarfile.SYMTYPE, linkname="r/" * 12 + "../" * 12 + "etc/cron.d")
        add("p/q/up/planted")


def hard_tar(archive):
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo("shadow")
        info.type, info.linkname = tarfile.LNKTYPE, "../../../../../etc/shadow"
        tar.addfile(info)


def device_tar(archive):
    with tarfile.open(archive, "w") as tar:
        info = tarfile.TarInfo("null")
        info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 3
        tar.addfile(info)


def upward_zip(archive):
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../../../../etc/cron.d/planted", "* * * * * root touch /run/planted\n")


def linked_zip(archive):
    with zipfile.ZipFile(archive, "w") as file:
        info = zipfile.ZipInfo("jobs")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/cron.d")
        file.writestr("jobs/planted", "* * * * * root touch /run/planted\n")


@pytest.mark.parametrize(
    ("pack", "member"),
    [
        (climbing_tar, "planted"),
        (hard_tar, "shadow"),
        (device_tar, "null"),
        (upward_zip, "planted"),
        (linked_zip, "jobs"),
    ],
)
def test_an_archive_writes_to_its_own_folder_alone(host, tmp_path, pack, member):
    archive = tmp_path / "source"
    pack(archive)
    status, told = release(archive=str(archive))
    assert status != 0
    assert "the source can't be unpacked" in told
    assert member in told
    assert not host.file("/etc/cron.d/planted").exists
    assert host.check_output("stat -c '%U %a' /etc/shadow") == "root 640"


def test_a_download_that_can_not_be_unpacked_is_told_and_not_kept(host):
    checksum = "sha256:" + hashlib.sha256(b"no archive").hexdigest()
    source = {"archive": "http://127.0.0.1:8300/broken.tar.gz", "checksum": checksum}
    run = deploy(dict(SHOP, source=source))
    assert run.status != 0
    assert "it can't be read as a tar or zip file: it is none, or cut off" in run.failure["msg"]
    assert host.check_output("find /srv/shop -maxdepth 1 -name 'source-*'") == ""


def test_a_release_is_activated_as_root_wrote_it_or_not_at_all(host, attacked):
    target = host.check_output("readlink -f /srv/shop/staged")
    host.check_output(f"cp -p {target}/env /root/env && ln -sf /srv/neighbour/current/env {target}/env")
    try:
        run = Run(INVENTORY, SCENARIO / "converge.yml", {"webapp_apps": [ATTACKS["shop"]]})
        assert run.status != 0
        assert "env of the release" in run.failure["msg"]
        assert "is a link" in run.failure["msg"]
    finally:
        host.check_output(f"mv -T /root/env {target}/env")
