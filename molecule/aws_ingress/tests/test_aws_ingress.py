"""What the group lets in, asked of the cloud itself."""

import json
import os
from pathlib import Path

import boto3
import pytest

from testbed.plays import Run

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
EPHEMERAL = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
INVENTORY = EPHEMERAL / "inventory"
CLOUD = json.loads((EPHEMERAL / "cloud.json").read_text())
FIRST, SECOND = CLOUD["groups"]
HOST = "gatehouse-aws_ingress"
ALONE = ["--limit", HOST]
# What is under test is the cloud, not each of the two hosts.
testinfra_hosts = ["ansible://" + HOST]

BY_HAND = ("tcp", 443, 443, "0.0.0.0/0", "by hand")
SITE = [("tcp", 80, 80, source, "gatehouse: site web") for source in ("0.0.0.0/0", "::/0")]
SSH = [("tcp", 22, 22, source, "gatehouse: SSH") for source in ("192.0.2.0/24", "2001:db8::/32")]


@pytest.fixture
def cloud():
    return boto3.client(
        "ec2",
        endpoint_url=CLOUD["endpoint"],
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture(autouse=True)
def second_group_put_back(cloud):
    """As it was made: one rule by hand."""
    made = group_of(cloud, SECOND)["IpPermissions"]
    yield
    cloud.revoke_security_group_ingress(GroupId=SECOND["id"], IpPermissions=group_of(cloud, SECOND)["IpPermissions"])
    cloud.authorize_security_group_ingress(GroupId=SECOND["id"], IpPermissions=made)


def group_of(cloud, group):
    return cloud.describe_security_groups(GroupIds=[group["id"]])["SecurityGroups"][0]


def let_in(cloud, group):
    found = []
    for permission in group_of(cloud, group)["IpPermissions"]:
        sources = [(one["CidrIp"], one.get("Description")) for one in permission.get("IpRanges", [])]
        sources += [(one["CidrIpv6"], one.get("Description")) for one in permission.get("Ipv6Ranges", [])]
        found += [
            (permission["IpProtocol"], permission["FromPort"], permission["ToPort"], source, description)
            for source, description in sources
        ]
    return sorted(found)


def converge(arguments=(), **variables):
    return Run(INVENTORY, SCENARIO / "converge.yml", variables, arguments)


def in_second(**variables):
    """Of the two groups named web, the one that no instance is in."""
    named = {"aws_ingress_group_name": "web", "aws_ingress_vpc_id": SECOND["vpc"], "aws_ingress_region": "eu-central-1"}
    return {**named, "aws_ingress_rules": [], **variables}


def refused(run):
    assert run.status != 0, run.text
    assert not run.changed
    return str(run.failure["msg"])


def test_the_group_of_the_instance_has_what_all_its_hosts_want(cloud):
    assert let_in(cloud, FIRST) == sorted(
        [
            BY_HAND,
            *SITE,
            *SSH,
            ("tcp", 443, 443, "::/0", "gatehouse: web"),
            ("tcp", 9100, 9100, "198.51.100.7/32", "gatehouse: metrics"),
            ("udp", 6000, 6007, "198.51.100.0/24", "gatehouse: voice"),
        ]
    )


def test_nothing_else_of_the_group_is_touched(cloud):
    group = group_of(cloud, FIRST)
    assert (group["Description"], len(group["IpPermissionsEgress"])) == ("Made by hand", 1)
    assert let_in(cloud, SECOND) == [BY_HAND]


def test_by_name_and_vpc_then_exact_by_id(cloud):
    checked = converge([*ALONE, "--check"], **in_second())
    assert checked.changed == ["Let in what is wanted"], checked.text
    assert let_in(cloud, SECOND) == [BY_HAND]

    added = converge(ALONE, **in_second())
    assert added.changed == ["Let in what is wanted"], added.text
    assert let_in(cloud, SECOND) == sorted([BY_HAND, *SITE, *SSH])

    by_id = {"aws_ingress_group_id": SECOND["id"], "aws_ingress_region": "eu-central-1", "aws_ingress_rules": []}
    exact = converge(ALONE, **by_id, aws_ingress_exact=True)
    assert exact.changed == ["Let in what is wanted"], exact.text
    assert let_in(cloud, SECOND) == sorted([*SITE, *SSH])
    assert not converge(ALONE, **by_id, aws_ingress_exact=True).changed


def test_once_for_each_group(cloud):
    run = converge(**in_second(aws_ingress_rules=[{"port": 8443}]))
    did = [result.get("changed") for task, result in run.results if task == "Let in what is wanted"]
    assert sorted(did, key=str) == [False, True], run.text
    assert ("tcp", 8443, 8443, "::/0", "gatehouse: rule") in let_in(cloud, SECOND)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"aws_ingress_ssh_from": ["0.0.0.0/0"]}, "it opens SSH (port 22) to the whole internet"),
        ({"aws_ingress_rules": [{"port": "20:30", "from": "::/0"}]}, "set aws_ingress_ssh_from_anywhere: true"),
        ({"aws_ingress_rules": [{"port": 80, "from": "192.0.2.7/24"}]}, "the network is 192.0.2.0/24"),
        (in_second(aws_ingress_group_name="none"), "There is no security group none of vpc-"),
        (in_second(aws_ingress_vpc_id=""), "There are 2 groups to choose from: sg-"),
        ({"aws_ingress_metadata_url": "http://127.0.0.1:9"}, "no instance metadata at http://127.0.0.1:9 (no answer)"),
    ],
)
def test_what_is_refused(cloud, variables, says):
    before = let_in(cloud, FIRST), let_in(cloud, SECOND)
    assert says in refused(converge(ALONE, **variables))
    assert (let_in(cloud, FIRST), let_in(cloud, SECOND)) == before


