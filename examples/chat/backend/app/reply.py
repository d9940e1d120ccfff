"""What the chat answers. No model stands behind it: the same words always get the same answer."""

GREETINGS = {"hello", "hi", "hey", "hallo", "bonjour"}
THANKS = {"thanks", "thank", "merci", "danke"}


def reply(message):
    words = [word.strip(".,!?").lower() for word in message.split()]
    if GREETINGS & set(words):
        return "Hello! Ask me something, or tell me how your last deploy went."
    if THANKS & set(words):
        return "You are welcome."
    if {"deploy", "deployed", "release"} & set(words):
        return "Was it healthy before it got traffic? Then you may sleep tonight."
    if message.rstrip().endswith("?"):
        return f"A good question of {len(words)} words. I only echo, so: what do you think?"
    return f"You said: {message.strip()}"
