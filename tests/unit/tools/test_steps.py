"""How commands fail and how durations read."""

import pytest

from testbed import steps


@pytest.mark.parametrize(
    ("value", "text"), [(0.44, "0.4 s"), (9.96, "10.0 s"), (12.4, "12 s"), (119, "119 s"), (185, "3 min 5 s")]
)
def test_seconds(value, text):
    assert steps.seconds(value) == text


def test_a_failed_command_shows_what_it_printed():
    with pytest.raises(steps.Failure, match="sh -c .* failed:\nwhy"):
        steps.output(["sh", "-c", "echo why >&2; exit 2"])


def test_a_failed_logged_command_shows_the_end_of_its_log(tmp_path):
    with pytest.raises(steps.Failure, match="the end of .*step.log:\nwhy"):
        steps.must(["sh", "-c", "echo why; exit 2"], tmp_path / "logs" / "step.log")


def test_the_end_of_a_text():
    assert steps.tail("1\n2\n3\n\n", 2) == "2\n3"


def test_a_missing_command_does_not_succeed(tmp_path):
    assert not steps.succeeds([tmp_path / "no-such-tool"])


def test_a_failure_is_one_message_and_a_status(capsys):
    def main(arguments):
        raise steps.Failure("do this: " + arguments[0])

    assert steps.command_line(main, ["that"]) == 1
    assert capsys.readouterr().err == "do this: that\n"


def test_a_failed_stage_says_so(capsys):
    with pytest.raises(steps.Failure), steps.stage("image"):
        raise steps.Failure("no")
    assert "[image] failed after" in capsys.readouterr().out


def test_stages_are_timed():
    timings = []
    with steps.timed("host", timings):
        pass
    assert [name for name, elapsed in timings] == ["host"]
