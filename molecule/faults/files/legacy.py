"""A hand-made server beside the collection's apps: healthy at once, /slow after four seconds, and what its command says.

legacy.py PORT [healthy | sick | silent]
"""

import http.server
import socket
import sys
import time

PORT, MODE = int(sys.argv[1]), sys.argv[2]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(4)
        body = b'{"status": "%s"}' % MODE.encode()
        self.send_response(200 if MODE == "healthy" else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        pass


if MODE == "silent":
    with socket.create_server(("127.0.0.1", PORT)) as listener:
        kept = []
        while True:
            kept.append(listener.accept())
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
