"""What certbot is told, and what its messages mean. Outputs are recorded from certbot 2.1 on Debian 12."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _certbot
from ansible_collections.gatehouse.webapp.plugins.module_utils._site_certificate import Wish

WISH = Wish(
    "chat",
    "acme",
    ["a.example.com", "b.example.com"],
    "ops@example.com",
    "https://ca.example.com/d",
    None,
    "/w",
    80,
    443,
)
CHALLENGE = """
Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  Domain: a.example.com
  Type:   connection
  Detail: 192.0.2.1: Fetching http://a.example.com/.well-known/acme-challenge/x: Timeout during connect

  Domain: b.example.com
  Type:   dns
  Detail: no such name

Hint: The Certificate Authority failed to download the temporary challenge files created by Certbot.

Some challenges have failed.
"""
HIDDEN = """Saving debug log to /var/log/gatehouse/certbot/letsencrypt.log
An unexpected error occurred:
AttributeError: can't set attribute
Ask for help or search for solutions at https://community.letsencrypt.org.
"""
LOG = """acme.messages.Error: urn:ietf:params:acme:error:%s :: There was a problem :: %s

During handling of the above exception, another exception occurred:

AttributeError: can't set attribute
"""


def test_the_command_names_the_ca_the_names_and_folders_of_its_own():
    argv = " ".join(_certbot.command(WISH))
    assert argv.startswith("certbot certonly --non-interactive --agree-tos")
    for words in (
        "--email ops@example.com",
        "--webroot --webroot-path /w --preferred-challenges http",
        "--server https://ca.example.com/d",
        "--cert-name chat --domain a.example.com --domain b.example.com",
        "--force-renewal --renew-with-new-domains",
        "--config-dir /etc/gatehouse/acme",
    ):
        assert words in argv


def test_a_ca_of_ones_own_is_trusted_when_it_is_spoken_to():
    assert _certbot.environment(WISH) == {}
    found = _certbot.environment(WISH._replace(ca_bundle="/ca.pem"))
    assert set(found.values()) == {"/ca.pem"}
    assert "REQUESTS_CA_BUNDLE" in found


@pytest.mark.parametrize(
    ("output", "log", "cause", "words"),
    [
        (CHALLENGE, "", "challenge_failed", ["a.example.com is this host", "during connect (connection)", "b.example.com: no such"]),
        (HIDDEN, LOG % ("serverInternal", "enrollment failed"), "ca_refused", ["serverInternal", "enrollment failed"]),
        (HIDDEN, LOG % ("rateLimited", "retry after 2027"), "rate_limited", ["retry after 2027"]),
        (HIDDEN, "", "ca_refused", ["AttributeError: can't set attribute"]),
        ("", "", "ca_refused", ["it says nothing"]),
    ],
)  # fmt: skip
def test_a_failure_is_told_in_the_cas_own_words(output, log, cause, words):
    error = _certbot.failure(WISH, output, log)
    assert (error.cause, bool(error.hint)) == (cause, True)
    for word in words:
        assert word in error.message


def test_the_newest_certificate_is_found_with_where_it_is_from(tmp_path):
    assert _certbot.lineage("chat", str(tmp_path)) is None
    (tmp_path / "renewal").mkdir()
    (tmp_path / "renewal/chat.conf").write_text("version = 2.1.0\n[renewalparams]\nserver = https://ca.example.com/d\n")
    assert _certbot.lineage("chat", str(tmp_path)) is None
    (tmp_path / "live/chat").mkdir(parents=True)
    for name in ("fullchain.pem", "privkey.pem"):
        (tmp_path / "live/chat" / name).write_text("x")
    found = _certbot.lineage("chat", str(tmp_path))
    assert (found["directory"], found["key"]) == ("https://ca.example.com/d", str(tmp_path / "live/chat/privkey.pem"))
