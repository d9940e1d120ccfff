"""What the proxy does with real requests, and what it looks like on the host."""

import asyncio
import re

import pytest
import requests
import urllib3
import websockets

urllib3.disable_warnings()


@pytest.fixture
def address(host):
    return host.check_output("hostname -I").split()[0]


@pytest.fixture
def ask(address):
    def get(path, site="plain.example.com", scheme="http", method="GET", **options):
        headers = {"Host": site, **options.pop("headers", {})}
        url = f"{scheme}://{address}{path}"
        return requests.request(
            method, url, headers=headers, timeout=10, verify=False, allow_redirects=False, **options
        )

    return get


def test_nginx_runs_now_and_at_boot(host):
    assert host.service("nginx").is_running
    assert host.service("nginx").is_enabled


def test_the_former_configuration_is_kept(host):
    assert host.file("/etc/nginx/nginx.conf").linked_to.startswith("/etc/nginx/.gatehouse/")
    assert host.file("/etc/nginx/nginx.conf.before-gatehouse").exists
    assert not host.file("/etc/nginx/sites-enabled/default").exists
    assert host.file("/etc/nginx/.gatehouse/before-gatehouse/sites-enabled/default").exists


def test_the_app_is_told_who_asks_and_not_what_clients_claim(ask, host):
    claims = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    seen = {name.lower(): value for name, value in ask("/who", headers=claims).json()["headers"].items()}
    client = host.check_output("ip route show default").split()[2]
    assert seen["x-forwarded-for"] == seen["x-real-ip"] == client
    assert "forwarded" not in seen
    assert (seen["x-forwarded-proto"], seen["x-forwarded-host"], seen["x-forwarded-port"]) == (
        "http",
        "plain.example.com",
        "80",
    )
    assert re.fullmatch(r"[0-9a-f]{32}", seen["x-request-id"])


def test_requests_go_to_both_instances(ask):
    assert {ask("/who").json()["port"] for _time in range(10)} == {3000, 3001}


def test_a_503_is_asked_of_the_other_instance_but_a_post_is_not(ask):
    assert {ask("/sick").json()["port"] for _time in range(6)} == {3001}
    assert {ask("/sick", method="POST", data=b"x").status_code for _time in range(6)} == {200, 503}


def test_an_instance_that_is_down_is_not_noticed(ask, host):
    host.check_output("systemctl kill --signal=STOP echo-3000")
    host.check_output("systemctl kill --signal=KILL echo-3000")
    assert {ask("/who").status_code for _time in range(20)} == {200}


def test_the_rate_limit_answers_429(ask):
    codes = [ask("/limited/").status_code for _time in range(12)]
    assert codes[:4] == [200] * 4
    assert 429 in codes
    assert set(codes) == {200, 429}


def test_a_body_that_is_too_large_is_refused(ask):
    assert ask("/who", method="POST", data=b"x" * 2000).status_code == 413


def test_an_app_that_is_too_slow_for_its_route_is_a_504(ask):
    assert ask("/impatient/slow").status_code == 504


def test_security_headers_are_there_once_and_give_way(ask):
    answer = ask("/who")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert ask("/own-header").headers["X-Frame-Options"] == "DENY"
    assert ask("/impatient").headers["X-Frame-Options"] == "DENY"
    assert ask("/docs/").headers["X-Frame-Options"] == "SAMEORIGIN"
    assert ask("/gone").headers["X-Frame-Options"] == "SAMEORIGIN"
    assert ask("/impatient").headers["X-Said"] == 'a "quoted" \\ value'
    assert answer.headers["Server"] == "nginx"


def test_a_static_folder_is_served_and_nothing_beside_it(ask):
    assert ask("/docs").headers["Location"].endswith("/docs/")
    assert ask("/docs/").text == "public\n"
    assert ask("/docs/index.html").text == "public\n"
    for path in ("/docs-secret/index.html", "/docs../docs-secret/index.html", "/docs/%2e%2e/docs-secret/index.html"):
        assert ask(path).text != "secret\n"


def test_return_routes(ask):
    assert ask("/gone").status_code == 410


def test_an_unknown_name_gets_no_answer(ask, address):
    for name in ("unknown.example.com", address):
        with pytest.raises(requests.RequestException):
            ask("/who", site=name)


def test_ipv6_is_served(host):
    answer = host.check_output("curl --silent --globoff -H 'Host: plain.example.com' 'http://[::1]/who'")
    assert '"path": "/who"' in answer


def test_a_websocket_passes(address):
    async def talk():
        async with websockets.connect("ws://plain.example.com/ws", host=address, port=80) as socket:
            await socket.send("hello")
            return await socket.recv()

    assert asyncio.run(asyncio.wait_for(talk(), 10)) == "hello"


def test_tls_and_its_redirect(ask, host):
    assert ask("/x?y=1", site="secure.example.com").headers["Location"] == "https://secure.example.com/x?y=1"
    told = host.check_output(
        "curl --silent --fail --http2 --cacert /etc/ssl/certs/secure.pem "
        "--resolve secure.example.com:443:127.0.0.1 --write-out '\\n%{http_version}' https://secure.example.com/who"
    )
    assert '"X-Forwarded-Proto": "https"' in told
    assert told.splitlines()[-1] == "2"


def test_a_tls_handshake_for_an_unknown_name_is_refused(host):
    result = host.run("curl --silent --insecure --resolve other.example.com:443:127.0.0.1 https://other.example.com/")
    assert result.rc == 35


def test_the_health_path_is_not_logged(ask, host):
    ask("/health?mark=unseen")
    ask("/who?mark=seen")
    # nginx writes its log once a second.
    host.check_output("timeout 30 sh -c 'until grep --quiet mark=seen /var/log/nginx/access.log; do sleep 0.2; done'")
    assert "mark=unseen" not in host.file("/var/log/nginx/access.log").content_string
