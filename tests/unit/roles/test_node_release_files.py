"""The scripts of node_release and static_app: what a release of Node must have, what installs, what is compressed."""

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROLES = Path(__file__).parents[3] / "roles"
CHECK = ROLES / "node_release" / "files" / "check.js"
INSTALL = ROLES / "node_release" / "files" / "install.sh"
COMPRESS = ROLES / "static_app" / "files" / "compress.sh"

NODE = shutil.which("node") or "node"
START = {"scripts": {"start": "node server.js"}}
EXPECTED = {"npm": "start", "script": None, "args": [], "ports": [3000, 3001], "listens": True}


def run(command, script, folder, **environment):
    """Run a script as the role does, from standard input."""
    return subprocess.run(
        command,
        input=script.read_text(),
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def source(tmp_path):
    """A source that check.js has nothing against."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "package-lock.json").write_text("{}")
    package(folder, START)
    return folder


def package(folder, *parts):
    (folder / "package.json").write_text(json.dumps({key: value for part in parts for key, value in part.items()}))


def check(folder, what="source", environment=None, **expected):
    return run([NODE, "-", what, json.dumps({**EXPECTED, **expected})], CHECK, folder, **(environment or {}))


def refused(result):
    """What a refusal says. Anything else than a sentence on standard output is a crash of the script."""
    assert (result.returncode, result.stderr) == (1, "")
    return result.stdout


def passed(result):
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    return result.stdout.strip()


def test_a_source_without_package_json(source):
    (source / "package.json").unlink()
    said = refused(check(source))
    assert f"no package.json in {source}" in said
    assert "app_dir" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name": "chat",}', "package.json is not JSON: "),
        ("", "package.json is not JSON: "),
        ("null", "package.json is not an object. A right one: {"),
        ("[]", "package.json is not an object. A right one: {"),
        ('"chat"', "package.json is not an object. A right one: {"),
    ],
)
def test_a_package_json_that_can_not_be_read(source, text, words):
    (source / "package.json").write_text(text)
    assert words in refused(check(source))


BERRY = "__metadata:\n  version: 8\n"
CLASSIC = "# yarn lockfile v1\n"


@pytest.mark.parametrize(
    ("locks", "manager", "tool"),
    [
        ({"package-lock.json": "{}"}, None, "npm"),
        ({"npm-shrinkwrap.json": "{}"}, None, "npm"),
        ({"npm-shrinkwrap.json": "{}", "package-lock.json": "{}"}, None, "npm"),
        ({"package-lock.json": "{}"}, "npm@10.9.0", "npm"),
        ({"pnpm-lock.yaml": "lockfileVersion: 5.4\n"}, None, "pnpm@7"),
        ({"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"}, None, "pnpm@8"),
        ({"pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}, None, "pnpm@9"),
        ({"pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}, "pnpm@10.4.1+sha512.0a1b2c", "pnpm@10.4.1"),
        ({"yarn.lock": CLASSIC}, None, "yarn@1"),
        ({"yarn.lock": CLASSIC}, "yarn@1.22.22", "yarn@1.22.22"),
        ({"yarn.lock": BERRY}, None, "@yarnpkg/cli-dist@4"),
        ({"yarn.lock": BERRY}, "yarn@3.8.7", "@yarnpkg/cli-dist@3.8.7"),
        ({"package-lock.json": "{}", "yarn.lock": CLASSIC}, "yarn@1.22.22", "yarn@1.22.22"),
        ({"package-lock.json": "{}", "pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}, "npm@10.9.0", "npm"),
    ],
)
def test_the_lock_file_says_what_installs(source, locks, manager, tool):
    (source / "package-lock.json").unlink()
    for name, text in locks.items():
        (source / name).write_text(text)
    package(source, START, {"packageManager": manager} if manager else {})
    assert passed(check(source)) == tool


@pytest.mark.parametrize(
    ("locks", "manager", "words"),
    [
        ([], None, ["no lock file", "Type npm install", "package-lock.json (or pnpm-lock.yaml, yarn.lock)"]),
        ([], "pnpm@9.15.0", ["no lock file"]),
        (
            ["package-lock.json", "yarn.lock"],
            None,
            ["package-lock.json and yarn.lock, of different", '"packageManager": "pnpm@9.15.0"'],
        ),
        (
            ["package-lock.json"],
            "pnpm@9.15.0",
            ['"packageManager": "pnpm@9.15.0"', "the lock file in the source is package-lock.json"],
        ),
        (["yarn.lock"], "bun@1.2.0", ['"packageManager": "bun@1.2.0"', "npm, pnpm or yarn"]),
        (["pnpm-lock.yaml"], None, ["a lockfileVersion that is not known", '"packageManager": "pnpm@9.15.0"']),
    ],
)
def test_lock_files_that_do_not_say_what_installs(source, locks, manager, words):
    (source / "package-lock.json").unlink()
    for name in locks:
        (source / name).write_text("lockfileVersion: '99.0'\n")
    package(source, START, {"packageManager": manager} if manager else {})
    said = refused(check(source))
    for each in words:
        assert each in said


@pytest.mark.parametrize("engines", [{}, {"node": ">=12"}, {"node": "*"}, {"npm": "1.x"}])
def test_a_node_that_fits(source, engines):
    package(source, START, {"engines": engines})
    assert passed(check(source)) == "npm"


def test_a_node_that_does_not_fit(source):
    package(source, START, {"engines": {"node": ">=4 <6 || ^99.1.0"}})
    said = refused(check(source))
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    assert f"asks for Node >=4 <6 || ^99.1.0 (engines.node), and the host has {version}." in said
    assert "webapp_node_version: 22.12.0" in said


def test_engines_that_are_no_range(source):
    package(source, START, {"engines": {"node": "the newest"}})
    assert 'the newest, which is no range of versions. A right one: "engines": {"node": ">=18"}' in refused(
        check(source)
    )


# As if this were another installation of Node: where it is says where its npm is.
ELSEWHERE = 'process.execPath = require("path").join(__dirname, "bin/node");'
SEMVER = "exports.validRange = String; exports.satisfies = () => false;"


@pytest.fixture
def elsewhere(tmp_path):
    """The environment of a Node that is in this folder, without an npm."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "elsewhere.js").write_text(ELSEWHERE)
    return {"NODE_OPTIONS": f"--require {tmp_path / 'elsewhere.js'}", "PATH": str(tmp_path / "path")}


def npm_in(folder):
    """An npm whose own semver finds that nothing fits."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "npm-cli.js").write_text("")
    (folder / "package.json").write_text("{}")
    (folder / "node_modules" / "semver").mkdir(parents=True)
    (folder / "node_modules" / "semver" / "index.js").write_text(SEMVER)
    return folder / "bin" / "npm-cli.js"


@pytest.mark.parametrize("link", ["bin/npm", "path/npm"])
def test_engines_are_judged_by_the_npm_that_is_there(tmp_path, source, elsewhere, link):
    package(source, START, {"engines": {"node": ">=1"}})
    target = npm_in(tmp_path / "share" / "nodejs" / "npm")
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(target)
    assert "package.json asks for Node >=1" in refused(check(source, environment=elsewhere))


def test_engines_are_judged_by_an_npm_behind_a_program_that_is_no_link(tmp_path, source, elsewhere):
    package(source, START, {"engines": {"node": ">=1"}})
    npm_in(tmp_path / "lib" / "node_modules" / "npm")
    (tmp_path / "bin" / "npm").write_text("#!/bin/sh\n")
    assert "package.json asks for Node >=1" in refused(check(source, environment=elsewhere))


def test_without_an_npm_engines_can_not_be_judged(source, elsewhere):
    assert passed(check(source, environment=elsewhere)) == "npm"
    package(source, START, {"engines": {"node": ">=1"}})
    said = refused(check(source, environment=elsewhere))
    assert "npm that can judge it was not found" in said
    assert "node_release_packages: [nodejs, npm]" in said


@pytest.mark.parametrize(
    ("scripts", "words"),
    [
        ({"serve": "node a.js", "build": "tsc"}, "Write one of: npm: serve, npm: build"),
        ({}, 'A right one: "scripts": {"start": "node server.js"}'),
    ],
)
def test_a_script_that_package_json_does_not_have(source, scripts, words):
    package(source, {"scripts": scripts})
    said = refused(check(source))
    assert "package.json has no script start." in said
    assert words in said


@pytest.mark.parametrize(
    "command",
    [
        "next dev",
        "next",
        "next -p 3000",
        "NODE_ENV=production next dev --turbo",
        "node_modules/.bin/next dev",
        "vite",
        "vite --host",
        "vite serve",
        "vite & node server.js",
        "nuxt dev",
        "nuxi dev",
        "astro dev",
        "nodemon server.js",
        "npx nodemon",
        "tsx watch server.ts",
        "node --watch server.js",
        "node --inspect --watch server.js",
        "react-scripts start",
        "webpack-dev-server",
        "ts-node-dev server.ts",
        "ng serve",
    ],
)
def test_a_development_server(source, command):
    package(source, {"scripts": {"start": command}})
    said = refused(check(source))
    assert f"is a development server: {command}" in said
    assert "build: [npm run build]" in said


def test_a_development_server_by_the_arguments_of_a_script(source):
    script = "node_modules/next/dist/bin/next"
    assert "is a development server" in refused(check(source, npm=None, script=script, args=["dev"]))
    assert passed(check(source, npm=None, script=script, args=["start"])) == "npm"


@pytest.mark.parametrize(
    "command",
    [
        "next start",
        "next build && next start",
        "vite preview",
        "nuxt start",
        "node server.js --watchdog",
        "node my-next",
        "node dist/vite-server.js",
        "node next.js",
        "node build",
        "node .output/server/index.mjs",
    ],
)
def test_a_command_for_production(source, command):
    package(source, {"scripts": {"start": command}})
    assert passed(check(source)) == "npm"


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("next start -p 3003", []),
        ("next start -p3003", []),
        ("next start --port 3003", []),
        ("next start --port=3003", []),
        ("PORT=3003 node server.js", []),
        ("cross-env PORT='3003' node server.js", []),
        ("node server.js", ["--port", "3003"]),
    ],
)
def test_a_port_that_is_fixed_in_the_command(source, command, args):
    package(source, {"scripts": {"start": command}})
    said = refused(check(source, args=args))
    assert "The command says port 3003" in said
    assert "the instances get 3000, 3001." in said
    assert "in PORT" in said
    assert "the instances get 3000." in refused(check(source, args=args, ports=[3000]))
    # The one instance that there will ever be has this port.
    assert passed(check(source, args=args, ports=[3003])) == "npm"


@pytest.mark.parametrize(
    "command",
    ["next start -p ${PORT:-3000}", "PORT=${PORT:-3000} node a.js", "node a.js --port=$PORT", "node a.js --import x"],
)
def test_a_port_that_is_not_fixed(source, command):
    package(source, {"scripts": {"start": command}})
    assert passed(check(source)) == "npm"


def test_a_front_end_needs_nothing_to_start(source):
    package(source, {"scripts": {"start": "vite --port 3003"}})
    assert passed(check(source, npm=None, listens=False)) == "npm"
    assert passed(check(source, "build", npm=None, listens=False)) == ""


def test_a_script_that_the_build_did_not_write(source):
    expected = {"npm": None, "script": "dist/server.js"}
    said = refused(check(source, "build", **expected))
    assert "no dist/server.js after the build." in said
    assert "build: [npm run build]" in said
    (source / "dist").mkdir()
    for name in ("main.js", "worker.mjs", "style.css"):
        (source / "dist" / name).write_text("")
    said = refused(check(source, "build", **expected))
    assert "That folder has main.js, worker.mjs." in said
    (source / "dist" / "server.js").write_text("")
    assert passed(check(source, "build", **expected)) == ""


NEXT = {"scripts": {"start": "next start"}, "dependencies": {"next": "15.1.0"}}


def built(source, folder=".next", build_id="Xy12", manifest=True):
    (source / folder).mkdir(parents=True)
    (source / folder / "BUILD_ID").write_text(build_id)
    if manifest:
        (source / folder / "prerender-manifest.json").write_text("{}")


def test_a_build_of_next_that_is_missing(source):
    package(source, NEXT)
    missing = "there is no .next/BUILD_ID. Right in the model: build: [npm run build]"
    assert missing in refused(check(source, "build"))
    # What came with a dependency is no build.
    built(source, "node_modules/other")
    (source / ".next").mkdir()
    assert missing in refused(check(source, "build"))
    assert missing in refused(check(source, "build", npm=None, script=".next/../package.json"))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"build_id": " \n"}, ".next/BUILD_ID is empty, so the build did not end well."),
        ({"build_id": "development"}, ".next was not built for production (BUILD_ID development)."),
        ({"manifest": False}, ".next was not built for production (BUILD_ID Xy12)."),
        ({"build_id": "", "folder": "build/next"}, "build/next/BUILD_ID is empty"),
    ],
)
def test_a_build_of_next_that_can_not_be_started(source, how, words):
    package(source, NEXT)
    built(source, **how)
    said = refused(check(source, "build"))
    assert words in said
    assert "build: [npm run build]" in said


@pytest.mark.parametrize("folder", [".next", "out-next", "build/next"])
def test_a_build_of_next_for_production(source, folder):
    package(source, NEXT)
    built(source, folder)
    assert passed(check(source, "build")) == ""


def test_a_build_of_next_beside_what_a_development_server_left(source):
    package(source, NEXT)
    built(source, ".a", build_id="development")
    built(source, ".next")
    assert passed(check(source, "build")) == ""


def test_next_among_the_dependencies_of_another_app(source):
    package(source, NEXT, START)
    assert passed(check(source, "build")) == ""


@pytest.fixture
def install(tmp_path):
    """Run install.sh with pretended tools, and give what it called."""
    for name in ("npm", "npx"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "CI=$CI {name} $*" >> "$LOG"\nexit "$STATUS"\n')
        (tmp_path / name).chmod(0o755)
    log = tmp_path / "log"
    log.write_text("")

    def call(tool, status=0):
        settings = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOG": str(log), "STATUS": str(status)}
        result = run(["/bin/sh", "-s", tool], INSTALL, tmp_path, **settings)
        return result, log.read_text().splitlines()

    return call


# With the development tools, which builds need, and by the lock file as it is.
@pytest.mark.parametrize(
    ("tool", "called"),
    [
        ("npm", "npm ci --include=dev"),
        ("pnpm@9.15.0", "npx --yes pnpm@9.15.0 install --frozen-lockfile --prod=false"),
        ("yarn@1", "npx --yes yarn@1 install --frozen-lockfile --production=false --non-interactive"),
        ("yarn@1.22.22", "npx --yes yarn@1.22.22 install --frozen-lockfile --production=false --non-interactive"),
        ("@yarnpkg/cli-dist@4", "npx --yes --package @yarnpkg/cli-dist@4 -- yarn install --immutable"),
    ],
)
def test_each_tool_installs_by_its_lock_file(install, tool, called):
    result, log = install(tool)
    assert (result.returncode, result.stderr) == (0, "")
    assert log == [f"CI=1 {called}"]


@pytest.mark.parametrize("tool", ["npm", "pnpm@9", "yarn@1", "@yarnpkg/cli-dist@4"])
def test_an_installation_that_fails_is_a_failure(install, tool):
    assert install(tool, status=7)[0].returncode == 7


@pytest.mark.parametrize("tool", ["bun@1", "yarn@4", ""])
def test_a_tool_that_is_not_known_installs_nothing(install, tool):
    result, log = install(tool)
    assert (result.returncode, log) == (1, [])
    assert f"No way to install with {tool}." in result.stderr


TEXT = b"body { color: black }\n" * 100


def put(folder, *names, text=TEXT):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)


def compress(folder):
    """Run compress.sh, and give the names of what is served then."""
    result = run(["/bin/sh", "-s", str(folder)], COMPRESS, "/")
    assert (result.returncode, result.stderr) == (0, "")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_texts_are_compressed_beside_themselves(tmp_path):
    names = ["assets of it/a.css", "assets of it/b.js", "index.html", "logo.svg", "sw.mjs"]
    put(tmp_path, *names)
    assert compress(tmp_path) == sorted([*names, *(f"{name}.gz" for name in names)])
    for name in names:
        assert (tmp_path / name).read_bytes() == TEXT
        assert gzip.decompress((tmp_path / f"{name}.gz").read_bytes()) == TEXT


def test_what_gains_nothing_is_not_compressed(tmp_path):
    put(tmp_path, "photo.png", "font.woff2")
    put(tmp_path, "folder.js/small.css", text=TEXT[:1024])
    assert compress(tmp_path) == ["folder.js/small.css", "font.woff2", "photo.png"]


def test_an_older_compressed_file_is_replaced(tmp_path):
    put(tmp_path, "a.css")
    put(tmp_path, "a.css.gz", text=gzip.compress(b"what it was"))
    compress(tmp_path)
    assert gzip.decompress((tmp_path / "a.css.gz").read_bytes()) == TEXT


def test_the_same_text_gives_the_same_bytes(tmp_path):
    for name, moment in (("a.css", 1), ("b.css", 10**9)):
        put(tmp_path, name)
        os.utime(tmp_path / name, (moment, moment))
    compress(tmp_path)
    assert (tmp_path / "a.css.gz").read_bytes() == (tmp_path / "b.css.gz").read_bytes()


@pytest.mark.parametrize("broken", ["nothing", "."])
def test_what_can_not_be_compressed_is_a_failure(tmp_path, broken):
    put(tmp_path, "a.css")
    (tmp_path / "a.css.gz").mkdir()
    assert run(["/bin/sh", "-s", str(tmp_path / broken)], COMPRESS, "/").returncode != 0
