"""What the proxy does with real requests, and what it looks like on the host."""

import asyncio
import concurrent.futures
import contextlib
import json
import re
import resource
import socket
import time

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


def test_a_link_in_a_static_folder_leads_to_files_of_its_own_owner_alone(ask, host):
    """Whoever may write there could have files served that it can't read itself, as far as nginx can."""
    host.check_output(
        """
        useradd --system writer; cd /srv/www/docs
        echo mine > mine.txt; ln -s mine.txt inside.txt; chown -h writer mine.txt inside.txt
        mkdir -p /srv/www/others; echo others > /srv/www/others/page.txt; gzip -k /srv/www/others/page.txt
        ln -s /srv/www/others/page.txt file.txt; ln -s /srv/www/others folder; ln -s folder/page.txt twice.txt
        ln -s /srv/www/others/page.txt.gz mine.txt.gz; ln -s /proc/self/environ environ
        chown -h writer file.txt folder twice.txt mine.txt.gz environ
        """
    )
    try:
        for path in ("/docs/mine.txt", "/docs/inside.txt"):
            assert ask(path).text == "mine\n", path
        for path in ("/docs/file.txt", "/docs/folder/page.txt", "/docs/twice.txt", "/docs/environ", "/docs/folder/"):
            answer = ask(path, headers={"Accept-Encoding": "gzip, br"})
            assert answer.status_code == 403, path
            assert "others" not in answer.text
        assert ask("/docs/mine.txt", headers={"Accept-Encoding": "gzip"}).text == "mine\n"
    finally:
        host.check_output(
            "cd /srv/www/docs; rm -r mine.txt* inside.txt file.txt folder twice.txt environ /srv/www/others"
        )


def test_nginx_comes_back_however_often_its_master_is_killed(host, ask):
    def master():
        """The process that systemd takes for nginx's master; 0 where it has none."""
        return int(host.check_output("systemctl show --property=MainPID --value nginx"))

    def answers():
        try:
            return ask("/who").status_code == 200
        except requests.RequestException:
            return False

    def comes_back(killed):
        # The killed master's workers may answer a little longer: only another master tells that nginx is back.
        deadline = time.monotonic() + 20
        while master() in (0, killed) or not answers():
            assert time.monotonic() < deadline, host.run("systemctl status nginx").stdout
            time.sleep(0.05)

    def kill():
        killed = master()
        host.check_output(f"kill -9 {killed}")
        return killed

    for _time in range(7):  # systemd's own limit is 5 within 10 seconds
        comes_back(kill())
    # What keeps it from starting may be mended at any time.
    host.check_output("echo broken > /etc/nginx/conf.d/broken.conf")
    killed = kill()
    time.sleep(4)
    assert not answers()
    host.check_output("rm /etc/nginx/conf.d/broken.conf")
    comes_back(killed)
    host.check_output("systemctl stop nginx && sleep 1")
    assert host.run("systemctl is-active nginx").stdout.strip() == "inactive"
    host.check_output("systemctl start nginx")


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


def access_log(host, words):
    """nginx's log, once these words are in it: it is written once a second, and later where the machine is busy."""
    deadline = time.monotonic() + 20
    while words not in (log := host.file("/var/log/nginx/access.log").content_string):
        assert time.monotonic() < deadline, log[-2000:]
        time.sleep(0.2)
    return log


def test_the_health_path_is_not_logged(ask, host):
    ask("/health?mark=unseen")
    ask("/who?mark=seen")
    assert "mark=unseen" not in access_log(host, "mark=seen")


def spoken(address, text, timeout=10):
    """What comes back for these very bytes, until the connection ends."""
    with socket.create_connection((address, 80), timeout=timeout) as connection:
        connection.sendall(text.encode())
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
        return received.decode()


def test_exact_paths_come_first_then_expressions_then_the_longest_prefix(ask):
    assert ask("/robots.txt").text == "Price: $5\nDisallow: /\n"
    assert ask("/robots.txt").headers["Content-Type"] == "text/plain; charset=utf-8"
    assert ask("/number/123").headers["X-Route"] == "expression"
    assert ask("/number/1234").headers["X-Route"] == "prefix"


def test_a_prefix_is_taken_off(ask):
    answer = ask("/stripped/a%20b/c?d=%2Fe").json()
    assert answer["path"] == "/a%20b/c?d=%2Fe"
    assert answer["headers"]["X-Forwarded-Prefix"] == "/stripped"
    assert ask("/stripped/").json()["path"] == "/"
    assert "X-Forwarded-Prefix" not in ask("/who", headers={"X-Forwarded-Prefix": "/evil"}).json()["headers"]


