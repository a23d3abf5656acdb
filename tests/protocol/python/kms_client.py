# SPDX-License-Identifier: Apache-2.0
"""The three KMS APIs over python3-grpcio (gRPC core). The messages are few and flat, so they are
encoded here by hand: no generated code, and what goes over the wire is what is written below."""

from collections import namedtuple

import grpc

# The rows: proto package, what Status or Version answers, no key_id or annotations on the wire.
Api = namedtuple("Api", "package version v1")
APIS = [Api("v1beta1", "v1beta1", True), Api("v2alpha1", "v2alpha1", False), Api("v2", "v2beta1", False)]
V1, V2ALPHA1, V2 = APIS

Sealed = namedtuple("Sealed", "ciphertext key_id annotations")
TIMEOUT = 3  # seconds, kube-apiserver's default


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def field(number, value):
    """A string or bytes field; proto3 leaves an empty one out."""
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw if raw else b""


def fields(raw):
    """All fields of a message, as lists by number. Only length-delimited ones occur in these APIs."""
    ret, at = {}, 0

    def take_varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = raw[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(raw):
        tag, length = take_varint(), take_varint()
        if tag & 7 != 2 or at + length > len(raw):
            raise ValueError(f"unexpected field {tag >> 3} of wire type {tag & 7}")
        ret.setdefault(tag >> 3, []).append(raw[at:at + length])
        at += length
    return ret


def first(message, number):
    return message.get(number, [b""])[0]


def annotations(message, number):
    entries = [fields(raw) for raw in message.get(number, [])]
    return {first(entry, 1).decode(): first(entry, 2) for entry in entries}


class Client:
    """One connection; every API goes over it."""

    def __init__(self, socket, authority=None):
        # Without its own pool gRPC core gives equal channels one connection.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100),
                   ("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
        if authority is not None:
            options.append(("grpc.default_authority", authority))
        self.channel = grpc.insecure_channel("unix:" + socket, options)

    def close(self):
        self.channel.close()

    def method(self, name):
        return self.channel.unary_unary(name)

    def start(self, api, name, request, timeout=TIMEOUT):
        """A call under way, which can be waited for or cancelled."""
        path = f"/{api.package}.KeyManagementService/{name}"
        return self.method(path).future(request, timeout=timeout, wait_for_ready=True)

    def call(self, api, name, request):
        return fields(self.start(api, name, request).result())

    def status(self, api):
        """version, healthz, key_id; of v1beta1's Version: version, runtime name, runtime version."""
        request = field(1, "v1beta1") if api.v1 else b""
        reply = self.call(api, "Version" if api.v1 else "Status", request)
        return tuple(first(reply, number).decode() for number in (1, 2, 3))

    @staticmethod
    def encrypt_request(api, plaintext, uid="u"):
        if api.v1:
            return field(1, "v1beta1") + field(2, plaintext)
        return field(1, plaintext) + field(2, uid)

    @staticmethod
    def decrypt_request(api, sealed, uid="u"):
        if api.v1:
            return field(1, "v1beta1") + field(2, sealed.ciphertext)
        entries = (field(4, field(1, k) + field(2, v)) for k, v in sealed.annotations.items())
        return field(1, sealed.ciphertext) + field(2, uid) + field(3, sealed.key_id) + b"".join(entries)

    def encrypt(self, api, plaintext, uid="u"):
        reply = self.call(api, "Encrypt", self.encrypt_request(api, plaintext, uid))
        return Sealed(first(reply, 1), first(reply, 2).decode(), annotations(reply, 3))

    def decrypt(self, api, sealed, uid="u"):
        return first(self.call(api, "Decrypt", self.decrypt_request(api, sealed, uid)), 1)

    def code_of(self, path):
        """The code that a method answers to an empty message."""
        try:
            self.method(path)(b"", timeout=TIMEOUT, wait_for_ready=True)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK
