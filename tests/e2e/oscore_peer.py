"""A device that speaks OSCORE (RFC 8613), made from the standard and the `cryptography` package: nothing of Berth's."""

import os

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from coapraw import CON, Coap, Peer, code

OBSERVE, OSCORE, ECHO = 6, 9, 252
POST, FETCH = 2, 5


class Context:
    """AES-CCM-16-64-128 and HKDF-SHA-256."""

    def __init__(self, secret, sender, recipient, salt=b"", id_context=None):
        def derive(id, what, length):
            info = cbor2.dumps([id, id_context, 10, what, length])
            return HKDF(hashes.SHA256(), length, salt, info).derive(secret)

        self.sender, self.recipient, self.id_context = sender, recipient, id_context
        self.sender_key, self.recipient_key = derive(sender, "Key", 16), derive(recipient, "Key", 16)
        self.iv = derive(b"", "IV", 13)
        self.number = 0

    def next_piv(self):
        number, self.number = self.number, self.number + 1
        return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")

    def nonce(self, id, piv):
        plain = bytes([len(id)]) + bytes(7 - len(id)) + id + bytes(5 - len(piv)) + piv
        return bytes(a ^ b for a, b in zip(plain, self.iv))

    def aad(self, kid, piv):
        return cbor2.dumps(["Encrypt0", b"", cbor2.dumps([1, [10], kid, piv, b""])])

    def seal(self, id, piv, request, plain):
        return AESCCM(self.sender_key, 8).encrypt(self.nonce(id, piv), plain, self.aad(*request))

    def open(self, id, piv, request, sealed):
        return AESCCM(self.recipient_key, 8).decrypt(self.nonce(id, piv), sealed, self.aad(*request))


def inner_bytes(message):
    """Code, options and payload."""
    return bytes([message.code]) + Coap(message.type, message.code, 0, b"", message.options, message.payload).encode()[4:]


def inner_message(plain, outer):
    inner = Coap.decode(bytes([0x40, plain[0], 0, 0]) + plain[1:])
    return Coap(outer.type, inner.code, outer.mid, outer.token, inner.options, inner.payload)


def read_option(value):
    """(Partial IV, kid context, kid), None for each that is not there."""
    if not value:
        return None, None, None
    flags, at = value[0], 1
    piv, at = value[at : at + (flags & 7)], at + (flags & 7)
    context = None
    if flags & 16:
        context, at = value[at + 1 : at + 1 + value[at]], at + 1 + value[at]
    return piv or None, context, value[at:] if flags & 8 else None


def write_option(piv, context, kid):
    head = bytes([len(piv) | (16 if context is not None else 0) | (8 if kid is not None else 0)])
    return head + piv + (bytes([len(context)]) + context if context is not None else b"") + (kid or b"")


