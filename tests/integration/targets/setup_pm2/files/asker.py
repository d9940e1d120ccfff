"""Asks a URL over and over, four at a time and each time by a connection of its own: python3 asker.py URL FILE.

When it is told to end it waits for the answers that are still due, and writes how many it got and what was lost to the file.
"""

import json
import signal
import sys
import threading
import time
import urllib.request

asked, lost = [0] * 4, []
ending = threading.Event()


def ask(number):
    while not ending.is_set():
        try:
            with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
                answer.read()
        except OSError as error:
            lost.append(str(error))
        asked[number] += 1
        time.sleep(0.005)


signal.signal(signal.SIGTERM, lambda *_signal: ending.set())
threads = [threading.Thread(target=ask, args=[number]) for number in range(len(asked))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump({"asked": sum(asked), "lost": lost}, file)
