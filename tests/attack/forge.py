"""
A TLS 1.2 connection whose records the test makes itself: OpenSSL does the
handshake, and the traffic keys come from its key log (RFC 5246, 6.3). After
that any record can be sent, encrypted as it has to be (RFC 5288).
"""

import hmac
import os
import socket
import ssl
import struct
import tempfile

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHANGE, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
RANDOM_LEN, RANDOM_AT = 32, 5 + 4 + 2  # of a ServerHello, in its record
KEY_LEN, SALT_LEN = 16, 4


def plain_record(kind, body):
    """A record as it is before encryption."""
    return struct.pack("!BHH", kind, 0x303, len(body)) + body


def prf(secret, label, seed, size):
    """RFC 5246, 5; with SHA-256"""
    seed = label + seed
    out, a = b"", seed
    while len(out) < size:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + seed, "sha256")
    return out[:size]


def shake_hands(sock, context):
    """Does the handshake over the socket; the server's first bytes."""
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(inward, outward, server_hostname="localhost")
    seen = b""
    while True:
        try:
            tls.do_handshake()
            sock.sendall(outward.read())
            return seen
        except ssl.SSLWantReadError:
            sock.sendall(outward.read())
            data = sock.recv(1 << 16)
            if not data:
                raise EOFError("no handshake") from None
            seen += data
            inward.write(data)


def context_for(ca_file, keylog):
    context = ssl.create_default_context(cafile=ca_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    context.keylog_filename = keylog
    return context


class Forger:
    """A connection after its handshake; seal() makes the next record."""

    def __init__(self, address, ca_file):
        self.sock = socket.create_connection(address, timeout=5)
        handle, keylog = tempfile.mkstemp()
        os.close(handle)
        try:
            seen = shake_hands(self.sock, context_for(ca_file, keylog))
            with open(keylog, encoding="ascii") as lines:
                words = [x.split() for x in lines if x.startswith("CLIENT_R")]
        finally:
            os.unlink(keylog)
        client_random, master = map(bytes.fromhex, words[-1][1:])
        server_random = seen[RANDOM_AT:RANDOM_AT + RANDOM_LEN]
        block = prf(master, b"key expansion", server_random + client_random,
                    2 * (KEY_LEN + SALT_LEN))
        self.cipher = AESGCM(block[:KEY_LEN])
        self.salt = block[2 * KEY_LEN:2 * KEY_LEN + SALT_LEN]
        self.sequence = 1  # our Finished was record 0

    def seal(self, kind, body=b""):
        number = struct.pack("!Q", self.sequence)
        self.sequence += 1
        head = number + struct.pack("!BHH", kind, 0x303, len(body))
        sealed = self.cipher.encrypt(self.salt + number, body, head)
        return plain_record(kind, number + sealed)