def test_a_redirect_keeps_path_and_query(ask):
    answer = ask("/moved/x?y=1")
    assert (answer.status_code, answer.headers["Location"]) == (308, "https://www.example.com/moved/x?y=1")


def test_a_server_elsewhere_is_asked_by_its_name_and_verified(ask):
    name = "other.far.example.com"
    assert ask("/far/x?y=1").text == f"{name} {name} /inner/x?y=1 \n"
    assert ask("/unknown-authority/").status_code == 502
    assert ask("/other-name/").status_code == 502


def test_an_address_that_may_not_is_turned_away(ask):
    assert ask("/office/").status_code == 403


def test_a_password_is_asked_for(ask, host):
    assert ask("/staff/").status_code == 401
    assert ask("/staff/", auth=("ann", "wrong")).status_code == 401
    assert ask("/staff/", auth=("ann", "open-sesame")).status_code == 200
    folder = host.file("/etc/nginx/gatehouse-users")
    assert (folder.mode, folder.group) == (0o750, "www-data")


def test_another_origin_may_ask_only_if_it_is_named(ask):
    for origin in ("https://app.example.com", "https://x.preview.example.com"):
        answer = ask("/cors/", headers={"Origin": origin})
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in answer.headers["Vary"]
        asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        preflight = ask("/cors/", method="OPTIONS", headers=asked)
        assert (preflight.status_code, preflight.text) == (204, "")
        assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
        assert preflight.headers["Access-Control-Allow-Origin"] == origin
    for origin in ("https://evil.example.com", "https://app.example.com.evil.net"):
        answer = ask("/cors/", headers={"Origin": origin})
        assert not {name for name in answer.headers if name.startswith("Access-Control-Allow-")}


def test_what_is_said_word_by_word_arrives_word_by_word(ask):
    began = time.monotonic()
    answer = ask("/stream/events", stream=True, headers={"Accept-Encoding": "gzip, br"})
    words = answer.iter_content(None)
    first, at = next(words), time.monotonic() - began
    assert first == b"first "
    assert b"".join(words) == b"second"
    assert "Content-Encoding" not in answer.headers
    assert time.monotonic() - began - at > 0.5


def test_a_cache_answers_again_but_not_for_one_who_is_known(ask):
    path = f"/cached/{time.time()}"
    first, second = ask(path), ask(path)
    assert (first.headers["X-Cache-Status"], second.headers["X-Cache-Status"]) == ("MISS", "HIT")
    assert first.json()["time"] == second.json()["time"]
    known = ask(path, headers={"Cookie": "session=1"})
    assert (known.headers["X-Cache-Status"], known.json()["time"]) != ("HIT", first.json()["time"])


def test_a_client_has_no_more_connections_than_it_may(ask):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        codes = sorted(pool.map(lambda _time: ask("/few/slow").status_code, range(3)))
    assert codes == [200, 429, 429]


def test_routes_share_a_rate(ask):
    codes = [ask(path).status_code for path in ("/login/", "/register/", "/login/", "/register/")]
    assert codes == [200, 200, 429, 429]


def test_planned_work_has_its_page_and_health_answers(ask, address, host):
    answer = ask("/who", site="work.example.com")
    assert (answer.status_code, answer.text) == (503, "<h1>Back for $5</h1>")
    assert answer.headers["Retry-After"] == "600"
    assert answer.headers["Content-Type"].startswith("text/html")
    assert ask("/health", site="work.example.com").status_code == 200
    inside = host.check_output(
        "curl --silent --output /dev/null --write-out '%{http_code}' -H 'Host: work.example.com' http://127.0.0.1/who"
    )
    assert inside == "200"


def test_grpc_reaches_its_server(host):
    told = host.check_output(
        "curl --silent --fail --http2 --cacert /etc/ssl/certs/secure.pem -H 'Content-Type: application/grpc' -H 'TE: trailers' "
        "--data-binary x --resolve secure.example.com:443:127.0.0.1 https://secure.example.com/pkg.Svc/Method"
    )
    assert told == "/pkg.Svc/Method"


