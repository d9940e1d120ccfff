"""The examples are apps of their own: each has a top-level package `app`."""

import importlib
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture
def importer(monkeypatch):
    """importer(FOLDER)(MODULE) imports app.MODULE of an example afresh; after the test it is as if it never was."""

    def of(folder):
        monkeypatch.syspath_prepend(EXAMPLES / folder)
        return lambda module: importlib.import_module(f"app.{module}")

    def forget():
        for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
            del sys.modules[name]

    forget()
    yield of
    forget()
