# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Who answers for a name and a path by a configuration that `nginx -T` has printed, and what it is passed to. Pure.

Sources: nginx's documentation of server_name, listen, location and proxy_pass, and of how a request is processed.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections import namedtuple

# words: the directive with its parameters.   block: the directives in its braces; None where it has none.
Directive = namedtuple("Directive", "words block file")

_TOKEN = re.compile(
    r"#[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\$\{\w+\}|[{};]|(?:\\.|\$\{\w+\}|[^\s{};\\])+", re.S
)
DEPTH = 20


def read(dump):
    """The directives of a dump, every include replaced by what it includes."""
    parts = re.split(r"^# configuration file (.+):$", dump, flags=re.M)
    files = {}
    for path, text in zip(parts[1::2], parts[2::2]):
        files.setdefault(path, _parse(text, path))
    if not files:
        return []
    main = next(iter(files))
    return _include(files[main], files, os.path.dirname(main), DEPTH)


def _parse(text, file):
    stack, words = [[]], []
    for token in _TOKEN.findall(text):
        if token.startswith("#"):
            continue
        if token == ";":
            stack[-1].append(Directive(words, None, file))
            words = []
        elif token == "{":
            block = []
            stack[-1].append(Directive(words, block, file))
            stack.append(block)
            words = []
        elif token == "}":
            if len(stack) > 1:
                stack.pop()
            words = []
        else:
            words.append(token[1:-1] if token[0] in "\"'" and token[-1] == token[0] and len(token) > 1 else token)
    return [directive for directive in stack[0] if directive.words]


def _include(directives, files, folder, depth):
    found = []
    for directive in directives:
        words = directive.words
        if directive.block is not None:
            block = _include(directive.block, files, folder, depth)
            found.append(directive._replace(block=block))
        elif words and words[0] == "include" and len(words) == 2 and depth:
            pattern = os.path.join(folder, words[1])
            for path in files:
                if path == pattern or fnmatch.fnmatchcase(path, pattern):
                    found += _include(files[path], files, folder, depth - 1)
        elif words:
            found.append(directive)
    return found


def upstreams(directives):
    """{name: [its servers, as written]}"""
    found = {}
    for directive in _within(directives, "http"):
        if directive.words[0] == "upstream" and directive.block is not None and len(directive.words) == 2:
            servers = [one.words[1] for one in directive.block if one.words[0] == "server" and len(one.words) > 1]
            found[directive.words[1]] = servers
    return found


def servers(directives):
    """The virtual servers, in the order in which nginx reads them, as plain data."""
    pools = upstreams(directives)
    return [
        _server(directive, pools)
        for directive in _within(directives, "http")
        if directive.words[0] == "server" and directive.block is not None
    ]


def outward(text):
    """[(its names in lower case, its ports)] of the servers of one file that others than the host itself can ask.

    "_" is a name for any. A server for any name that only turns others away is none.
    """
    found = []
    for one in _everywhere(_parse(text, "")):
        if one.words[0] == "server" and one.block is not None and not _is_local(one.block):
            names = {name.lower() for name in _names(one.block)} - (set() if _serves_something(one.block) else {"_"})
            if names:
                found.append((names, {each["port"] for words in _listens(one.block) for each in _listen(words)}))
    return found


def _is_local(block):
    listens = _listens(block)
    return bool(listens) and all(re.match(r"127\.|\[::1\]|localhost\b|unix:", words[1]) for words in listens)


def _listens(block):
    """The words of each listen directive of a server."""
    return [one.words for one in block if one.words[0] == "listen" and len(one.words) > 1]


def _names(block):
    return [name for one in block if one.words[0] == "server_name" for name in one.words[1:]]


def _serves_something(block):
    inner = [one for each in block if each.words[0] == "location" for one in each.block or []]
    return any(one.words[0] != "return" for one in inner)


def certificates(directives, root):
    """The pairs of files, certificate and key, that blocks name. root: nginx's folder, for paths that are relative."""
    found = []
    for one in _everywhere(directives):
        files = {"ssl_certificate": [], "ssl_certificate_key": []}
        for inner in one.block or []:
            # `data:` and `engine:` are no files, and what a variable leads to is known for a connection only.
            if len(inner.words) == 2 and inner.words[0] in files and not set("$:") & set(inner.words[1]):
                files[inner.words[0]].append(os.path.join(root, inner.words[1]))
        found += zip(files["ssl_certificate"], files["ssl_certificate_key"])
    return found


def _within(directives, name):
    return [inner for one in directives if one.words[0] == name and one.block is not None for inner in one.block]


