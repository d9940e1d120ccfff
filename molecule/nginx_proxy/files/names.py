"""A name server on port 5353 for whom every name is an address of this host."""

import socket

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 5353))
    while True:
        query, client = server.recvfrom(512)
        end = query.index(b"\0", 12) + 5
        question, address = query[12:end], query[end - 4 : end - 2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("127.0.0.1") if address else b""
        counts = b"\0\1" + (b"\0\1" if address else b"\0\0") + b"\0\0\0\0"
        server.sendto(query[:2] + b"\x81\x80" + counts + question + answer, client)
