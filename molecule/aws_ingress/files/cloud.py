"""An EC2 with two groups named web, one in each of two VPCs. Tells where it is and what it has as JSON in a file, and then serves."""

import json
import os
import signal
import sys

import boto3
from moto.server import ThreadedMotoServer


def main(path):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    ec2 = boto3.client("ec2", endpoint_url=endpoint, region_name="eu-central-1")
    told = {"endpoint": endpoint, "pid": os.getpid(), "groups": []}
    for number in (1, 2):
        vpc = ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")["Vpc"]["VpcId"]
        group = ec2.create_security_group(GroupName="web", Description="Made by hand", VpcId=vpc)["GroupId"]
        told["groups"].append({"id": group, "vpc": vpc})
        by_hand = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
        by_hand["IpRanges"] = [{"CidrIp": "0.0.0.0/0", "Description": "by hand"}]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[by_hand])
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(told, file)
    os.rename(path + ".part", path)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(sys.argv[1])
