"""What is found out about the machine."""

import pytest

from testbed import machine

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n# ID=other\nVERSION_ID="12"\n'
MINT = "ID=linuxmint\nID_LIKE='ubuntu debian'\n"
FEDORA = 'ID=fedora\nID_LIKE=""\n'


@pytest.mark.parametrize(("text", "expected"), [(DEBIAN, True), (MINT, True), (FEDORA, False), ("", False)])
def test_debian_family(text, expected):
    assert machine.is_debian_family(machine.os_release(text)) is expected


ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
"""


def test_the_device_of_the_default_route():
    assert machine.default_route_device(ROUTES) == "eth0"


def test_no_default_route():
    assert machine.default_route_device("\n".join(ROUTES.splitlines()[:3])) is None


def test_a_bundle_of_authorities_is_used_where_the_environment_names_one(tmp_path):
    bundle = tmp_path / "bundle.crt"
    bundle.write_text("certificates")
    assert machine.ca_bundle({"SSL_CERT_FILE": str(bundle)}) == bundle


@pytest.mark.parametrize("environment", [{}, {"SSL_CERT_FILE": ""}, {"SSL_CERT_FILE": "/nowhere/bundle.crt"}])
def test_no_bundle(environment):
    assert machine.ca_bundle(environment) is None
