"""What a process runs, from a /proc in small."""

import os

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._processes import environment, workers


@pytest.fixture
def proc(tmp_path):
    """A pm2-runtime (10) with two workers of its own and a small tool, on a host where another Node runs (20)."""

    def process(pid, program, *words, children=()):
        folder = tmp_path / str(pid)
        (folder / "task" / str(pid)).mkdir(parents=True)
        (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
        (folder / "task" / str(pid) / "children").write_text("".join(f"{child} " for child in children))
        os.symlink(program, folder / "exe")

    process(
        10, "/usr/bin/node", "/usr/bin/node", "/opt/pm2/bin/pm2-runtime", "start", "pm2.json", children=(11, 12, 13)
    )
    process(11, "/usr/bin/node", "node /srv/web/server.js")
    process(12, "/usr/bin/node", "node /srv/web/server.js")
    process(13, "/usr/bin/dash", "/bin/sh", "-c", "getconf CLK_TCK")
    process(20, "/usr/bin/node", "/usr/bin/node", "server.js", "pm2-runtime", children=(21,))
    process(21, "/usr/bin/node", "node", "worker.js")
    return str(tmp_path)


@pytest.mark.parametrize(("pid", "found"), [(10, {11, 12}), (11, None), (20, None), (99, None)])
def test_workers_are_told_of_pm2_alone(proc, pid, found):
    assert workers(pid, proc) == found


def test_the_environment_is_told_as_it_was_given(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "environ").write_bytes(b"PORT=3000\0EMPTY=\0URL=a=b\0")
    assert environment(7, str(tmp_path)) == {"PORT": "3000", "EMPTY": "", "URL": "a=b"}
    assert environment(8, str(tmp_path)) == {}


def test_a_worker_that_ends_meanwhile_is_no_more(proc):
    os.unlink(os.path.join(proc, "12", "exe"))
    assert workers(10, proc) == {11}
