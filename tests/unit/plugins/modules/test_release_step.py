"""What a step is given and what it is not, and what is told of what it prints. The unit itself is tested in test__build_unit.py."""

import contextlib

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._account import HOME
from ansible_collections.gatehouse.webapp.plugins.module_utils._build_unit import TIMED_OUT, Done
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.modules import release_step


class Unit:
    given = "/given"
    done = Done(0, "", [])

    def __init__(self, app, user, sandbox, state=None):
        self.user, self.state = user, state

    def lay_out(self):
        pass

    def run(self, argv, folder, seconds, environment, stdin, **options):
        self.asked = dict(
            options,
            user=self.user,
            state=self.state,
            argv=argv,
            folder=folder,
            seconds=seconds,
            environment=environment,
            stdin=stdin.read(),
        )
        return self.done


class Home:
    folder = "/given/home-1"
    mounts = [("/given/home-1", HOME), ("/given/home-1/.ssh", "/root/.ssh")]
    variables = {"SSH_AUTH_SOCK": HOME + "/.agent"}


@pytest.fixture
def step(monkeypatch):
    """Carry a step out: what the unit was asked, and what is told."""
    units, homes = [], []
    for name in ("BuildUnit", "AppUnit"):
        monkeypatch.setattr(
            release_step, name, lambda *given, **named: units.append(Unit(*given, **named)) or units[-1]
        )
    monkeypatch.setattr(release_step.Accounts, "builder", lambda self, user, app: (7, 8))
    monkeypatch.setattr(release_step, "end_those_of", lambda uid: homes.append("ended %d" % uid))
    monkeypatch.setattr(release_step, "read_own", lambda release, name: b'TOKEN="abcdef0123"\n')

    @contextlib.contextmanager
    def fetch_home(*given):
        homes.append(given)
        yield Home

    monkeypatch.setattr(release_step, "fetch_home", fetch_home)

    def carry_out(variables=None, done=None, **given):
        monkeypatch.setattr(Unit, "done", done or Done(0, "", []))
        options = {name: entry.get("default") for name, entry in release_step.ARGUMENTS.items()}
        options.update(app="shop", root="/srv/shop", id="r1", user="shop", build_user="shop-build", argv=["make"])
        told = release_step.carry_out({**options, **given}, variables or {})
        return units[-1].asked, told, homes

    return carry_out


def test_a_build_writes_to_the_code_and_the_cache_and_has_none_of_root_s_keys(step):
    asked, _told, homes = step(stdin="script", folder="src/web", timeout=9.0)
    assert asked["writable"] == ["/srv/shop/releases/r1/src", "/srv/shop/cache"]
    assert (asked["folder"], asked["seconds"], asked["stdin"]) == ("/srv/shop/releases/r1/src/web", 9.0, b"script")
    assert "mounts" not in asked
    assert homes == []


def test_it_writes_to_the_virtual_environment_where_there_is_one(step, tmp_path):
    venv = tmp_path / "releases" / "r1" / "venv"
    venv.mkdir(parents=True)
    asked, _told, _homes = step(root=str(tmp_path))
    assert str(venv) in asked["writable"]


def test_a_fetch_writes_to_the_code_alone_and_has_root_s_keys_in_place_of_the_cache(step):
    asked, _told, homes = step(step="fetch")
    assert asked["writable"] == ["/srv/shop/releases/r1/src"]
    assert asked["mounts"] == Home.mounts
    assert asked["hidden"] == ["/srv/shop/cache"]
    # What runs elsewhere as this user could look into that home.
    assert homes == ["ended 7", ("/given", (7, 8), HOME, None)]
    asked, _told, homes = step({"SSH_AUTH_SOCK": "/tmp/agent"}, step="fetch", environment={"HOME": "/srv/shop/cache"})
    assert homes[-1][-1] == "/tmp/agent"
    assert asked["environment"]["SSH_AUTH_SOCK"] == HOME + "/.agent"
    assert asked["environment"]["HOME"] == HOME


def test_what_runs_as_the_app_has_the_app_s_variables_and_home_and_nothing_of_root_s(step):
    asked, told, homes = step(
        {"PIP_INDEX_URL": "x", "HTTPS_PROXY": "x"},
        step="app",
        environment={"PORT": 8000},
        done=Done(1, "", ["token abcdef0123"]),
    )
    assert (asked["user"], asked["state"]) == ("shop", "shop")
    assert asked["environment"] == {"HOME": "/var/lib/shop", "PORT": 8000}
    assert asked["files"] == ["/srv/shop/releases/r1/env"]
    assert told["lines"] == ["token <TOKEN>"]
    assert not {"writable", "mounts", "hidden"} & set(asked)
    assert homes == []


