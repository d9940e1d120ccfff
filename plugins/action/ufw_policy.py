# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The control node's half of the module ufw_policy: says by which connection it came, and confirms by a new one."""

from __future__ import annotations

import os

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll

# The connections that sshd answers, by the last word of their names.
SSH = ("ssh", "paramiko", "paramiko_ssh", "libssh")
# How long it may take from the moment the timer fires until the host lets us in again.
PATIENCE = 60


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args, session=self._session())
        result.update(self._execute_module(module_args=args, task_vars=task_vars))
        if result.pop("pending", False):
            result.update(self._confirm(args, task_vars))
        return result

    def _transport(self):
        return self._connection.transport.rsplit(".", 1)[-1]

    def _session(self):
        """What the live session says of itself; nothing where no network is between us and the host."""
        if self._transport() == "local":
            # The host is where we are. Whoever started us may have come by SSH.
            return os.environ.get("SSH_CONNECTION", "")
        if self._transport() not in SSH:
            return ""
        # As the user who logged in: sudo takes the variable away.
        answer = self._low_level_execute_command("printenv SSH_CONNECTION", sudoable=False)
        return answer["stdout"].strip() or "the session has no SSH_CONNECTION"

    def _confirm(self, args, task_vars):
        """The result after the policy was loaded: confirmed, or put back by the host."""
        seconds = float(args["confirm_within"])
        answer = self._ask_anew(dict(args, step="confirm"), task_vars, seconds)
        if answer:
            return dict(answer, changed=not answer.get("failed"))
        # The timer has fired by now, or is about to.
        answer = self._ask_anew(dict(args, step="undone"), task_vars, PATIENCE)
        if not answer:
            raise AnsibleConnectionFailure(
                "The new policy let no new connection in within %g s, and the former one, which the host puts back by "
                "itself, does not either." % seconds
            )
        if not answer.get("failed"):
            error = GatehouseError(
                "Under the new policy no new connection could be opened within %g s, and the former one is back."
                % seconds,
                cause="not_confirmed",
                hint="add the rule that lets Ansible in, or set guard: true and be told which",
            )
            answer.update(error.result(), failed=True)
        return dict(answer, changed=False)

    def _ask_anew(self, args, task_vars, seconds):
        """The module's answer over a connection that was opened for it; None when none could be opened in time."""

        def attempt():
            try:
                if self._transport() in SSH:
                    # A connection that is kept open would get through any policy.
                    self._connection.reset()
                return self._execute_module(module_args=args, task_vars=task_vars)
            except AnsibleConnectionFailure:
                return None

        return poll(attempt, Deadline(seconds), interval=2)
