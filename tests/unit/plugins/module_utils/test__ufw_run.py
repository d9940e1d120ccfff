"""The story of ufw_policy on a host in small: what is loaded, written, refused, put back and confirmed."""

import json
import re
from pathlib import Path

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils import _ufw, _ufw_kernel, _ufw_plan, _ufw_run
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.modules import ufw_policy

RECORDED = Path(__file__).parent / "recorded_ufw"
OFF = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
SSH = {"rule": "allow", "port": "22", "proto": "tcp", "comment": "SSH"}
SESSION = "192.0.2.7 51442 192.0.2.10 22"


class SmallHost(_ufw_run.Host):
    """Files in a folder, a kernel that is a text for each family, and timers that are names."""

    def __init__(self, root, loaded):
        super().__init__(str(root))
        self.loaded = loaded
        for folder in (
            "etc/ufw/applications.d",
            "etc/default",
            "lib/ufw",
            "run",
            "sys/class/net/eth0",
            "proc/sys/net/ipv6",
        ):
            (root / folder).mkdir(parents=True)
        self.kernel = {4: (RECORDED / "iptables-save").read_text(), 6: (RECORDED / "ip6tables-save-low").read_text()}
        files = {
            "etc/ufw/user.rules": (RECORDED / "user.rules").read_text(),
            "etc/ufw/user6.rules": (RECORDED / "user6-low.rules").read_text(),
            "etc/default/ufw": 'IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\nDEFAULT_FORWARD_POLICY="DROP"\n',
            "etc/ufw/ufw.conf": "ENABLED=yes\nLOGLEVEL=low\n",
            "lib/ufw/ufw-init": "",
        }
        files.update(
            {
                f"etc/ufw/{kind}{family}.rules": "*filter\nCOMMIT\n"
                for kind in ("before", "after")
                for family in ("", "6")
            }
        )
        for name, text in files.items():
            (root / name).write_text(text)
        self.timers = {}
        self.log = []
        # What goes wrong: the text that a family's kernel refuses, or does not keep, or the file that can't be written.
        self.refuses = self.loses = self.unwritable = None
        # What systemctl is-enabled says, and what goes wrong when it is told to enable.
        self.unit, self.refuses_to_enable = "enabled", ""

    def table(self, family, name="filter"):
        return self.kernel[family] if name == "filter" else ""

    def restore(self, family, text, *options):
        test = "--test" in options
        if self.refuses and self.refuses[0] == family and self.refuses[1] in text and test == self.refuses[2]:
            number = text.splitlines().index(next(line for line in text.splitlines() if self.refuses[1] in line)) + 1
            return 1, "", f"iptables-restore: line {number} failed: No such file or directory\n"
        if not test:
            self.log.append(f"load {family}")
            kept = (
                text if self.loses is None else "\n".join(line for line in text.splitlines() if self.loses not in line)
            )
            self.kernel[family] = self.loaded(self.kernel[family], kept)
        return 0, "", ""

    def run(self, argv, text=None):
        command = " ".join(argv).replace(self.root, "")
        self.log.append(command)
        if argv[0] == "systemd-run":
            if self.timers is None:
                return 1, "", "System has not been booted with systemd as init system"
            self.timers["gatehouse-ufw-undo"] = argv[-1]
        elif argv[:2] == ["systemctl", "stop"]:
            self.timers.pop("gatehouse-ufw-undo", None)
        elif argv[:2] == ["systemctl", "is-enabled"]:
            return int(self.unit != "enabled"), self.unit + "\n", ""
        elif argv[:2] == ["systemctl", "unmask"]:
            self.unit = "disabled"
        elif argv[:2] == ["systemctl", "enable"]:
            if self.unit == "static":
                return 0, "", "The unit files have no installation config"  # and systemd says that all is well
            if self.refuses_to_enable or self.unit == "masked":
                return 1, "", self.refuses_to_enable or "Unit file is masked."
            self.unit = "enabled"
        elif argv[0] == "/bin/sh":
            self.fire()
        elif argv[0].endswith("ufw-init"):
            self.start(argv)
        elif argv[0] == "ip":
            return 0, "2: eth0    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0\n", ""
        return 0, "", ""

    def start(self, argv):
        if argv[-1] == "force-stop":
            self.kernel = {4: OFF, 6: OFF}
            return
        for family, name in ((4, "user.rules"), (6, "user6.rules")):
            had = self.loaded(self.kernel[family], chains(family))
            policies = _ufw_kernel.transaction(self.at_start, family, None)
            self.kernel[family] = self.loaded(self.loaded(had, policies), Path(f"{argv[2]}/etc/ufw/{name}").read_text())

    def fire(self):
        """The undo script, as the shell would run it."""
        folder = Path(self.path(_ufw_run.PENDING))
        if not (folder / "armed").exists():
            return
        (folder / "armed").rename(folder / "undone")
        script = (folder / "undo").read_text()
        if "force-stop" in script:
            self.start(["ufw-init", "force-stop"])
        for family, tool in ((4, "iptables"), (6, "ip6tables")):
            if f"\n{tool}-restore --noflush --wait=10 < undo.{family}" in script:
                self.kernel[family] = self.loaded(self.kernel[family], (folder / f"undo.{family}").read_text())

    def write(self, path, text):
        if path == self.unwritable:
            raise OSError(28, "No space left on device", path)
        self.log.append(f"write {path}")
        super().write(path, text)

    def state(self):
        files = {str(path): path.read_text() for path in sorted(Path(self.root, "etc").rglob("*")) if path.is_file()}
        return json.dumps(files), [shape(text) for text in self.kernel.values()]


