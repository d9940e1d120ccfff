"""Asks a URL over and over, each time by a connection of its own, and counts: python3 asker.py URL FILE."""

import json
import sys
import time
import urllib.request

asked, lost = 0, []
while True:
    try:
        with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
            answer.read()
    except OSError as error:
        lost.append(str(error))
    asked += 1
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"asked": asked, "lost": lost}, file)
    time.sleep(0.03)
