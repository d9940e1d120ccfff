"""A CA with an ACME directory, https://acme.example.com:14000/directory, and the name server that it asks where sites are."""

import os
import socketserver
import ssl
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

os.environ["ACME_SRV_CONFIGFILE"] = "/opt/acme/acme.cfg"

import dns.message
import dns.rrset
from acme2certifier.share.acme2certifier_wsgi import application


class Names(socketserver.BaseRequestHandler):
    """Every name is this host's."""

    def handle(self):
        data, listener = self.request
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        name, kind = query.question[0].name, query.question[0].rdtype
        if kind == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "127.0.0.1"))
        listener.sendto(answer.to_wire(), self.client_address)


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def get_environ(self):
        return dict(super().get_environ(), HTTPS="on")


names = socketserver.ThreadingUDPServer(("127.0.0.1", 53), Names)
threading.Thread(target=names.serve_forever, daemon=True).start()

context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain("/opt/acme/server.pem", "/opt/acme/server.key")
server = Server(("127.0.0.1", 14000), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.set_app(application)
server.serve_forever()