def chains(family):
    return (RECORDED / ("iptables-save" if family == 4 else "ip6tables-save-low")).read_text()


def shape(text):
    table = _ufw_kernel.read_table(text)
    return table.policies, {chain: rules for chain, rules in table.rules.items() if rules}


@pytest.fixture
def host(tmp_path, iptables_restore):
    return SmallHost(tmp_path, iptables_restore)


def run(host, check=False, **options):
    """The module on that host, with its defaults."""
    wish = {
        "rules": [SSH],
        "incoming": "deny",
        "outgoing": "allow",
        "routed": "deny",
        "logging": "low",
        "ipv6": None,
        "purge": "managed",
        "tag": "gatehouse",
        "docker": "report",
        "guard": True,
        "close_sites": False,
        "confirm_within": 0,
        "session": SESSION,
        "step": "converge",
    }
    return ufw_policy.converge({**wish, **options}, host, check)


WEB = {"rule": "allow", "port": "8088", "proto": "tcp", "comment": "site chat"}


def test_a_change_is_loaded_read_back_and_written_in_this_order(host):
    result = run(host, rules=[SSH, WEB])
    assert (result["outcome"], result["changed"]) == ("loaded", True)
    assert result["added"][0] == "8088/tcp ALLOW IN Anywhere  # gatehouse: site chat"
    assert "9100/tcp (v6) ALLOW IN 2001:db8::/32  # gatehouse: metrics" in result["removed"]
    assert "+" not in result["diff"]["before"] and "8088/tcp ALLOW IN" in result["diff"]["after"]
    order = [entry for entry in host.log if entry.startswith(("load", "write"))]
    assert order == ["load 4", "load 6", "write /etc/ufw/user.rules", "write /etc/ufw/user6.rules"]
    assert "-A ufw-user-input -p tcp --dport 8088 -j ACCEPT" in host.kernel[4]
    assert "### tuple ### allow tcp 8088" in host.read("/etc/ufw/user.rules")


def test_a_second_run_changes_nothing(host):
    run(host, rules=[SSH, WEB])
    before, host.log = host.state(), []
    result = run(host, rules=[SSH, WEB])
    assert (result["outcome"], result["changed"], result["reasons"]) == ("unchanged", False, [])
    assert host.state() == before
    assert not [entry for entry in host.log if entry.startswith(("load", "write"))]


def test_what_the_kernel_has_lost_is_loaded_again_and_no_file_is_written(host):
    run(host, rules=[SSH, WEB])
    host.log = []
    host.kernel[4] = host.kernel[4].replace("-A ufw-user-input -p tcp --dport 8088 -j ACCEPT\n", "")
    result = run(host, rules=[SSH, WEB])
    assert result["reasons"] == ["The kernel's IPv4 rules are not those wanted: ufw-user-input."]
    assert not [entry for entry in host.log if entry.startswith("write")]
    assert "--dport 8088" in host.kernel[4]


def test_check_mode_touches_nothing(host):
    before = host.state()
    result = run(host, check=True, rules=[SSH, WEB], confirm_within=60)
    assert (result["outcome"], result["changed"]) == ("loaded", True)
    assert (host.state(), host.timers) == (before, {})


