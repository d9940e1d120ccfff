"""What this machine is, found out and not assumed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import paths, steps


def os_release(text):
    """The fields of an os-release file."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def is_debian_family(release):
    return "debian" in [release.get("ID"), *release.get("ID_LIKE", "").split()]


def may_install():
    """Packages may be installed here: a Debian-family machine, as root."""
    try:
        release = os_release(Path("/etc/os-release").read_text())
    except OSError:
        return False
    return os.geteuid() == 0 and is_debian_family(release) and shutil.which("apt-get") is not None


def install(*packages):
    """Install Debian packages; the package lists are refreshed only when they lack one."""
    log = paths.LOGS / f"apt-{packages[0]}.log"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
    if steps.logged(command, log, env=environment):
        steps.must(["apt-get", "update", "-q"], paths.LOGS / "apt-update.log", env=environment)
        steps.must(command, log, env=environment)


def runs_systemd():
    return Path("/run/systemd/system").is_dir()


def ca_bundle(environment):
    """The file with this machine's certificate authorities, where it is not the stock one of its system."""
    name = environment.get("SSL_CERT_FILE")
    return Path(name) if name and Path(name).is_file() else None


def default_route_device(table):
    """The device of the default route in the text of /proc/net/route."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        # The only route whose mask is empty.
        if len(fields) > 7 and fields[7] == "00000000":
            return fields[0]
    return None


def route_mtu():
    """The largest packet of the default route, or None where it cannot be read."""
    try:
        device = default_route_device(Path("/proc/net/route").read_text())
        return int(Path(f"/sys/class/net/{device}/mtu").read_text()) if device else None
    except (OSError, ValueError):
        return None