def _server(directive, pools):
    listens = [each for words in _listens(directive.block) for each in _listen(words)]
    variables = {}
    for one in _everywhere(directive.block):
        if one.words[0] == "set" and len(one.words) == 3:
            variables.setdefault(one.words[1], []).append(one.words[2])
    return {
        "file": directive.file,
        "listens": listens or [{"port": 80, "tls": False, "default": False}],
        "names": _names(directive.block),
        "locations": [
            _location(one, directive.block, variables, pools)
            for one in _everywhere(directive.block)
            if one.words[0] == "location" and one.block is not None and len(one.words) > 1
        ],
    }


def _everywhere(directives):
    for directive in directives:
        yield directive
        yield from _everywhere(directive.block or [])


def _listen(words):
    match = re.match(r"^(?:.*[:\]])?(\d+)$", words[1])
    if words[1].startswith("unix:") or {"quic", "udp"} & set(words):
        return []
    port = int(match.group(1)) if match and not re.match(r"^\d+\.\d+\.\d+\.\d+$", words[1]) else 80
    return [{"port": port, "tls": "ssl" in words, "default": bool({"default_server", "default"} & set(words))}]


def _location(directive, around, variables, pools):
    words = directive.words[1:]
    kind = words[0] if len(words) > 1 else ""
    own = directive.block
    targets = []
    for one in own:
        if one.words[0] in ("proxy_pass", "grpc_pass", "uwsgi_pass") and len(one.words) > 1:
            targets += _targets(one.words[1], variables, pools)
    return {
        "kind": kind,
        "path": words[-1],
        "targets": targets,
        "upgrade": _upgrades(own) if _sets_headers(own) else _upgrades(around),
        "read_timeout": _value(own, around, "proxy_read_timeout", "60s"),
        "body_size": _value(own, around, "client_max_body_size", "1m"),
    }


def _value(own, around, name, default):
    for block in (own, around):
        for one in block:
            if one.words[0] == name and len(one.words) > 1:
                return one.words[1]
    return default


def _sets_headers(block):
    """Headers set in a block replace all that are set around it."""
    return any(one.words[0] == "proxy_set_header" for one in block)


def _upgrades(block):
    return any(one.words[:2] == ["proxy_set_header", "Upgrade"] and one.words[2:] not in ([], [""]) for one in block)


def _targets(address, variables, pools):
    """The servers, HOST:PORT, that a proxy_pass may lead to: a variable stands for all it is ever set to."""
    match = re.match(r"^(https?)://([^/?#]+)", address)
    if not match:
        return []
    scheme, authority = match.groups()
    found = []
    for name in variables.get(authority, [authority]):
        for server in pools.get(name, [name]):
            if server.startswith("unix:"):
                found.append(server)
            else:
                found.append(
                    server if re.search(r":\d+$", server) else server + (":443" if scheme == "https" else ":80")
                )
    return list(dict.fromkeys(found))


def server_for(found, port, host):
    """(server, whether by its name): which of these virtual servers answers for a host on a port; (None, False) for none."""
    here = [one for one in found if any(listen["port"] == port for listen in one["listens"])]
    host = host.lower()
    for one in here:
        if host in [name.lower() for name in one["names"]]:
            return one, True
    wildcards = [
        (len(name), one) for one in here for name in one["names"] if _wildcard(name.lower(), host) and name != "_"
    ]
    if wildcards:
        return max(wildcards, key=lambda pair: pair[0])[1], True
    for one in here:
        if any(name.startswith("~") and _matches(name[1:], host) for name in one["names"]):
            return one, True
    chosen = [one for one in here if any(listen["default"] and listen["port"] == port for listen in one["listens"])]
    return (chosen or here or [None])[0], False


def _wildcard(name, host):
    if name.startswith("*."):
        return host.endswith(name[1:])
    if name.startswith("."):
        return host == name[1:] or host.endswith(name)
    return name.endswith(".*") and host.startswith(name[:-1])


def _matches(pattern, text, flags=0):
    try:
        return bool(re.search(pattern, text, flags))
    except re.error:  # PCRE knows more than Python
        return False


def location_for(server, path):
    """Which location of a server a path falls to; None for none."""
    path = path.split("?")[0]
    plain = [one for one in server["locations"] if one["kind"] in ("", "^~") and path.startswith(one["path"])]
    best = max(plain, key=lambda one: len(one["path"])) if plain else None
    for one in server["locations"]:
        if one["kind"] == "=" and one["path"] == path:
            return one
    if best and best["kind"] == "^~":
        return best
    for one in server["locations"]:
        flags = re.I if one["kind"] == "~*" else 0
        if one["kind"] in ("~", "~*") and _matches(one["path"], path, flags):
            return one
    return best