def test_a_proxy_in_front_is_believed(host):
    told = host.check_output(
        "curl --silent -H 'Host: plain.example.com' -H 'X-Forwarded-For: 198.51.100.1, 203.0.113.9' "
        "-H 'X-Forwarded-Proto: https' http://127.0.0.1/who"
    )
    seen = json.loads(told)["headers"]
    assert (seen["X-Forwarded-For"], seen["X-Real-IP"]) == ("203.0.113.9", "203.0.113.9")
    assert (seen["X-Forwarded-Proto"], seen["X-Forwarded-Port"]) == ("https", "443")


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /who\r\n",
        "GET http://plain.example.com/who\r\n",
        "GET http://plain.example.com/who HTTP/1.1\r\nHost: secure.example.com\r\nConnection: close\r\n\r\n",
        "GET http://unknown.example.com/who HTTP/1.1\r\nHost: plain.example.com\r\nConnection: close\r\n\r\n",
        "GET /who HTTP/1.1\r\nHost: plain.example.com\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: plain.example.com\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    ],
    ids=["HTTP/0.9", "HTTP/0.9 with a name", "two hosts", "an unknown one of two", "h2c", "h2c for a WebSocket"],
)
def test_requests_that_can_be_read_in_two_ways_are_refused(address, request_text):
    answer = spoken(address, request_text)
    assert '"path"' not in answer
    assert not answer or "400" in answer


def test_hidden_files_are_not_there(ask, host):
    host.check_output("mkdir -p /srv/www/docs/.git && echo secret > /srv/www/docs/.git/config")
    assert ask("/docs/.git/config").status_code == 404


def test_what_scanners_look_for(ask, host):
    """All that they count, of an answer of an API and of a page that came over https."""
    wanted = {
        "Content-Security-Policy",
        "Cross-Origin-Embedder-Policy",
        "Cross-Origin-Opener-Policy",
        "Cross-Origin-Resource-Policy",
        "Permissions-Policy",
        "Referrer-Policy",
        "X-Content-Type-Options",
        "X-Frame-Options",
        "X-Permitted-Cross-Domain-Policies",
    }
    assert wanted <= set(ask("/who").headers)
    lines = host.check_output(
        "curl --silent --head --header 'Host: plain.example.com' --header 'X-Forwarded-Proto: https' http://127.0.0.1/page/"
    )
    assert wanted <= {line.partition(":")[0] for line in lines.splitlines()}
    assert wanted - set(ask("/page/").headers) == {"Cross-Origin-Opener-Policy"}
    assert "Content-Security-Policy" not in ask("/docs/").headers


def test_answers_are_compressed_by_brotli_or_gzip(ask):
    for offered, used in (("gzip, br", "br"), ("gzip", "gzip")):
        answer = ask("/who", headers={"Accept-Encoding": offered, "X-Pad": "x" * 2000}, stream=True)
        assert answer.headers["Content-Encoding"] == used


def test_the_log_tells_which_request_it_was_and_how_long_the_app_took(ask, host):
    seen = ask('/who?mark="quoted"', headers={"User-Agent": 'a "quoted" \\ one'}).json()["headers"]
    logged = [json.loads(line) for line in access_log(host, seen["X-Request-ID"]).splitlines()]
    (line,) = [line for line in logged if line["request_id"] == seen["X-Request-ID"]]
    assert (line["status"], line["host"], line["agent"]) == (200, "plain.example.com", 'a "quoted" \\ one')
    assert float(line["upstream_seconds"]) <= line["seconds"] + 0.01


def test_logs_are_rotated(ask, host):
    host.check_output("logrotate --force /etc/logrotate.d/nginx")
    # Each worker takes the new file a moment after it is told.
    in_use = "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q 'access.log.1$'"
    host.check_output(f'timeout 20 sh -c "while {in_use}; do sleep 0.1; done"')
    ask("/who?mark=rotated")
    access_log(host, "mark=rotated")
    assert host.file("/var/log/nginx/access.log.1").exists


def test_counters_are_told_to_the_host_alone(host, address):
    assert "Active connections" in host.check_output("curl --silent http://127.0.0.1:8999/nginx_status")
    with pytest.raises(OSError):
        socket.create_connection((address, 8999), timeout=5)


def test_slow_clients_do_not_starve_good_ones(ask, address):
    """1,800 connections that never end their request: another client is answered all the while."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with contextlib.ExitStack() as stack:
        for number in range(1800):
            connection = stack.enter_context(socket.create_connection((address, 80), timeout=10))
            end = "" if number % 2 else "Content-Length: 999\r\n\r\nx"
            connection.sendall(f"POST /who HTTP/1.1\r\nHost: plain.example.com\r\n{end}".encode())
        answered = []
        for _time in range(14):
            began = time.monotonic()
            assert ask("/who").status_code == 200
            answered.append(time.monotonic() - began)
            time.sleep(0.2)
    # Not the 15 s after which nginx lets go of a slow one: nobody had to wait for that.
    assert max(answered) < 5
