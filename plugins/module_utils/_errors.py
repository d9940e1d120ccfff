# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The one error every part raises, and modules turn into a failure result."""

from __future__ import annotations


class GatehouseError(Exception):
    """Something is wrong in a way a person can mend.

    message: one sentence: what is wrong, and where.
    cause: a word from a documented list (crashed, port_conflict, bad_status, ...), for programs.
    hint: the next command to type, or the right input.
    facts: more keys for the module's result (evidence: log lines, listeners, a timeline).
    """

    def __init__(self, message, cause=None, hint=None, **facts):
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.hint = hint
        self.facts = facts

    def result(self):
        """The keyword arguments for fail_json."""
        result = dict(self.facts, msg=self.message)
        if self.cause:
            result["cause"] = self.cause
        if self.hint:
            result["hint"] = self.hint
            result["msg"] = "%s\nNext: %s" % (self.message, self.hint)
        return result
