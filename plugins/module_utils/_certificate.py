# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""A server's certificate: read from files or from who serves it, and judged as a client would judge it.

The standard library tells what is in a certificate only after it has verified it, so an expired or unknown one is read
here. Sources: RFC 5280 (certificates), RFC 6125 (names), X.690 (DER).
"""

from __future__ import annotations

import calendar
import hashlib
import re
import socket
import ssl
import time
from collections import namedtuple

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError

DAY = 86400.0
COMMON_NAME = b"\x55\x04\x03"
ORGANISATION = b"\x55\x04\x0a"
ALTERNATIVE_NAMES = b"\x55\x1d\x11"
AUTHORITY_ACCESS = b"\x2b\x06\x01\x05\x05\x07\x01\x01"
OCSP = b"\x2b\x06\x01\x05\x05\x07\x30\x01"

# What OpenSSL calls its reasons not to trust a certificate.
NO_ISSUER = (2, 20, 21)
SELF_SIGNED = (18, 19)

# names: DNS names and addresses, in lower case.   not_before, not_after: seconds since 1970.   issuer, subject: for people.
# ocsp: the URL of the CA's OCSP responder, or None.   fingerprint: SHA-256 of the whole, in hexadecimal digits.
# issuer_der, subject_der: as the certificate has them, for comparing.
Certificate = namedtuple(
    "Certificate", "names not_before not_after issuer subject ocsp fingerprint issuer_der subject_der"
)


def days_left(certificate, now):
    return (certificate.not_after - now) / DAY


def is_self_signed(certificate):
    return certificate.issuer_der == certificate.subject_der


def covers(certificate, name):
    """Whether clients take the certificate for this name. A wildcard stands for one label, and itself needs a wildcard."""
    name = name.lower().rstrip(".")
    parent = "*." + name.partition(".")[2]
    return name in certificate.names or (not name.startswith("*.") and parent in certificate.names)


# --- Reading ------------------------------------------------------------------------------------------------------


def parse(der):
    """The Certificate in these bytes. Raises ValueError where they are none."""
    try:
        (outer,) = _items(der)
        fields = _items(_items(outer[1])[0][1])
        if fields[0][0] == 0xA0:  # the version, which the first one left out
            fields = fields[1:]
        issuer, validity, subject = fields[2], fields[3], fields[4]
        not_before, not_after = [_time(tag, value) for tag, value in _items(validity[1])]
        extensions = {}
        for tag, value in fields[6:]:
            if tag == 0xA3:
                extensions = _extensions(value)
        return Certificate(
            # Clients no longer look at the common name of the subject.
            names=_alternative_names(extensions.get(ALTERNATIVE_NAMES)),
            not_before=not_before,
            not_after=not_after,
            issuer=_readable(issuer[1]),
            subject=_readable(subject[1]),
            ocsp=_ocsp(extensions.get(AUTHORITY_ACCESS)),
            fingerprint=hashlib.sha256(der).hexdigest(),
            issuer_der=issuer[1],
            subject_der=subject[1],
        )
    except (IndexError, TypeError, UnicodeError) as error:
        raise ValueError("is no certificate: %s" % error) from error


def _items(data):
    """The (tag, value) pairs that follow each other in these bytes."""
    found, at = [], 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise IndexError("it ends too early")
        found.append((tag, data[at : at + length]))
        at += length
    return found


def _time(tag, value):
    text = value.decode("ascii")
    if tag == 0x17:  # two digits of the year, of 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))


def _extensions(value):
    found = {}
    for _tag, extension in _items(_items(value)[0][1]):
        parts = _items(extension)
        found[parts[0][1]] = parts[-1][1]
    return found


def _alternative_names(value):
    names = []
    for tag, name in _items(_items(value)[0][1]) if value else []:
        if tag == 0x82:
            names.append(name.decode("ascii").lower())
        elif tag == 0x87:
            family = socket.AF_INET if len(name) == 4 else socket.AF_INET6
            names.append(socket.inet_ntop(family, name))
    return names


def _ocsp(value):
    for _tag, description in _items(_items(value)[0][1]) if value else []:
        (_kind, method), (tag, location) = _items(description)
        if method == OCSP and tag == 0x86:
            return location.decode("ascii")
    return None


def _from_name(name, wanted):
    for _tag, relative in _items(name):
        for _set_tag, attribute in _items(relative):
            (_kind, oid), (tag, value) = _items(attribute)
            if oid == wanted:
                return value.decode("utf-16-be" if tag == 0x1E else "utf-8", "replace")
    return None


def _readable(name):
    return _from_name(name, COMMON_NAME) or _from_name(name, ORGANISATION) or "(no name)"


def read_pem(text, path):
    """The certificates of a PEM file, the server's own first."""
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
    try:
        chain = [parse(ssl.PEM_cert_to_DER_cert(block)) for block in blocks]
    except ValueError as error:
        raise _unreadable(path, "a part of it %s" % error) from None
    if not chain:
        raise _unreadable(path, "it holds no line -----BEGIN CERTIFICATE-----")
    return chain


