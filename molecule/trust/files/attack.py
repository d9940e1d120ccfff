"""What a dependency, or the build of an app, could try on the host. Run by the scenario's own app, never outside its containers.

python3 attack.py REPORT     writes {attack: how it ended} to REPORT: "done" when it came about

Where it may write the code, as a build may, it leaves things there that must lead nowhere.
"""

import ctypes
import glob
import json
import os
import pathlib
import pwd
import signal
import socket
import stat
import subprocess
import sys
import time

# A package is built in a folder of its own.
RELEASE = next(
    path for path in map(pathlib.Path, (os.getcwd(), os.environ.get("VIRTUAL_ENV", "/"))) if "releases" in path.parts
)
while RELEASE.parent.name != "releases":
    RELEASE = RELEASE.parent
ROOT = RELEASE.parent.parent
APP = ROOT.name
UNIT = APP + "@.service"


def write(*parts):
    pathlib.Path(*parts).write_text("[Service]\nUser=root\n")


def replace(*parts):
    ours = RELEASE / "src" / "ours"
    ours.write_text("[Service]\nUser=root\n")
    os.replace(ours, pathlib.Path(*parts))


def point(target, *parts):
    link = RELEASE / "src" / "link-of-ours"
    link.symlink_to(target)
    try:
        os.replace(link, pathlib.Path(*parts))
    finally:
        link.unlink(missing_ok=True)


def read(path):
    found = glob.glob(path) or [path]
    pathlib.Path(found[0]).read_bytes()


def run(*command):
    subprocess.run(command, check=True, timeout=20, stdin=subprocess.DEVNULL, capture_output=True)


def link(target):
    ours = RELEASE / "src" / "hard"
    os.link(target, ours)
    ours.unlink()


def swap():
    os.rename(RELEASE / "src", RELEASE / "elsewhere")
    os.rename(RELEASE / "elsewhere", RELEASE / "src")


def setuid():
    program = RELEASE / "src" / "shell"
    program.write_bytes(pathlib.Path("/bin/sh").read_bytes())
    program.chmod(0o4755)
    if not program.stat().st_mode & stat.S_ISUID:
        raise PermissionError("the bit was dropped")


def device():
    os.mknod(RELEASE / "src" / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))


def mount():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(RELEASE / "src"), b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")


def signal_others():
    """Reach a process that is none of this user's, which are all that can be seen."""
    for pid in range(2, 100000):
        try:
            os.kill(pid, 0)
        except OSError:
            continue
        if not os.path.exists("/proc/%d" % pid):
            os.kill(pid, signal.SIGKILL)
            return
    raise PermissionError("there is none that it may signal")


def let_in():
    """Whoever has the key to this user's account is not in any unit."""
    os.mkdir(os.path.join(pwd.getpwuid(os.getuid()).pw_dir, ".ssh"))


def ask_the_bus():
    """By it logind, systemd and others do things for whoever asks."""
    with socket.socket(socket.AF_UNIX) as bus:
        bus.connect("/run/dbus/system_bus_socket")


def raw():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


