# Copyright (c) 2026, the gatehouse.webapp authors
# MIT License (see LICENSE or https://opensource.org/license/mit)
"""Read values against their schema, and say what is wrong with them: where, what, and what would be right."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Mapping

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import ArgumentValueError, RequiredError

from ansible_collections.gatehouse.webapp.plugins.plugin_utils import _schema

ARGUMENT_KEYS = ("type", "choices", "default", "required")
TYPE_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
}


def plain(value):
    """A copy made of dicts, lists and scalars, whatever lazy, tagged or vaulted containers came in.

    A str stays the object it is: its tags (unsafe, vaulted) keep protecting it further on.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)  # a vaulted text of ansible-core < 2.19, a date


def read_list(place, schema, values, problems):
    """[(place of the item, the item read)], the place by name where it has one."""
    if values is None:
        return []
    if not isinstance(values, list):
        problems.append("%s: is not a list. Write: %s" % (place, snippet(place, [minimal(schema)])))
        return []
    read = []
    for index, value in enumerate(values):
        name = value.get("name") if isinstance(value, dict) else None
        item_place = "%s[%s]" % (place, name if isinstance(name, str) and name else index)
        if isinstance(value, dict):
            read.append((item_place, read_mapping(item_place, schema, value, problems)))
        else:
            problems.append("%s: is not a mapping. Write: %s" % (item_place, snippet(None, [minimal(schema)])))
    return read


def read_mapping(place, schema, values, problems):
    """Every key of the schema, with its value or default; None where there is none or it was wrong."""
    for key in values:
        if key not in schema:
            near = difflib.get_close_matches(key, schema, n=1, cutoff=0.5)
            problems.append(
                "%s.%s: unknown key. %s"
                % (place, key, "Did you mean: %s" % near[0] if near else "Known keys: %s" % ", ".join(schema))
            )
    return {key: _read_key(place, key, entry, values.get(key), problems) for key, entry in schema.items()}


def _read_key(place, key, entry, value, problems):
    here = "%s.%s" % (place, key)
    if value is not None and not _has_shape(entry["type"], value):
        problems.append(_wrong(here, key, entry, value, "is not %s" % TYPE_WORDS[entry["type"]]))
        return None
    argument = {name: copy.deepcopy(entry[name]) for name in ARGUMENT_KEYS if name in entry}
    result = ArgumentSpecValidator({key: argument}).validate({} if value is None else {key: value})
    for error in result.errors:
        if isinstance(error, RequiredError):
            problems.append("%s: missing. Write: %s" % (here, snippet(key, entry["example"])))
        elif isinstance(error, ArgumentValueError):
            near = difflib.get_close_matches(str(value), entry["choices"], n=1)
            problems.append(
                "%s: %s is not one of: %s. Write: %s"
                % (here, show(entry, value), ", ".join(entry["choices"]), snippet(key, (near or [entry["example"]])[0]))
            )
        else:
            problems.append(_wrong(here, key, entry, value, "is not %s" % TYPE_WORDS[entry["type"]]))
        return None
    value = result.validated_parameters.get(key)
    if value is None:
        return None
    if entry["type"] == "list":
        return _read_items(here, key, entry, value, problems)
    if entry["type"] == "dict":
        if "options" in entry:
            return read_mapping(here, entry["options"], value, problems)
        return _read_free_mapping(here, key, entry, value, problems)
    return _checked(here, key, entry, value, problems)


def _read_items(here, key, entry, values, problems):
    """The items of a list. A wrong item is left out: it is a problem already."""
    item_entry = dict(entry, type=entry["elements"], example=entry["example"][0])
    items = []
    for index, value in enumerate(values):
        item_place = "%s[%s]" % (here, value["path"] if _names_itself(value) else index)
        if value is None or not _has_shape(item_entry["type"], value):
            word = TYPE_WORDS[item_entry["type"]]
            problems.append(_wrong(item_place, key, entry, value, "is not %s" % word))
        elif "options" in entry:
            items.append(read_mapping(item_place, entry["options"], value, problems))
        else:
            result = ArgumentSpecValidator({key: {"type": item_entry["type"]}}).validate({key: value})
            if result.error_messages:
                word = TYPE_WORDS[item_entry["type"]]
                problems.append(_wrong(item_place, key, entry, value, "is not %s" % word))
            else:
                item = _checked(item_place, key, entry, result.validated_parameters[key], problems)
                if item is not None:
                    items.append(item)
    return items


