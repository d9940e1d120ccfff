"""A CA for tests: certificates of any kind, written as files."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

# What tests take for now.
NOW = 1_800_000_000.0
DAY = 86400


def at(days):
    return datetime.datetime.fromtimestamp(NOW, datetime.UTC) + datetime.timedelta(days)


class Issued:
    """A certificate and its key. issuer: another Issued; itself without one."""

    def __init__(self, subject, issuer=None, names=(), begins=-30, ends=60, ocsp=None, authority=False):
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        above = issuer.certificate.subject if issuer else name
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(above).public_key(self.key.public_key())
        builder = (
            builder.serial_number(x509.random_serial_number()).not_valid_before(at(begins)).not_valid_after(at(ends))
        )
        builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        if ocsp:
            location = x509.UniformResourceIdentifier(ocsp)
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, location)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        self.certificate = builder.sign((issuer or self).key, hashes.SHA256())

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, passphrase=None):
        secret = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, secret).decode()

    def write(self, folder, *above, name="chat"):
        """The chain and the key as files; their paths."""
        certificate, key = folder / (name + ".pem"), folder / (name + ".key")
        certificate.write_text("".join(each.pem for each in (self, *above)))
        key.write_text(self.key_pem())
        return str(certificate), str(key)


def for_names(*names, **options):
    return Issued("server", names=[x509.DNSName(name) for name in names], **options)
