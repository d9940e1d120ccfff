# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""What an app and a site may say: argument specs, as modules have them, with what a good error needs.

Beside the keys of an argument spec (type, elements, choices, default, required, options, no_log) an entry may have:

example: a right value, shown when the key is missing or wrong.
check: a function of the value: None when it is right, else the end of the sentence "VALUE ...".
suggest: a function of a wrong value: the right one it was probably meant to be, or None.
texts: the values of this free mapping are texts; numbers and booleans become texts ("1", "true").
names: a check of the keys of this free mapping.
value_example: a right value of this free mapping.
only: the runtimes (of an app) or the kinds (of a route: what it leads to) this key belongs to.
"""

from __future__ import annotations

import ipaddress
import re

# Users, folders under /var/lib and template units that a Debian host has: an app of that name would take them over.
RESERVED_NAMES = {
    "alternatives",
    "apt",
    "aptitude",
    "autovt",
    "backup",
    "bin",
    "btmp",
    "certbot",
    "cloud",
    "cloud-init",
    "console-getty",
    "container-getty",
    "containerd",
    "daemon",
    "dbus",
    "debconf",
    "dhcp",
    "docker",
    "dpkg",
    "games",
    "gatehouse",
    "gatehouse-log",
    "getty",
    "git",
    "grafana",
    "grub",
    "ifup",
    "initramfs-tools",
    "irc",
    "letsencrypt",
    "list",
    "locales",
    "logrotate",
    "lp",
    "mail",
    "man",
    "mariadb",
    "messagebus",
    "misc",
    "modprobe",
    "monit",
    "mysql",
    "news",
    "nginx",
    "nobody",
    "nodejs",
    "pam",
    "polkit-1",
    "postgres",
    "postgresql",
    "private",
    "prometheus",
    "proxy",
    "python",
    "quotaon",
    "redis",
    "root",
    "rsyslog",
    "serial-getty",
    "shells",
    "snapd",
    "ssh",
    "sshd",
    "sudo",
    "sync",
    "sys",
    "systemd",
    "tcpdump",
    "ucf",
    "ufw",
    "unattended-upgrades",
    "update-notifier",
    "user",
    "uucp",
    "uuidd",
    "wtmp",
    "www-data",
}

# Runtimes whose apps run as units of the host; whose code is brought there, built and kept as releases; that listen on a port.
RUN = ("uvicorn", "pm2")
BUILT = ("uvicorn", "pm2", "static")
LISTENING = ("uvicorn", "pm2", "external")

# What uvicorn is told on its command line by the model itself.
OWNED_ARGS = {
    "--app-dir": "uvicorn.app_dir",
    "--env-file": "env",
    "--fd": "port",
    "--host": None,
    "--port": "port",
    "--reload": None,
    "--uds": "port",
    "--workers": "uvicorn.workers",
}

# What a redirect may take of the request. None of them can hold a line's end.
REDIRECT_VARIABLES = ("request_uri", "host", "scheme", "is_args", "args")

LONGEST_TEXT = 4000

# What stands behind it can be any text, for Python.
SCOPED = "names an interface (%), which has no place here"

# What a header may take of the request and its answer. None of them can hold a line's end either, as those can that nginx decodes or
# cuts out of the path ($uri, $request_filename, $remote_user, the groups of an expression) and those that are set by hand.
HEADER_VARIABLE = re.compile(
    r"(?:arg|cookie|http|sent_http|upstream_http|upstream_cookie)_[a-z0-9_]+|request_(?:uri|id|method|time)|host|hostname|scheme|args|is_args"
    r"|query_string|remote_(?:addr|port)|server_(?:name|addr|port|protocol)|status|msec|time_(?:iso8601|local)|connection|ssl_(?:protocol|cipher)"
    r"|upstream_(?:addr|status|cache_status|(?:response|connect|header)_time)|proxy_add_x_forwarded_for"
)

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DOTTED = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
HOST = r"[A-Za-z0-9](?:(?:[A-Za-z0-9-]|\.(?!\.))*[A-Za-z0-9])?|\[?[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\]?"


def matching(pattern, otherwise):
    """A check: the whole value matches the pattern."""
    compiled = re.compile(pattern)
    return lambda value: None if compiled.fullmatch(value) else otherwise


def between(low, high):
    """A check: the number lies in the range, both ends included. (NaN does not.)"""
    return lambda value: None if low <= value <= high else "is not between %s and %s" % (low, high)


def at_least(low):
    """A check: the number is finite and not below this one."""
    return lambda value: None if low <= value < float("inf") else "is not a number from %s up" % low


def above_zero(value):
    return None if 0 < value < float("inf") else "is not a number above 0"


def replacing(pattern, replacement):
    """A suggestion: the value with the pattern replaced."""
    return lambda value: re.sub(pattern, replacement, str(value))


def _is_reserved(name):
    return name in RESERVED_NAMES or name.startswith("systemd-")


def _leading(pattern, value):
    """What the value begins with, without blanks; empty where it begins otherwise."""
    found = re.match(pattern, value.strip())
    return re.sub(r"\s", "", found.group()) if found else ""


def check_app_name(value):
    if not NAME.fullmatch(value):
        return "can't name a user and a unit: it takes 1 to 31 of a-z, 0-9 and -, beginning with a letter"
    if _is_reserved(value):
        return "names a user, a unit or a folder in /var/lib of the system: the app would take it over"
    return None


def suggest_app_name(value):
    if _is_reserved(value):
        return "app-" + value
    return re.sub(r"[^a-z0-9]+", "-", value.lower()).lstrip("-0123456789")[:31].strip("-")


def check_subfolder(value):
    return None if _is_below(value) else "is not a folder below the source folder"


def check_subpath(value):
    return None if value and _is_below(value) else "is not a file below the source folder"


def _is_below(path):
    return re.fullmatch(r"[A-Za-z0-9._/@-]*", path) and not path.startswith("/") and ".." not in path.split("/")


def check_file_path(value):
    if value.startswith("~"):
        return "begins with ~, which nothing expands: the path is absolute or relative to where the play was started"
    return None if value else "is no path"


def check_extra_arg(value):
    flag = value.split("=")[0]
    if flag in OWNED_ARGS:
        owner = OWNED_ARGS[flag]
        return "contradicts the model, which sets it%s" % (": use %s" % owner if owner else "")
    return check_line(value)


def check_line(value):
    return "has a line break or another control character" if re.search(r"[\x00-\x1f\x7f]", value) else None


def check_env_value(value):
    return "has a NUL character" if "\x00" in value else None


def check_text(value):
    """A text that is written into nginx's configuration."""
    return _too_long(value.replace("$", "${gatehouse_dollar}"), "let a route with static serve a file")


