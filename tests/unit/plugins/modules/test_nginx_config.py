"""The module's own part: its options, what it says of a host without nginx, and that its documents agree."""

import pytest
import yaml

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.modules import nginx_config

DOCUMENTED = yaml.safe_load(nginx_config.DOCUMENTATION)["options"]


@pytest.fixture
def params(tmp_path):
    return {
        "files": {"a.conf": "gzip on;\n"},
        "root": str(tmp_path),
        "set": "gatehouse",
        "main": False,
        "absent": [],
        "service": "nginx.service",
        "timeout": 10.0,
    }


@pytest.fixture
def spec(monkeypatch):
    """The argument spec that main() hands to AnsibleModule."""

    class Seen(Exception):
        pass

    def see(argument_spec, **_options):
        raise Seen(argument_spec)

    monkeypatch.setattr(nginx_config, "AnsibleModule", see)
    with pytest.raises(Seen) as seen:
        nginx_config.main()
    return seen.value.args[0]


def test_the_documentation_agrees_with_the_spec(spec):
    assert set(DOCUMENTED) == set(spec)
    for name, option in spec.items():
        for key in ("type", "default", "required", "elements"):
            assert DOCUMENTED[name].get(key) == option.get(key), (name, key)


@pytest.mark.parametrize("seconds", [0, -1.5])
def test_a_timeout_has_to_be_positive(params, seconds):
    with pytest.raises(GatehouseError) as caught:
        nginx_config.converge(dict(params, timeout=seconds), "/usr/sbin/nginx", check=False)
    assert caught.value.cause == "bad_input"
    assert "timeout: 10" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "nginx", "named"),
    [({}, None, "no nginx command"), ({"root": "/nonexistent/nginx"}, "/usr/sbin/nginx", "/nonexistent/nginx")],
)
def test_a_host_without_nginx(params, changes, nginx, named):
    with pytest.raises(GatehouseError) as caught:
        nginx_config.converge(dict(params, **changes), nginx, check=False)
    assert caught.value.cause == "not_installed"
    assert named in caught.value.message
    # In check mode the play has not installed it: nothing to test with, and no failure.
    result = nginx_config.converge(dict(params, **changes), nginx, check=True)
    assert result["changed"] is True
    assert named in result["warnings"][0]


def test_a_bad_path_is_refused_also_without_nginx(params):
    with pytest.raises(GatehouseError) as caught:
        nginx_config.converge(dict(params, files={"/etc/passwd": ""}), None, check=True)
    assert caught.value.cause == "bad_input"
