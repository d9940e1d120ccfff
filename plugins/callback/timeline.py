# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The deploy report: a line per stage, what each gate measured, and a table of where the time went."""

from __future__ import annotations

DOCUMENTATION = r"""
name: timeline
type: stdout
short_description: A deploy as stages, gates and a table of where the time went
version_added: 0.2.0
description:
  - Prints one line per stage of a play. A stage is a role that the play imports, includes or lists; it is called by its tag
    where it has just one, so the name is also what C(--tags) takes. The play's own tasks together are C(facts) and C(tasks).
  - On a terminal the line of the running stage is kept up to date; it shows how many hosts are through with the present task.
    Elsewhere, and with E(TERM=dumb), there is one line when a stage starts and one when it ends, without control characters.
  - What a gate has measured is told on one line per host and item, for M(gatehouse.webapp.health_restart),
    M(gatehouse.webapp.port_wait), M(gatehouse.webapp.http_probe), M(gatehouse.webapp.websocket_probe) and
    M(gatehouse.webapp.nginx_config). A gate that stayed shut shows its cause, message, hint, timeline and the end of its log.
  - Other failures, warnings and C(--diff) look as they do with P(ansible.builtin.default#callback). So does the recap. Tasks that are
    ok, changed or skipped are not shown one by one.
  - After the recap comes a table with a row per host. Its seconds are those of the host's own tasks, without those in which
    it waited for other hosts. The total and the three slowest tasks follow.
  - From C(-v) on, and in plays under the strategies V(free) and V(host_pinned), everything is printed as
    P(ansible.builtin.default#callback) prints it, and then the table.
  - Results of tasks with C(no_log) stay hidden at any verbosity, with the items of their loops and the messages of their errors.
extends_documentation_fragment:
  - ansible.builtin.default_callback
  - ansible.builtin.result_format_callback
requirements:
  - Set as C(stdout_callback) in the section C([defaults]) of ansible.cfg, or in E(ANSIBLE_STDOUT_CALLBACK).
author:
  - The gatehouse.webapp authors (@gatehouse)
"""

EXAMPLES = r"""
ansible.cfg: |
  # Switch the report on.
  [defaults]
  stdout_callback = gatehouse.webapp.timeline
  callback_result_format = yaml
"""

import functools
import os
import shutil
import sys
import threading
import time
from contextlib import contextmanager

from ansible import constants as C
from ansible import context
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.utils.color import stringc

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _timeline

# How often the line of the running stage is drawn again when nothing happens, in seconds.
TICK = 1.0


class LiveLine:
    """The last line of a terminal, drawn again and again. Whatever else is printed goes above it.

    lock: held while anything is written.   columns: gives the width of the terminal.
    """

    def __init__(self, stream, lock, columns):
        self._stream = stream
        self._lock = lock
        self._columns = columns
        self._drawn = False
        self._owner = os.getpid()
        self._over = threading.Event()
        self.content = None  # a function that gives the line; it, or what it gives, is None when there is none to show

    def draw(self):
        with self._lock:
            line = self.content() if self.content else None
            if line is None:
                self.erase()
                return
            self._stream.write("\r\x1b[2K" + paint(_timeline.fit(line, self._columns() - 1)))
            self._stream.flush()
            self._drawn = True

    def erase(self):
        with self._lock:
            if self._drawn:
                self._stream.write("\r\x1b[2K")
                self._stream.flush()
                self._drawn = False

    def stand_below(self, display):
        """Let everything that this display prints, warnings of any origin included, come above the line."""
        show = display.display

        @functools.wraps(show)
        def show_above(*arguments, **options):
            # A worker is a fork: it hands what it has to say to the process that owns the terminal.
            if os.getpid() != self._owner:
                return show(*arguments, **options)
            with self._lock:
                self.erase()
                return show(*arguments, **options)

        display.display = show_above

    def start(self):
        threading.Thread(target=self._tick, daemon=True).start()

    def stop(self):
        self._over.set()
        self.content = None
        self.erase()

    def _tick(self):
        while not self._over.wait(TICK):
            self.draw()


def paint(line):
    return "".join(stringc(text, shade(colour)) if colour else text for text, colour in line)


def shade(colour):
    """The user's colour for a word of the report."""
    return {
        "ok": C.COLOR_OK,
        "changed": C.COLOR_CHANGED,
        "failed": C.COLOR_ERROR,
        "unreachable": C.COLOR_UNREACHABLE,
        "skipped": C.COLOR_SKIP,
        "ignored": C.COLOR_WARN,
        "faint": "dark gray",
    }[colour]


def is_terminal(stream):
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def columns():
    return shutil.get_terminal_size().columns