def test_only_the_settings_change(host):
    result = run(host, purge="none", incoming="reject", logging="full")
    assert (result["added"], result["removed"]) == ([], [])
    assert 'DEFAULT_INPUT_POLICY="REJECT"' in host.read("/etc/default/ufw")
    assert "LOGLEVEL=full" in host.read("/etc/ufw/ufw.conf")
    assert "-A ufw-reject-input -j REJECT" in host.kernel[4]
    assert "Default: reject (incoming)" in result["diff"]["after"]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("test", "outcome"), [(True, "unchanged"), (False, "reverted")])
def test_what_the_kernel_refuses_leaves_the_old_policy(host, family, test, outcome):
    before = host.state()
    host.refuses = (family, "--dport 8088", test)
    with pytest.raises(GatehouseError) as error:
        run(host, rules=[SSH, WEB])
    assert (error.value.cause, error.value.facts["outcome"]) == ("kernel_refused", outcome)
    prefix = "ufw" if family == 4 else "ufw6"
    assert f"at: -A {prefix}-user-input -p tcp --dport 8088 -j ACCEPT: iptables-restore: line" in error.value.message
    assert host.state() == before


def test_what_the_kernel_does_not_keep_is_taken_back(host):
    before = host.state()
    host.loses = "--dport 8088"
    with pytest.raises(GatehouseError) as error:
        run(host, rules=[SSH, WEB])
    assert (error.value.cause, error.value.facts["outcome"]) == ("not_loaded", "reverted")
    assert "IPv4 rules than were loaded: ufw-user-input" in error.value.message
    assert host.state() == before


def test_a_file_that_cant_be_written_takes_all_back(host):
    before = host.state()
    host.unwritable = "/etc/ufw/user6.rules"
    with pytest.raises(GatehouseError) as error:
        run(host, rules=[SSH, WEB])
    assert (error.value.cause, error.value.facts["outcome"]) == ("unwritable", "reverted")
    assert "No space left on device" in error.value.message
    assert host.state() == before


def test_a_policy_that_cant_be_put_back_is_told(host):
    host.loses = "--dport"
    with pytest.raises(GatehouseError) as error:
        run(host, rules=[SSH, WEB])
    assert error.value.facts["outcome"] == "failed"
    assert "The former policy could not be put back for IPv4, IPv6" in error.value.message


@pytest.mark.parametrize("state", ["disabled", "masked", "enabled-runtime"])
@pytest.mark.parametrize("confirm_within", [0, 60])
def test_a_firewall_that_would_not_be_there_after_a_reboot_is_started_at_boot_again(host, state, confirm_within):
    run(host)
    host.unit = state
    checked = run(host, check=True)
    assert host.unit == state
    result = run(host, confirm_within=confirm_within)
    if confirm_within:
        assert host.unit == state  # a reboot now brings what was there before
        run(host, confirm_within=confirm_within, step="confirm")
    assert host.unit == "enabled"
    for told in (checked, result):
        assert told["changed"] is True
        assert told["reasons"] == [f"The firewall is not started at boot: ufw.service is {state}."]
        assert f"At boot: ufw.service is {state}" in told["diff"]["before"]
    assert run(host)["changed"] is False


@pytest.mark.parametrize("state", ["enabled", "masked-runtime", "generated", "not-found", ""])
def test_a_unit_that_is_started_at_boot_or_not_known_is_left_alone(host, state):
    run(host)
    host.unit = state
    assert run(host)["changed"] is False


def test_a_firewall_that_can_not_be_started_at_boot_is_taken_back(host):
    host.unit, host.refuses_to_enable = "disabled", "Failed to enable unit: Read-only file system"
    before = host.state()
    with pytest.raises(GatehouseError) as caught:
        run(host)
    assert (caught.value.cause, caught.value.facts["outcome"]) == ("not_at_boot", "reverted")
    assert "Read-only file system" in caught.value.message
    assert caught.value.hint == "systemctl enable ufw.service"
    assert host.state() == before


def test_a_unit_that_nothing_can_start_at_boot_is_told(host):
    host.unit = "static"
    with pytest.raises(GatehouseError) as caught:
        run(host)
    assert "no installation config" in caught.value.message
    assert caught.value.hint.startswith("rm /etc/systemd/system/ufw.service")


def test_lines_that_ufw_has_not_made_are_told_before_they_go(host):
    stray = "-A ufw-user-input -p tcp --dport 4444 -j ACCEPT"
    host.write(
        "/etc/ufw/user.rules", host.read("/etc/ufw/user.rules").replace("### END RULES", stray + "\n### END RULES")
    )
    assert stray in run(host, rules=[SSH, WEB])["warnings"][0]
    assert stray not in host.read("/etc/ufw/user.rules")