class OscorePeer:
    """Sends protected requests over `peer`, and counts bytes. `wire` has every message as it was on the wire."""

    def __init__(self, port, secret=b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10", sender=b"\x01",
                 recipient=b"", salt=bytes.fromhex("9e7ca92223786340"), id_context=None, peer=None):
        self.secrets = (secret, sender, recipient, salt)
        self.context = Context(*self.secrets, id_context)
        self.peer = peer or Peer(port)
        self.kid_context = None
        self.sent = self.received = 0
        self.wire = []

    def close(self):
        self.peer.close()

    def derive(self, id_context):
        self.context = Context(*self.secrets, id_context)

    def protect(self, message):
        piv = self.context.next_piv()
        request = (self.context.sender, piv)
        option = write_option(piv, self.kid_context, self.context.sender)
        observe = [(number, value) for number, value in message.options if number == OBSERVE]
        outer = Coap(message.type, FETCH if observe else POST, message.mid, message.token, [*observe, (OSCORE, option)],
                     self.context.seal(self.context.sender, piv, request, inner_bytes(message)))
        return outer, request

    def exchange(self, outer, timeout=5):
        self.sent += len(outer.encode())
        self.peer.send(outer)
        while True:
            answer = self.peer.receive(timeout)
            assert answer is not None, "no answer"
            self.received += len(answer.encode())
            self.wire += [outer, answer]
            if answer.code == 0 or answer.token != outer.token:
                continue
            return answer

    def open(self, answer, request):
        value = answer.one(OSCORE)
        assert value is not None, f"{answer.code_text} {answer.payload!r} without protection"
        piv, _, _ = read_option(value)
        id, nonce_piv = (self.context.recipient, piv) if piv is not None else request
        return inner_message(self.context.open(id, nonce_piv, request, answer.payload), answer)

    def once(self, method, path="", *args, **kwargs):
        """One request and its answer, opened."""
        outer, request = self.protect(self.peer.message(method, path, *args, **kwargs))
        return self.open(self.exchange(outer), request)

    def request(self, method, path="", query=(), payload=b"", options=(), **kwargs):
        """As once; a challenge is answered."""
        answer = self.once(method, path, query, payload, options=list(options), **kwargs)
        echo = answer.one(ECHO)
        if answer.code == code("4.01") and echo is not None:
            answer = self.once(method, path, query, payload, options=[*options, (ECHO, echo)], **kwargs)
        return answer

    def rederive(self, method, path="", *args, r1=None, **kwargs):
        """Appendix B.2 from its beginning; returns the answer to the request, which was sent twice."""
        r1 = os.urandom(8) if r1 is None else r1
        self.derive(r1)
        self.kid_context = cbor2.dumps(r1)
        return self.finish(self.exchange_protected(method, path, *args, **kwargs), method, path, *args, **kwargs)

    def exchange_protected(self, *args, **kwargs):
        outer, request = self.protect(self.peer.message(*args, **kwargs))
        return self.exchange(outer), request

    def finish(self, exchanged, *args, **kwargs):
        """Take response #1, send request #2 and open its answer."""
        answer, request = exchanged
        _, wrapped, _ = read_option(answer.one(OSCORE))
        r2 = cbor2.loads(wrapped)
        self.derive(r2 + (self.context.id_context or b""))
        assert self.open(answer, request).code == code("4.01")
        self.derive(r2 + os.urandom(8))
        self.kid_context = cbor2.dumps(self.context.id_context)
        answer = self.once(*args, **kwargs)
        self.kid_context = None
        return answer

    def take_request(self, timeout=5):
        """A protected request of the server's: (inner message, what binds the answer)."""
        outer = self.peer.receive(timeout)
        assert outer is not None, "no request"
        self.wire.append(outer)
        return self.open_request(outer)

    def open_request(self, outer):
        piv, _, kid = read_option(outer.one(OSCORE))
        assert kid == self.context.recipient
        request = (kid, piv)
        return inner_message(self.context.open(kid, piv, request, outer.payload), outer), request

    def respond(self, asked, request, status, payload=b"", options=(), own=False, type=None, mid=None):
        """Answer what take_request gave; `own`: with a Partial IV of its own, as notifications have."""
        inner = Coap(2 if type is None else type, code(status), asked.mid if mid is None else mid, asked.token,
                     [(n, b"" if n == OBSERVE else v) for n, v in options], payload)
        piv = self.context.next_piv() if own else None
        id, nonce_piv = (self.context.sender, piv) if own else request
        observe = [(n, v) for n, v in options if n == OBSERVE]
        outer = Coap(inner.type, code("2.05" if observe else "2.04"), inner.mid, inner.token,
                     [*observe, (OSCORE, write_option(piv, None, None) if own else b"")],
                     self.context.seal(id, nonce_piv, request, inner_bytes(inner)))
        self.peer.send(outer)
        return outer


class ProtectedPeer:
    """An OscorePeer as a Peer: what a test sends and receives are inner messages."""

    def __init__(self, device):
        self.device = device
        self.asked = {}  # by token: what binds the answer

    def request(self, *args, **kwargs):
        return self.device.request(*args, **kwargs)

    def receive(self, timeout=5):
        inner, request = self.device.take_request(timeout)
        self.asked[inner.token] = (inner, request)
        return inner

    def send(self, answer):
        inner, request = self.asked.pop(answer.token)
        self.device.respond(inner, request, answer.code_text, answer.payload, answer.options)

    def next_mid(self):
        return self.device.peer.next_mid()


CREDENTIAL = {
    "mode": "oscore",
    "sender_id_hex": "",
    "recipient_id_hex": "01",
    "master_secret_hex": "0102030405060708090a0b0c0d0e0f10",
    "master_salt_hex": "9e7ca92223786340",
}
