# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""The control node's half of the module preflight_inventory: reads the inventory and the command line, and judges both."""

from __future__ import annotations

import os

from ansible import context
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.common.yaml import yaml_load
from ansible.playbook import Playbook
from ansible.plugins.action import ActionBase
from ansible.utils.collection_loader._collection_finder import _get_collection_playbook_path

from ansible_collections.gatehouse.webapp.plugins.module_utils._errors import GatehouseError
from ansible_collections.gatehouse.webapp.plugins.module_utils._remains import APP
from ansible_collections.gatehouse.webapp.plugins.modules.preflight_inventory import ARGUMENTS
from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _inventory, _served
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._chosen import choose, names_given
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._reading import plain
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._timeline import SPECIAL_TAGS

ROLES = os.path.join(os.path.dirname(__file__), "..", "..", "roles")


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        try:
            # Names first: a wrong one may be why an option is wrong.
            warnings = self._names(task_vars)
            _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
            result.update(self._judge(options, task_vars, warnings))
        except GatehouseError as error:
            result.update(error.result(), failed=True)
            # The message has them already.
            result.pop("problems", None)
        return result

    def _judge(self, options, task_vars, warnings):
        name = task_vars["inventory_hostname"]
        run, skip = task_vars.get("ansible_run_tags", ["all"]), task_vars.get("ansible_skip_tags", [])
        warnings += self._tags(run, skip)
        for variable in [one for one in _inventory.VARIABLES if one in task_vars]:
            self._value(variable, task_vars)
        if "activate" in options["stages"] and task_vars.get("webapp_release"):
            raise _inventory.not_of_a_deploy()
        apps = self._value(options["apps"], task_vars)
        model = resolve(apps, self._value(options["sites"], task_vars), directory=os.getcwd())
        chosen = [app["name"] for app in choose(model["apps"], options["only"])]
        removes = self._removes(options)
        if not model["apps"] and not model["sites"] and not options["empty"] and not removes:
            raise _inventory.empty(name, task_vars, task_vars.get("group_names", []))
        found = {}
        if options["stages"]:
            seen = self._execute_module(module_args=options, task_vars=task_vars)
            if "serves" not in seen:
                return seen
            names = [app["name"] for app in model["apps"]]
            former = [app["renamed_from"] for app in model["apps"] if app["renamed_from"]]
            known = _served.names_of(model["apps"])
            orphans = _served.orphans(known, seen["remains"])
            # A deploy leads nginx elsewhere before it removes.
            led = seen["led"] if "remove" in options["stages"] else []
            error = _served.not_removable(name, removes, names, led, former, options["remove_data"])
            if error:
                raise error
            near = _inventory.nearly(removes, seen["remains"])
            found = {"known": sorted(seen["remains"]), "orphans": orphans["names"], "removes": removes, "near": near}
            untold = _served.orphans(known.union(removes), seen["remains"])
            if untold["told"] and "remove" not in options["stages"]:
                warnings.append("%s To remove it: %s" % (untold["told"], untold["command"]))
            if not {"remove", "read"}.issuperset(options["stages"]):
                warnings += self._compare(name, model, chosen, seen, options, (run, skip), removes)
        return {
            **found,
            "changed": False,
            "msg": _inventory.summary(model),
            "warnings": ["%s: %s" % (name, sentence) for sentence in warnings],
            "_ansible_verbose_always": True,
        }

    def _removes(self, options):
        """The names of the apps that a removal, or a deploy, is to remove; an error where a removal has none."""
        if not {"remove", "activate"} & set(options["stages"]):
            return []
        removes = names_given(options["remove"], "webapp_remove")
        if not removes and "remove" in options["stages"]:
            raise _inventory.names_nothing()
        wrong = [name for name in removes if not APP.match(name)]
        if wrong:
            raise _inventory.no_name(wrong)
        return removes

    def _names(self, task_vars):
        """[warning] about the names of variables; an error lists those that can't be meant."""
        problems = _inventory.unknown_variables(task_vars)
        if problems:
            raise _inventory.listed(problems, "unknown_variable")
        # Not yet of a host: by these a play has chosen its hosts.
        of_play = self._task.get_variable_manager().get_vars(play=self._task.get_play(), include_hostvars=False)
        problems = _inventory.unread(set(task_vars) - set(of_play))
        problems += _inventory.wrong_serial(of_play.get("webapp_serial", 1))
        problems += _inventory.wrong_switches({name: task_vars.get(name) for name in _inventory.SWITCHES})
        if problems:
            raise _inventory.listed(problems, "bad_input")
        return _inventory.mistyped(task_vars, _known())

    def _tags(self, run, skip):
        """[warning] about the tags of the command line; an error where they can't be meant."""
        if SPECIAL_TAGS.issuperset(run) and SPECIAL_TAGS.issuperset(skip):
            return []
        problems, warnings = _inventory.unknown_tags(run, skip, self._known_tags())
        if problems:
            raise _inventory.listed(problems, "bad_input")
        return warnings

    def _known_tags(self):
        """Every tag in the playbooks that were started, as --list-tags tells them."""
        found = set()
        for path in context.CLIARGS.get("args", ()):
            path = (_get_collection_playbook_path(path) or (None, path))[1]
            playbook = Playbook.load(path, variable_manager=self._task.get_variable_manager(), loader=self._loader)
            for play in playbook.get_plays():
                found.update(play.tags)
                for block in play.compile():
                    found.update(tag for task in block.get_tasks() for tag in task.tags)
        return found

    def _value(self, name, task_vars):
        """The value of a variable, made plain; an error that names what it needs and nobody gives."""
        try:
            return plain(self._templar.template(task_vars.get(name)))
        except AnsibleUndefinedVariable as error:
            raise _inventory.undefined(name, task_vars["inventory_hostname"], _innermost(error)) from None

    def _compare(self, name, model, chosen, seen, options, tags, removes):
        """[warning] about what the host serves now; an error where this run would take it down, or a rollback would stop half-way."""
        serves, stages = seen["serves"], options["stages"]
        services = [app for app in model["apps"] if options["services"] and app["root"]]
        runs = {stage: stage in stages and _served.is_to_run(stage, *tags) for stage in _served.STAGES}
        activates, other_name = runs["activate"] or "rollback" in stages, None
        if runs["activate"]:
            other_name = _served.renamed(name, services, chosen, seen["remains"], removes)
        error, warnings = _served.left_out(name, services, model["sites"], serves, removes, other_name)
        if options["empty"]:
            error = other_name
        error = error or _served.half_moved(name, services, chosen, serves, activates, runs["nginx_proxy"])
        opened = [one["port"] for one in model["opened_ports"] if one["proto"] == "tcp"]
        half, more = _served.half_opened(name, opened, serves, runs["nginx_proxy"], runs["ufw"])
        error = error or half
        if "rollback" in stages:
            built = [app["name"] for app in services if app["name"] in chosen]
            error = error or _served.no_way_back(name, built, options["only"], seen["targets"])
        if error:
            raise error
        return warnings + more


def _innermost(error):
    while error.__cause__ is not None and isinstance(error.__cause__, AnsibleError):
        error = error.__cause__
    return error.message


def _known():
    """The variables of all roles."""
    found = []
    for role in sorted(os.listdir(ROLES)):
        path = os.path.join(ROLES, role, "meta", "argument_specs.yml")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                found += yaml_load(file)["argument_specs"]["main"]["options"]
    return found
