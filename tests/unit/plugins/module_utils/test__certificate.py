"""What is in a certificate, and whether clients would take it."""

import ipaddress
import socket
import ssl
import threading

import authority
import pytest
from authority import DAY, NOW, Issued, for_names
from cryptography import x509

from ansible_collections.gatehouse.webapp.plugins.module_utils import _certificate
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

NAMES = [
    x509.DNSName("Chat.example.com"),
    x509.DNSName("*.chat.example.com"),
    x509.IPAddress(ipaddress.ip_address("::1")),
]
OPTIONS = {"key": None, "names": [], "fail_days": 0, "warn_days": 14}


def read(issued, *above):
    return _certificate.read_pem("".join(each.pem for each in (issued, *above)), "chat.pem")


def fails(call, *arguments, **options):
    with pytest.raises(GatehouseError) as caught:
        call(*arguments, **options)
    return caught.value


def test_everything_is_read():
    root = Issued("Root", authority=True)
    issued = Issued("chat", root, NAMES, begins=-1, ends=89, ocsp="http://ocsp.example.com/x")
    found = read(issued)[0]
    assert found.names == ["chat.example.com", "*.chat.example.com", "::1"]
    assert (found.not_before, found.not_after) == (NOW - DAY, NOW + 89 * DAY)
    assert (found.issuer, found.subject, found.ocsp) == ("Root", "chat", "http://ocsp.example.com/x")
    assert found.fingerprint == issued.certificate.fingerprint(authority.hashes.SHA256()).hex()
    assert not _certificate.is_self_signed(found)
    assert _certificate.is_self_signed(read(root)[0])


def test_dates_before_2000_and_beyond_2049_are_read():
    found = read(for_names("a", begins=-40 * 365, ends=40 * 365))[0]
    assert (found.not_before, found.not_after) == (NOW - 40 * 365 * DAY, NOW + 40 * 365 * DAY)


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nMAMC\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_named(text):
    assert fails(_certificate.read_pem, text, "chat.pem").cause == "unreadable"


def test_a_certificate_that_was_cut_short_is_no_certificate():
    der = ssl.PEM_cert_to_DER_cert(for_names("a").pem)
    for length in (10, 100, len(der) - 1):
        with pytest.raises(ValueError, match="is no certificate"):
            _certificate.parse(der[:length])


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("chat.example.com", True),
        ("CHAT.example.com.", True),
        ("a.chat.example.com", True),
        ("a.b.chat.example.com", False),
        ("*.chat.example.com", True),
        ("*.example.com", False),
        ("example.com", False),
        ("::1", True),
    ],
)
def test_which_names_are_covered(name, covered):
    assert _certificate.covers(read(Issued("chat", names=NAMES))[0], name) is covered


@pytest.mark.parametrize(
    ("options", "names", "fail_days", "cause", "words"),
    [
        ({}, ["chat.example.com"], 0, None, ""),
        (
            {},
            ["chat.example.com", "shop.example.com"],
            0,
            "wrong_name",
            "not for shop.example.com, but for chat.example.com",
        ),
        ({"ends": -2}, ["chat.example.com"], 0, "expired", "2 days ago"),
        ({"begins": 1}, [], 0, "not_yet_valid", "valid from"),
        ({"ends": 3}, [], 3, None, ""),
        ({"ends": 2.9}, [], 3, "expires_soon", "At least 3 days are asked for"),
    ],
)
def test_what_is_refused(options, names, fail_days, cause, words):
    chain = read(for_names("chat.example.com", **options))
    if cause is None:
        _certificate.refuse(chain, "It", names, NOW, fail_days)
        return
    error = fails(_certificate.refuse, chain, "It", names, NOW, fail_days)
    assert (error.cause, error.facts["issuer"]) == (cause, "server")
    assert words in error.message
    assert error.hint


def test_a_chain_in_a_wrong_order_is_refused():
    root = Issued("Root", authority=True)
    middle = Issued("Middle", root, authority=True)
    own = for_names("chat.example.com", issuer=middle)
    _certificate.refuse(read(own, middle, root), "It", [], NOW)
    error = fails(_certificate.refuse, read(own, root, middle), "It", [], NOW)
    assert error.cause == "broken_chain"
    assert "issued by Middle, and what follows it is Root" in error.message


