"""The image that test hosts boot from: a base with systemd, and a layer with what every scenario installs."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import machine, paths, steps

SUITE = "bookworm"
BASE_PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3", "ca-certificates", "iproute2", "procps")
LABEL = "gatehouse.webapp"
HERE = Path(__file__).parent
CA_PATH = "/etc/ssl/certs/ca-certificates.crt"


def recipe_hash(*parts):
    """A short name for a recipe: the same parts in the same order give the same name."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:12]


def parse_sources(text):
    """The (address, suite) pairs of binary packages in an apt sources file, in either of its two forms."""
    found = []
    fields = {}
    for line in [*text.splitlines(), ""]:
        words = line.split()
        if words and words[0] == "deb":
            # One line: deb [options] address suite component...
            rest = line.split("]", 1)[1].split() if words[1:] and words[1].startswith("[") else words[1:]
            found += [(rest[0].rstrip("/"), rest[1])] if len(rest) > 1 else []
        elif not words:
            # A blank line ends a stanza.
            if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
                found += [
                    (uri.rstrip("/"), suite)
                    for uri in fields.get("uris", "").split()
                    for suite in fields.get("suites", "").split()
                ]
            fields = {}
        elif ":" in line and not line[0].isspace():
            name, value = line.split(":", 1)
            fields[name.strip().lower()] = value.strip()
    return found


def mirrors(sources, suite=SUITE):
    """Where mmdebstrap is to take a suite from: apt's source lines for the machine's own mirror.

    None of them for a machine that has no mirror of Debian: mmdebstrap then takes Debian's own, security updates included.
    """
    remote = [pair for pair in sources if pair[0].startswith(("http://", "https://"))]
    addresses = [address for address, name in remote]
    by_suite = {name: address for address, name in reversed(remote)}
    # Another release of Debian comes from the same mirror; another distribution's does not hold Debian.
    archive = by_suite.get(suite) or next((a for a in addresses if a.endswith("/debian")), None)
    security = by_suite.get(f"{suite}-security") or next((a for a in addresses if a.endswith("/debian-security")), None)
    if archive is None:
        return []
    lines = [f"deb {archive} {suite} main", f"deb {archive} {suite}-updates main"]
    return [*lines, f"deb {security} {suite}-security main"] if security else lines


def machine_sources(root=Path("/etc/apt")):
    files = [
        root / "sources.list",
        *sorted(root.glob("sources.list.d/*.list")),
        *sorted(root.glob("sources.list.d/*.sources")),
    ]
    return [pair for name in files if name.is_file() for pair in parse_sources(name.read_text(errors="replace"))]


def exists(name):
    return steps.succeeds(["docker", "image", "inspect", name])


def chosen(suite, environment):
    """The image that the user has named as the base of a suite's hosts, or None."""
    name = "GATEHOUSE_IMAGE" if suite == SUITE else f"GATEHOUSE_IMAGE_{suite.upper()}"
    return environment.get(name) or None


def ensure(suite=SUITE):
    """The name of the host image of a release of Debian, made first where it is missing."""
    given = chosen(suite, os.environ)
    base = given or f"gatehouse-base:{recipe_hash(suite, *BASE_PACKAGES)}"
    bundle = machine.ca_bundle(os.environ)
    recipe = (
        base,
        (HERE / "host.sh").read_bytes(),
        (HERE / "init.sh").read_bytes(),
        bundle.read_bytes() if bundle else "",
    )
    name = f"gatehouse-host:{recipe_hash(*recipe)}"
    if exists(name):
        return name
    if not exists(base):
        with steps.stage(f"base image of {suite}"):
            if given:
                steps.must(["docker", "pull", base], paths.LOGS / "image-pull.log")
            else:
                build_base(base, suite)
    with steps.stage(f"host image of {suite}"):
        build_host(name, base, bundle)
    return name


def remove_all():
    """Remove every image that the test bed made; give their number."""
    names = steps.output(["docker", "images", "--quiet", "--filter", f"label={LABEL}"]).split()
    for name in dict.fromkeys(names):
        steps.output(["docker", "rmi", "--force", name])
    return len(set(names))


def build_base(name, suite):
    """A Debian with systemd, from packages alone: no registry is asked."""
    if not shutil.which("mmdebstrap"):
        if not machine.may_install():
            raise steps.Failure(
                "no base image: install mmdebstrap, or set GATEHOUSE_IMAGE to the name of a Debian or Ubuntu image "
                "that has systemd"
            )
        machine.install("mmdebstrap", "debian-archive-keyring")
    with tempfile.TemporaryDirectory() as folder:
        tarball = Path(folder) / "base.tar"
        steps.must(
            [
                "mmdebstrap",
                "--variant=minbase",
                f"--include={','.join(BASE_PACKAGES)}",
                suite,
                tarball,
                *mirrors(machine_sources(), suite),
            ],
            paths.LOGS / "image-base.log",
        )
        steps.output(["docker", "import", "--change", f"LABEL {LABEL}=base", tarball, name])


def build_host(name, base, bundle):
    """Run the recipe in a container of the base and keep the result as an image."""
    builder = f"gatehouse-build-{os.getpid()}"
    try:
        # The image inherits the stop signal: on this one systemd shuts down, docker's own it would not obey.
        options = ["--detach", "--name", builder, "--stop-signal", "SIGRTMIN+3", "--entrypoint", "sleep"]
        steps.output(["docker", "run", *options, base, "infinity"])
        steps.output(["docker", "cp", HERE / "init.sh", f"{builder}:/sbin/gatehouse-init"])
        if bundle:
            # A link is resolved first: docker cp would copy the link itself.
            steps.output(["docker", "cp", bundle.resolve(), f"{builder}:/tmp/ca-bundle.crt"])
        steps.output(["docker", "cp", HERE / "host.sh", f"{builder}:/tmp/host.sh"])
        steps.must(
            ["docker", "exec", builder, "sh", "-c", "chmod 0755 /sbin/gatehouse-init && sh /tmp/host.sh && rm /tmp/*"],
            paths.LOGS / "image-host.log",
        )
        changes = [
            'ENTRYPOINT ["/sbin/gatehouse-init"]',
            "CMD []",
            "ENV container=docker",
            f"LABEL {LABEL}=host",
        ]
        if bundle:
            changes += [f"ENV SSL_CERT_FILE={CA_PATH}", f"ENV NODE_EXTRA_CA_CERTS={CA_PATH}"]
        options = [option for change in changes for option in ("--change", change)]
        steps.output(["docker", "commit", *options, builder, name])
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", builder], capture_output=True, check=False)