def test_a_rules_file_that_would_load_something_else_at_boot_is_written_anew(host):
    """As the package ships it, without the lines that log."""
    run(host)
    whole = host.read("/etc/ufw/user.rules")
    host.write("/etc/ufw/user.rules", re.sub(r"(?m)^-. ufw-(after-logging|logging).*\n", "", whole))
    assert run(host)["reasons"] == ["Files differ: /etc/ufw/user.rules."]
    assert host.read("/etc/ufw/user.rules") == whole


# The guard


@pytest.mark.parametrize("confirm_within", [0, 60])
def test_who_would_be_shut_out_refuses(host, confirm_within):
    before = host.state()
    with pytest.raises(GatehouseError) as error:
        run(host, rules=[SSH | {"from": "198.51.100.0/24"}], purge="all", confirm_within=confirm_within)
    assert error.value.cause == "would_shut_out"
    assert "from 192.0.2.7 to port 22 of 192.0.2.10: no rule lets it in" in error.value.message
    assert "{rule: allow, port: 22, proto: tcp, from: 192.0.2.7}" in error.value.hint
    assert (host.state(), host.timers) == (before, {})


def test_the_rule_that_shuts_out_is_named(host):
    with pytest.raises(GatehouseError, match="by the rule: Anywhere DENY IN 192.0.2.7  # gatehouse: rule"):
        run(host, rules=[{"rule": "deny", "from": "192.0.2.7"}, SSH], purge="all")


@pytest.mark.parametrize("options", [{"guard": False}, {"session": ""}])
def test_without_guard_or_network_nobody_is_shut_out(host, options):
    assert run(host, rules=[WEB], purge="all", **options)["outcome"] == "loaded"


def test_a_session_that_cant_be_told_needs_the_proof(host):
    with pytest.raises(GatehouseError) as error:
        run(host, rules=[WEB], session="the session has no SSH_CONNECTION")
    assert (error.value.cause, host.timers) == ("would_shut_out", {})
    assert "confirm_within: 60" in error.value.hint
    assert run(host, rules=[WEB], session="the session has no SSH_CONNECTION", confirm_within=60)["pending"] is True


# To be confirmed


def test_until_it_is_confirmed_a_policy_is_in_the_kernel_alone(host):
    files = host.state()[0]
    assert run(host, rules=[SSH, WEB], confirm_within=60)["pending"] is True
    assert "--on-active=60s" in next(entry for entry in host.log if entry.startswith("systemd-run"))
    assert host.log.index(next(e for e in host.log if e.startswith("systemd-run"))) < host.log.index("load 4")
    assert host.state()[0] == files
    assert "--dport 8088" in host.kernel[4]
    assert run(host, rules=[SSH, WEB], confirm_within=60, step="confirm") == {"changed": True, "outcome": "confirmed"}
    assert "allow tcp 8088" in host.read("/etc/ufw/user.rules")
    assert (host.timers, host.exists(_ufw_run.PENDING)) == ({}, False)
    assert run(host, rules=[SSH, WEB], confirm_within=60)["outcome"] == "unchanged"


def test_what_changes_nothing_has_nothing_to_confirm(host):
    run(host, rules=[SSH, WEB])
    assert "pending" not in run(host, rules=[SSH, WEB], confirm_within=60)
    assert host.timers == {}


def test_the_timer_puts_the_former_policy_back(host):
    before = host.state()
    run(host, rules=[SSH, WEB], confirm_within=60)
    host.fire()
    assert host.state() == before
    with pytest.raises(GatehouseError, match="was not confirmed in time, and the former one is back"):
        run(host, rules=[SSH, WEB], confirm_within=60, step="confirm")
    assert host.state() == before
    assert run(host, rules=[SSH, WEB], confirm_within=60, step="undone")["outcome"] == "reverted"


def test_what_was_not_confirmed_is_undone_before_the_timer_when_that_is_asked(host):
    before = host.state()
    run(host, rules=[SSH, WEB], confirm_within=60)
    assert run(host, rules=[SSH, WEB], confirm_within=60, step="undone")["outcome"] == "reverted"
    assert (host.state(), host.timers) == (before, {})


def test_a_killed_runs_policy_is_undone_by_the_next_run(host):
    run(host, rules=[SSH, WEB], confirm_within=60)
    result = run(host, rules=[SSH], purge="none")
    assert "never confirmed" in result["warnings"][0]
    assert "--dport 8088" not in host.kernel[4]


