# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The blue/green deploy: start the release beside the live one, gate it there, move the traffic over, drain the old one.

The proxy looks at each request which set is the live one (see _activation), so the switch is one rename: nothing is
reloaded, no connection is cut, and it can be taken back as fast.
"""

from __future__ import annotations

import os

from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import GREEN
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._gate import (
    ONE_QUESTION,
    Gate,
    GateFailure,
    http_probe,
    probes_of,
)
from ansible_collections.gatehouse.webapp.plugins.module_utils._gated import GatedServices, Watch
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll

# Seconds in which the proxy must be seen to send to the new set.
SWITCH_TIMEOUT = 10.0


class BlueGreen(GatedServices):
    """`services` are the set beside the live one, which is `serving` until the switch.

    proxy: the options of an HTTP question with its full url, asked through the proxy after the switch; or None.
    """

    def __init__(self, serving, proxy=None, **options):
        super().__init__(**options)
        self.serving = serving
        self.former = self.activation.live()
        self._ask_through_proxy = http_probe(proxy, proxy["url"]) if proxy else None
        self._before = None  # what was live, once it is not any more

    def plan(self):
        super().plan()
        # That the new set does not run yet, and that the old one is to go, is how it is done, not why.
        del self.reasons[0 if self.activation.is_live() else 1 :]

    def _bring_about(self):
        served = self._ask_through_proxy and self._ask_through_proxy(ONE_QUESTION)
        self._start_beside()
        self._before = self._commit()
        if served:
            self._see_switch(served)

    def _start_beside(self):
        """Bring the new set up, all its instances at once, and pass the gate with each."""
        names = [service.name for service in self.services]
        self._install_units(names, self.activation.unit_of(self.activation.target))
        asked = self.now()
        watches = []
        for service, _state, due in self.planned:
            # What a killed run started here, and is what is wanted, goes on; it has to pass the gate all the same.
            watches.append(self._ask_for_restart(service) if due else Watch(self, service, None))
        for (service, state, _due), watch in zip(self.planned, watches):
            self._pass_gate(service, watch, asked)
            # Before the switch: were the host to go down right after it, the new set would come up.
            self._enable(service, state)

    def _see_switch(self, served):
        """Ask through the proxy until the answer is good and has come from the new set. served: its answer before."""
        if not served.ok:
            self.timeline.tell("the proxy gave no good answer before the switch either (%s)" % served.message)
            return
        answers = []

        def switched():
            answers.append(self._ask_through_proxy(ONE_QUESTION))
            arrived = any(self.listeners.established(service.port) for service in self.services)
            return True if answers[-1].ok and arrived else None

        if not poll(switched, Deadline(SWITCH_TIMEOUT, self.clock), self.gate["interval"], self.sleep):
            what = "it goes on sending to the former instances" if answers[-1].ok else answers[-1].message
            raise GateFailure(
                "the new release is healthy on its own ports, but not through the proxy: %s" % what,
                cause="not_switched",
                hint="nginx -T | grep -n %s   # does the proxy look there, and may its workers?"
                % os.path.join(self.activation.link, GREEN),
            )
        self.timeline.tell("the proxy sends to %s" % ", ".join(service.name for service in self.services))

    # When it can't be made live

    def _undo(self, failure):
        """Leave the former release the live one, take the new set away, and measure what serves."""
        self.outcome = "failed"
        try:
            if self._before:
                self.activation.flip_back(self._before)
                self.timeline.tell("%s names %s again" % (self.activation.link, self.former))
            if self.on_failure == "revert":
                self._take_away(self.services)
            self._measure_former()
            self.outcome = "reverted"
            note = "%s went on serving, and is healthy." % self.former
        except (GatehouseError, OSError) as second:
            note = "%s is still the live release, and not well either: %s" % (self.former, second)
        self.timeline.tell(note)
        failure.message = "%s\n%s" % (failure.message, note)
        return failure

    def _measure_former(self):
        gate = dict(self.activation.passed(self.former).get("gate") or self.gate, stable_for=0)
        for service in self.serving:
            Gate(probes_of(gate, service.port), gate, None, self.clock, self.sleep).wait()
