# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What nginx is asked to run, what it says, and what it runs: values in, values out.

Sources: nginx's documentation of its command line, signals and core module; proc(5).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import namedtuple

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import WILDCARDS

Process = namedtuple("Process", "pid parent title")
Dump = namedtuple("Dump", "files text warnings")
Server = namedtuple("Server", "path line listens names")

WORKER = "nginx: worker process"


# --- What is asked for -------------------------------------------------------------------------------------------


def check_path(path, option):
    """A path below ROOT, or an error that shows one."""
    parts = path.split("/") if isinstance(path, str) else []
    if not parts or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise GatehouseError(
            "`%s` names %r, which is not a path below the folder." % (option, path),
            cause="bad_input",
            hint="write it relative and without dots, as in %s"
            % ("sites/chat.conf" if option == "files" else "sites-enabled/default"),
        )
    return path


def check_wish(files, name, main, absent, service):
    """The options as they are used: files as {path: bytes}. Raises on what can't be meant."""
    if not re.match(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", name):
        raise GatehouseError(
            "`set` is %r, which is not the name of a folder." % name,
            cause="bad_input",
            hint="write one as in gatehouse",
        )
    if not re.match(r"^[A-Za-z0-9:_.\\@-]+\.service$", service):
        raise GatehouseError(
            "`service` is %r, which is not a systemd service." % service,
            cause="bad_input",
            hint="write the unit with its suffix, as in nginx.service",
        )
    wanted = {}
    for path, content in files.items():
        check_path(path, "files")
        if not isinstance(content, str):
            raise GatehouseError(
                "`files` gives %s as %s." % (path, type(content).__name__),
                cause="bad_input",
                hint="give the file's text, as in {%s: \"{{ lookup('ansible.builtin.template', ...) }}\"}" % path,
            )
        wanted[path] = content.encode("utf-8", "surrogateescape")
    for path in wanted:
        inside = [other for other in wanted if other.startswith(path + "/")]
        if inside:
            raise GatehouseError(
                "`files` names %s as a file and, with %s, as a folder." % (path, inside[0]),
                cause="bad_input",
                hint="rename one of them, as in %s.conf" % path,
            )
    if main and "nginx.conf" not in wanted:
        raise GatehouseError(
            "`main` is set, but `files` has no nginx.conf.",
            cause="bad_input",
            hint="add nginx.conf to `files`, or leave `main` out",
        )
    for path in absent:
        check_path(path, "absent")
        if path.split("/")[0] in (name, "." + name) or path == "nginx.conf":
            raise GatehouseError(
                "`absent` names %s, which this module manages itself." % path,
                cause="bad_input",
                hint="name a file that is not ours, as in sites-enabled/default",
            )
    return wanted


def digest(files):
    """What a set is called on disk: the same for the same paths and contents, 16 hex digits."""
    total = hashlib.sha256()
    for path in sorted(files):
        name = path.encode("utf-8", "surrogateescape")
        total.update(b"%d %s %d " % (len(name), name, len(files[path])))
        total.update(files[path])
    return total.hexdigest()[:16]


def diff(before, after, folder):
    """One before/after pair per file that differs, as Ansible prints them."""
    return [
        {
            "before_header": "%s/%s" % (folder, path) if path in before else "(absent)",
            "after_header": "%s/%s" % (folder, path) if path in after else "(absent)",
            "before": before.get(path, b"").decode("utf-8", "replace"),
            "after": after.get(path, b"").decode("utf-8", "replace"),
        }
        for path in sorted(set(before) | set(after))
        if before.get(path) != after.get(path)
    ]


# --- What nginx says ---------------------------------------------------------------------------------------------


def parse_dump(text, messages=""):
    """`nginx -T` as the configuration files in use, all their text, and the warnings of the test."""
    files = re.findall(r"^# configuration file (.+):$", text, re.M)
    warnings = re.findall(r"^nginx: \[warn\] (?:\d+#\d+: )?(.+)$", messages, re.M)
    return Dump(files, text, warnings)


def _directives(text, names):
    """The parameters of every directive of these names, comments left out: [["80", "default_server"], ...]."""
    found = []
    pattern = re.compile(r"(?:^|[;{}])\s*(?:%s)\s+([^;{}]+);" % "|".join(names), re.M)
    without_comments = re.sub(r"(?m)(?:^|\s)#.*$", "", text)
    # A directive's `;` may be what the next one is found by, so the search goes on from that character.
    at = 0
    while True:
        match = pattern.search(without_comments, at)
        if not match:
            return found
        found.append([word.strip("\"'") for word in match.group(1).split()])
        at = match.end() - 1


def include_folders(dump, root):
    """Folders in which a file that comes or goes changes the configuration: those of includes with a wildcard."""
    folders = set()
    for words in _directives(dump.text, ["include"]):
        folder, pattern = os.path.split(os.path.join(root, words[0]))
        if set("*?[") & set(pattern) and not set("*?[") & set(folder):
            folders.add(folder)
    return sorted(folders)


def loaded_files(dump, root):
    """Files that nginx reads with its configuration, and again at a reload only: certificates and their like."""
    names = ["ssl_certificate", "ssl_certificate_key", "ssl_trusted_certificate", "ssl_client_certificate"]
    names += ["ssl_dhparam", "ssl_password_file", "ssl_crl", "ssl_session_ticket_key"]
    paths = {os.path.join(root, words[0]) for words in _directives(dump.text, names)}
    # A name with a variable is opened for each connection; `data:` and `engine:` are no files.
    return sorted(path for path in paths if "$" not in path and ":" not in path)


def error_logs(dump, build):
    """The files nginx writes errors to. build: what `nginx -V` prints, for the paths compiled in."""
    prefix = (re.findall(r"--prefix=(\S+)", build) or ["/etc/nginx"])[0]
    paths = [words[0] for words in _directives(dump.text, ["error_log"])]
    paths += re.findall(r"--error-log-path=(\S+)", build)
    return sorted({os.path.join(prefix, path) for path in paths if path != "stderr" and ":" not in path})


def listen_addresses(dump):
    """What the configuration binds, as a sorted list of (address, port); unix sockets and names left out."""
    found = set()
    for words in _directives(dump.text, ["listen"]):
        match = re.match(r"^(?:(\[[0-9a-fA-F:.]+\]|\*|[0-9.]+):)?(\d+)$", words[0])
        alone = re.match(r"^(\[[0-9a-fA-F:.]+\]|[0-9]+(?:\.[0-9]+){3})$", words[0])
        if {"udp", "quic"} & set(words) or not (match or alone):
            continue
        address, port = match.groups() if match else (alone.group(1), "80")
        found.add(((address or "*").strip("[]").replace("*", "0.0.0.0"), int(port)))
    return sorted(found)


def servers(dump):
    """Every server block of the configuration: its file, its line, what it listens on and its names."""
    found = []
    sections = re.split(r"^# configuration file (.+):\n", dump.text, flags=re.M)
    for path, text in zip(sections[1::2], sections[2::2]):
        stack, words, line = [], [], 1
        for token in re.findall(r"""\n|#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]|[^\s{};"'#][^\s{};]*""", text):
            if token == "{":
                is_server = words == ["server"] and not {"stream", "mail"}.intersection(map(str, stack))
                stack.append(Server(path, line, [], []) if is_server else " ".join(words))
            elif token == "}" and stack:
                closed = stack.pop()
                if isinstance(closed, Server):
                    found.append(closed._replace(listens=closed.listens or ["80"], names=closed.names or [""]))
            elif token == ";" and stack and isinstance(stack[-1], Server) and words:
                if words[0] == "listen":
                    stack[-1].listens.append(words[1])
                elif words[0] == "server_name":
                    stack[-1].names.extend(word.lower() for word in words[1:])
            if token in ("{", "}", ";"):
                words = []
            elif token[0] not in "#\n":
                words.append(token.strip("\"'"))
            line += token.count("\n")
    return found


def shadows(dump, folder):
    """Which server blocks outside a folder keep requests from those in it, or get none because of them: sentences."""
    everything = servers(dump)
    ours = [server for server in everything if server.path.startswith(folder + "/")]
    wild = {port for server in ours for address, port in map(_endpoint, server.listens) if address in WILDCARDS}
    names = {}
    for server in ours:
        for address, port in map(_endpoint, server.listens):
            for name in server.names if address in WILDCARDS else []:
                names.setdefault((name, port), server)
    told = []
    for server in everything:
        if server in ours:
            continue
        place = "%s:%d" % (server.path, server.line)
        for address, port in sorted(set(map(_endpoint, server.listens))):
            if port not in wild:
                continue
            if address not in WILDCARDS:
                told.append(
                    "%s listens on %s:%s: nginx asks it, and none of %s, for all that comes to that address."
                    % (place, address, port, folder)
                )
                continue
            for name in server.names:
                wider = [each for each in _wider(name) if (each, port) in names]
                if (name, port) in names and name not in ("", "_"):
                    told.append(
                        "%s has the name %s on port %s, which is of %s: nginx never asks it."
                        % (place, name, port, folder)
                    )
                elif wider:
                    told.append(
                        "%s has the name %s on port %s: nginx asks it in place of %s, where %s is."
                        % (place, name, port, folder, wider[0])
                    )
    return list(dict.fromkeys(told))


def _wider(name):
    """The names with a * that take this one: *.b.c and *.c for a.b.c."""
    parts = name.split(".")
    return ["*." + ".".join(parts[at:]) for at in range(1, len(parts))]


def _endpoint(listen):
    """(address, port) of a listen's first word, the address as WILDCARDS has it where it is all of them."""
    match = re.match(r"^(?:(\[[0-9a-fA-F:.]+\]|\*|[A-Za-z0-9.-]+):)?(\d+)$", listen)
    address, port = match.groups() if match else (listen, "80")
    return (address or "*").strip("[]").replace("*", "0.0.0.0"), port


def clashes(address, socket):
    """Whether nginx can't bind `address` while this socket listens on the same port.

    A socket on :: may or may not take IPv4 with it, the kernel's table does not say: not counted here.
    """
    if (":" in address) != (":" in socket.address):
        return False
    return address == socket.address or address in WILDCARDS or socket.address in WILDCARDS


def error_lines(messages):
    """The lines of a failed test that say why, without nginx's own prefix."""
    lines = re.findall(r"^nginx: \[(?:emerg|alert|crit|error)\] (?:\d+#\d+: )?(.+)$", messages, re.M)
    return lines or [line for line in messages.splitlines() if line.strip()][-3:]


def error_location(message):
    """(path, line) that an error line names at its end, or None."""
    match = re.search(r" in (/.+?):(\d+)$", message)
    return (match.group(1), int(match.group(2))) if match else None


def excerpt(text, line, around=2):
    """The lines around one line, numbered, the line itself marked."""
    lines = text.splitlines()
    first, last = max(1, line - around), min(len(lines), line + around)
    return ["%s%4d | %s" % (">" if n == line else " ", n, lines[n - 1]) for n in range(first, last + 1)]


def fatal_lines(text, pid=None):
    """The lines in which nginx's master gives up what it was told to do. pid: only of this process.

    A worker that ends on a signal is an alert of the master too, but not one about its configuration.
    """
    found = []
    for level, writer, line in re.findall(r"^\S+ \S+ \[(emerg|alert)\] (\d+)#\d+: (.+)$", text, re.M):
        if pid is not None and int(writer) != pid:
            continue
        if level == "alert" and "exited on signal" in line:
            continue
        found.append(line)
    return found


def bind_failure(line):
    """(address, port) of a bind() that found its address in use, (path, None) for a unix socket, else None."""
    match = re.search(r"bind\(\) to (.+) failed \(\d+: Address already in use\)", line)
    if not match:
        return None
    where = match.group(1)
    if where.startswith("unix:"):
        return where, None
    address, _colon, port = where.rpartition(":")
    return address.strip("[]"), int(port)


# --- What runs ---------------------------------------------------------------------------------------------------


def parent_pid(stat):
    """The parent's pid, from the text of a /proc/PID/stat."""
    # The command's name is in brackets and may hold anything, brackets and spaces included.
    return int(stat.rpartition(")")[2].split()[1])


def serving(family):
    """The workers that take new connections: a worker on its way out says so in its title."""
    return [process for process in family if process.title == WORKER]


def stale(workers, changed_at, now):
    """Why what runs is not what is on disk: a list of sentences, empty when it is.

    workers: when each serving worker started; changed_at: {path: when it last changed}; now: all seconds since 1970.
    """
    if not workers:
        return ["nginx runs without a worker."]
    oldest = min(workers)
    # A change in the future is a clock that was set back: it says nothing, and would never cease to be newer.
    newer = {path: at for path, at in changed_at.items() if oldest <= at <= now}
    return [
        "%s changed %s after nginx had read its configuration." % (path, _span(at - oldest))
        for path, at in sorted(newer.items(), key=lambda item: item[1])
    ]


def _span(seconds):
    if seconds < 120:
        return "%.1f s" % seconds
    return "%d min" % (seconds / 60) if seconds < 7200 else "%d h" % (seconds / 3600)