def _read_free_mapping(here, key, entry, values, problems):
    """A mapping whose keys are the user's. With `texts`, every value becomes a text."""
    read = {}
    for name, value in values.items():
        wrong_name = entry["names"](name) if "names" in entry else None
        if wrong_name:
            example = snippet(key, entry["example"])
            problems.append("%s: %s %s. Write: %s" % (here, json.dumps(name), wrong_name, example))
        if not entry.get("texts"):
            read[name] = value
            continue
        text = as_text(value)
        wrong = "is empty (null)" if value is None else "is not a string, number or boolean" if text is None else None
        wrong = wrong or (entry["check"](text) if "check" in entry else None)
        if wrong:
            example = snippet(name, "" if value is None else entry.get("value_example", "some text"))
            problems.append("%s.%s: the value %s. Write: %s" % (here, name, wrong, example))
        read[name] = text
    return read


def _checked(here, key, entry, value, problems):
    wrong = entry["check"](value) if "check" in entry else None
    if not wrong:
        return value
    problems.append(_wrong(here, key, entry, value, wrong))
    return None


def _names_itself(value):
    return isinstance(value, dict) and isinstance(value.get("path"), str) and value["path"]


def _has_shape(kind, value):
    """What the spec's type may be made of. Stricter than a module's arguments, which come as text more often.

    A text is not split into a list, true is not the number 1, and 1.10 is not the version "1.1".
    """
    if kind == "dict":
        return isinstance(value, dict)
    if kind == "list":
        return isinstance(value, list)
    if isinstance(value, (dict, list)):
        return False
    if kind == "bool":
        return True
    if isinstance(value, bool):
        return False
    return kind != "str" or not isinstance(value, float)


def as_text(value):
    """A scalar as the text it has in YAML; None for what is no scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return value if isinstance(value, str) else None


def _wrong(here, key, entry, value, sentence):
    right = _suggestion(entry, value)
    if right is None:
        right = entry["example"]
    elif entry["type"] == "list":
        right = [right]
    if entry["type"] == "str" and isinstance(value, float):
        sentence += " (a number with a point loses digits: put it in quotes)"
    return "%s: %s %s. Write: %s" % (here, show(entry, value), sentence, snippet(key, right))


def _suggestion(entry, value):
    """What the value was probably meant to be, if that is right; None where it can't be told."""
    if entry["type"] == "list" and entry.get("elements") == "int" and isinstance(value, int):
        return None if isinstance(value, bool) or entry["check"](value) else value
    if not isinstance(value, str) or entry.get("elements", "str") != "str" or entry.get("no_log"):
        return None
    candidates = [entry["suggest"](value) if "suggest" in entry else None]
    if entry["type"] == "list":
        candidates.insert(0, value)
    check = entry.get("check", lambda candidate: None)
    return next((candidate for candidate in candidates if candidate and not check(candidate)), None)


def show(entry, value):
    """A value in an error, cut short; never one that may be a secret."""
    if entry.get("no_log"):
        return "the value"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def snippet(key, value):
    """KEY: VALUE in one line of YAML."""
    document = json.loads(json.dumps(value if key is None else {key: value}))  # no tagged string stays one
    text = yaml.safe_dump(document, default_flow_style=True, width=1000, sort_keys=False).strip()
    return text if key is None else text[1:-1]


def minimal(schema):
    """The smallest right item: its required keys. (Some keys of an app are required by its runtime.)"""
    item = {key: entry["example"] for key, entry in schema.items() if entry.get("required")}
    if schema is _schema.APP:
        item.update({key: schema[key]["example"] for key in _schema.NEEDED[item["runtime"]]})
    return item


def mentions(problems, place):
    """Whether the place, or one below it, has a problem already: one mistake is told once."""
    return any(line.startswith((place + ":", place + ".", place + "[")) for line in problems)
