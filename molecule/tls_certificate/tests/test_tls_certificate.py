"""Certificates as clients see them, through renewals, a CA that is down, and a configuration that nginx refuses."""

import asyncio
import contextlib
import json
import os
import re
import socket
import ssl
import subprocess

import pytest
import requests
import websockets

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
EPHEMERAL = os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]
RENEW = "python3 /usr/local/lib/gatehouse/tls-certificates"
WISH = "/etc/gatehouse/tls/chat.json"


@pytest.fixture
def address(host):
    return host.check_output("hostname -I").split()[0]


@pytest.fixture
def root():
    """The CA's root, as a file on the control node."""
    return os.path.join(EPHEMERAL, "root.pem")


@pytest.fixture
def shown(address, root):
    """The certificate that a client who trusts the CA alone is shown, or what such a client says."""

    def show(name, port=443):
        context = ssl.create_default_context(cafile=root)
        with (
            socket.create_connection((address, port), 10) as plain,
            context.wrap_socket(plain, server_hostname=name) as tls,
        ):
            return {**tls.getpeercert(), "protocol": tls.version()}

    return show


def names_of(certificate):
    return {name for _kind, name in certificate["subjectAltName"]}


def issuer_of(certificate):
    return dict(pair for part in certificate["issuer"] for pair in part)["commonName"]


