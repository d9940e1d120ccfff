# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Whether an app's database lets the app in: the address of its URL, the server's greeting, and a login with the app's own driver.

Sources: RFC 3986, the MySQL protocol's "Protocol::HandshakeV10", PostgreSQL's "Message Formats" (SSLRequest) and
"Error Codes", MySQL's "Server Error Message Reference".
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from collections import namedtuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import ProbeFailure, open_connection, probe_tcp
from ansible_collections.gatehouse.webapp.plugins.module_utils._redact import MASK, redact

# socket: the path of a Unix socket (PostgreSQL: its folder), in place of host and port.   host: empty where the driver takes its
# own, for PostgreSQL a Unix socket.   options: the rest of the URL, {name: value}.
Address = namedtuple("Address", "kind driver host port user password database socket options")

KINDS = {"postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
PORTS = {"postgresql": 5432, "mysql": 3306}
TITLES = {"postgresql": "PostgreSQL", "mysql": "MySQL"}

# What a server says to a login that will be refused the next time too.
REFUSED = re.compile(
    r"Access denied for user|password authentication failed|no pg_hba\.conf entry|role \".*\" (?:does not exist|is not permitted)"
    r"|Host .* is not allowed to connect|authentication failed for user",
    re.I,
)
NO_DATABASE = re.compile(r"Unknown database|database \".*\" does not exist", re.I)
CODES = {
    "28P01": "login_refused", "28000": "login_refused", "3D000": "no_database",
    "1044": "login_refused", "1045": "login_refused", "1130": "login_refused", "1698": "login_refused", "1049": "no_database",
    "ER_ACCESS_DENIED_ERROR": "login_refused", "ER_DBACCESS_DENIED_ERROR": "login_refused", "ER_BAD_DB_ERROR": "no_database",
}  # fmt: skip

# Both read {kind, driver, host, port, user, password, database, socket, options, seconds} from standard input, and print
# {driver, ok, code, error}, driver null where there is none. The password is neither in an argument nor in the environment.
PYTHON_LOGIN = r"""
import asyncio, importlib, json, sys
a = json.load(sys.stdin)
s, o, pg = a["seconds"], a["options"], a["kind"] == "postgresql"
named = {k: o[k] for k in ("sslmode", "sslrootcert", "sslcert", "sslkey") if k in o}
at = {"host": a["socket"] or a["host"], "port": a["port"], "user": a["user"] or None}

def psycopg(m):
    m.connect(dbname=a["database"], password=a["password"], connect_timeout=max(2, int(s)), **at, **named).close()

def asyncpg(m):
    async def go():
        ssl = o.get("sslmode") or o.get("ssl")
        await (await m.connect(database=a["database"], password=a["password"], timeout=s, ssl=ssl, **at)).close()
    asyncio.run(go())

def mysql(m, database="database", password="password", **extra):
    where = {"unix_socket": a["socket"]} if a["socket"] else {"host": a["host"], "port": a["port"]}
    given = {"user": a["user"], database: a["database"], password: a["password"], "connect_timeout": max(1, int(s))}
    m.connect(**where, **given, **extra).close()

def ca(m):
    return {"ssl": {"ca": o["ssl_ca"]}} if "ssl_ca" in o else {}

ways = [
    ("psycopg", psycopg), ("psycopg2", psycopg), ("asyncpg", asyncpg)
] if pg else [
    ("pymysql", lambda m: mysql(m, **ca(m))),
    ("MySQLdb", lambda m: mysql(m, **ca(m))),
    ("mysql.connector", lambda m: m.connect(
        user=a["user"], password=a["password"], database=a["database"], connection_timeout=max(1, int(s)),
        **({"unix_socket": a["socket"]} if a["socket"] else {"host": a["host"], "port": a["port"]}),
        **({"ssl_ca": o["ssl_ca"]} if "ssl_ca" in o else {})).close()),
]
ways.sort(key=lambda way: way[0].lower() != {"aiomysql": "pymysql"}.get(a["driver"], a["driver"]))
told = {"driver": None, "ok": False, "code": None, "error": ""}
for name, way in ways:
    try:
        module = importlib.import_module(name)
    except ImportError:
        continue
    told["driver"] = name
    try:
        way(module)
        told["ok"] = True
    except Exception as error:
        first = error.args[0] if error.args and isinstance(error.args[0], int) else None
        told["code"] = str(getattr(error, "sqlstate", None) or getattr(error, "errno", None) or first or "")
        told["error"] = "%s: %s" % (type(error).__name__, error)
    break
print(json.dumps(told))
"""
NODE_LOGIN = r"""
const a = JSON.parse(require("fs").readFileSync(0, "utf8"));
const load = require("module").createRequire(process.cwd() + "/");
const done = (driver, error) => {
  const told = { driver, ok: Boolean(driver) && !error, code: "", error: "" };
  if (error) Object.assign(told, { code: String(error.code || error.errno || ""), error: error.message });
  process.stdout.write(JSON.stringify(told), () => process.exit(0));
};
const attempt = (names) => {
  for (const name of names) {
    try {
      return [name, load(name)];
    } catch {}
  }
  return done(null);
};
const common = { user: a.user, password: a.password, database: a.database, port: a.port };
if (a.kind === "postgresql") {
  const found = attempt(["pg"]);
  if (found) {
    const mode = a.options.sslmode || "";
    const ssl = /^(require|verify-ca|verify-full)$/.test(mode) && { rejectUnauthorized: mode !== "require" };
    const patience = { connectionTimeoutMillis: a.seconds * 1000 };
    const client = new found[1].Client({ ...common, ...patience, host: a.socket || a.host, ssl });
    client.connect((error) => done("pg", error));
  }
} else {
  const found = attempt(["mysql2", "mysql"]);
  if (found) {
    const where = a.socket ? { socketPath: a.socket } : { host: a.host };
    found[1].createConnection({ ...common, ...where, connectTimeout: a.seconds * 1000 }).connect((error) => done(found[0], error));
  }
}
"""


def address_of(url):
    """The Address in a URL of a PostgreSQL or MySQL database, as apps write it.

    None: it is another one's, names several servers, or can't be read.
    """
    match = re.match(r"^([a-z0-9]+)(?:\+(\w+))?://", url)
    if not match or match.group(1) not in KINDS:
        return None
    kind = KINDS[match.group(1)]
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS[kind]
    except ValueError:
        return None
    query = parse_qs(parts.query)
    if "," in host or "," in ",".join(query.get("host", [])):
        return None
    options = {name: values[-1] for name, values in query.items()}
    socket = options.get("unix_socket") or (options.get("host") if "/" in options.get("host", "") else None)
    if "%2f" in host.lower():  # libpq's way to say a folder
        socket, host = unquote(host), ""
    return Address(
        kind,
        (match.group(2) or "").lower(),
        host or options.get("host") or ("localhost" if socket or kind == "mysql" else ""),
        port,
        unquote(parts.username or options.get("user", "")),
        unquote(parts.password or options.get("password", "")),
        unquote(parts.path.strip("/")),
        socket,
        options,
    )


def where(address):
    """The database as a person names it; no secret."""
    if address.socket:
        return address.socket
    if not address.host:
        return "the local socket"
    return "%s:%d" % ("[%s]" % address.host if ":" in address.host else address.host, address.port)


def greet(address, seconds):
    """An Answer: whether a server of that kind answers. Its message is what it says of itself."""
    said = []

    def connect(host, port, deadline):
        connection = open_connection(host, port, deadline)
        try:
            connection.settimeout(max(0.001, deadline.remaining()))
            said.append((_greeting_of_mysql if address.kind == "mysql" else _greeting_of_postgresql)(connection))
        except BaseException:
            connection.close()
            raise
        return connection

    answer = probe_tcp(address.host, address.port, seconds, connect)
    return answer._replace(message=said[0]) if answer.ok else answer


def _greeting_of_mysql(connection):
    head = _receive(connection, 5)
    if head[4:] not in (b"\x0a", b"\xff"):
        raise ProbeFailure("not_database", "what answers there is no MySQL or MariaDB")
    body = _receive(connection, min(head[0] | head[1] << 8 | head[2] << 16, 512) - 1)
    if head[4:] == b"\xff":
        code, text = struct.unpack("<H", body[:2])[0], body[2:].decode("utf-8", "replace")
        raise ProbeFailure(CODES.get(str(code), "unavailable"), "the server says: %s (%d)" % (text, code))
    version = body.split(b"\0")[0].decode("ascii", "replace")
    return "%s %s" % ("MariaDB" if "MariaDB" in version else "MySQL", version.replace("5.5.5-", "").partition("-")[0])


def _greeting_of_postgresql(connection):
    connection.sendall(struct.pack("!II", 8, 80877103))  # SSLRequest
    if _receive(connection, 1) not in (b"S", b"N"):
        raise ProbeFailure("not_database", "what answers there is no PostgreSQL")
    return "PostgreSQL"


def _receive(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            break
        data += more
    return data


def look(url, user, root, code, node, seconds):
    """{where, ok, cause, told, how} of one database, by its URL.

    user, root: the app's.   code: the folder of its code below a release.   node: the program that runs its JavaScript.
    how: greeting, or the driver that logged in.   cause: login_refused, no_database, unavailable, or what a probe calls it;
    login_unsure where the URL leaves out what the app may have from elsewhere (.pgpass, PGHOST).
    """
    address = address_of(url)
    found = {"where": where(address), "kind": address.kind, "user": address.user, "database": address.database}
    if address.host and not address.socket:
        answer = greet(address, seconds / 2)
        found.update(ok=answer.ok, cause=answer.cause, told=_clean(answer.message, address), how="greeting")
        if not answer.ok:
            return found
    said = login(address, user, root, code, node, seconds / 2)
    if said is None:
        return dict({"ok": None, "cause": "no_driver", "told": "", "how": None}, **found)
    cause = None if said["ok"] else verdict(said)
    if cause == "login_refused" and not (address.host and address.password):
        cause = "login_unsure"
    return dict(found, ok=said["ok"], cause=cause, told=_clean(said["error"], address), how=said["driver"])


def verdict(said):
    """login_refused, no_database or unavailable: what a driver's error means."""
    if said["code"] in CODES:
        return CODES[said["code"]]
    return (
        "login_refused"
        if REFUSED.search(said["error"])
        else "no_database"
        if NO_DATABASE.search(said["error"])
        else "unavailable"
    )


def login(address, user, root, code, node, seconds):
    """{driver, ok, code, error} of a login as the app itself would do it; None where its release has no driver."""
    release = os.path.join(root, "current")
    python, folder = os.path.join(release, "venv/bin/python"), os.path.join(release, code)
    given = json.dumps(dict(address._asdict(), seconds=seconds)).encode("utf-8")
    # As the app's user: these are programs and packages of the app.
    words = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs", "--"]
    for program, argv in ((python, ["-I", "-c", PYTHON_LOGIN]), (node, ["-e", NODE_LOGIN])):
        if not os.path.exists(program) or not os.path.isdir(folder):
            continue
        if program == node and not os.path.isdir(os.path.join(folder, "node_modules")):
            continue
        said = _run(words + [program] + argv, given, folder, seconds * 1.5)
        if said is None or said["driver"]:
            return said or {
                "driver": os.path.basename(program),
                "ok": False,
                "code": "",
                "error": "the login gave no answer in time",
            }
    return None


def _run(argv, given, folder, seconds):
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
    try:
        done = subprocess.run(
            argv,
            input=given,
            cwd=folder,
            env=environment,
            timeout=seconds,
            capture_output=True,
            check=False,
        )
        return json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        return None


def _clean(text, address):
    """What a server or driver says, in one line, without the password."""
    line = " ".join(text.split())
    for secret in sorted({address.password, quote(address.password, safe="")}, key=len, reverse=True):
        line = line.replace(secret, MASK) if secret else line
    return redact(line)[:300]