def read_pair(certificate, key):
    """The chain in a certificate's file, whose key must be in the other one (None: not looked at)."""
    chain = read_pem(_read(certificate), certificate)
    if key is None:
        return chain
    text = _read(key)
    if "ENCRYPTED" in text:
        raise GatehouseError(
            "The key %s has a passphrase, and nginx can't ask for it." % key,
            cause="encrypted_key",
            hint="openssl pkey -in %s -out NEW.key; chmod 600 NEW.key" % key,
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        if "MISMATCH" not in str(error.reason):
            raise _unreadable(key, "it holds no private key that OpenSSL can use (%s)" % error.reason) from None
        raise GatehouseError(
            "The certificate %s is not for the key %s." % (certificate, key),
            cause="key_mismatch",
            hint="name the key that the certificate was requested with; these two must print the same: openssl x509 -noout"
            " -pubkey -in %s; openssl pkey -pubout -in %s" % (certificate, key),
        ) from None
    return chain


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        raise GatehouseError(
            "There is no file %s." % path,
            cause="missing",
            hint="put it there, or name the right one; for modes acme and self_signed the role tls_certificate makes it",
        ) from None
    except OSError as error:
        raise _unreadable(path, error.strerror) from None


def _unreadable(path, why):
    return GatehouseError(
        "%s can't be used: %s." % (path, why),
        cause="unreadable",
        hint="it is to be PEM, the certificate first, then the intermediate ones of its CA: head -1 %s" % path,
    )


def served(address, port, server_name, timeout):
    """The certificate that is shown to who asks there for this name, whether to be trusted or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _handshake(context, address, port, server_name, timeout) as connection:
        return parse(connection.getpeercert(binary_form=True))


def distrust(address, port, server_name, timeout, ca_path=None):
    """Why a client would not trust what is served there: (OpenSSL's code, its words), or None."""
    try:
        context = ssl.create_default_context(cafile=ca_path)
    except OSError as error:
        raise _unreadable(ca_path, error.strerror or "it holds no certificate") from None
    try:
        _handshake(context, address, port, server_name, timeout).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, error.verify_message
    return None


def distrust_file(certificate, key, server_name):
    """The same for a pair of files: a handshake of the two sides in memory, as nginx and a client would do it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        ssl.create_default_context().wrap_bio(to_client, to_server, server_hostname=server_name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    try:
        while sides:
            for side in list(sides):
                try:
                    side.do_handshake()
                    sides.remove(side)
                except ssl.SSLWantReadError:
                    pass
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, error.verify_message
    return None


def _handshake(context, address, port, server_name, timeout):
    connection = socket.create_connection((address, port), timeout)
    try:
        return context.wrap_socket(connection, server_hostname=server_name)
    except BaseException:
        connection.close()
        raise


# --- Judging ------------------------------------------------------------------------------------------------------


def refuse(chain, where, names, now, fail_days=0.0):
    """Raise what is wrong with a chain that is to serve these names."""
    own = chain[0]
    facts = describe(own, now)
    for name in names:
        if not covers(own, name):
            raise GatehouseError(
                "%s is not for %s, but for %s." % (where, name, ", ".join(own.names) or "no name at all"),
                cause="wrong_name",
                hint="take a certificate with all names of the site, or leave %s out of its server_names" % name,
                **facts,
            )
    if now < own.not_before:
        raise GatehouseError(
            "%s is valid from %s on only." % (where, when(own.not_before)),
            cause="not_yet_valid",
            hint="see whether the host's clock is right: date -u",
            **facts,
        )
    left = days_left(own, now)
    if left <= 0:
        raise GatehouseError(
            "%s expired on %s, %s ago." % (where, when(own.not_after), span(-left)),
            cause="expired",
            hint=_renew_hint(own),
            **facts,
        )
    if left < fail_days:
        raise GatehouseError(
            "%s expires on %s, in %s. At least %g days are asked for."
            % (where, when(own.not_after), span(left), fail_days),
            cause="expires_soon",
            hint=_renew_hint(own),
            **facts,
        )
    for below, above in zip(chain, chain[1:]):
        if below.issuer_der != above.subject_der:
            raise GatehouseError(
                "%s: its chain is broken. %s was issued by %s, and what follows it is %s."
                % (where, below.subject, below.issuer, above.subject),
                cause="broken_chain",
                hint="put the server's certificate first, then the one that issued it, and so on",
                **facts,
            )


def _renew_hint(certificate):
    if is_self_signed(certificate):
        return "make a new one, or tls: {mode: acme, email: ops@example.com}"
    return "renew it at its CA (%s); for mode acme: journalctl -u gatehouse-certificates -n 50" % certificate.issuer


def warnings(chain, where, now, warn_days, distrusted):
    """What is to be mended some time, as sentences. distrusted: as distrust tells it."""
    own, told = chain[0], []
    left = days_left(own, now)
    if left < warn_days:
        told.append("%s expires on %s, in %s." % (where, when(own.not_after), span(left)))
    if distrusted and distrusted[0] in NO_ISSUER and len(chain) == 1 and not is_self_signed(own):
        told.append(
            "%s: its chain is incomplete, or its CA is not known here. Many clients refuse that. Append the intermediate"
            " certificate of %s to the file." % (where, own.issuer)
        )
    elif distrusted:
        told.append("%s: clients that know only public authorities refuse it: %s." % (where, distrusted[1]))
    return told


def describe(certificate, now):
    """A certificate as a module's result has it."""
    return {
        "names": certificate.names,
        "issuer": certificate.issuer,
        "subject": certificate.subject,
        "not_before": when(certificate.not_before),
        "not_after": when(certificate.not_after),
        "days_left": round(days_left(certificate, now), 2),
        "self_signed": is_self_signed(certificate),
        "ocsp": certificate.ocsp,
        "fingerprint": certificate.fingerprint,
    }


def when(seconds):
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def span(days):
    return "%d days" % days if days >= 2 else "%.1f hours" % (days * 24)


# --- The module ---------------------------------------------------------------------------------------------------


def check_files(options, now):
    """Judge a pair of files. Returns (the certificate as a result has it, warnings) or raises GatehouseError."""
    path, key, names = options["path"], options["key"], options["names"]
    chain = read_pair(path, key)
    where = "The certificate %s" % path
    refuse(chain, where, names, now, options["fail_days"])
    asked = (names or chain[0].names or ["localhost"])[0].replace("*", "www", 1)
    distrusted = distrust_file(path, key, asked) if key and not is_self_signed(chain[0]) else None
    return describe(chain[0], now), warnings(chain, where, now, options["warn_days"], distrusted)


def check_served(options, now):
    """The same for what a server shows."""
    address, port, names = options["address"], options["port"], options["names"]
    asked = options["server_name"] or (names or [address])[0].replace("*", "www", 1)
    where = "The certificate that is served for %s on port %d" % (asked, port)
    try:
        own = served(address, port, asked, options["timeout"])
        refuse([own], where, names, now, options["fail_days"])
        distrusted = None
        if options["validate_certs"]:
            distrusted = distrust(address, port, asked, options["timeout"], options["ca_path"])
    except OSError as error:
        raise GatehouseError(
            "No certificate is served for %s on port %d of %s: %s."
            % (asked, port, address, getattr(error, "reason", error)),
            cause="not_served",
            hint="openssl s_client -connect %s:%d -servername %s" % (address, port, asked),
        ) from None
    if distrusted:
        raise GatehouseError(
            "%s is refused by clients: %s." % (where, distrusted[1]),
            cause="untrusted",
            hint=_distrust_hint(own, distrusted[0], address, port, asked),
            **describe(own, now),
        )
    return describe(own, now), warnings([own], where, now, options["warn_days"], None)


def _distrust_hint(own, code, address, port, asked):
    if is_self_signed(own) or code in SELF_SIGNED:
        return "it is signed by itself, which stands in until a CA has issued one: journalctl -u gatehouse-certificates -n 50"
    return (
        "the chain is incomplete, or its CA (%s) is not known here: openssl s_client -showcerts -connect %s:%d -servername %s"
        % (own.issuer, address, port, asked)
    )