def play(name, *arguments):
    command = ["ansible-playbook", "-i", f"{EPHEMERAL}/inventory", f"{SCENARIO}/{name}.yml", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@contextlib.contextmanager
def ca_down(host):
    host.check_output("systemctl stop acme")
    try:
        yield
    finally:
        host.check_output("systemctl start acme")
        host.check_output(
            "timeout 60 sh -c 'until curl -sf https://acme.example.com:14000/directory; do sleep 0.2; done'"
        )


def test_clients_trust_what_the_ca_issued(shown):
    for name in ("chat.example.com", "www.chat.example.com"):
        certificate = shown(name)
        assert names_of(certificate) == {"chat.example.com", "www.chat.example.com"}
        assert (issuer_of(certificate), certificate["protocol"]) == ("Test Issuing CA", "TLSv1.3")


def test_the_self_signed_one_is_for_all_names_of_its_site(shown, host):
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed|self signed"):
        shown("demo.example.com")
    told = host.check_output("openssl x509 -noout -ext subjectAltName -in /etc/gatehouse/tls/demo/fullchain.pem")
    assert "DNS:demo.example.com, DNS:*.demo.example.com" in told


def test_a_name_that_no_site_has_gets_no_certificate(shown):
    with pytest.raises(ssl.SSLError):
        shown("other.example.com")


def test_http_leads_to_https_but_for_challenges(address):
    def ask(path):
        headers = {"Host": "chat.example.com"}
        return requests.get(f"http://{address}{path}", headers=headers, timeout=10, allow_redirects=False)

    assert ask("/a?b=c").headers["Location"] == "https://chat.example.com/a?b=c"
    assert ask("/.well-known/acme-challenge/none").status_code == 404


def test_hsts_is_told_over_https(host):
    assert (
        "strict-transport-security: max-age=300"
        in host.check_output("curl -sfi https://chat.example.com/health").lower()
    )


def test_http2_is_spoken(host):
    assert host.check_output("curl -sk -o /dev/null -w '%{http_version}' https://chat.example.com/health") == "2"


def test_keys_are_for_root_alone(host):
    keys = host.check_output(
        "grep -rlE 'PRIVATE KEY' /etc/gatehouse /etc/nginx /var/lib/gatehouse /var/log /run 2>/dev/null; true"
    ).split()
    assert any(path.endswith("/privkey.pem") for path in keys)
    for path in keys:
        assert (host.file(path).user, oct(host.file(path).mode)) == ("root", "0o600"), path


def test_the_ocsp_answer_is_stapled_where_the_certificate_has_an_address(host):
    told = host.check_output("grep -c 'ssl_stapling on' /etc/nginx/gatehouse/sites.conf")
    assert told == "1"
    ask = "openssl s_client -connect 127.0.0.1:8443 -servername own.example.com -status </dev/null 2>&1"
    # nginx asks the responder when the first client has come.
    host.check_output(f"timeout 30 sh -c 'until {ask} | grep -q \"Cert Status: good\"; do sleep 0.3; done'")


@pytest.mark.parametrize(
    ("name", "port", "profile"),
    [("chat.example.com", 443, "intermediate"), ("own.example.com", 8443, "modern")],
)
def test_mozillas_profile_is_kept(host, name, port, profile):
    told = host.run(
        f"timeout 120 /opt/acme/venv/bin/python -m sslyze --mozilla_config={profile} --certinfo_ca_file=/opt/acme/root.pem"
        f" --sni={name} 127.0.0.1:{port}"
    )
    assert "OK - Compliant." in told.stdout, told.stdout[-800:]


def test_the_host_looks_by_itself_and_has_nothing_to_do(host):
    assert host.service("gatehouse-certificates.timer").is_enabled
    assert host.service("gatehouse-certificates.timer").is_running
    host.check_output("systemctl start gatehouse-certificates.service")
    told = host.check_output("journalctl -u gatehouse-certificates -o cat")
    assert re.search(r"^chat: nothing to do", told, re.MULTILINE)


def test_a_renewal_changes_the_certificate_and_cuts_nothing(host, address, shown, root):
    before, master = shown("chat.example.com"), host.check_output("systemctl show -P MainPID nginx")

    # Not websockets.sync: it reads in a thread of its own, and under Python 3.11 one in a hundred of its TLS handshakes fails.
    async def renew():
        context = ssl.create_default_context(cafile=root)
        plain = socket.create_connection((address, 443), 10)
        async with websockets.connect(
            "wss://chat.example.com/ws", sock=plain, ssl=context, open_timeout=30, ping_interval=None
        ) as websocket:
            slow = asyncio.create_task(asyncio.to_thread(host.run, "curl -sf https://chat.example.com/slow"))
            told = await asyncio.to_thread(host.run, f"{RENEW} --force chat")
            await websocket.send("still here")
            return told, await asyncio.wait_for(websocket.recv(), 10), await slow

    told, reply, answer = asyncio.run(renew())
    assert told.rc == 0, told.stdout
    assert "chat: It is asked for. Serving until" in told.stdout
    assert (reply, answer.rc) == ("still here", 0)
    after = shown("chat.example.com")
    assert after["serialNumber"] != before["serialNumber"]
    assert host.check_output("systemctl show -P MainPID nginx") == master


def test_what_nginx_refuses_does_not_go_live(host, shown):
    before = shown("chat.example.com")
    host.check_output("echo 'server {' > /etc/nginx/conf.d/broken.conf")
    try:
        told = host.run(f"{RENEW} --force chat")
    finally:
        host.check_output("rm /etc/nginx/conf.d/broken.conf")
    assert told.rc == 1
    assert "nginx refuses the configuration" in told.stdout
    assert "what was served before goes on: of Test Issuing CA" in told.stdout
    assert shown("chat.example.com") == before
    link = host.check_output("openssl x509 -noout -serial -in /etc/gatehouse/tls/chat/fullchain.pem")
    assert link.endswith(before["serialNumber"])


def test_a_renewal_that_fails_leaves_the_old_one_and_is_visible(host, shown):
    before, wish = shown("chat.example.com"), host.file(WISH).content_string
    more = json.dumps(dict(json.loads(wish), names=["chat.example.com"]))
    host.check_output(f"cat > {WISH} <<'END'\n{more}\nEND")
    try:
        with ca_down(host):
            assert host.run("systemctl start gatehouse-certificates.service").rc != 0
        told = host.check_output("journalctl -u gatehouse-certificates -o cat")
        assert "connection refused: nothing listens there" in told
        assert host.run("systemctl is-failed gatehouse-certificates.service").rc == 0
        assert shown("chat.example.com") == before
        report = play("verify_site")
        assert report.returncode == 0, report.stdout
        assert "The last renewal failed." in report.stdout
        assert "Next: journalctl -u gatehouse-certificates" in report.stdout
        assert re.search(r"✔ \S+ +certificate +chat:443, Test Issuing CA +\d+ days left", report.stdout)
    finally:
        host.check_output(f"cat > {WISH} <<'END'\n{wish}\nEND")
    host.check_output("systemctl start gatehouse-certificates.service")
    assert host.run("systemctl is-failed gatehouse-certificates.service").rc != 0


def test_verify_tells_of_an_end_that_is_near():
    told = play("verify_site", "-e", "verify_certificate_fail_days=30")
    assert told.returncode != 0
    assert "The certificate that is served for chat.example.com on port 443 expires on" in told.stdout
    assert "At least 30 days are asked for." in told.stdout


LATE = {
    "name": "late",
    "server_names": ["late.example.com"],
    "tls": {
        "mode": "acme",
        "email": "ops@example.com",
        "directory": "https://acme.example.com:14000/directory",
        "ca_bundle": "/opt/acme/root.pem",
    },
    "routes": [{"path": "/", "return": 404}],
}


def test_a_site_begins_while_the_ca_is_down(host, shown):
    """Something stands in, the play says what is wrong, and the host's timer gets the certificate when the CA is back."""
    with ca_down(host):
        told = play("converge", "-e", json.dumps({"more_sites": [LATE]}))
        assert told.returncode != 0
        assert "The CA does not answer as an ACME directory does" in told.stdout
        assert host.check_output("curl -sk -o /dev/null -w '%{http_code}' https://late.example.com/") == "404"
        with pytest.raises(ssl.SSLCertVerificationError, match="self-signed|self signed"):
            shown("late.example.com")
        shown("chat.example.com")
    host.check_output("systemctl start gatehouse-certificates.service")
    assert issuer_of(shown("late.example.com")) == "Test Issuing CA"


# What a folder of own files may be like, made with the CA's own tools.
MAKE = """
import datetime, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "own")])
key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
builder = builder.not_valid_before(now - datetime.timedelta(9)).not_valid_after(now - datetime.timedelta(2))
builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("own.example.com")]), False)
with open("/tmp/expired.pem", "wb") as file:
    file.write(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
"""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("path=/etc/ssl/certs/own.pem key=/etc/ssl/private/own.key names=own.example.com", None),
        ("path=/etc/ssl/certs/own.pem key=/opt/acme/server.key", "is not for the key /opt/acme/server.key"),
        ("path=/etc/ssl/certs/own.pem names=chat.example.com", "is not for chat.example.com, but for own.example.com"),
        ("path=/tmp/expired.pem names=own.example.com", "expired on"),
        ("path=/etc/ssl/certs/none.pem", "There is no file /etc/ssl/certs/none.pem"),
    ],
)
def test_files_are_judged_before_nginx_has_them(host, options, words):
    if "expired" in options:
        host.check_output(f"/opt/acme/venv/bin/python -c '{MAKE}'")
    command = [
        "ansible",
        "-i",
        f"{EPHEMERAL}/inventory",
        "webapp",
        "-m",
        "gatehouse.webapp.certificate_check",
        "-a",
        options,
    ]
    told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert (told.returncode == 0) is (words is None), told.stdout
    assert words is None or words in told.stdout