def test_an_app_may_have_its_data_in_another_folder(step):
    asked, _told, _homes = step(step="app", user="old", home="/var/lib/old")
    assert (asked["user"], asked["state"]) == ("old", "old")
    assert asked["environment"]["HOME"] == "/var/lib/old"


@pytest.mark.parametrize("home", ["/home/shop", "/var/lib", "/var/lib/../shop", "/"])
def test_a_home_that_is_no_data_folder_is_refused(step, home):
    with pytest.raises(GatehouseError) as caught:
        step(step="app", home=home)
    assert caught.value.cause == "bad_input"


def test_the_app_s_environment_is_read_by_systemd_and_only_where_it_is_asked_for(step):
    assert "files" not in step()[0]
    assert step(app_environment=True)[0]["files"] == ["/srv/shop/releases/r1/env"]


@pytest.mark.parametrize(
    "name",
    [
        "https_proxy", "HTTP_PROXY", "no_proxy", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS", "PIP_INDEX_URL", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY", "npm_config_registry", "PIP_CERT",
    ],
)  # fmt: skip
def test_how_the_host_reaches_others_is_passed_on(step, name):
    assert step({name: "x"})[0]["environment"][name] == "x"
    assert step({name: "x"}, environment={name: "the task's"})[0]["environment"][name] == "the task's"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "SUDO_USER", "SSH_AUTH_SOCK", "UV_CACHE_DIR", "PIP_CACHE_DIR", "npm_config_cache",
        "NPM_CONFIG_USERCONFIG", "PIP_CONFIG_FILE", "npm_config_prefix", "PNPM_HOME", "GIT_SSH_COMMAND", "HTTP_PROXY_PASSWORD",
    ],
)  # fmt: skip
def test_nothing_else_of_root_s_is(step, name):
    assert set(step({name: "x"})[0]["environment"]) == {"HOME", "XDG_CACHE_HOME"}


def test_git_s_own_variables_are_passed_on_to_what_fetches(step):
    assert step({"GIT_SSH_COMMAND": "ssh -4"}, step="fetch")[0]["environment"]["GIT_SSH_COMMAND"] == "ssh -4"


def test_values_and_passwords_in_addresses_are_masked_and_paths_are_not(step, tmp_path):
    done = Done(
        1,
        "token abcdef0123 in %s" % tmp_path,
        ["fatal: unable to access 'https://me:hush@forge.example.com/x'", "1 file, token abcdef0123"],
    )
    environment = {"TOKEN": "abcdef0123", "CI": "1", "HOME": str(tmp_path)}
    _asked, told, _homes = step(done=done, environment=environment)
    assert told["stdout"] == "token <TOKEN> in %s" % tmp_path
    assert told["lines"] == ["fatal: unable to access 'https://***@forge.example.com/x'", "1 file, token <TOKEN>"]


def test_values_of_the_app_s_environment_are_masked_where_the_step_has_them(step):
    done = Done(1, "", ["token abcdef0123"])
    assert step(done=done, app_environment=True)[1]["lines"] == ["token <TOKEN>"]
    assert step(done=done)[1]["lines"] == ["token abcdef0123"]


def test_no_part_of_a_value_is_left_where_a_line_is_cut_or_a_value_has_several_lines(step):
    values = {
        "LONG": "s3cret" * 500,
        "KEY": "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n-----END KEY-----",
        "WORD": "BoundaryValue",
    }
    lines = ["x" * 1995 + values["WORD"], "the key: " + values["LONG"], *values["KEY"].splitlines()]
    told = step(done=Done(1, "\n".join(lines), lines), environment=values)[1]
    shown = ["x" * 1995 + "<WORD", "the key: <LONG>", "<KEY>", "<KEY>", "<KEY>"]
    assert told["lines"] == shown
    assert told["stdout"].splitlines() == shown


def test_a_status_is_told_and_is_no_failure_of_the_task(step):
    told = step(done=Done(3, "", ["no"]))[1]
    assert (told["status"], told["timed_out"]) == (3, False)
    assert "rc" not in told  # Ansible takes that for a failure by itself
    assert step(done=Done(TIMED_OUT, "", []))[1]["timed_out"] is True
