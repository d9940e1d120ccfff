"""bin/bench: run one benchmark, with the tools, the engine and the host image in place."""

from __future__ import annotations

from . import engine, image, paths, steps, toolchain

FOLDER = paths.ROOT / "benchmarks"


def names():
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def main(arguments):
    if not arguments:
        print("usage: bin/bench NAME\n" + "\n".join(f"  {name}" for name in names()))
        return 0
    name, *rest = arguments
    if name not in names():
        raise steps.Failure(f"no benchmark {name}: there are {', '.join(names())}")
    toolchain.ensure()
    engine.ensure()
    image.ensure()
    settings = toolchain.environment()
    # A benchmark takes its hosts from the test bed: from testbed import host, image.
    settings["PYTHONPATH"] = str(paths.ROOT / "tools")
    return steps.shown([paths.VENV / "bin" / "python", FOLDER / f"{name}.py", *rest], env=settings)