def _too_long(value, instead):
    """nginx takes a word of less than 4,096 bytes. instead: what to do about a longer one."""
    written = value.replace("\\", "\\\\").replace('"', '\\"')
    size = len(written.encode(errors="replace"))
    if size > LONGEST_TEXT:
        return "takes %d bytes in nginx's configuration, and %d are the most: %s" % (size, LONGEST_TEXT, instead)
    return None


def check_return(value):
    if 300 <= value <= 399:
        return "is a redirect: write redirect: with where to, and status: %d" % value
    return None if 200 <= value <= 599 else "is not an HTTP status from 200 to 599"


def split_path(value):
    """(how a route's path is compared, the path): PATH is a prefix, "= PATH" this path alone, "~ REGEX" an expression."""
    for mark, match in (("=", "exact"), ("~", "regex")):
        if value.startswith(mark):
            return match, value[1:].strip()
    return "prefix", value


def check_route_path(value):
    match, path = split_path(value)
    if match != "regex":
        return URL_PATH["check"](path)
    if not path.startswith("^/"):
        return "is not anchored: an expression begins with ^/"
    if re.search(r"[\x00-\x1f\x7f]", path):
        return "has a control character"
    try:
        groups = re.compile(path).groupindex
    except (re.error, OverflowError) as error:
        return "is no regular expression (%s)" % error
    own = next((name for name in groups if HEADER_VARIABLE.fullmatch(name)), None)
    return "names a group %s, which is a variable of nginx" % own if own else None


def suggest_route_path(value):
    match, path = split_path(value)
    if match == "regex":
        return "~ ^/" + path.lstrip("^/")
    return ("= " if match == "exact" else "") + URL_PATH["suggest"](path)


def check_variables(value):
    """A value in which nginx puts its variables: each is one, and none lets a request end the line."""
    wrong = check_line(value)
    if wrong:
        return wrong
    for name in re.findall(r"\$(\{\w*\}?|\w*)", value):
        bare = name.strip("{}")
        if not re.fullmatch(r"[a-z_][a-z0-9_]*", bare) or (name[:1] == "{") != (name[-1:] == "}"):
            return "has a $ that begins no variable of nginx, such as $host or ${host}"
        if not HEADER_VARIABLE.fullmatch(bare):
            return (
                "has $%s, which is none of those in which no request can end the line ($request_uri, $host, $scheme, $http_NAME, "
                "$arg_NAME, $cookie_NAME and the like)" % bare
            )
    return _too_long(value, "let the app send it")


def check_redirect(value):
    if not re.fullmatch(r"(?:https?://[^\s/\"'\\;{}][^\s\"'\\;{}]*|/(?!/)[^\s\"'\\;{}]*)", value):
        return "is neither a path nor an http(s) address"
    for name in re.findall(r"\$(\w*)", value):
        if name not in REDIRECT_VARIABLES:
            return "has a $ that is none of $%s" % ", $".join(REDIRECT_VARIABLES)
    return None