def test_a_pair_of_files_is_judged(tmp_path):
    own = for_names("chat.example.com")
    certificate, key = own.write(tmp_path)
    result, warnings = _certificate.check_files(
        dict(OPTIONS, path=certificate, key=key, names=["chat.example.com"]), NOW
    )
    assert (result["days_left"], result["self_signed"], warnings) == (60, True, [])
    _result, warnings = _certificate.check_files(dict(OPTIONS, path=certificate, warn_days=61), NOW)
    assert ["expires on" in line for line in warnings] == [True]


def test_a_key_of_another_certificate_is_refused(tmp_path):
    certificate, _key = for_names("chat.example.com").write(tmp_path)
    _certificate_2, key = for_names("shop.example.com").write(tmp_path, name="shop")
    assert fails(_certificate.read_pair, certificate, key).cause == "key_mismatch"


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (lambda own: own.key_pem(b"secret"), "encrypted_key"),
        (lambda own: own.pem, "unreadable"),
        (lambda own: None, "missing"),
    ],
)
def test_a_key_that_nginx_can_not_use_is_refused(tmp_path, content, cause):
    own = for_names("chat.example.com")
    certificate, key = own.write(tmp_path)
    (tmp_path / "chat.key").unlink()
    if content(own):
        (tmp_path / "chat.key").write_text(content(own))
    error = fails(_certificate.read_pair, certificate, key)
    assert error.cause == cause
    assert "PRIVATE KEY" not in str(error.result())


def test_a_chain_that_is_incomplete_is_warned_of(tmp_path):
    middle = Issued("Middle", Issued("Root", authority=True), authority=True, ends=36500)
    own = for_names("chat.example.com", issuer=middle, ends=36500)
    certificate, key = own.write(tmp_path)
    _result, warnings = _certificate.check_files(dict(OPTIONS, path=certificate, key=key), NOW)
    assert ["chain is incomplete" in line and "of Middle" in line for line in warnings] == [True]
    own.write(tmp_path, middle)
    _result, warnings = _certificate.check_files(dict(OPTIONS, path=certificate, key=key), NOW)
    assert ["only public authorities refuse it" in line for line in warnings] == [True]


@pytest.fixture
def serve(tmp_path):
    """Serve this certificate, and tell the port."""
    listeners = []

    def start(issued, *above):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*issued.write(tmp_path, *above, name="served"))
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept():
            while True:
                try:
                    context.wrap_socket(listener.accept()[0], server_side=True).close()
                except ssl.SSLError:
                    pass
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    yield start
    for listener in listeners:
        listener.close()


def served_options(port, **changes):
    options = {"path": None, "address": "127.0.0.1", "port": port, "server_name": None, "ca_path": None}
    return {**OPTIONS, **options, "validate_certs": True, "timeout": 10, **changes}


def test_what_a_server_shows_is_judged(serve, tmp_path):
    root = Issued("Root", authority=True, ends=36500, begins=-3650)
    own = for_names("chat.example.com", issuer=root, ends=36500, begins=-3650)
    (tmp_path / "root.pem").write_text(root.pem)
    options = served_options(serve(own), names=["chat.example.com"], ca_path=str(tmp_path / "root.pem"))
    result, warnings = _certificate.check_served(options, NOW)
    assert (result["issuer"], warnings) == ("Root", [])

    error = fails(_certificate.check_served, dict(options, ca_path=None), NOW)
    assert (error.cause, "openssl s_client" in error.hint) == ("untrusted", True)
    _certificate.check_served(dict(options, ca_path=None, validate_certs=False), NOW)

    error = fails(_certificate.check_served, dict(options, names=["shop.example.com"]), NOW)
    assert error.cause == "wrong_name"
    error = fails(_certificate.check_served, options, NOW + 36500 * DAY)
    assert error.cause == "expired"


def test_what_stands_in_is_told_by_its_name(serve):
    options = served_options(serve(for_names("chat.example.com", ends=36500, begins=-3650)), names=["chat.example.com"])
    error = fails(_certificate.check_served, options, NOW)
    assert (error.cause, "stands in until a CA" in error.hint) == ("untrusted", True)


def test_a_port_where_nobody_answers_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert fails(_certificate.check_served, served_options(port), NOW).cause == "not_served"
