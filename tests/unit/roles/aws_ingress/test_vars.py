"""What is let in, and which group is meant."""

import pytest

APPS = [
    {
        "name": "api",
        "runtime": "uvicorn",
        "source": {"directory": "."},
        "uvicorn": {"target": "a:app"},
        "port": 8000,
        "health": {"path": "/"},
        "expose": ["10.0.0.5"],
    }
]
SITES = [{"name": "web", "default": True, "routes": [{"path": "/", "app": "api"}]}]
# The answers of the metadata, as ansible.builtin.uri registers them.
METADATA = {
    "__aws_ingress_metadata": {"results": [{"content": "02:42:ac:11:00:0a"}, {"content": "eu-central-1"}]},
    "__aws_ingress_own_groups": {"content": "sg-1\nsg-2"},
}


def openings(value_of, **host):
    found = value_of("aws_ingress", "__aws_ingress_openings", aws_ingress_apps=APPS, aws_ingress_sites=SITES, **host)
    return [(one["ports"], one["from"], one["reason"]) for one in found]


SITE = [("80", "0.0.0.0/0", "gatehouse: site web"), ("80", "::/0", "gatehouse: site web")]


def test_what_the_model_opens_and_exposes(value_of):
    assert openings(value_of) == [*SITE, ("8000", "10.0.0.5/32", "gatehouse: app api")]
    assert openings(value_of, aws_ingress_expose=False) == SITE


def test_ssh_from_each_network_on_each_port_and_then_the_rules_of_the_user(value_of):
    found = openings(
        value_of,
        aws_ingress_expose=False,
        aws_ingress_ssh_from=["192.0.2.0/24", "2001:db8::/32"],
        aws_ingress_ssh_ports=[22, 2222],
        aws_ingress_rules=[{"port": 9100, "from": "198.51.100.7", "comment": "metrics"}],
    )
    assert found == [
        *SITE,
        ("22", "192.0.2.0/24", "gatehouse: SSH"),
        ("2222", "192.0.2.0/24", "gatehouse: SSH"),
        ("22", "2001:db8::/32", "gatehouse: SSH"),
        ("2222", "2001:db8::/32", "gatehouse: SSH"),
        ("9100", "198.51.100.7/32", "gatehouse: metrics"),
    ]


@pytest.mark.parametrize(
    ("host", "filters", "region"),
    [
        ({"aws_ingress_group_id": "sg-9"}, {"group-id": ["sg-9"]}, ""),
        ({"aws_ingress_group_name": "web"}, {"group-name": "web"}, ""),
        (
            {"aws_ingress_group_name": "web", "aws_ingress_vpc_id": "vpc-1", "aws_ingress_region": "us-east-1"},
            {"group-name": "web", "vpc-id": "vpc-1"},
            "us-east-1",
        ),
        (METADATA, {"group-id": ["sg-1", "sg-2"]}, "eu-central-1"),
        ({**METADATA, "aws_ingress_region": "us-east-1"}, {"group-id": ["sg-1", "sg-2"]}, "us-east-1"),
        # An id that is given wins over what a former play asked.
        ({**METADATA, "aws_ingress_group_id": "sg-9"}, {"group-id": ["sg-9"]}, ""),
        ({**METADATA, "aws_ingress_group_name": "web"}, {"group-name": "web"}, ""),
    ],
)
def test_which_group_is_meant(value_of, host, filters, region):
    assert value_of("aws_ingress", "__aws_ingress_filters", **host) == filters
    assert value_of("aws_ingress", "__aws_ingress_group", **host)["region"] == region


@pytest.mark.parametrize(
    ("host", "ports"),
    [
        ({}, [22]),
        ({"ansible_connection": "ansible.builtin.ssh", "ansible_port": 2222}, [2222]),
        ({"ansible_connection": "amazon.aws.aws_ssm"}, []),
        ({"ansible_connection": "community.docker.docker"}, []),
    ],
)
def test_ssh_is_needed_where_ansible_comes_by_it(value_of, host, ports):
    assert value_of("aws_ingress", "__aws_ingress_needs_ssh", **host) == ports
