"""What a host serves now, by what deploys have left on it."""

import json

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _serves
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError


@pytest.fixture
def host(tmp_path):
    """A host with folders of its own: gives a function that looks at it."""
    for name in ("srv", "units"):
        (tmp_path / name).mkdir()

    def look():
        paths = [tmp_path / name for name in ("srv", "units", "sites.conf")]
        nginx = [str(tmp_path / "nginx.pid"), str(tmp_path / "wanted")]
        return _serves.look(*map(str, paths), nginx=nginx, ufw=str(tmp_path / "ufw.conf"))

    look.path = tmp_path
    look.targets = lambda release=None: _serves.targets(release, str(tmp_path / "srv"))
    return look


def deploy(host, name, release="one", after=None, sealed=1):
    folder = host.path / "srv" / name / "releases" / release
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"sealed": sealed}))
    (folder / "passed.json").write_text(json.dumps({"after": after}))
    current = host.path / "srv" / name / "current"
    if current.is_symlink():
        current.unlink()
    current.symlink_to(f"releases/{release}")


def test_a_fresh_host_serves_nothing(host, tmp_path):
    assert host() == {"apps": {}, "names": [], "ports": [], "firewall": False}
    gone = str(tmp_path / "gone")
    assert _serves.look(gone, gone, gone, [gone], gone) == host()
    assert _serves.targets(None, gone) == {}


def test_apps_are_those_with_a_live_release(host):
    deploy(host, "shop")
    (host.path / "srv" / "ftp" / "current").mkdir(parents=True)
    (host.path / "srv" / "staged" / "releases" / "one").mkdir(parents=True)
    (host.path / "srv" / "file").write_text("")
    assert host()["apps"] == {"shop": []}


def test_ports_are_those_of_the_apps_units(host):
    deploy(host, "shop")
    deploy(host, "shop-web")
    units = [
        "shop@8000.service",
        "shop@18001.service",
        "shop-web@3000.service",
        "shop-log.service",
        "shop@x.service",
        "shop@.service",
    ]
    for name in units:
        (host.path / "units" / name).write_text("")
    assert host()["apps"] == {"shop": [8000, 18001], "shop-web": [3000]}


SITES = """
# Site shop
server {
    listen 80;
    server_name Shop.example.com www.shop.example.com;
    location / { root /srv/www; add_header X "server_name not.a.name;"; }
}
server { listen 443 ssl; server_name shop.example.com; # server_name comment.example.com
}
server { listen 8080 default_server; server_name _; location / { proxy_pass http://shop; } }
"""


def test_names_are_those_of_the_servers_of_our_set(host):
    (host.path / "sites.conf").write_text(SITES)
    for mark in ("nginx.pid", "wanted"):
        (host.path / mark).symlink_to("anywhere")
        assert host()["names"] == ["_", "shop.example.com", "www.shop.example.com"]
        assert host()["ports"] == [80, 443, 8080]
        (host.path / mark).unlink()


def test_nginx_that_was_stopped_for_good_serves_nothing(host):
    (host.path / "sites.conf").write_text(SITES)
    assert (host()["names"], host()["ports"]) == ([], [])


@pytest.mark.parametrize(("text", "filters"), [("# x\nENABLED=yes\n", True), ("ENABLED=no\n", False), ("", False)])
def test_whether_ufw_filters(host, text, filters):
    (host.path / "ufw.conf").write_text(text)
    assert host()["firewall"] is filters


def test_a_set_without_sites_has_no_name(host):
    (host.path / "nginx.pid").write_text("1")
    (host.path / "sites.conf").write_text("server { listen 80 default_server; server_name _; return 444; }\n")
    assert host()["names"] == []


def test_a_rollback_goes_to_the_release_before(host):
    deploy(host, "shop", "one")
    assert host.targets() == {"shop": {"target": None, "releases": ["one"]}}
    deploy(host, "shop", "two", after="one", sealed=2)
    assert host.targets() == {"shop": {"target": "one", "releases": ["two", "one"]}}


def test_a_rollback_to_a_named_release(host):
    deploy(host, "shop", "one")
    deploy(host, "blog", "two")
    found = host.targets("one")
    assert found == {"shop": {"target": "one", "releases": ["one"]}, "blog": {"target": None, "releases": ["two"]}}
    with pytest.raises(GatehouseError, match="can't name a release"):
        host.targets("../one")
