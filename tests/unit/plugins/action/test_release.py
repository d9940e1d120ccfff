"""The control node's half of the module release: what is asked of the host, and what is sent to it."""

import tarfile

import pytest

from ansible_collections.gatehouse.webapp.plugins.action import release


class Task:
    async_val = 0
    check_mode = False

    def __init__(self, args):
        self.args = args


class Shell:
    tmpdir = "/remote"

    def join_path(self, *parts):
        return "/".join(parts)


class Connection:
    _shell = Shell()


class Action(release.ActionModule):
    """The plugin with a host that answers as it is told."""

    def __init__(self, args, whole=False):
        self._task = Task(args)
        self._connection = Connection()
        self.whole = whole
        self.calls = []
        self.sent = None

    def _execute_module(self, module_args=None, task_vars=None):
        self.calls.append(dict(module_args))
        return {"whole": self.whole, "changed": False, "id": module_args.get("id"), "path": "/srv/x"}

    def _make_tmp_path(self):
        return "/remote"

    def _remove_tmp_path(self, _path):
        pass

    def _transfer_file(self, local_path, remote_path):
        with tarfile.open(local_path) as archive:
            self.sent = (remote_path, archive.getnames())


@pytest.fixture(autouse=True)
def plain_base(monkeypatch):
    monkeypatch.setattr(release.ActionBase, "run", lambda self, tmp=None, task_vars=None: {})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text("x")
    return str(tmp_path)


def args(**given):
    return dict({"root": "/srv/x", "user": "x"}, **given)


def test_a_folder_is_sent_where_the_release_is_not_whole(folder):
    action = Action(args(directory=folder, inputs={"env": {"SECRET": "hush"}}))
    result = action.run()
    assert result["changed"] is True
    first, second = action.calls
    assert first["id"] == second["id"]
    assert second["packed"] == "/remote/source"
    assert action.sent == ("/remote/source", ["app.py"])


def test_inputs_name_the_release_and_never_leave_the_control_node(folder):
    action = Action(args(directory=folder, inputs={"env": {"SECRET": "hush"}}))
    action.run()
    assert "hush" not in repr(action.calls)
    other = Action(args(directory=folder, inputs={"env": {"SECRET": "other"}}))
    other.run()
    assert other.calls[0]["id"] != action.calls[0]["id"]


def test_nothing_is_sent_where_the_release_is_whole(folder):
    action = Action(args(directory=folder), whole=True)
    assert action.run()["changed"] is False
    assert (len(action.calls), action.sent) == (1, None)


def test_nothing_is_sent_in_check_mode(folder):
    action = Action(args(directory=folder))
    action._task.check_mode = True
    action.run()
    assert action.sent is None


def test_an_archive_is_sent_as_it_is(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        (tmp_path / "main.py").write_text("x")
        archive.add(tmp_path / "main.py", "shop-1.0/main.py")
    action = Action(args(archive=str(tmp_path / "a.tar.gz")))
    action.run()
    assert action.sent[1] == ["shop-1.0/main.py"]
    assert action.calls[1]["strip_folder"] is True
    assert action.calls[0]["revision"].startswith("sha256:")


def test_a_source_that_is_not_there_fails_with_its_name(tmp_path):
    result = Action(args(directory=str(tmp_path / "nowhere"))).run()
    assert result["failed"] is True
    assert "nowhere" in result["msg"]


def test_other_states_go_straight_to_the_host():
    action = Action(args(state="pruned"))
    action.run()
    assert action.calls == [args(state="pruned")]
