"""The command of an instance, as systemd reads it."""

import pytest

from ansible_collections.gatehouse.webapp.plugins.plugin_utils._model import resolve


@pytest.fixture
def command(value_of, an_app):
    def told(**uvicorn):
        (app,) = resolve([an_app(uvicorn={"target": "a:b", **uvicorn})], [])["apps"]
        return value_of("uvicorn_app", "__uvicorn_app_exec", __uvicorn_app=app, app_release_folder="RELEASE")

    return told


def test_an_instance_is_told_its_port_by_systemd(command):
    assert command(workers=2) == (
        "RELEASE/venv/bin/python -m uvicorn a:b --host 127.0.0.1 --port %i --workers 2 --timeout-keep-alive 75 "
        "--proxy-headers --forwarded-allow-ips 127.0.0.1 --timeout-graceful-shutdown 10"
    )


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        ("--no-access-log", '"--no-access-log"'),
        ("--header=X-A:a b", '"--header=X-A:a b"'),
        ('--header=X-A:"q"', r'"--header=X-A:\"q\""'),
        ("--root-path=\\x", r'"--root-path=\\x"'),
        ("--root-path=%i$HOME", '"--root-path=%%i$$HOME"'),
    ],
)
def test_more_arguments_arrive_as_they_were_written(command, argument, written):
    assert command(extra_args=[argument, "--last"]).endswith(" --timeout-graceful-shutdown 10 " + written + ' "--last"')