class CallbackModule(Default):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "gatehouse.webapp.timeline"

    def __init__(self):
        super().__init__()
        self._run = _timeline.Run(time.monotonic)
        self._play_tags = ()
        self._check_mode = False
        self._headed = False  # whether the stage's name stands above what was told of it
        self._hushed = False
        self._asks = False  # whether the present task may ask the user something
        self._live = None
        if is_terminal(sys.stdout) and self._display.verbosity < 1:
            self._live = LiveLine(sys.stdout, self._display._lock, columns)

    # The run, its plays and its tasks

    def v2_playbook_on_start(self, playbook):
        super().v2_playbook_on_start(playbook)
        if self._live:
            self._live.stand_below(self._display)
            self._live.start()

    def v2_playbook_on_play_start(self, play):
        self._end_stage()
        self._check_mode = bool(play.check_mode)
        self._play_tags = play.tags
        # Of the whole play and of its present batch: a rolling play comes here once for each.
        hosts = play.get_variable_manager().get_vars(play=play)
        batch = hosts.get("ansible_play_batch") or []
        self._run.begin_play(hosts.get("ansible_play_hosts_all") or [], batch)
        self._play = play
        if self._is_loud():
            super().v2_playbook_on_play_start(play)
            return
        self._say([])
        self._say(_timeline.heading(play.get_name().strip(), batch, self._check_mode))

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._begin_task(task)
        with self._no_banner():
            super().v2_playbook_on_task_start(task, is_conditional)

    def v2_playbook_on_handler_task_start(self, task):
        self._begin_task(task)
        with self._no_banner():
            super().v2_playbook_on_handler_task_start(task)

    def v2_runner_on_start(self, host, task):
        self._run.begin_host(host.get_name(), task._uuid)
        super().v2_runner_on_start(host, task)

    def v2_playbook_on_no_hosts_remaining(self):
        self._run.stop()
        self._end_stage()
        super().v2_playbook_on_no_hosts_remaining()

    def v2_playbook_on_stats(self, stats):
        self._end_stage()
        self._run.end_play()
        if self._live:
            self._live.stop()
        super().v2_playbook_on_stats(stats)
        totals = {host: stats.summarize(host) for host in stats.processed}
        wide = columns() if is_terminal(sys.stdout) else None
        for line in _timeline.report(self._run, totals, wide, bool(context.CLIARGS.get("check"))):
            self._say(line)

    # How a task ended on a host

    def v2_runner_on_ok(self, result):
        changed = bool(result._result.get("changed")) and not isinstance(result._task, TaskInclude)
        self._note(result, "changed" if changed else "ok")
        if self._is_loud() or self._is_shown(result) or self._is_value(result):
            super().v2_runner_on_ok(result)
        elif not result._task.loop:
            self._tell(result)
        self._draw()

    def v2_runner_on_skipped(self, result):
        self._note(result, "skipped")
        if self._is_loud() or self._is_shown(result):
            super().v2_runner_on_skipped(result)
        self._draw()

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._note(
            result, "ignored" if ignore_errors else "rescued" if _timeline.has_rescue(result._task) else "failed"
        )
        gate = not result._task.loop and self._measured(result)
        if self._is_loud() or not gate or "cause" not in result._result:
            super().v2_runner_on_failed(result, ignore_errors)
        else:
            self._tell_shut(gate, result)
            if ignore_errors:
                self._display.display("...ignoring", color=C.COLOR_SKIP)
        self._draw()

    def v2_runner_on_unreachable(self, result):
        self._note(result, "ignored" if result._task.ignore_unreachable else "unreachable")
        super().v2_runner_on_unreachable(result)
        self._draw()

    def v2_runner_item_on_ok(self, result):
        if self._is_loud() or self._is_shown(result) or self._is_value(result):
            super().v2_runner_item_on_ok(result)
        else:
            self._tell(result)

    def v2_runner_item_on_failed(self, result):
        gate = self._measured(result)
        if self._is_loud() or not gate or "cause" not in result._result:
            super().v2_runner_item_on_failed(result)
        else:
            self._tell_shut(gate, result)

    def v2_runner_item_on_skipped(self, result):
        if self._is_loud() or self._is_shown(result):
            super().v2_runner_item_on_skipped(result)

    # What is said of nothing but progress, only where all is said

    def v2_playbook_on_include(self, included_file):
        if self._is_loud():
            super().v2_playbook_on_include(included_file)

    def v2_runner_on_async_poll(self, result):
        if self._is_loud():
            super().v2_runner_on_async_poll(result)

    def v2_runner_on_async_ok(self, result):
        if self._is_loud():
            super().v2_runner_on_async_ok(result)

    # Stages

    def _begin_task(self, task):
        name = _timeline.clean(task.name or task.get_name())
        stage = _timeline.stage_of(task, self._play_tags)
        self._run.begin_task(task._uuid, name, stage)
        kind = task.action.rpartition(".")[2]
        self._asks = bool(task.debugger) or kind == "pause"
        # Ansible checks a role's arguments even where --tags leaves the rest of the role out. That alone is no stage.
        if kind != "validate_argument_spec":
            self._enter(stage)
        self._draw()

    def _enter(self, name):
        before = self._run.current
        stage = self._run.enter(name)
        if stage is None:
            return
        self._conclude(before)
        if not self._is_loud() and not self._live:
            self._say(_timeline.stage_started(stage, self._run.elapsed()))

    def _end_stage(self):
        self._conclude(self._run.end_stage())
        self._draw()

    def _conclude(self, stage):
        self._headed = False
        if stage is None or self._is_loud():
            return
        if self._live:
            self._say(_timeline.stage_closed(stage, self._name_width(), self._check_mode))
        else:
            self._say(_timeline.stage_ended(stage, self._run.elapsed(), self._check_mode))

    def _name_width(self):
        return max([12] + [len(name) for name in self._run.stages()])

    def _head(self):
        """Above what is told of a stage stands its name; on a terminal its line comes only at its end."""
        if self._live and not self._headed and self._run.current and not self._is_loud():
            self._say([("  " + self._run.current.name, None)])
            self._headed = True

    def _draw(self):
        if self._live is None:
            return
        stage = self._run.current
        self._live.content = None if stage is None or self._asks or self._is_loud() else self._running
        self._live.draw()

    def _running(self):
        run, stage = self._run, self._run.current
        if stage is None:  # the line is drawn by a thread of its own, which may come between two stages
            return None
        return _timeline.stage_running(
            stage, time.monotonic(), self._name_width(), len(run.done), len(run.alive), run.task
        )

    # Results

    def _note(self, result, state):
        task = result._task
        if state in ("failed", "unreachable"):
            self._enter(self._run.stage_name(task._uuid))
        self._run.result(result._host.get_name(), task._uuid, state, bool(task.any_errors_fatal or task.run_once))

    def _is_loud(self):
        """Whether the default output is wanted: by -v, or because the hosts of a play are in different stages at a time."""
        free = self._play is not None and self._play.strategy.rpartition(".")[2] in ("free", "host_pinned")
        return self._display.verbosity >= 1 or free

    def _is_shown(self, result):
        """Whether a result that is well is shown as by default: it warns, or belongs to a diff on the screen."""
        found = result._result
        told = found.get("changed") and self._last_task_banner == result._task._uuid
        warns = (found.get("warnings") or found.get("deprecations")) and not is_hidden(result)
        return bool(told or warns)

    def _is_value(self, result):
        """Whether debug shows a value here rather than a sentence: that is the default callback's to format."""
        debug = result._task.action in C._ACTION_DEBUG
        return debug and not is_hidden(result) and not speaks(result._result.get("msg"))

    def _measured(self, result):
        """The short name of the gate that this is a result of; None when it is no gate's, or is not to be shown."""
        name = getattr(result._task, "resolved_action", None) or result._task.action
        return name.rpartition(".")[2] if name in _timeline.GATES and not is_hidden(result) else None

    def _tell(self, result):
        if is_hidden(result):
            return
        gate = self._measured(result)
        host = result._host.get_name()
        if gate:
            self._head()
            for line in _timeline.gate_opened(
                gate, host, self._host_width(), result._result, label(result), task_name(result)
            ):
                self._say(line)
        elif result._result.get("_ansible_verbose_always") and speaks(result._result.get("msg")):
            # Of debug, and of assert with a success_msg.
            messages = result._result["msg"]
            self._head()
            for line in _timeline.message_lines(
                host, self._host_width(), messages if isinstance(messages, list) else [messages]
            ):
                self._say(line)

    def _tell_shut(self, gate, result):
        self._head()
        self._handle_warnings(result._result)
        if self.get_option("show_task_path_on_failure"):
            self._print_task_path(result._task)
        host = result._host.get_name()
        for line in _timeline.gate_shut(
            gate, host, self._host_width(), result._result, label(result), task_name(result)
        ):
            self._say(line, stderr=self.get_option("display_failed_stderr"))

    def _host_width(self):
        return max((_timeline.width(host) for host in self._run.hosts), default=0)

    # Printing

    @contextmanager
    def _no_banner(self):
        """The banner of a task is printed when there is something to show under it, not before."""
        self._hushed = not self._is_loud()
        try:
            yield
        finally:
            self._hushed = False

    def _print_task_banner(self, task):
        if not self._hushed:
            self._head()
            super()._print_task_banner(task)

    def _handle_warnings_and_exception(self, result):
        # The default callback would print a hidden task's exception, whose message is the hidden message.
        if not is_hidden(result):
            super()._handle_warnings_and_exception(result)

    def _say(self, line, stderr=False):
        # The log gets the words alone.
        self._display.display(paint(line), screen_only=True, stderr=stderr)
        self._display.display("".join(text for text, _colour in line), log_only=True)


def is_hidden(result):
    """Whether a result must not be shown. Ansible has emptied it already; nothing is made of what is left."""
    found = result._result
    return bool(found.get("_ansible_no_log") or "censored" in found or result._task.no_log is True)


def label(result):
    """What a loop calls the item, where that is a word."""
    found = result._result.get("_ansible_item_label")
    return found if isinstance(found, str) else None


def task_name(result):
    return str(result._task.name or result._task.action)


def speaks(message):
    """Whether a task says something in words of its own."""
    lines = message if isinstance(message, list) else [message]
    return all(isinstance(line, str) for line in lines) and message not in ("", [], "All assertions passed")
