# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The gated restart: services one after another, each behind its gate, and the way back when one stays shut."""

from __future__ import annotations

import contextlib

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import GatedServices, Watch


class GatedRestart(GatedServices):
    """Restart services in place, one after another.

    rotation: a Rotation, to take each out of the proxy's rotation before it stops; None where no proxy looks.
    """

    def __init__(self, *args, rotation=None, **options):
        super().__init__(*args, **options)
        self.rotation = rotation
        self._visited = []  # (service, its state and its unit before), as far as this run has come

    def plan(self):
        super().plan()
        out = [service for service in self.services if self.rotation and self.rotation.is_out(str(service.port))]
        self.reasons += ["%s was left out of the rotation" % service.name for service in out]
        self.changed = self.changed or bool(out)

    def _bring_about(self):
        for service, state, due in self.planned:
            self._visited.append((service, state, self.activation and self.activation.installed(service.name)))
            if due:
                self._replace(service, state)
            else:
                self._pass_gate(service, Watch(self, service, None), self.now())
            if self.rotation:
                self.rotation.put_back(str(service.port))
            self._enable(service, state)
        if self.activation:
            self._commit()

    def _replace(self, service, state):
        """One instance: out of the rotation, drained, restarted as what it is to be, gated, and back."""
        with self._out_of_rotation(service, state):
            if self.activation:
                self._install_units([service.name], self.activation.unit_of(self.activation.target))
            self._restart(service)

    @contextlib.contextmanager
    def _out_of_rotation(self, service, state):
        # A lone instance stays in: there is nobody to take its place.
        if not self.rotation or len(self.services) == 1 or state.active != "active":
            yield
            return
        self.rotation.take_out(str(service.port))
        try:
            self.timeline.tell("%s: out of the rotation" % service.name)
            self._drain([service])
            yield
        finally:
            self.rotation.put_back(str(service.port))

    # When a gate stays shut

    def _undo(self, failure):
        """Undo what this run did, gate the undo too, and say how it ended."""
        self.outcome = "failed"
        if self.on_failure == "revert" and self.activation and not self.activation.is_live():
            self.outcome, note = self._go_back(self.activation.live())
            failure.message = "%s\n%s" % (failure.message, note)
            self.timeline.tell(note)
        return failure

    def _go_back(self, former):
        # What did not run before must not run now; what ran, or failed, gets the former release back.
        ran = [service for service, state, _unit in self._visited if former and state.active != "inactive"]
        new = [(service, unit) for service, _state, unit in self._visited if service not in ran]
        try:
            if new:
                self.manager.stop(*[service.name for service, _unit in new])
            for service, unit in new:
                self._install_units([service.name], unit)
            if former is None:
                return "failed", "There was no former release to go back to; its services are stopped."
            self.gate = self.activation.passed(former).get("gate") or self.gate
            for service in ran:
                self._install_units([service.name], self.activation.unit_of(former))
                self._restart(service)
        except (GatehouseError, OSError) as second:
            return "failed", "Going back to %s failed too: %s" % (former, second)
        return "reverted", "Went back to %s, which is healthy." % former