def test_an_instance_with_several_groups_must_be_told_which(host):
    host.check_output("cp /run/groups /run/groups.one")
    host.check_output("printf '\\n%s' >> /run/groups", SECOND["id"])
    try:
        says = refused(converge(ALONE))
        facts = Run(INVENTORY, SCENARIO / "facts.yml", arguments=ALONE)
    finally:
        host.check_output("mv /run/groups.one /run/groups")
    assert "There are 2 groups to choose from" in says
    assert FIRST["id"] in says and SECOND["id"] in says
    told = next(result["aws_ingress_groups"] for task, result in facts.results if task == "Show them")
    assert [group["group_id"] for group in told] == [FIRST["id"], SECOND["id"]]


def test_a_host_whose_lead_failed_fails_too():
    run = converge(**in_second(aws_ingress_group_name="none"))
    said = [str(result["msg"]) for _task, result in run.results if result.get("failed")]
    assert any(f"{HOST} asked AWS for this group too, and failed" in words for words in said), run.text


def test_exact_needs_all_hosts_at_once():
    says = refused(converge(**in_second(aws_ingress_exact=True), at_once=1))
    assert f"aws_ingress_exact would take away what {HOST}-twin may need" in says


def test_ssh_from_anywhere_when_it_is_said(cloud):
    run = converge(ALONE, **in_second(aws_ingress_ssh_from=["0.0.0.0/0"], aws_ingress_ssh_from_anywhere=True))
    assert run.changed == ["Let in what is wanted"], run.text
    assert ("tcp", 22, 22, "0.0.0.0/0", "gatehouse: SSH") in let_in(cloud, SECOND)


def test_a_control_node_without_the_library(monkeypatch, tmp_path):
    (tmp_path / "boto3.py").write_text("raise ImportError(\"No module named 'boto3'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    says = refused(converge(ALONE))
    assert "The control node can't speak to AWS: ImportError: No module named 'boto3'" in says
    assert "-m pip install boto3 botocore" in says


def test_the_facts_tell_what_is_let_in_and_change_nothing():
    run = Run(INVENTORY, SCENARIO / "facts.yml")
    assert run.status == 0, run.text
    assert not run.changed
    told = [result["aws_ingress_groups"] for task, result in run.results if task == "Show them"]
    assert len(told) == 2 and told[0] == told[1]
    assert [group["group_id"] for group in told[0]] == [FIRST["id"]]
    assert told[0][0]["lets_in"][0] == {
        "proto": "tcp",
        "ports": "22",
        "from": "192.0.2.0/24",
        "reason": "gatehouse: SSH",
    }
    assert {"proto": "tcp", "ports": "443", "from": "0.0.0.0/0", "reason": "by hand"} in told[0][0]["lets_in"]