def test_what_fails_takes_its_timer_along(host):
    before = host.state()
    host.refuses = (4, "--dport 8088", False)
    with pytest.raises(GatehouseError):
        run(host, rules=[SSH, WEB], confirm_within=60)
    assert (host.state(), host.timers, host.exists(_ufw_run.PENDING)) == (before, {}, False)


def test_what_is_confirmed_and_cant_be_written_is_taken_back(host):
    before = host.state()
    run(host, rules=[SSH, WEB], confirm_within=60)
    host.unwritable = "/etc/ufw/user6.rules"
    with pytest.raises(GatehouseError) as error:
        run(host, rules=[SSH, WEB], confirm_within=60, step="confirm")
    assert (error.value.cause, error.value.facts["outcome"]) == ("unwritable", "reverted")
    assert host.state() == before


def test_without_timers_nothing_is_touched(host):
    before = host.state()
    host.timers = None
    with pytest.raises(GatehouseError) as error:
        run(host, rules=[SSH, WEB], confirm_within=60)
    assert (error.value.cause, host.state()) == ("no_timer", before)


# A firewall that is off, half on, or not there


def off(host):
    host.kernel = {4: OFF, 6: OFF}
    host.write("/etc/ufw/ufw.conf", "ENABLED=no\nLOGLEVEL=low\n")
    host.at_start = _ufw_run._ufw.Policy({4: [], 6: []}, "deny", "allow", "deny", "low", True, True)


def test_a_firewall_that_is_off_is_started_from_a_copy(host):
    off(host)
    result = run(host, rules=[SSH, WEB])
    assert result["outcome"] == "started"
    assert "Status: inactive" in result["diff"]["before"]
    assert "ENABLED=yes" in host.read("/etc/ufw/ufw.conf")
    assert re.search(r"/lib/ufw/ufw-init --datadir \S+ start", " ".join(host.log))


def test_a_firewall_that_was_off_is_off_again(host):
    off(host)
    before = host.state()
    run(host, rules=[SSH, WEB], confirm_within=60)
    host.fire()
    assert host.state() == before


def test_a_firewall_that_was_off_and_does_not_come_up_right_is_off_again(host):
    off(host)
    before = host.state()
    host.unwritable = "/etc/ufw/ufw.conf"
    with pytest.raises(GatehouseError) as error:
        run(host, rules=[SSH, WEB])
    assert (error.value.cause, error.value.facts["outcome"]) == ("unwritable", "reverted")
    assert host.state() == before


def test_chains_that_were_flushed_are_built_again(host):
    run(host, rules=[SSH, WEB])
    host.kernel[6] = "\n".join(line for line in host.kernel[6].splitlines() if not line.startswith("-A"))
    assert run(host, rules=[SSH, WEB])["outcome"] == "loaded"
    assert _ufw_kernel.state(_ufw_kernel.read_table(host.kernel[6]), 6) == "whole"


def test_ipv6_can_be_taken_in_and_out(host):
    run(host, rules=[SSH, WEB], ipv6=False)
    assert "IPV6=no" in host.read("/etc/default/ufw")
    assert _ufw_kernel.read_table(host.kernel[6]).policies["OUTPUT"] == "DROP"
    assert run(host, rules=[SSH, WEB], ipv6=False)["outcome"] == "unchanged"
    assert run(host, rules=[SSH, WEB], ipv6=True)["outcome"] == "loaded"
    assert "--dport 8088" in host.kernel[6]


def test_a_kernel_without_ipv6_is_left_alone(host):
    Path(host.path("/proc/sys/net/ipv6")).rmdir()
    before = host.kernel[6]
    run(host, rules=[SSH, WEB], ipv6=True)
    assert host.kernel[6] == before


@pytest.mark.parametrize("check", [False, True])
def test_without_ufw_the_input_is_checked_and_then_it_is_missed(host, check):
    Path(host.path("/lib/ufw/ufw-init")).unlink()
    with pytest.raises(GatehouseError, match="port 0 is not"):
        run(host, check=check, rules=[{"rule": "allow", "port": "0"}])
    if check:
        assert "UFW is not installed" in run(host, check=True)["warnings"][0]
        return
    with pytest.raises(GatehouseError) as error:
        run(host)
    assert (error.value.cause, error.value.hint) == ("not_installed", "apt-get install ufw")


