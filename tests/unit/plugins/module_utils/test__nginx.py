"""What nginx says, and what is judged of it: tables of recorded output (nginx 1.22 on Debian 12)."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _nginx
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._listeners import LISTEN, Socket

DUMP = """\
# configuration file /etc/nginx/nginx.conf:
user www-data;
error_log /var/log/nginx/main.log warn;
include /etc/nginx/modules-enabled/*.conf;
events { worker_connections 768; }
http {
  include mime.types;
  include "/etc/nginx/conf.d/*.conf"; include gatehouse/sites/*.conf;
  # include /etc/nginx/commented/*.conf;
  error_log stderr; error_log syslog:server=unix:/dev/log;
  error_log logs/relative.log;
}

# configuration file /etc/nginx/mime.types:
types { text/html html; }

# configuration file /etc/nginx/gatehouse/sites/chat.conf:
server {
  listen 80 default_server; listen [::]:80 default_server;
  listen 127.0.0.1:8080;
  listen *:8081;
  listen 192.0.2.7;
  listen unix:/run/x.sock;
  listen localhost:8082;
  listen 8443 quic reuseport;
  ssl_certificate /etc/ssl/chat.pem; # listen 9999;
  ssl_certificate_key certs/chat.key;
  ssl_certificate /etc/ssl/$ssl_server_name.pem;
  ssl_trusted_certificate data:$chain;
  location / { proxy_pass http://chat; }
}
"""


def wish(**changes):
    options = {"files": {}, "name": "gatehouse", "main": False, "absent": [], "service": "nginx.service"}
    return _nginx.check_wish(**dict(options, **changes))


def test_a_wish_is_taken_as_bytes():
    assert wish(files={"sites/ü.conf": "# ü"}, absent=["sites-enabled/default"]) == {"sites/ü.conf": "# ü".encode()}


@pytest.mark.parametrize(
    ("changes", "named", "shown"),
    [
        ({"files": {"/etc/passwd": ""}}, "'/etc/passwd'", "sites/chat.conf"),
        ({"files": {"../x.conf": ""}}, "'../x.conf'", "sites/chat.conf"),
        ({"files": {"a/../../x.conf": ""}}, "a/../../x.conf", "sites/chat.conf"),
        ({"files": {"./x.conf": ""}}, "./x.conf", "sites/chat.conf"),
        ({"files": {"a//x.conf": ""}}, "a//x.conf", "sites/chat.conf"),
        ({"files": {"a/": ""}}, "'a/'", "sites/chat.conf"),
        ({"files": {"": ""}}, "''", "sites/chat.conf"),
        ({"files": {"a\0b": ""}}, "a\\x00b", "sites/chat.conf"),
        ({"files": {7: ""}}, "names 7", "sites/chat.conf"),
        ({"files": {"x.conf": {"a": 1}}}, "x.conf as dict", "lookup"),
        ({"files": {"a": "", "a/b": ""}}, "a/b", "a.conf"),
        ({"name": "a/b"}, "'a/b'", "gatehouse"),
        ({"name": ".hidden"}, "'.hidden'", "gatehouse"),
        ({"main": True}, "no nginx.conf", "nginx.conf"),
        ({"service": "nginx"}, "'nginx'", "nginx.service"),
        ({"service": "nginx.service; reboot"}, "reboot", "nginx.service"),
        ({"absent": ["../passwd"]}, "../passwd", "sites-enabled/default"),
        ({"absent": ["nginx.conf"]}, "nginx.conf", "sites-enabled/default"),
        ({"absent": ["gatehouse/a.conf"]}, "gatehouse/a.conf", "sites-enabled/default"),
        ({"absent": [".gatehouse"]}, ".gatehouse", "sites-enabled/default"),
    ],
)
def test_a_bad_wish_is_refused_with_the_right_form(changes, named, shown):
    with pytest.raises(GatehouseError) as caught:
        wish(**changes)
    assert caught.value.cause == "bad_input"
    assert named in caught.value.message
    assert shown in caught.value.hint


def test_the_digest_tells_sets_apart():
    sets = [{}, {"a": b"b"}, {"a": b""}, {"ab": b""}, {"a": b"", "b": b""}, {"a": b"1 b 0 "}]
    assert len({_nginx.digest(files) for files in sets}) == len(sets)
    assert _nginx.digest({"a": b"1", "b": b"2"}) == _nginx.digest({"b": b"2", "a": b"1"})
    assert len(_nginx.digest({})) == 16


def test_the_diff_has_a_pair_for_each_file_that_differs():
    pairs = _nginx.diff({"a": b"1", "same": b"", "gone": b"x"}, {"a": b"2", "same": b"", "new": b"\xff"}, "/s")
    assert [(p["before_header"], p["after_header"], p["before"], p["after"]) for p in pairs] == [
        ("/s/a", "/s/a", "1", "2"),
        ("/s/gone", "(absent)", "x", ""),
        ("(absent)", "/s/new", "", "\ufffd"),
    ]


def test_a_dump_names_the_files_in_use_and_the_warnings():
    messages = (
        'nginx: [warn] conflicting server name "a" on 0.0.0.0:80, ignored\n'
        'nginx: [warn] 12#12: the "user" directive makes sense only if the master process runs with super-user\n'
    )
    dump = _nginx.parse_dump(DUMP, messages)
    assert dump.files == [
        "/etc/nginx/nginx.conf",
        "/etc/nginx/mime.types",
        "/etc/nginx/gatehouse/sites/chat.conf",
    ]
    assert dump.warnings == [
        'conflicting server name "a" on 0.0.0.0:80, ignored',
        'the "user" directive makes sense only if the master process runs with super-user',
    ]


def test_what_a_dump_leads_to():
    dump = _nginx.parse_dump(DUMP)
    assert _nginx.include_folders(dump, "/etc/nginx") == [
        "/etc/nginx/conf.d",
        "/etc/nginx/gatehouse/sites",
        "/etc/nginx/modules-enabled",
    ]
    assert _nginx.loaded_files(dump, "/etc/nginx") == ["/etc/nginx/certs/chat.key", "/etc/ssl/chat.pem"]
    build = "configure arguments: --prefix=/usr/share/nginx --error-log-path=/var/log/nginx/error.log --with-debug"
    assert _nginx.error_logs(dump, build) == [
        "/usr/share/nginx/logs/relative.log",
        "/var/log/nginx/error.log",
        "/var/log/nginx/main.log",
    ]
    assert _nginx.listen_addresses(dump) == [
        ("0.0.0.0", 80),
        ("0.0.0.0", 8081),
        ("127.0.0.1", 8080),
        ("192.0.2.7", 80),
        ("::", 80),
    ]


@pytest.mark.parametrize(
    ("address", "held", "expected"),
    [
        ("0.0.0.0", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("::", "::", True),
        ("::", "::1", True),
        ("0.0.0.0", "::", False),
        ("::", "127.0.0.1", False),
    ],
)
def test_which_sockets_keep_an_address_from_being_bound(address, held, expected):
    assert _nginx.clashes(address, Socket(held, 80, LISTEN, 1)) is expected


@pytest.mark.parametrize(
    ("messages", "lines", "location"),
    [
        (
            'nginx: [emerg] unknown directive "retrun" in /etc/nginx/gatehouse/sites/chat.conf:12\n'
            "nginx: configuration file /etc/nginx/nginx.conf test failed\n",
            ['unknown directive "retrun" in /etc/nginx/gatehouse/sites/chat.conf:12'],
            ("/etc/nginx/gatehouse/sites/chat.conf", 12),
        ),
        (
            'nginx: [emerg] unexpected end of file, expecting ";" or "}" in /etc/nginx/a b.conf:3\n',
            ['unexpected end of file, expecting ";" or "}" in /etc/nginx/a b.conf:3'],
            ("/etc/nginx/a b.conf", 3),
        ),
        (
            'nginx: [warn] something\nnginx: [emerg] 7#7: cannot load certificate "/x.pem": BIO_new_file() failed\n',
            ['cannot load certificate "/x.pem": BIO_new_file() failed'],
            None,
        ),
        ("nginx did not end within 60.0 s\n", ["nginx did not end within 60.0 s"], None),
        ("", [], None),
    ],
)
def test_why_a_test_failed(messages, lines, location):
    assert _nginx.error_lines(messages) == lines
    assert (_nginx.error_location(lines[0]) if lines else None) == location


def test_an_excerpt_marks_the_line():
    text = "one\ntwo\nthree\nfour\nfive\nsix\n"
    assert _nginx.excerpt(text, 4) == ["    2 | two", "    3 | three", ">   4 | four", "    5 | five", "    6 | six"]
    assert _nginx.excerpt(text, 1) == [">   1 | one", "    2 | two", "    3 | three"]
    assert _nginx.excerpt(text, 6) == ["    4 | four", "    5 | five", ">   6 | six"]
    assert _nginx.excerpt("", 1) == []


LOG = """\
2026/11/21 04:00:00 [notice] 100#100: signal 1 (SIGHUP) received from 123, reconfiguring
2026/11/21 04:00:00 [emerg] 100#100: bind() to 0.0.0.0:8095 failed (98: Address already in use)
2026/11/21 04:00:00 [emerg] 101#101: setgid(33) failed (1: Operation not permitted)
2026/11/21 04:00:01 [alert] 100#100: worker process 101 exited on signal 11
2026/11/21 04:00:01 [alert] 100#100: worker process 102 exited with fatal code 2 and cannot be respawned
2026/11/21 04:00:01 [error] 101#101: *1 connect() failed (111: Connection refused) while connecting to upstream
"""


def test_the_master_s_last_words():
    assert _nginx.fatal_lines(LOG, 100) == [
        "bind() to 0.0.0.0:8095 failed (98: Address already in use)",
        "worker process 102 exited with fatal code 2 and cannot be respawned",
    ]
    assert len(_nginx.fatal_lines(LOG)) == 3
    assert _nginx.fatal_lines(LOG, 7) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bind() to 0.0.0.0:8095 failed (98: Address already in use)", ("0.0.0.0", 8095)),
        ("bind() to [::]:80 failed (98: Address already in use)", ("::", 80)),
        ("bind() to unix:/run/x.sock failed (98: Address already in use)", ("unix:/run/x.sock", None)),
        ("bind() to 192.0.2.1:80 failed (99: Cannot assign requested address)", None),
        ("still could not bind()", None),
    ],
)
def test_a_bind_that_found_its_address_in_use(line, expected):
    assert _nginx.bind_failure(line) == expected


def test_the_parent_of_a_process_with_an_odd_name():
    assert _nginx.parent_pid("812 (a) S (b) S 17 812 812 0 -1 4194624 1 0 0 0 0 0 0 0 20 0 1 0 123456 1") == 17


def test_a_worker_on_its_way_out_does_not_serve():
    titles = [
        "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;",
        "nginx: worker process",
        "nginx: worker process is shutting down",
        "nginx: cache manager process",
    ]
    family = [_nginx.Process(pid, 1, title) for pid, title in enumerate(titles)]
    assert [process.pid for process in _nginx.serving(family)] == [1]


@pytest.mark.parametrize(
    ("workers", "changed_at", "expected"),
    [
        ([], {}, ["nginx runs without a worker."]),
        ([100.0, 100.0], {"/a": 99.0}, []),
        ([100.0], {"/a": 101.5}, ["/a changed 1.5 s after nginx had read its configuration."]),
        # The oldest worker counts: one that was started again has what its master had read.
        ([900.0, 100.0], {"/a": 400.0}, ["/a changed 5 min after nginx had read its configuration."]),
        # In the same tick: nobody can tell, and a reload too many does no harm.
        ([100.0], {"/a": 100.0}, ["/a changed 0.0 s after nginx had read its configuration."]),
        ([100.0], {"/a": 10000.0}, ["/a changed 2 h after nginx had read its configuration."]),
        # The clock was set back since.
        ([100.0], {"/a": 20000.0}, []),
        (
            [100.0],
            {"/a": 103.0, "/b": 102.0},
            [
                "/b changed 2.0 s after nginx had read its configuration.",
                "/a changed 3.0 s after nginx had read its configuration.",
            ],
        ),
    ],
)
def test_when_what_runs_is_not_what_is_on_disk(workers, changed_at, expected):
    assert _nginx.stale(workers, changed_at, now=10001.0) == expected


OURS = """\
# configuration file /etc/nginx/gatehouse/sites.conf:
server {
  listen 80;
  listen [::]:80;
  server_name chat.example.com *.wide.example.com;
  location / { return 200 "server { listen 81; }"; }
}
server { listen 80 default_server; server_name _; }
server { listen 127.0.0.1:8999; server_name localhost; }
"""


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ("server { listen 80; server_name wiki.example.com; }", []),
        ("server { listen 8080; server_name chat.example.com; }", []),
        ("server { listen 127.0.0.1:8999; server_name x; }", []),
        ("upstream x { server 127.0.0.1:80; }", []),
        ("stream { server { listen 192.0.2.1:80; } }", []),
        ("# server { listen 80; server_name chat.example.com; }", []),
        (
            "\nserver {\n  listen [::]:80; listen 80;\n  server_name 'Chat.example.com'; }",
            [
                "/x.conf:2 has the name chat.example.com on port 80, which is of /etc/nginx/gatehouse: nginx never asks it."
            ],
        ),
        (
            "server { server_name a.wide.example.com; }",
            [
                "/x.conf:1 has the name a.wide.example.com on port 80: nginx asks it in place of /etc/nginx/gatehouse, where "
                "*.wide.example.com is."
            ],
        ),
        (
            "server { listen 192.0.2.1:80; server_name x; }",
            [
                "/x.conf:1 listens on 192.0.2.1:80: nginx asks it, and none of /etc/nginx/gatehouse, for all that comes to that address."
            ],
        ),
    ],
)
def test_servers_that_stand_in_each_others_way(theirs, told):
    dump = _nginx.parse_dump(OURS + "\n# configuration file /x.conf:\n" + theirs + "\n")
    assert _nginx.shadows(dump, "/etc/nginx/gatehouse") == told
