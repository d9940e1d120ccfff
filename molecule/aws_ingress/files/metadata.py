"""Instance metadata, version 2 alone: without a token from PUT /latest/api/token it tells nothing. `groups` is a file of ids."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

MAC = "02:42:ac:11:00:0a"
TOKEN = "token-of-a-minute"
PORT, GROUPS = int(sys.argv[1]), sys.argv[2]


class Metadata(BaseHTTPRequestHandler):
    def do_PUT(self):
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        right = self.path == "/latest/api/token" and seconds.isdigit()
        self.answer(200 if right else 400, TOKEN if right else "")

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            self.answer(401, "")
            return
        with open(GROUPS, encoding="utf-8") as file:
            groups = file.read()
        told = {
            "mac": MAC,
            "placement/region": "eu-central-1",
            f"network/interfaces/macs/{MAC}/security-group-ids": groups,
        }
        name = self.path.replace("/latest/meta-data/", "", 1)
        self.answer(200 if name in told else 404, told.get(name, ""))

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


HTTPServer(("127.0.0.1", PORT), Metadata).serve_forever()
