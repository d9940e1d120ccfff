# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The home folder of the unit that fetches: copies of what git and ssh of the host's root have, keys, known hosts and passwords.

The unit alone sees it, in the place of its user's home and of root's. It is removed once the unit has ended, so what builds later has
none of it. Sources: ssh_config(5), git-config(1), git-credential-store(1), and for ssh's agent draft-miller-ssh-agent.
"""

from __future__ import annotations

import collections
import contextlib
import os
import pwd
import re
import socket
import socketserver
import stat
import struct
import tempfile
import threading

from ansible_collections.gatehouse.webapp.plugins.module_utils._takeover import remove

# Below root's home: files, and a folder with all that it holds.
FILES = (".gitconfig", ".git-credentials", ".netrc", ".config/git/config", ".config/git/credentials")
SSH = ".ssh"

# What lets others in here, or is about logins to this host.
NOT_NEEDED = re.compile(r"authorized_keys.*|environment|rc")

# Bytes: more is no key and no setting.
LARGEST = 1024 * 1024

# A repository on this host's disk belongs to whom it likes. What git runs for it runs as the build's user, in the unit.
SAFE = "\n[safe]\n\tdirectory = *\n"


# In it, the socket by which the unit asks root's ssh agent.
AGENT = ".ssh-agent"


FetchHome = collections.namedtuple("FetchHome", "folder mounts variables")
"""folder: where it lies on the host.   mounts: [(path on the host, where the unit sees it), ...].
variables: what tells ssh of an agent."""


@contextlib.contextmanager
def fetch_home(parent, owner, home, agent=None, source=None):
    """Make it, for as long as it is needed.

    parent: a folder that root alone can enter.   owner: (uid, gid) of the build's user.   home: that user's home.
    agent: the socket of root's ssh agent, such as one that is forwarded from the control node, or None.   source: root's home.
    """
    source = source or pwd.getpwuid(0).pw_dir
    folder = tempfile.mkdtemp(prefix="home-", dir=parent)
    try:
        for name in _names(source):
            _copy(os.path.join(source, name), os.path.join(folder, name))
        with open(os.path.join(folder, ".gitconfig"), "a", encoding="utf-8") as file:
            file.write(SAFE)
        # Paths of settings may name root's home.
        mounts = [(os.path.join(folder, name), os.path.join(source, name)) for name in sorted(os.listdir(folder))]
        with contextlib.ExitStack() as stack:
            if agent:
                stack.enter_context(_relay(os.path.join(folder, AGENT), agent))
            for path, folders, files in os.walk(folder, topdown=False):
                for name in folders + files:
                    os.chown(os.path.join(path, name), *owner)
            os.chown(folder, *owner)
            variables = {"SSH_AUTH_SOCK": os.path.join(home, AGENT)} if agent else {}
            yield FetchHome(folder, [(folder, home), *mounts], variables)
    finally:
        remove(folder)


def _names(source):
    yield from FILES
    for path, _folders, files in os.walk(os.path.join(source, SSH)):
        yield from (
            os.path.relpath(os.path.join(path, name), source) for name in files if not NOT_NEEDED.fullmatch(name)
        )


def _copy(source, target):
    try:
        info = os.stat(source)
    except OSError:
        return
    # Not the sockets of running connections.
    if stat.S_ISREG(info.st_mode) and info.st_size <= LARGEST:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        with open(source, "rb") as file:
            content = file.read()
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)


@contextlib.contextmanager
def _relay(path, agent):
    """A socket that passes each question on to root's agent, which answers root alone, and brings its answer back."""

    class Question(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(agent)
                message = _message(self.request)
                while message:
                    upstream.sendall(message)
                    self.request.sendall(_message(upstream))
                    message = _message(self.request)

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    with Server(path, Question) as server:
        os.chmod(path, 0o600)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def _message(connection):
    """One message of the agent's protocol, with its length in front; nothing once the other side has gone."""
    header = _exactly(connection, 4)
    return header + _exactly(connection, *struct.unpack(">I", header)) if header else b""


def _exactly(connection, size):
    received = b""
    while len(received) < size:
        more = connection.recv(size - len(received))
        if not more:
            return b""
        received += more
    return received
