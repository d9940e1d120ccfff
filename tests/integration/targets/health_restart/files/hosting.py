"""A hosting in small: python3 hosting.py PORT. Its hook starts a deploy, which takes two looks at its status, and ends as the hook asks.

POST /hook/KEY?ends=live: what is deployed then answers with the next version. ?ends=failed: the former one stays. ?ends=sick: the
next one is not well. GET /deploys/ID, /health and /hooks (how many there were) answer as JSON.
"""

import http.server
import json
import sys
import urllib.parse

deploys = []  # {"ends", "looks"} of each
live = {"version": 1, "status": "healthy"}


class Hosting(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        parts = urllib.parse.urlsplit(self.path)
        if parts.path != "/hook/a-very-secret-key-1":
            self.answer(404, {"error": "no hook %s" % self.path})
            return
        deploys.append({"ends": urllib.parse.parse_qs(parts.query)["ends"][0], "looks": 0})
        self.answer(201, {"deploy": {"id": len(deploys)}})

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, live)
        elif self.path == "/hooks":
            self.answer(200, {"hooks": len(deploys)})
        elif self.headers["Authorization"] != "Bearer a-very-secret-token-1":
            self.answer(401, {})
        else:
            self.answer(200, {"status": self.look(deploys[int(self.path.rpartition("/")[2]) - 1])})

    def look(self, deploy):
        deploy["looks"] += 1
        if deploy["looks"] < 3:
            return "building"
        if deploy["ends"] == "failed":
            return "build_failed"
        if deploy["looks"] == 3:
            live.update(version=live["version"] + 1, status="sick" if deploy["ends"] == "sick" else "healthy")
        return "live"

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Hosting).serve_forever()
