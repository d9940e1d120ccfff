"""An HTTP server that answers with what it was asked, and a WebSocket echo on /ws. One argument: its port."""

import base64
import hashlib
import http.server
import json
import sys
import time

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade") == "websocket":
            return self.websocket()
        if self.path.endswith("/slow"):
            time.sleep(3)
        if self.path.endswith("/events"):
            return self.events()
        status = 503 if self.path == "/sick" and self.server.server_port == 3000 else 200
        headers = {"X-Frame-Options": "DENY"} if self.path == "/own-header" else {}
        self.answer(status, headers)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(503 if self.path == "/sick" and self.server.server_port == 3000 else 200, {})

    def answer(self, status, headers):
        asked = {
            "path": self.path,
            "time": time.time(),
            "port": self.server.server_port,
            "headers": dict(self.headers),
            "status": "healthy",
        }
        body = json.dumps(asked).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def events(self):
        """Two chunks of text with a second in between, as an answer that is made word by word."""
        self.send_response(200)
        for name, value in (("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")):
            self.send_header(name, value)
        self.end_headers()
        for word in (b"first ", b"second"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(word), word))
            time.sleep(1)
        self.wfile.write(b"0\r\n\r\n")

    def websocket(self):
        accept = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + GUID).encode()).digest()).decode()
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
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


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
