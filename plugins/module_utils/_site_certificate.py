# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The certificate of a site that is made or obtained here: made live by one rename, and seen to be served, or put back.

On disk (ROOT is /etc/gatehouse/tls, SITE the site's name):

    ROOT/SITE              a link to the live version: what nginx reads, SITE/fullchain.pem and SITE/privkey.pem
    ROOT/.SITE/VERSION/    a certificate, its key, and where it is from; never edited. The live one and the one before it are kept
    ROOT/SITE.json         what is wished for the site; read by the timer
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import ipaddress
import json
import os
import re
import shutil
import time
from collections import namedtuple

from ansible_collections.gatehouse.webapp.plugins.module_utils import _certbot
from ansible_collections.gatehouse.webapp.plugins.module_utils._certificate import (
    DAY,
    covers,
    days_left,
    describe,
    is_self_signed,
    read_pair,
    refuse,
    served,
    span,
    when,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Expectation, Tls, probe_http

ROOT = "/etc/gatehouse/tls"
SELF_SIGNED_DAYS = 90
# A third of its life before the end a certificate is replaced: 30 days of 90, as certbot itself has it.
DUE = 1 / 3
CHALLENGES = ".well-known/acme-challenge"
CERTBOT_SECONDS = 300
NOT_FOUND = 127
# Where people who run certbot themselves have what it obtained.
LINEAGES = "/etc/letsencrypt/live"
DIRECTORY_SECONDS = 15

# mode: self_signed or acme.   webroot: where the answers to the CA's challenges are put.   port: where nginx serves HTTPS.
# The rest as in the model. email, directory and ca_bundle are None for self_signed.
Wish = namedtuple("Wish", "name mode names email directory ca_bundle webroot http_port port")


def check_wish(wish):
    """Refuse what no CA could fulfil, and what would lead out of the folder."""
    if not re.match(r"^[a-z0-9][a-z0-9.-]{0,62}$", wish.name):
        raise GatehouseError("`name` is %r." % wish.name, cause="bad_input", hint="name it as a file, as in name: chat")
    for name in wish.names if wish.mode == "acme" else []:
        if name.startswith("*") or _alternative(name).startswith("IP:"):
            raise GatehouseError(
                "`names`: %s can't be proven to the CA over HTTP." % name,
                cause="bad_input",
                hint="name each host, as in names: [chat.example.com]",
            )
    if wish.mode == "acme" and not wish.names:
        raise GatehouseError("`names` is empty.", cause="bad_input", hint="write names: [chat.example.com]")


class Store:
    """The versions of one site's certificate."""

    def __init__(self, root, name):
        self.root = root
        self.name = name
        self.link = os.path.join(root, name)
        self.versions = os.path.join(root, "." + name)
        self.certificate = os.path.join(self.link, "fullchain.pem")
        self.key = os.path.join(self.link, "privkey.pem")

    def pointed(self):
        return os.readlink(self.link) if os.path.islink(self.link) else None

    def read(self):
        """The live chain and the directory it is from (None: from none that was asked here), or None: there is none that can be used."""
        try:
            chain = read_pair(self.certificate, self.key)
            with open(os.path.join(self.link, "origin.json"), encoding="utf-8") as file:
                return chain, json.load(file)["directory"]
        except (GatehouseError, OSError, ValueError, KeyError):
            return None

    def add(self, certificate, key, directory):
        """Write a version from a pair of files. Returns what the link has to point at."""
        fingerprint = read_pair(certificate, key)[0].fingerprint
        target = os.path.join("." + self.name, fingerprint[:16])
        folder = os.path.join(self.root, target)
        if os.path.isdir(folder):
            return target
        temporary = self.temporary()
        origin = json.dumps({"directory": directory}).encode("utf-8")
        for name, content, mode in (
            ("fullchain.pem", _read(certificate), 0o644),
            ("privkey.pem", _read(key), 0o600),
            ("origin.json", origin, 0o644),
        ):
            handle = os.open(os.path.join(temporary, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o755)
        os.rename(temporary, folder)
        return target

    def temporary(self):
        """A new folder that only root may look into."""
        make_folder(self.versions)
        folder = os.path.join(self.versions, "new-" + os.urandom(6).hex())
        os.mkdir(folder, 0o700)
        return folder

    def point(self, target):
        """Make a version the live one, in one rename."""
        temporary = os.path.join(self.versions, "link-" + os.urandom(6).hex())
        os.symlink(target, temporary)
        os.replace(temporary, self.link)

    def prune(self, before):
        """Keep the live version and the one before it."""
        kept = [os.path.basename(target) for target in (self.pointed(), before) if target]
        for name in os.listdir(self.versions):
            path = os.path.join(self.versions, name)
            if name in kept:
                continue
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)


def _alternative(name):
    """A name as openssl wants it in subjectAltName."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "DNS:" + name
    return "IP:" + name


def make_folder(path):
    """A folder that everybody may look into, whatever the umask of this run is: nginx's workers are not root."""
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def why_due(wish, found, now, force=False):
    """Why the certificate found does not do, as sentences; empty when it does. found: as Store.read gives it."""
    if found is None:
        return ["There is no certificate."]
    chain, directory = found
    own = chain[0]
    told = ["It is asked for."] if force else []
    if directory is None and not is_self_signed(own):
        told.append("It is of %s, and was not obtained here." % own.issuer)
    elif directory != wish.directory:
        told.append("It is %s." % ("from " + directory if directory else "signed by itself"))
    if set(own.names) != {name.lower() for name in wish.names or ["localhost"]}:
        told.append("It is for %s." % ", ".join(own.names))
    if days_left(own, now) <= (own.not_after - own.not_before) / DAY * DUE:
        told.append("It expires in %s." % span(days_left(own, now)))
    # Where a CA has dated it, it is this host's clock that is wrong: a new one would be no better.
    if now < own.not_before and is_self_signed(own):
        told.append("It is valid from %s on only." % when(own.not_before))
    return told


def stands_in(found, now):
    """Whether nginx can begin with what was found until a CA has issued: not with one made here by a clock that was ahead."""
    return found is not None and (not is_self_signed(found[0][0]) or now >= found[0][0].not_before)


class Keeper:
    """One run for one site. host: runs commands (_nginx_run.Host); nginx: makes nginx take files up (_nginx_run.Run), or None."""

    def __init__(
        self, wish, host, nginx, root=ROOT, config=_certbot.CONFIG, now=time.time, timeout=60, lineages=LINEAGES
    ):
        self.wish = wish
        self.host = host
        self.nginx = nginx
        self.store = Store(root, wish.name)
        self.config = config
        self.now = now
        self.timeout = timeout
        self.lineages = lineages
        self.changed = False

    def keep(self, stand_in=False, force=False, check=False):
        """Bring the site's certificate to what is wished. Returns the module's result.

        stand_in: only see to it that there is one that nginx can begin with; ask no CA.
        """
        with self._alone(check):
            found = self.store.read()
            due = why_due(self.wish, found, self.now(), force)
            if self.wish.mode == "acme" and stand_in and stands_in(found, self.now()):
                due = []
            if due and not check:
                try:
                    self._replace(found, stand_in, force)
                except OSError as error:
                    raise GatehouseError(
                        "The certificate could not be written: %s." % error, cause="unwritable", hint="df -h %s" % ROOT
                    ) from error
            elif found and not check and not stand_in and self._catch_up(found[0][0]):
                due = ["nginx served another one."]
            return self._result(due, check)

    def _replace(self, found, stand_in, force):
        if self.wish.mode == "self_signed":
            self._go_live(*self._sign(), directory=None)
            return
        if not stands_in(found, self.now()):
            certificate, key, directory = self._at_hand() or (*self._sign(), None)
            self._go_live(certificate, key, directory)
            found = self.store.read()
        if not stand_in and why_due(self.wish, found, self.now(), force):
            try:
                self._go_live(*self._obtain(force), directory=self.wish.directory)
            except GatehouseError as error:
                error.facts.update(self._still(), changed=self.changed)
                raise

    def _still(self):
        """What goes on being served after a failure, and whether that is what was wished, only older."""
        chain, directory = self.store.read()
        own = chain[0]
        good = directory == self.wish.directory and all(covers(own, name) for name in self.wish.names)
        good = good and own.not_before <= self.now() < own.not_after
        return {"certificate": describe(own, self.now()), "still_good": good}

    # What the host has already

    def _at_hand(self):
        """The best pair of the host that clients take for all names of the site, and the directory it is from; or None.

        A site that is live, and now gets its certificate from here or another name, must not show a worse one meanwhile.
        """
        named = self.nginx.certificates() if self.nginx else []
        folders = glob.glob(os.path.join(self.store.root, "*", "")) + glob.glob(os.path.join(self.lineages, "*", ""))
        pairs = [tuple(os.path.join(folder, name) for name in ("fullchain.pem", "privkey.pem")) for folder in folders]
        found = []
        for certificate, key in [*named, *pairs]:
            # The site's own versions were found to be unusable.
            if os.path.realpath(certificate).startswith(os.path.realpath(self.store.versions) + os.sep):
                continue
            with contextlib.suppress(GatehouseError, OSError, ValueError):
                chain = read_pair(certificate, key)
                refuse(chain, certificate, self.wish.names, self.now())
                if not is_self_signed(chain[0]):
                    is_named = (certificate, key) in named
                    found.append(((is_named, chain[0].not_after), certificate, key, self._origin(certificate)))
        return max(found, key=lambda one: one[0])[1:] if found else None

    def _origin(self, certificate):
        """The directory that the certificate of another site's store is from; None for what was not obtained here."""
        folder, _name = os.path.split(certificate)
        if os.path.dirname(folder) != self.store.root:
            return None
        found = Store(*os.path.split(folder)).read()
        return found[1] if found else None

    # A new one

    def _sign(self):
        """Make a certificate that is signed by itself. Returns the paths of the certificate and the key."""
        folder = self.store.temporary()
        pair = [os.path.join(folder, name) for name in ("fullchain.pem", "privkey.pem")]
        names = self.wish.names or ["localhost"]
        argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        argv += ["-days", str(SELF_SIGNED_DAYS), "-subj", "/CN=" + self.wish.name]
        argv += ["-addext", "subjectAltName=" + ",".join(_alternative(name) for name in names)]
        argv += ["-out", pair[0], "-keyout", pair[1]]
        code, output, messages = self._run(argv, 60)
        if code == NOT_FOUND:
            raise GatehouseError("openssl is not installed.", cause="not_installed", hint="apt-get install openssl")
        if code != 0:
            lines = (messages or output).strip().splitlines() or ["no reason given"]
            raise GatehouseError("openssl made no certificate: %s." % lines[-1], cause="bad_input", hint=" ".join(argv))
        return pair

    def _obtain(self, force):
        """Get a certificate from the CA. Returns the paths of the chain and the key."""
        wish = self.wish
        found = _certbot.lineage(wish.name, self.config)
        if found and not force:
            # One that was obtained and could not be taken up: the CA need not be asked again.
            with contextlib.suppress(GatehouseError):
                chain = read_pair(found["certificate"], found["key"])
                if not why_due(wish, (chain, found["directory"]), self.now()):
                    return found["certificate"], found["key"]
        self._ask_directory()
        self._ask_challenges()
        argv, environment = _certbot.command(wish, self.config), _certbot.environment(wish)
        code, output, messages = self._run(argv, CERTBOT_SECONDS, environment)
        if code == NOT_FOUND:
            raise GatehouseError("certbot is not installed.", cause="not_installed", hint="apt-get install certbot")
        if code != 0:
            raise _certbot.failure(wish, output + "\n" + messages, _log())
        found = _certbot.lineage(wish.name, self.config)
        chain = read_pair(found["certificate"], found["key"])
        refuse(chain, "What the CA issued", wish.names, self.now())
        return found["certificate"], found["key"]

    def _ask_directory(self):
        """See that the CA answers: its own words are clearer than certbot's about it."""
        expectation = Expectation(text="newOrder")
        tls = Tls(ca_path=self.wish.ca_bundle)
        answer = probe_http(self.wish.directory, DIRECTORY_SECONDS, expectation, tls=tls)
        if not answer.ok:
            raise GatehouseError(
                "The CA does not answer as an ACME directory does: %s." % answer.message.rstrip("."),
                cause="ca_unreachable",
                hint="curl -i %s; see tls.directory and, for a CA of your own, tls.ca_bundle" % self.wish.directory,
            )

    def _ask_challenges(self):
        """See that nginx serves what the CA will look for, before a failure counts against the CA's limits."""
        token = "gatehouse-" + os.urandom(8).hex()
        folder = os.path.join(self.wish.webroot, CHALLENGES)
        make_folder(folder)
        path = os.path.join(folder, token)
        with open(path, "w", encoding="ascii") as file:
            file.write(token)
        try:
            os.chmod(path, 0o644)
            for name in self.wish.names:
                url = "http://127.0.0.1:%d/%s/%s" % (self.wish.http_port, CHALLENGES, token)
                answer = probe_http(url, 5, Expectation(text=token), headers={"Host": name})
                if not answer.ok:
                    raise GatehouseError(
                        "nginx does not serve the challenges of %s: %s." % (name, answer.message.rstrip(".")),
                        cause="not_served",
                        hint="run the role nginx_proxy with this site first, or give your own server for port %d: location"
                        " ^~ /%s/ { root %s; }" % (self.wish.http_port, CHALLENGES, self.wish.webroot),
                    )
        finally:
            os.unlink(path)

    def _run(self, argv, seconds, environment=None):
        try:
            return self.host.run(argv, seconds, environment)
        except FileNotFoundError:
            return NOT_FOUND, "", ""

    # The risky act

    def _go_live(self, certificate, key, directory):
        """Point nginx at it, have it tested, taken up and served; whatever fails, point back at the one before."""
        before = self.store.pointed()
        after = self.store.add(certificate, key, directory)
        if after == before:
            return
        self.store.point(after)
        try:
            self._take_up()
        except (GatehouseError, OSError) as error:
            if before is not None:
                self.store.point(before)
                with contextlib.suppress(GatehouseError):
                    self._reload()
            if isinstance(error, GatehouseError):
                error.facts["outcome"] = "reverted"
            raise
        self.changed = True
        self.store.prune(before)

    def _catch_up(self, own):
        """Have nginx take up what a run that was killed had made live on disk. Returns whether that was so."""
        found = self._served()
        self.changed = bool(found) and found.fingerprint != own.fingerprint and self._take_up()
        return self.changed

    def _served(self):
        with contextlib.suppress(OSError, ValueError):
            return served("127.0.0.1", self.wish.port, self._asked(), 5)
        return None

    def _asked(self):
        return (self.wish.names or ["localhost"])[0].replace("*", "www", 1)

    def _take_up(self):
        """Have nginx serve what is live on disk. Returns False where it does not read it."""
        if not self._reload():
            return False
        own = self.store.read()[0][0]
        seen = []

        def is_served():
            seen[:] = [self._served()]
            return True if seen[0] and seen[0].fingerprint == own.fingerprint else None

        if not poll(is_served, Deadline(self.timeout)):
            raise GatehouseError(
                "nginx was reloaded, and on port %d it goes on serving %s another certificate (of %s)."
                % (self.wish.port, self._asked(), seen[0].issuer if seen[0] else "nobody: it does not answer"),
                cause="not_served",
                hint="nginx -T | grep -n -e server_name -e ssl_certificate",
            )
        return True

    def _reload(self):
        """Have nginx test all it has, and take it up. Waits for another run of nginx_config. False: nginx does not read it."""
        if self.nginx is None:
            return False
        busy = []

        def reload():
            try:
                return [self.nginx.reload(self.store.certificate)]
            except GatehouseError as error:
                if error.cause != "busy":
                    raise
                busy[:] = [error]
                return None

        answer = poll(reload, Deadline(self.timeout), interval=1)
        if answer is None:
            raise busy[0]
        return answer[0]

    # The answer

    def _result(self, due, check):
        found = self.store.read()
        result = {"changed": bool(due) if check else self.changed, "reasons": due, "outcome": "unchanged"}
        if result["changed"]:
            result["outcome"] = self.wish.mode if check else _outcome(*found)
        if found:
            result["certificate"] = describe(found[0][0], self.now())
        return result

    @contextlib.contextmanager
    def _alone(self, check):
        """One run at a time for all sites: the timer's and a play's wait for each other."""
        if check and not os.path.isdir(self.store.root):
            yield
            return
        make_folder(self.store.root)
        handle = os.open(self.store.root, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _outcome(chain, directory):
    if directory:
        return "acme"
    return "self_signed" if is_self_signed(chain[0]) else "adopted"


def _log():
    try:
        with open(os.path.join(_certbot.LOGS, "letsencrypt.log"), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
