"""What the chat answers."""

import pytest


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("Hello there", "Hello!"),
        ("hi!", "Hello!"),
        ("Thanks.", "You are welcome"),
        ("We deployed version 2", "Was it healthy"),
        ("Did anyone notice?", "A good question of 3 words"),
        ("  it works  ", "You said: it works"),
    ],
)
def test_an_answer_follows_from_the_message(chat, message, answer):
    reply = chat("reply").reply

    assert reply(message).startswith(answer)
    assert reply(message) == reply(message)