ATTACKS = {
    "write into the unit": lambda: write(RELEASE, UNIT),
    "put another unit in its place": lambda: replace(RELEASE, UNIT),
    "remove the unit": lambda: os.unlink(RELEASE / UNIT),
    "write into the environment file": lambda: write(RELEASE, "env"),
    "make it a link to a neighbour's": lambda: point("/srv/neighbour/current/env", RELEASE, "env"),
    "read its own environment file, which the app alone is given": lambda: read(str(RELEASE / "env")),
    "write what PM2 is to run": lambda: write(RELEASE, "pm2.json"),
    "declare the release whole": lambda: write(RELEASE, "manifest.json"),
    "note what root would have written": lambda: write(RELEASE, "written.json"),
    "say that the release has passed its gate": lambda: write(RELEASE, "passed.json"),
    "put another folder in the place of src": swap,
    "make a release": lambda: os.mkdir(ROOT / "releases" / "mine"),
    "make another release the live one": lambda: point(RELEASE, ROOT, "current"),
    "make another release the staged one": lambda: point(RELEASE, ROOT, "staged"),
    "write beside the releases": lambda: write(ROOT, "source-1"),
    "read the key of the digests": lambda: read(str(ROOT / "digest.key")),
    "list a neighbour's releases": lambda: os.listdir("/srv/neighbour/releases"),
    "read a neighbour's environment": lambda: read("/srv/neighbour/current/env"),
    "read a neighbour's code": lambda: read("/srv/neighbour/current/src/app/ok.py"),
    "read a neighbour's data": lambda: read("/var/lib/neighbour/data"),
    "read a neighbour's cache": lambda: os.listdir("/srv/neighbour/cache"),
    "write to the app's data": lambda: write("/var/lib", APP, "planted"),
    "write what PM2 keeps": lambda: write("/var/lib", APP, "pm2"),
    "write to the app's log": lambda: write("/var/log", APP, "planted.log"),
    "read root's home": lambda: read("/root/precious/key"),
    "read the hosts' passwords": lambda: read("/etc/shadow"),
    "read the environment of the first process": lambda: read("/proc/1/environ"),
    "read what units are given": lambda: os.listdir("/run/gatehouse/build"),
    "write where a proxy looks for what to leave out": lambda: write("/run/gatehouse/rotation", APP, "8000"),
    "write a deploy lock": lambda: write("/run/gatehouse/deploy", APP),
    "write a job of cron": lambda: write("/etc/cron.d/planted"),
    "write a unit of the system": lambda: write("/etc/systemd/system/planted.service"),
    "write a unit of the running system": lambda: write("/run/systemd/system/planted.service"),
    "write a rotation of logs": lambda: write("/etc/logrotate.d/planted"),
    "write a program that others run": lambda: write("/usr/local/bin/git"),
    "write to a folder that a web server serves": lambda: write("/var/www/page/index.html"),
    "write to the kernel's settings": lambda: write("/proc/sys/kernel/core_pattern"),
    "become root": lambda: os.setuid(0),
    "let somebody in who has a key": let_in,
    "ask others by the system's bus": ask_the_bus,
    "ask sudo": lambda: run("sudo", "-n", "true"),
    "ask systemd to stop a neighbour": lambda: run("systemctl", "--no-ask-password", "stop", "neighbour@8100.service"),
    "ask systemd to run a command": lambda: run("systemd-run", "--no-ask-password", "touch", "/run/planted"),
    "signal what is not its own": signal_others,
    "link to a neighbour's environment": lambda: link("/srv/neighbour/current/env"),
    "link to the users of the host": lambda: link("/etc/passwd"),
    "make a program that others run as its owner": setuid,
    "make a device": device,
    "mount a file system": mount,
    "be root in a namespace of its own": lambda: run("unshare", "--user", "--map-root-user", "true"),
    "read what others send": raw,
}


def plant():
    """What a build may do, and what must lead nowhere all the same."""
    source = RELEASE / "src"
    # git that is run there as root would run this.
    (source / ".git").mkdir(exist_ok=True)
    (source / ".git" / "config").write_text("[core]\n\tfsmonitor = touch /run/planted\n")
    # Files under two names, one of each in the cache where the kernel lets it.
    (source / "shared").unlink(missing_ok=True)
    kept = pathlib.Path(os.environ["HOME"], "kept")
    kept.write_text("the cache's")
    try:
        os.link(kept, source / "shared")
    except OSError:
        (source / "first").write_text("the cache's")
        os.link(source / "first", source / "shared")
    # Names that a shell, a terminal or a file system without case would stumble over.
    for name in ("ENV", "Env", "$(touch planted)", "-rf", "line\nline"):
        (source / name).write_text("")
    (source / "open to all").write_text("")
    (source / "open to all").chmod(0o777)
    (source / "inside").unlink(missing_ok=True)
    (source / "inside").symlink_to("shared")
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        pathlib.Path(folder, "planted").write_text("")
    # It goes on after the build, if it can.
    subprocess.Popen(
        ["setsid", "sh", "-c", "trap '' TERM HUP; while echo >> '%s/later'; do sleep 0.1; done" % source],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _attempt in range(100):
        if (source / "later").exists():
            break
        time.sleep(0.05)


def main(report):
    told = {}
    for name, attack in ATTACKS.items():
        try:
            attack()
            told[name] = "done"
        except (OSError, subprocess.SubprocessError) as error:
            told[name] = "refused: %s" % error
    if os.access(RELEASE / "src", os.W_OK):
        plant()
    pathlib.Path(report).write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
