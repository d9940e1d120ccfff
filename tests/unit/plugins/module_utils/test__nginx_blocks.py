"""Who answers for a name and a path, by what `nginx -T` prints."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._nginx_blocks import (
    certificates,
    location_for,
    outward,
    read,
    server_for,
    servers,
)

DUMP = """# configuration file /etc/nginx/nginx.conf:
events { worker_connections 1024; }
stream { server { listen 80; } }  # no server of http
http {
    log_format main '$remote_addr "{;}" # no comment';
    include conf.d/*.conf;
    upstream chat { server 127.0.0.1:8000; server 127.0.0.1:8001 backup; keepalive 8; }
    upstream chat.green { server 127.0.0.1:18000; }
}
# configuration file /etc/nginx/conf.d/chat.conf:
server {
    listen 80;
    listen [::]:80;
    server_name chat.example.com *.chat.example.com;
    client_max_body_size 5m;
    set $to chat;
    if (-f /srv/chat/current/green) { set $to chat.green; }
    location / { proxy_pass http://$to; include proxy.conf; proxy_read_timeout 300s; }
    location /ws/ { proxy_pass http://chat; proxy_set_header Upgrade $http_upgrade; }
    location = /exact { return 204; }
    location ~* \\.PHP$ { proxy_pass http://127.0.0.1; }
    location ^~ /files/ { root /srv; }
}
server { listen 127.0.0.1:81 default_server; listen 443 ssl; server_name ~^www\\d+\\.example\\.com$ .wild.example.com; }
server { listen 80 default_server; server_name _; return 444; }
# configuration file /etc/nginx/proxy.conf:
proxy_set_header Host $host;
proxy_set_header Upgrade "";
"""
FOUND = servers(read(DUMP))


def test_servers_are_read_in_their_order_through_includes():
    assert [one["names"] for one in FOUND] == [
        ["chat.example.com", "*.chat.example.com"],
        ["~^www\\d+\\.example\\.com$", ".wild.example.com"],
        ["_"],
    ]
    assert {one["file"] for one in FOUND} == {"/etc/nginx/conf.d/chat.conf"}
    assert FOUND[1]["listens"] == [
        {"port": 81, "tls": False, "default": True},
        {"port": 443, "tls": True, "default": False},
    ]


@pytest.mark.parametrize(
    ("port", "host", "number", "by_name"),
    [
        (80, "chat.example.com", 0, True),
        (80, "CHAT.example.com", 0, True),
        (80, "a.chat.example.com", 0, True),
        (80, "other.example.com", 2, False),
        (443, "www7.example.com", 1, True),
        (443, "wild.example.com", 1, True),
        (443, "a.wild.example.com", 1, True),
        (443, "chat.example.com", 1, False),
        (81, "whoever", 1, False),
    ],
)
def test_who_answers_for_a_name(port, host, number, by_name):
    assert server_for(FOUND, port, host) == (FOUND[number], by_name)


def test_nobody_answers_on_a_port_that_nobody_listens_on():
    assert server_for(FOUND, 8080, "chat.example.com") == (None, False)


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/"),
        ("/api/x?y=/ws/", "/"),
        ("/ws/probe", "/ws/"),
        ("/exact", "/exact"),
        ("/exact/more", "/"),
        ("/x.php", "\\.PHP$"),
        ("/files/x.php", "/files/"),
    ],
)
def test_which_location_a_path_falls_to(path, location):
    assert location_for(FOUND[0], path)["path"] == location


def test_what_a_location_leads_to():
    by_path = {one["path"]: one for one in FOUND[0]["locations"]}
    assert by_path["/"]["targets"] == ["127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:18000"]
    assert by_path["\\.PHP$"]["targets"] == ["127.0.0.1:80"]
    assert (by_path["/"]["upgrade"], by_path["/ws/"]["upgrade"]) == (False, True)
    assert (by_path["/"]["read_timeout"], by_path["/ws/"]["read_timeout"]) == ("300s", "60s")
    assert by_path["/"]["body_size"] == "5m"


def test_an_include_that_leads_in_a_circle_ends():
    assert servers(read("# configuration file /n.conf:\nhttp { include n.conf; server { listen 1; } }\n"))


def test_text_that_is_no_dump_has_no_servers():
    assert servers(read("")) == []
    assert servers(read("# configuration file /n.conf:\n} } server {")) == []


PAIRS = """# configuration file /etc/nginx/nginx.conf:
http {
    ssl_certificate all.pem;
    ssl_certificate_key all.key;
    server {
        ssl_certificate "/c/rsa.pem"; ssl_certificate /c/ec.pem;
        ssl_certificate_key /c/rsa.key; ssl_certificate_key /c/ec.key;
    }
    server { ssl_certificate /c/$ssl_server_name.pem; ssl_certificate_key data:$key; }
    server { content_by_lua_block { t = {{1}, {2}} } }
    server { ssl_certificate /c/alone.pem; }
}
"""


def test_the_certificates_that_blocks_name_with_their_keys():
    assert certificates(read(PAIRS), "/etc/nginx") == [
        ("/etc/nginx/all.pem", "/etc/nginx/all.key"),
        ("/c/rsa.pem", "/c/rsa.key"),
        ("/c/ec.pem", "/c/ec.key"),
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", set()),
        ("# server { server_name a; location / { proxy_pass http://x; } }", set()),
        ("server { server_name A.example b.example; location / { root /x; } }", {"a.example", "b.example"}),
        ("http { server { server_name a; location / { root /x; } } }", {"a"}),
        ("server { server_name _; location / { if ($x) { return 1; } proxy_pass http://x; } }", {"_"}),
        # Who only turns others away.
        ("server { listen 80 default_server; server_name _; return 444; }", set()),
        ("server { server_name _; ssl_reject_handshake on; location / { return 421; } }", set()),
        ("server { server_name a; location / { return 301 https://b$request_uri; } }", {"a"}),
        # Who talks to the host alone.
        (
            "server { listen 127.0.0.1:8999; listen [::1]:8999; server_name localhost; location / { stub_status; } }",
            set(),
        ),
        ("server { listen 127.0.0.1:80; listen 80; server_name a; location / { root /x; } }", {"a"}),
    ],
)
def test_the_names_for_which_a_file_has_something_to_serve(text, names):
    assert {name for found, _ports in outward(text) for name in found} == names


def test_the_ports_of_a_server_that_others_can_ask():
    text = "server { listen 80; listen [::]:80; listen 8443 ssl; listen 8443 quic; server_name a; }"
    assert outward(text) == [({"a"}, {80, 8443})]
