# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The release of an app of files goes live: its entry page is there, the link is flipped, and the page comes through the proxy."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.gatehouse.webapp.plugins.module_utils._activation import point
from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._poll import Deadline, poll

# The link beside the live release's that names the one before it.
FORMER = "former"

# Seconds for one question, and in which the proxy must be seen to serve the release.
ONE_QUESTION = 5.0
SWITCH_TIMEOUT = 10.0


class Switch:
    """activation: an Activation, without a unit.   entry: the entry page, a path below a release.
    ask: asks for that page through the proxy, as the probes of _gate do; None where no site leads to it.
    """

    def __init__(self, activation, entry, ask=None, sleep=None, deadline=None):
        self.activation = activation
        self.entry = entry
        self._ask = ask
        self._options = {} if sleep is None else {"sleep": sleep}
        self._deadline = deadline or (lambda: Deadline(SWITCH_TIMEOUT))

    def plan(self):
        """Refuse a release without its page. Returns whether run() would change anything."""
        self.activation.check()
        self._page()
        return not self.activation.is_live()

    def run(self):
        """Make the release the live one, or leave the former one where it was."""
        live = self.activation.live()
        leads_here = self._leads_here(live)
        recorded = self.activation.record({}, [])
        if live:  # open pages go on asking for its scripts
            point(os.path.join(os.path.dirname(self.activation.link), FORMER), live)
        before = self.activation.flip()
        try:
            if leads_here:
                self._see_page()
        except (GatehouseError, OSError):
            self.activation.flip_back(before)
            if recorded:
                self.activation.forget()
            raise

    def _leads_here(self, live):
        """Whether the proxy serves the live release. Where it does not, there is no telling what an answer after the switch would show:
        nginx may not be set up yet, or lead to another app until this deploy writes its configuration."""
        if not live or not self._ask:
            return False
        served = self._ask(ONE_QUESTION)
        with contextlib.suppress(OSError), open(os.path.join(live, self.entry), "rb") as file:
            return served.ok and served.body.strip() == file.read().decode("utf-8", "replace").strip()
        return False

    def _page(self):
        path = os.path.join(self.activation.target, self.entry)
        try:
            with open(path, "rb") as file:
                page = file.read()
        except OSError as error:
            raise GatehouseError(
                "the release has no entry page %s: %s" % (path, error.strerror),
                cause="bad_source",
                hint="ls %s   # is it where the build writes?" % os.path.dirname(path),
            ) from None
        if not page.strip():
            raise GatehouseError(
                "the entry page %s is empty" % path, cause="bad_source", hint="ls -l %s" % os.path.dirname(path)
            )
        return page.decode("utf-8", "replace")

    def _see_page(self):
        """Ask until the proxy answers with this release's page."""
        page, answers = self._page().strip(), []

        def arrived():
            answers.append(self._ask(ONE_QUESTION))
            return True if answers[-1].ok and answers[-1].body.strip() == page else None

        if not poll(arrived, self._deadline(), **self._options):
            what = "another page than the release's" if answers[-1].ok else answers[-1].message
            raise GatehouseError(
                "the release is not what the proxy serves: %s. The former release is the live one again" % what,
                cause="not_switched",
                hint="nginx -T | grep -n %s   # does the proxy look there?" % self.activation.link,
            )
