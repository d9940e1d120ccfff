# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The control node's half of the module reachability: asks every port from here, and judges with what the host says."""

from __future__ import annotations

import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor

from ansible.plugins.action import ActionBase

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline
from ansible_collections.gatehouse.webapp.plugins.module_utils._probes import Answer, ProbeFailure, probe_tcp, resolve
from ansible_collections.gatehouse.webapp.plugins.module_utils._reachability import Question, failures, judge
from ansible_collections.gatehouse.webapp.plugins.modules.reachability import ARGUMENTS

SSH = ("ssh", "smart", "paramiko", "paramiko_ssh", "libssh")
AT_ONCE = 32


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        seen = self._execute_module(module_args=options, task_vars=task_vars)
        view = seen.pop("view", None)
        result.update(seen)
        if result.get("failed"):
            return result
        try:
            result.update(self._measure(options, view, task_vars))
        except GatehouseError as error:
            result.update(error.result(), failed=True)
        return result

    def _measure(self, options, view, task_vars):
        if options["timeout"] <= 0:
            raise GatehouseError("timeout is %g" % options["timeout"], "bad_input", "give seconds, as in timeout: 3")
        if options["source"]:
            _check_address(options["source"])
        home = str(task_vars.get("ansible_host") or task_vars["inventory_hostname"])
        transport = self._connection.transport.split(".")[-1]
        over_ssh = transport in SSH
        known = _addresses(home, options["timeout"]) if over_ssh or transport == "local" else []
        client = options["source"] or (self._ssh_client() if over_ssh else None)
        questions = _ask(options["addresses"] or [home], options["ports"], options["timeout"], client)
        verdicts = [judge(question, view, known) for question in questions]
        bad = failures(verdicts)
        if bad:
            # What is wrong with a port is often the same for each of its addresses.
            message = "; ".join(dict.fromkeys(one["message"] for one in bad))
            raise GatehouseError(message, bad[0]["verdict"], bad[0]["hint"], verdicts=verdicts)
        return {"verdicts": verdicts}

    def _ssh_client(self):
        """The client's address, as sshd on the host sees it. As the user who logs in: sudo takes it out of the environment."""
        told = self._low_level_execute_command("printenv SSH_CONNECTION", sudoable=False)
        return (told["stdout"].split() or [None])[0]


def _check_address(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise GatehouseError("source %s is no address" % text, "bad_input", "a right one is 192.0.2.7") from None


def _ask(names, ports, timeout, client):
    """A Question for each port of each address of each name, asked all at once, in the order given."""
    questions = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name in names:
            try:
                addresses = _look_up(name, timeout)
            except ProbeFailure as failure:
                silence = Answer(False, failure.cause, failure.message, 0.0)
                questions += [Question(name, None, port, silence, None) for port in ports]
                continue
            for address in addresses:
                source = _source(address, client)
                for port in ports:
                    answer = pool.submit(probe_tcp, address, port, timeout)
                    questions.append(Question(name, address, port, answer, source))
        return [one if one.address is None else one._replace(answer=one.answer.result()) for one in questions]


def _look_up(name, timeout):
    """The addresses that a name stands for, each once. An address stands for itself."""
    found = resolve(name, 0, Deadline(timeout))
    return list(dict.fromkeys(address[0] for _family, _kind, _protocol, _name, address in found))


def _addresses(name, timeout):
    try:
        return _look_up(name, timeout)
    except ProbeFailure:
        # An alias of the SSH configuration is no name.
        return []


def _source(address, client):
    """Where the host sees questions to this address come from: the client that it sees already, or this machine's own address."""
    same_family = client and (":" in client) == (":" in address)
    return client if same_family else _own_address(address)


def _own_address(address):
    """What this machine would ask that address from; None where it has no way to it."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as unsent:
        try:
            unsent.connect((address, 9))
        except OSError:
            return None
        return unsent.getsockname()[0]
