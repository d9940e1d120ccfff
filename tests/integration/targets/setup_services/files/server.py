"""A server that plays a part: python3 server.py PORT, with MODE and VERSION in the environment."""

import base64
import hashlib
import http.server
import json
import os
import sys
import time

MODE = os.environ.get("MODE", "ok")
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Part(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/drip":
            self.drip()
        elif self.path == "/hang" or MODE == "hang":
            time.sleep(60)
        elif self.path == "/redirect":
            self.answer(302, {"Location": "/health"})
        elif self.path == "/ws":
            self.websocket()
        else:
            self.answer(503 if MODE == "sick" else 200, {})

    do_POST = do_GET

    def answer(self, status, headers):
        told = {
            "status": "sick" if status == 503 else "healthy",
            "version": os.environ.get("VERSION"),
            "method": self.command,
        }
        body = json.dumps(told).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _second in range(60):
            self.wfile.write(b"x")
            time.sleep(0.2)

    def websocket(self):
        accept = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + GUID).encode()).digest()).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                return
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(head[1] & 127)))
            opcode = 10 if head[0] & 15 == 9 else head[0] & 15
            self.wfile.write(bytes([0x80 | opcode, len(data)]) + data)

    def log_message(self, *_arguments):
        pass


if MODE == "crash":
    sys.exit("can't start with the token %s" % os.environ.get("TOKEN"))
time.sleep(float(os.environ.get("SLOW", "0")))
port = int(sys.argv[1]) + (1000 if MODE == "wrong_port" else 0)
http.server.ThreadingHTTPServer((os.environ.get("BIND", "127.0.0.1"), port), Part).serve_forever()
