"""Import an ASGI target (MODULE:ATTRIBUTE) and say in one sentence why it can't be served, if so.

Runs in the release's own virtual environment, as the app's user, in the app's folder, with the app's environment.
"""

import importlib
import os
import sys
import traceback


def main(target):
    module_name, _colon, attribute = target.partition(":")
    sys.path.insert(0, os.getcwd())
    # What the app prints while it is imported is not the answer.
    answer, sys.stdout = sys.stdout, sys.stderr
    complaint = check_uvicorn() or check_module(module_name) or check_attribute(module_name, attribute)
    if complaint:
        print(without_secrets(complaint), file=answer, flush=True)
    os._exit(1 if complaint else 0)  # threads that the import started must not hold this up


def check_uvicorn():
    try:
        importlib.import_module("uvicorn")
    except ImportError:
        return "uvicorn is not installed in the release. Add uvicorn to the source's requirements."


def check_module(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name + ".").startswith(error.name + "."):
            here = sorted(entry for entry in os.listdir(".") if not entry.startswith("."))
            return (
                "the target's module %s is not in the source, which holds %s. Mend uvicorn.target or uvicorn.app_dir."
                % (
                    name,
                    ", ".join(here) or "nothing",
                )
            )
        return "%s needs the module %s, which is not installed. Add it to the source's requirements." % (
            name,
            error.name,
        )
    except BaseException as error:
        place = ""
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename.startswith(os.getcwd()):
                place = " (%s, line %s)" % (os.path.relpath(frame.filename), frame.lineno)
        return "importing %s fails with %s: %s%s" % (name, type(error).__name__, error, place)


def check_attribute(module_name, attribute):
    found = sys.modules[module_name]
    for part in attribute.split("."):
        if not hasattr(found, part):
            module = sys.modules[module_name]
            apps = [name for name, value in vars(module).items() if looks_like_app(value, module_name)]
            right = " A right one is uvicorn.target: %s:%s." % (module_name, apps[0]) if apps else ""
            return "the module %s has no %s.%s" % (module_name, attribute, right)
        found = getattr(found, part)
    if not callable(found):
        return "%s:%s is no ASGI app: it can't be called" % (module_name, attribute)


def looks_like_app(value, module_name):
    """An instance of a web framework's class, rather than something that the module imported to use."""
    kind = type(value)
    return callable(value) and kind.__module__.split(".")[0] in ("fastapi", "starlette", "quart", "litestar", "django")


def without_secrets(text):
    for name, value in os.environ.items():
        if len(value) >= 6 and name not in ("HOME", "PATH", "PWD", "USER", "LOGNAME", "SHELL", "LANG"):
            text = text.replace(value, "<%s>" % name)
    return text


main(sys.argv[1])