def check_raw(value):
    """Directives of nginx that end where they begin: nothing of what follows becomes part of them, nor the other way."""
    depth, words = 0, False
    for token in re.findall(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|["'{};]|[^\s{};"'#][^\s{};]*""", value):
        if token[0] == "#":
            continue
        if token in ('"', "'"):
            return "has a quote that does not end"
        depth += {"{": 1, "}": -1}.get(token, 0)
        if depth < 0:
            return "has a } too many"
        words = token not in ("{", "}", ";")
    if depth:
        return "has a { that no } ends"
    return "does not end with ; or }" if words else None


def check_realm(value):
    return (
        "switches the question off: leave auth_basic out, or name what is asked for"
        if value.lower() == "off"
        else check_line(value)
    )


def check_auth_hash(value):
    if re.fullmatch(r"\$(?:apr1|1|5|6|y|2[aby])\$[^\s:]+|\{(?:SSHA|SHA)\}[A-Za-z0-9+/=]+", value):
        return None
    return "is not the hash of a password (openssl passwd -6 makes one)"


def check_sent_header(value):
    """The name of a header that who asks may set: not one that says where the question goes and how long it is."""
    if value.lower() in ("host", "connection", "content-length", "transfer-encoding", "upgrade"):
        return "is set by who asks"
    return None if re.fullmatch(HEADER_NAME, value) else "is not a header's name"


def check_address(value):
    """HOST:PORT, with an IPv6 host in brackets."""
    host, colon, port = value.rpartition(":")
    if not colon or not re.fullmatch(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+", host):
        return "is not HOST:PORT"
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        return "has no port from 1 to 65535"
    return None


def check_ip_address(value):
    if "%" in value:
        return SCOPED
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "is not an IP address of the host, nor 0.0.0.0 or :: for all"
    return None


def check_network(value):
    if "%" in value:
        return SCOPED
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        return "is not an address or a network (%s)" % error
    return None


def check_field(value):
    """A field of a JSON document: a name, with dots into what is nested."""
    return None if re.fullmatch(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", value) else "is not the name of a field"


def check_origin_url(value):
    found = re.fullmatch(r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([0-9]+))?", value)
    if not found:
        return (
            "is not http(s)://HOST in lower case, with a port or without, and nothing after it (paths are said by `health` "
            "and by routes)"
        )
    return None if not found.group(1) or 1 <= int(found.group(1)) <= 65535 else "has no port from 1 to 65535"


def suggest_origin_url(value):
    address = re.match(r"(?:(https?)://)?([A-Za-z0-9.-]+(?::[0-9]+)?)", value.strip())
    return "%s://%s" % (address.group(1) or "https", address.group(2).lower()) if address else None


def suggest_server_name(value):
    if value in ("_", "", "*"):
        return None
    return re.sub(r"\.{2,}", ".", re.sub(r"[:/].*$", "", re.sub(r"^\w+://", "", value)).strip().lower())


def suggest_origin(value):
    address = re.match(r"(?:(https?)://)?([A-Za-z0-9.*-]+(?::[0-9]+)?)", value.strip())
    return "%s://%s" % (address.group(1) or "https", address.group(2).lower()) if address else None


def suggest_target(value):
    module, _colon, attribute = value.partition(":")
    module = re.sub(r"\.py$", "", module).strip("./").replace("/", ".")
    return "%s:%s" % (module, attribute or "app")


def suggest_percent(value):
    number = re.fullmatch(r"\s*([0-9.]+)\s*%?\s*", value)
    try:
        share = float(number.group(1))
    except (AttributeError, ValueError):
        return None
    return "%d%%" % (share if share > 32 or "%" in value else share * 100)


PORT = dict(type="int", check=between(1, 65535))
URL_PATH = dict(
    type="str",
    check=matching(
        r"/[^\s?#{};\"'\\$]*", "is not a path: it begins with / and has none of ? # $ ; { } quotes and blanks"
    ),
    suggest=lambda value: "/" + re.sub(r"^\w+://[^/]*|[\s?#{};\"'\\$].*$", "", value).lstrip("/"),
)
QUERY_PATH = dict(
    type="str",
    check=matching(r"/[^\s#{};\"'\\]*", "is not a path: it begins with / and has none of # ; { } quotes and blanks"),
    suggest=lambda value: "/" + re.sub(r"^\w+://[^/]*|[\s#{};\"'\\].*$", "", value).lstrip("/"),
)
DURATION = dict(
    type="str",
    check=matching(r"[1-9][0-9]*(?:ms|s|m|h|d)", "is not a time with its unit (ms, s, m, h, d)"),
    suggest=lambda value: value + "s" if re.fullmatch(r"[1-9][0-9]*", value) else None,
)
SECONDS = dict(
    type="str",
    check=matching(r"[1-9][0-9]*[smhd]", "is not a time of whole seconds with its unit (s, m, h, d)"),
    suggest=lambda value: value + "s" if re.fullmatch(r"[1-9][0-9]*", value) else None,
)
BODY_SIZE = dict(
    type="str",
    check=matching(r"[0-9]+[kKmMgG]?", "is not a size: bytes, or a number with k, m or g (0: no limit)"),
    suggest=lambda value: _leading(r"[0-9]+\s*[kmgKMG]", value).lower(),
)
HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
HEADERS = dict(
    type="dict",
    default={},
    no_log=True,
    texts=True,
    check=check_line,
    names=matching(HEADER_NAME, "is not a header's name"),
)
ABSOLUTE_PATH = dict(
    type="str",
    check=matching(r"/[^\s\"'\\;{}$%]*", "is not an absolute path without spaces, quotes, ;, $, % and braces"),
)

SOURCE = {
    "directory": dict(type="str", example="examples/chat/backend", check=check_file_path),
    "git": dict(
        type="str",
        example="https://git.example.com/team/chat.git",
        no_log=True,
        check=matching(r"[^\s-]\S*", "is not the address of a repository"),
    ),
    "version": dict(type="str", example="v1.4.2", check=matching(r"[^\s-]\S*", "is not a tag, branch or commit")),
    "archive": dict(
        type="str",
        example="https://files.example.com/chat-1.4.2.tar.gz",
        no_log=True,
        check=check_file_path,
    ),
    "checksum": dict(
        type="str",
        example="sha256:" + "0123456789abcdef" * 4,
        check=matching(r"sha256:[0-9a-f]{64}", "is not sha256: and 64 hexadecimal digits in lower case"),
        suggest=lambda value: "sha256:" + value.lower() if re.fullmatch(r"[0-9a-fA-F]{64}", value) else None,
    ),
}

UVICORN = {
    "target": dict(
        type="str",
        required=True,
        example="app.main:app",
        suggest=suggest_target,
        check=matching(r"%s:%s" % (DOTTED, DOTTED), "is not MODULE:ATTRIBUTE"),
    ),
    "workers": dict(type="int", default=1, example=2, check=between(1, 64)),
    "app_dir": dict(type="str", default="", example="src", check=check_subfolder),
    "python": dict(
        type="str",
        default="python3",
        example="/usr/bin/python3.12",
        check=matching(r"[A-Za-z0-9._/+-]+", "is not the name or path of a Python"),
    ),
    "installer": dict(type="str", default="auto", choices=["auto", "uv", "pip"], example="uv"),
    "extra_args": dict(type="list", elements="str", default=[], example=["--no-access-log"], check=check_extra_arg),
}

PM2 = {
    "script": dict(type="str", example="server.js", check=check_subpath),
    "npm": dict(
        type="str",
        example="start",
        check=matching(r"[A-Za-z0-9][A-Za-z0-9:._-]*", "is not the name of a script in package.json"),
        suggest=replacing(r"^npm (?:run )?", ""),
    ),
    "args": dict(type="list", elements="str", default=[], example=["--verbose"], check=check_line),
    "app_dir": dict(type="str", default="", example="packages/api", check=check_subfolder),
    "workers": dict(type="int", default=1, example=2, check=between(1, 64)),
    "node_args": dict(type="list", elements="str", default=[], example=["--enable-source-maps"], check=check_line),
    "wait_ready": dict(type="bool", default=False, example=True),
    "max_memory_restart": dict(
        type="str",
        example="300M",
        check=matching(r"[1-9][0-9]*[KMG]", "is not a size PM2 knows (300M, 1G)"),
        suggest=lambda value: _leading(r"[1-9][0-9]*\s*[kmgKMG]", value).upper(),
    ),
}

STATIC = {
    "root": dict(type="str", default="dist", example="build", check=check_subfolder),
    "index": dict(
        type="str",
        default="index.html",
        example="app.html",
        check=matching(r"[A-Za-z0-9._-]+", "is not the name of a file"),
    ),
    "spa": dict(type="bool", default=True, example=False),
    "app_dir": dict(type="str", default="", example="packages/web", check=check_subfolder),
}

HEALTH = {
    "path": dict(QUERY_PATH, required=True, example="/health"),
    "status": dict(type="list", elements="int", default=[200], example=[200, 204], check=between(100, 599)),
    "json": dict(type="dict", default={}, example={"status": "healthy"}),
    "text": dict(type="str", example="ok"),
    "headers": dict(HEADERS, example={"Accept": "application/json"}),
    "host": dict(
        type="str",
        example="chat.example.com",
        check=matching(r"(?:%s)(?::[0-9]+)?" % HOST, "is not a host name"),
        suggest=suggest_server_name,
    ),
    "successes": dict(type="int", default=2, example=3, check=at_least(1)),
    "stable_for": dict(type="float", default=2.0, example=5.0, check=at_least(0)),
    "timeout": dict(type="float", default=60.0, example=90.0, check=above_zero),
    "interval": dict(type="float", default=0.1, example=0.5, check=above_zero),
}

WEBSOCKET = {"path": dict(QUERY_PATH, required=True, example="/ws/probe")}

# The address of a request that is a secret, or holds one: never shown, also where it is wrong.
SECRET_URL = dict(
    type="str",
    no_log=True,
    check=matching(r"https?://\S+", "is no http(s) address (or has a blank or a line break in it)"),
)

DEPLOY_FAILED = {
    "json": dict(type="dict", example={"status": "build_failed"}),
    "text": dict(type="str", example="canceled"),
}

DEPLOY_STATUS = {
    "url": dict(SECRET_URL, required=True, example="https://api.example.com/v1/deploys/{deploy.id}"),
    "method": dict(
        type="str",
        default="GET",
        example="POST",
        check=matching(r"[A-Z]+", "is not a method in capital letters"),
        suggest=lambda value: re.sub(r"[^A-Z]", "", value.upper()),
    ),
    "headers": dict(HEADERS, example={"Authorization": "Bearer ..."}),
    "body": dict(type="dict", no_log=True, example={"query": "..."}),
    "status": dict(type="list", elements="int", default=[200], example=[200, 201], check=between(100, 599)),
    "json": dict(type="dict", example={"status": "live"}),
    "text": dict(type="str", example='"state":"ready"'),
    "failed": dict(
        type="list",
        elements="dict",
        options=DEPLOY_FAILED,
        default=[],
        example=[{"json": {"status": "build_failed"}}],
    ),
    "interval": dict(type="float", default=5.0, example=10.0, check=above_zero),
}

REQUIREMENT = {"tcp": dict(type="str", required=True, example="127.0.0.1:3306", check=check_address)}

SANDBOX = {
    "allow_network": dict(type="bool", default=True, example=False),
    "writable_paths": dict(ABSOLUTE_PATH, type="list", elements="str", default=[], example=["/srv/uploads"]),
    "overrides": dict(
        type="dict",
        default={},
        example={"MemoryDenyWriteExecute": "false"},
        texts=True,
        check=check_line,
        names=matching(r"[A-Z][A-Za-z0-9]+", "is not the name of a systemd directive"),
    ),
}

BALANCE = {
    "method": dict(type="str", default="round_robin", choices=["round_robin", "least_conn", "hash"], example="hash"),
    "key": dict(
        type="str",
        default="$remote_addr",
        example="$cookie_session",
        check=matching(r"(?:\$[a-z][a-z0-9_]*)+", "is not made of nginx's variables"),
    ),
    "weights": dict(
        type="dict",
        default={},
        texts=True,
        example={"192.0.2.10": 3},
        value_example=3,
        check=matching(r"[1-9][0-9]{0,3}", "is not a whole number from 1 up"),
    ),
    "backup": dict(type="list", elements="str", default=[], example=["192.0.2.12"]),
    "keepalive": dict(type="int", default=128, example=64, check=between(1, 10000)),
    "max_fails": dict(type="int", default=0, example=3, check=at_least(0)),
    "fail_timeout": dict(SECONDS, default="10s", example="30s"),
}

APP = {
    "name": dict(type="str", required=True, example="chat-api", check=check_app_name, suggest=suggest_app_name),
    "runtime": dict(type="str", required=True, choices=["uvicorn", "pm2", "static", "external"], example="uvicorn"),
    "source": dict(type="dict", options=SOURCE, only=BUILT, example={"directory": "examples/chat/backend"}),
    "build": dict(
        type="list",
        elements="str",
        default=[],
        only=BUILT,
        example=["make assets"],
        check=lambda value: None if value.strip() else "is no command",
    ),
    "renamed_from": dict(
        type="str", only=BUILT, example="chat-api-old", check=check_app_name, suggest=suggest_app_name
    ),
    "uvicorn": dict(type="dict", options=UVICORN, only=("uvicorn",), example={"target": "app.main:app"}),
    "pm2": dict(type="dict", options=PM2, only=("pm2",), example={"script": "server.js"}),
    "static": dict(type="dict", options=STATIC, only=("static",), example={"root": "dist"}),
    "url": dict(
        type="str",
        only=("external",),
        example="https://api.example.com",
        check=check_origin_url,
        suggest=suggest_origin_url,
    ),
    "deploy_hook": dict(SECRET_URL, only=("external",), example="https://api.example.com/deploy/..."),
    "deploy_status": dict(
        type="dict",
        options=DEPLOY_STATUS,
        no_log=True,
        only=("external",),
        example={"url": "https://api.example.com/v1/deploys/{deploy.id}", "json": {"status": "live"}},
    ),
    "deploy_version": dict(type="str", only=("external",), example="build.commit", check=check_field),
    "deploy_timeout": dict(type="float", default=900.0, only=("external",), example=1800.0, check=above_zero),
    "hosts": dict(
        type="list",
        elements="str",
        default=["127.0.0.1"],
        only=LISTENING,
        example=["192.0.2.10"],
        check=matching(HOST, "is not a host name or an address (the port is said by `port`)"),
        suggest=suggest_server_name,
    ),
    "port": dict(PORT, only=LISTENING, example=8000),
    "instances": dict(type="int", default=1, only=LISTENING, example=2, check=between(1, 32)),
    "listen": dict(
        type="str",
        default="127.0.0.1",
        only=RUN,
        example="192.0.2.10",
        check=check_ip_address,
    ),
    "expose": dict(
        type="list",
        elements="str",
        default=[],
        only=RUN,
        example=["192.0.2.20", "10.0.0.0/24"],
        check=check_network,
    ),
    "strategy": dict(type="str", choices=["blue_green", "restart"], only=RUN, example="restart"),
    "green_port": dict(PORT, only=RUN, example=18000),
    "drain_timeout": dict(type="float", default=60.0, only=RUN, example=300.0, check=at_least(0)),
    "migrate": dict(
        type="list",
        elements="str",
        default=[],
        only=RUN,
        example=["alembic upgrade head"],
        check=lambda value: None if value.strip() else "is no command",
    ),
    "migrate_timeout": dict(type="int", default=300, only=RUN, example=900, check=at_least(1)),
    "env": dict(
        type="dict",
        default={},
        only=BUILT,
        no_log=True,
        texts=True,
        example={"LOG_LEVEL": "info"},
        check=check_env_value,
        names=matching(ENV_NAME.pattern, "is not the name of an environment variable (A-Z, a-z, 0-9 and _)"),
    ),
    "required_env": dict(
        type="list",
        elements="str",
        default=[],
        only=BUILT,
        example=["DATABASE_URL"],
        check=matching(ENV_NAME.pattern, "is not the name of an environment variable (A-Z, a-z, 0-9 and _)"),
        suggest=replacing(r"[^A-Za-z0-9_]", "_"),
    ),
    "health": dict(type="dict", options=HEALTH, only=LISTENING, example={"path": "/health"}),
    "websocket": dict(type="dict", options=WEBSOCKET, only=LISTENING, example={"path": "/ws/probe"}),
    "balance": dict(type="dict", options=BALANCE, default={}, only=LISTENING, example={"method": "least_conn"}),
    "requires": dict(
        type="list",
        elements="dict",
        options=REQUIREMENT,
        default=[],
        only=RUN,
        example=[{"tcp": "127.0.0.1:3306"}],
    ),
    "memory_max": dict(
        type="str",
        only=RUN,
        example="512M",
        check=matching(r"[1-9][0-9]*[KMGT]?|[1-9][0-9]?%|100%", "is not a size systemd knows (512M, 2G, 50%)"),
        suggest=lambda value: _leading(r"[1-9][0-9]*\s*[kmgtKMGT]", value).upper(),
    ),
    "cpu_quota": dict(
        type="str",
        only=RUN,
        example="150%",
        suggest=suggest_percent,
        check=matching(r"[1-9][0-9]*%", "is not a share of one CPU's time in percent"),
    ),
    "log_file": dict(type="bool", default=False, only=RUN, example=True),
    "keep_releases": dict(type="int", default=5, only=BUILT, example=3, check=at_least(2)),
    "packages": dict(
        type="list",
        elements="str",
        default=[],
        only=BUILT,
        example=["libpq5"],
        check=matching(r"[a-z0-9][a-z0-9+.-]+", "is not the name of a Debian package"),
    ),
    "sandbox": dict(type="dict", options=SANDBOX, default={}, only=RUN, example={"allow_network": False}),
    "restart_sec": dict(type="float", default=1.0, only=RUN, example=0.5, check=at_least(0)),
    "start_timeout": dict(type="int", default=60, only=RUN, example=120, check=at_least(1)),
    "stop_timeout": dict(type="int", default=15, only=RUN, example=30, check=at_least(1)),
}

HSTS = {
    "max_age": dict(type="int", required=True, example=300, check=at_least(1)),
    "include_subdomains": dict(type="bool", default=False, example=True),
    "preload": dict(type="bool", default=False, example=True),
}

TLS = {
    "mode": dict(type="str", default="none", choices=["none", "files", "self_signed", "acme"], example="acme"),
    "certificate": dict(ABSOLUTE_PATH, only="files", example="/etc/ssl/certs/chat.pem"),
    "key": dict(ABSOLUTE_PATH, only="files", example="/etc/ssl/private/chat.key"),
    "email": dict(
        type="str",
        only="acme",
        example="ops@example.com",
        check=matching(r"[^@\s,]+@[^@\s,]+\.[^@\s,.]+", "is not a mail address"),
    ),
    "staging": dict(type="bool", default=False, only="acme", example=True),
    "directory": dict(
        type="str",
        only="acme",
        example="https://ca.example.com/acme/directory",
        check=matching(r"https://[^\s/@\"'\\]+(?:/[^\s\"'\\]*)?", "is not an https address"),
    ),
    "ca_bundle": dict(ABSOLUTE_PATH, only="acme", example="/etc/ssl/certs/own-ca.pem"),
    "redirect": dict(type="bool", default=True, example=False),
    "profile": dict(type="str", default="intermediate", choices=["intermediate", "modern"], example="modern"),
    "hsts": dict(type="dict", options=HSTS, example={"max_age": 300}),
    "http3": dict(type="bool", default=False, example=True),
}

RETRIES = {
    "tries": dict(type="int", default=3, example=2, check=at_least(1)),
    "timeout": dict(DURATION, default="10s", example="5s"),
}

AUTH_BASIC = {
    "realm": dict(type="str", default="Restricted", example="Staff", check=check_realm),
    "users": dict(
        type="dict",
        required=True,
        no_log=True,
        texts=True,
        example={"ann": "$6$salt$hash"},
        value_example="$6$salt$hash",
        check=check_auth_hash,
        names=matching(r"[^\s:#\"'\\][^\s:\"'\\]*", "can't name a user: it has a blank, a colon or a quote"),
    ),
}

CORS = {
    "origins": dict(
        type="list",
        elements="str",
        required=True,
        example=["https://app.example.com"],
        suggest=suggest_origin,
        check=matching(
            r"\*|https?://(?:\*\.)?(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]+)?",
            "is not an origin: scheme and host in lower case, and nothing after them",
        ),
    ),
    "credentials": dict(type="bool", default=False, example=True),
    "methods": dict(
        type="list",
        elements="str",
        default=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        example=["GET", "POST"],
        check=matching(r"[A-Z]+", "is not a method in capital letters"),
        suggest=lambda value: re.sub(r"[^A-Z]", "", value.upper()),
    ),
    "headers": dict(
        type="list",
        elements="str",
        default=["Authorization", "Content-Type"],
        example=["Authorization", "X-Api-Key"],
        check=matching(HEADER_NAME, "is not a header's name"),
    ),
    "expose": dict(
        type="list",
        elements="str",
        default=[],
        example=["X-Total-Count"],
        check=matching(HEADER_NAME, "is not a header's name"),
    ),
    "max_age": dict(DURATION, default="10m", example="1h"),
}

ROUTE = {
    "path": dict(type="str", required=True, example="/api/", check=check_route_path, suggest=suggest_route_path),
    "app": dict(type="str", example="chat-api"),
    "static": dict(ABSOLUTE_PATH, example="/srv/www/chat"),
    "url": dict(
        type="str",
        example="https://files.example.com/public/",
        check=matching(
            r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[^\s?#{};\"'\\$]*)?",
            "is not http(s)://HOST, with a port and a path or without",
        ),
        suggest=lambda value: "https://" + re.sub(r"^\w+://|[\s?#{};\"'\\$].*$", "", value),
    ),
    "redirect": dict(type="str", example="https://www.example.com$request_uri", check=check_redirect),
    "return": dict(type="int", example=404, check=check_return),
    "status": dict(
        type="int",
        only=("redirect",),
        example=301,
        check=lambda value: None if value in (301, 302, 303, 307, 308) else "is none of 301, 302, 303, 307 and 308",
    ),
    "text": dict(type="str", only=("return",), example="User-agent: *\nDisallow: /\n", check=check_text),
    "strip_prefix": dict(type="bool", default=False, only=("app",), example=True),
    "websocket": dict(type="bool", default=False, only=("app",), example=True),
    "stream": dict(type="bool", default=False, only=("app", "url"), example=True),
    "grpc": dict(type="bool", default=False, only=("app",), example=True),
    "read_timeout": dict(DURATION, only=("app", "url"), example="300s"),
    "send_timeout": dict(DURATION, only=("app", "url"), example="60s"),
    "connect_timeout": dict(DURATION, only=("app", "url"), example="5s"),
    "buffering": dict(type="bool", only=("app", "url"), example=True),
    "retries": dict(type="dict", options=RETRIES, only=("app",), example={"tries": 2, "timeout": "5s"}),
    "cache": dict(SECONDS, only=("app", "url"), example="60s"),
    "ca": dict(ABSOLUTE_PATH, only=("url",), example="/etc/ssl/certs/office-ca.pem"),
    "rate": dict(
        type="str",
        example="10r/s",
        check=matching(
            r"[1-9][0-9]*r/[sm]|[a-z][a-z0-9-]{0,30}",
            "is not requests per second or minute (10r/s, 600r/m), nor none, nor one of the site's rates",
        ),
        suggest=replacing(r"^([1-9][0-9]*)[^0-9sm]*([sm])\w*$", r"\1r/\2"),
    ),
    "burst": dict(type="int", example=40, check=at_least(0)),
    "connections": dict(type="int", example=20, check=at_least(1)),
    "body_size": dict(BODY_SIZE, example="50m"),
    "allow": dict(type="list", elements="str", default=[], example=["192.0.2.0/24"], check=check_network),
    "deny": dict(type="list", elements="str", default=[], example=["198.51.100.7"], check=check_network),
    "auth_basic": dict(
        type="dict",
        options=AUTH_BASIC,
        only=("app", "url", "static"),
        example={"users": {"ann": "$6$salt$hash"}},
    ),
    "cors": dict(
        type="dict",
        options=CORS,
        only=("app", "url", "static"),
        example={"origins": ["https://app.example.com"]},
    ),
    "access_log": dict(type="bool", example=False),
    "security_headers": dict(type="str", choices=["basic", "page", "none"], example="page"),
    "headers": dict(HEADERS, example={"Cache-Control": "no-store"}, check=check_variables),
    "raw": dict(type="str", example="proxy_max_temp_file_size 0;", check=check_raw),
}

MAINTENANCE = {
    "enabled": dict(type="bool", default=False, example=True),
    "retry_after": dict(DURATION, default="5m", example="30m"),
    "page": dict(type="str", default="", example="<h1>Back at 14:00</h1>", check=check_text),
    "allow": dict(type="list", elements="str", default=[], example=["192.0.2.0/24"], check=check_network),
}

EXPECT = {
    "status": dict(type="list", elements="int", default=[200], example=[200, 204], check=between(100, 599)),
    "json": dict(type="dict", default={}, example={"status": "ok"}),
    "text": dict(type="str", example="Welcome"),
    "headers": dict(
        type="dict",
        default={},
        texts=True,
        example={"Cache-Control": "no-store"},
        value_example="no-store",
        check=check_line,
        names=matching(HEADER_NAME, "is not a header's name"),
    ),
}

CHECK = {
    "path": dict(QUERY_PATH, required=True, example="/api/login"),
    "method": dict(
        type="str",
        default="GET",
        example="POST",
        check=matching(r"[A-Z]+", "is not a method in capital letters"),
        suggest=lambda value: re.sub(r"[^A-Z]", "", value.upper()),
    ),
    "headers": dict(HEADERS, example={"Accept": "application/json"}, names=check_sent_header),
    "json": dict(type="dict", no_log=True, example={"user": "probe"}),
    "body": dict(type="str", no_log=True, example="user=probe"),
    "expect": dict(type="dict", options=EXPECT, default={}, example={"status": [200], "json": {"status": "ok"}}),
}

SITE = {
    "name": dict(
        type="str",
        required=True,
        example="chat",
        check=matching(r"[a-z0-9][a-z0-9.-]{0,62}", "can't name a file: it takes 1 to 63 of a-z, 0-9, . and -"),
        suggest=lambda value: re.sub(r"[^a-z0-9.]+", "-", value.lower()).strip("-.")[:63],
    ),
    "server_names": dict(
        type="list",
        elements="str",
        default=[],
        example=["chat.example.com"],
        suggest=suggest_server_name,
        check=matching(r"(?:\*\.)?(?:%s)" % HOST, "is not a host name (for every other name: default: true)"),
    ),
    "default": dict(type="bool", default=False, example=True),
    "http_port": dict(PORT, default=80, example=8080),
    "https_port": dict(PORT, default=443, example=8443),
    "tls": dict(
        type="dict",
        options=TLS,
        default={},
        example={"mode": "acme", "email": "ops@example.com"},
    ),
    "client_max_body_size": dict(BODY_SIZE, default="10m", example="50m"),
    "access_log": dict(type="bool", default=True, example=False),
    "rates": dict(
        type="dict",
        default={},
        texts=True,
        example={"login": "5r/m"},
        value_example="5r/m",
        check=matching(r"[1-9][0-9]*r/[sm]", "is not requests per second or minute (10r/s, 600r/m)"),
        names=matching(r"(?!none$)[a-z][a-z0-9-]{0,30}", "can't name a rate: 1 to 31 of a-z, 0-9 and -, and not none"),
    ),
    "maintenance": dict(type="dict", options=MAINTENANCE, default={}, example={"enabled": True}),
    "routes": dict(
        type="list",
        elements="dict",
        options=ROUTE,
        required=True,
        example=[{"path": "/", "app": "chat-api"}],
    ),
    "verify": dict(
        type="list",
        elements="dict",
        options=CHECK,
        default=[],
        example=[{"path": "/api/items", "expect": {"json": {"status": "ok"}}}],
    ),
    "raw": dict(type="str", example="error_page 404 /404.html;", check=check_raw),
}

# What an app must say, by its runtime.
NEEDED = {
    "uvicorn": ("source", "uvicorn", "port", "health"),
    "pm2": ("source", "pm2", "port", "health"),
    "static": ("source", "static"),
    "external": ("health",),
}

# What a route has that does not say it, by its kind. (None: does not apply.)
ROUTE_DEFAULTS = {
    "app": dict(
        read_timeout="300s",
        send_timeout="60s",
        connect_timeout="5s",
        buffering=False,
        rate="10r/s",
        burst=20,
        retries={"tries": 3, "timeout": "10s"},
        security_headers="basic",
    ),
}
ROUTE_DEFAULTS["websocket"] = dict(
    ROUTE_DEFAULTS["app"], read_timeout="86400s", send_timeout="86400s", rate="5r/s", burst=10
)
ROUTE_DEFAULTS["stream"] = dict(ROUTE_DEFAULTS["app"], read_timeout="3600s")
ROUTE_DEFAULTS["grpc"] = dict(ROUTE_DEFAULTS["stream"], send_timeout="3600s", buffering=None)
ROUTE_DEFAULTS["url"] = dict(ROUTE_DEFAULTS["app"], read_timeout="60s", buffering=True, retries=None)
ROUTE_DEFAULTS["static"] = dict(dict.fromkeys(ROUTE_DEFAULTS["app"]), security_headers="basic")
ROUTE_DEFAULTS["redirect"] = ROUTE_DEFAULTS["return"] = ROUTE_DEFAULTS["static"]
# What an app of files is: a front end, whose pages nobody else has said anything about.
ROUTE_DEFAULTS["files"] = dict(ROUTE_DEFAULTS["static"], security_headers="page")