def test_a_rules_file_that_is_missing_is_named(host):
    Path(host.path("/etc/ufw/user6.rules")).unlink()
    with pytest.raises(GatehouseError, match="user6.rules can't be read: No such file"):
        run(host)


def test_seconds_have_to_be_seconds(host):
    with pytest.raises(GatehouseError, match="confirm_within"):
        run(host, confirm_within=-1)


def test_two_at_a_time_are_one_too_many(host):
    with host.alone(), pytest.raises(GatehouseError, match="Another run"):
        run(host)


# Docker


def test_dockers_chain_is_closed_and_opened_again(host):
    assert "DOCKER-USER: closed" in run(host, docker="close")["diff"]["after"]
    assert host.kernel[4].count("-A DOCKER-USER -j DROP") == 1
    assert "-A DOCKER-USER -j ufw6-user-forward" in host.read("/etc/ufw/after6.rules")
    assert run(host, docker="close")["outcome"] == "unchanged"
    run(host)
    assert "DOCKER-USER" not in host.read("/etc/ufw/after.rules")
    assert "DROP" not in "".join(_ufw_kernel.read_table(host.kernel[4]).rules["DOCKER-USER"])


def test_dockers_chain_is_opened_again_on_a_host_whose_firewall_was_switched_off(host):
    run(host, docker="close")
    closed = _ufw_kernel.read_table(host.kernel[4]).rules["DOCKER-USER"]
    off(host)
    host.kernel[4] = host.loaded(OFF, "\n".join(["*filter", ":DOCKER-USER - [0:0]", *closed, "COMMIT"]))
    assert run(host)["outcome"] == "started"
    assert _ufw_kernel.read_table(host.kernel[4]).rules["DOCKER-USER"] == ["-A DOCKER-USER -j RETURN"]


def test_dockers_chain_with_rules_of_another_is_left_alone(host):
    host.kernel[4] = host.loaded(
        host.kernel[4], "*filter\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -s 192.0.2.9/32 -j DROP\nCOMMIT\n"
    )
    before = host.state()
    with pytest.raises(GatehouseError) as error:
        run(host, docker="close")
    assert error.value.cause == "docker_rules"
    assert host.state() == before


@pytest.fixture
def serving(host):
    """A host whose nginx serves a site of a deploy on port 8088, which is open."""
    folder = Path(host.path("/etc/nginx/gatehouse"))
    folder.mkdir(parents=True)
    (folder / "sites.conf").write_text(
        "server { listen 8088; server_name chat.example.com; location / { root /x; } }\n"
    )
    Path(host.path("/run/nginx.pid")).write_text("1\n")
    run(host, rules=[SSH, WEB])
    host.log.clear()
    return host


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    "rules", [[SSH], [SSH, {**WEB, "port": "8443"}], [SSH, {**WEB, "proto": "udp"}], [SSH, {**WEB, "rule": "deny"}]]
)
def test_a_policy_that_closes_a_port_of_a_site_is_refused(serving, rules, check):
    with pytest.raises(
        GatehouseError, match="nginx serves sites on port 8088, and this policy lets nobody in there"
    ) as caught:
        run(serving, rules=rules, check=check)
    assert caught.value.cause == "would_close_sites"
    assert not [entry for entry in serving.log if entry.startswith(("load", "write"))]


def test_it_is_closed_when_that_is_meant(serving):
    assert run(serving, rules=[SSH], close_sites=True)["changed"] is True
    # It is closed now, and stays so.
    assert run(serving, rules=[SSH, {**WEB, "port": "9100"}])["changed"] is True


@pytest.mark.parametrize(
    "rule", [{**WEB, "from": "192.0.2.0/24"}, {**WEB, "port": "8000:8100"}, {**WEB, "rule": "limit"}]
)
def test_a_port_of_a_site_may_be_opened_in_another_way(serving, rule):
    assert run(serving, rules=[SSH, rule])["changed"] is True


def test_sites_of_an_nginx_that_was_stopped_for_good_may_be_closed(serving):
    Path(serving.path("/run/nginx.pid")).unlink()
    assert run(serving, rules=[SSH])["changed"] is True


def test_a_firewall_that_is_off_lets_everybody_in():
    policy = _ufw.Policy({4: [], 6: []}, "deny", "allow", "deny", "low", True, enabled=False)
    assert _ufw_plan.is_open(policy, 8088) is True
    assert _ufw_plan.is_open(policy._replace(enabled=True), 8088) is False
    assert _ufw_plan.is_open(policy._replace(enabled=True, incoming="allow"), 8088) is True
