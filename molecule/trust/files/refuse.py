"""A build that leaves what root must not take over. Run by the scenario's own app, never outside its containers."""

import array
import os
import pathlib
import socket

os.symlink("../../../../root/precious", "up")
os.mkfifo("pipe")

# The cache stays the build's: this link could lead to another program tomorrow.
os.symlink("/usr/bin/python3", os.path.expanduser("~/python3"))
os.symlink(os.path.expanduser("~/python3"), "../venv/bin/python0")
with socket.socket(socket.AF_UNIX) as server:
    server.bind("socket")

# A process of another user gets a file of the release, open for writing, and keeps it.
pathlib.Path("held").write_text("as it was checked")
with open("held", "r+b") as file, socket.socket(socket.AF_UNIX) as client:
    client.connect("\0holder")
    client.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))])
    client.recv(1)
