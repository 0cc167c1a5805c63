"""A DNS server that does as it is told, over UDP and TCP on one port."""

import contextlib
import ipaddress
import random
import socket
import struct
import threading

from .ports import free_port

A, CNAME, TXT, AAAA, SRV, OPT = 1, 5, 16, 28, 33, 41
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, REFUSED = 0, 1, 2, 3, 5


def encode_name(name):
    labels = [label.encode() for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(owner, kind, data, ttl=0):
    return encode_name(owner) + struct.pack(">HHIH", kind, 1, ttl & 0xffffffff, len(data)) + data


def a(owner, address, ttl=0):
    ip = ipaddress.ip_address(address)
    return record(owner, A if ip.version == 4 else AAAA, ip.packed, ttl)


def srv(owner, port, target, priority=1, weight=1, ttl=0):
    return record(owner, SRV, struct.pack(">HHH", priority, weight, port) + encode_name(target),
                  ttl)


def cname(owner, target, ttl=0):
    return record(owner, CNAME, encode_name(target), ttl)


def addr(port, owner, address="127.0.0.1", **more):
    """An SRV record of Consul's, its address in the name of the target."""
    return srv(owner, port, ipaddress.ip_address(address).packed.hex() + ".addr.dc1.consul", **more)


class Query:
    def __init__(self, data, is_tcp):
        self.id, _, _, _, _, additional = struct.unpack(">HHHHHH", data[:12])
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += data[at] + 1
        self.name = ".".join(labels)
        self.type, _ = struct.unpack(">HH", data[at + 1:at + 5])
        self.question = data[12:at + 5]
        self.is_tcp = is_tcp
        self.has_edns = additional > 0
        # What EDNS offers, in the OPT record's place for the class.
        self.room = struct.unpack(">H", data[at + 8:at + 10])[0] if additional else 512

    def answer(self, records=(), code=NOERROR, id=None, question=None, count=None, flags=0x8180):
        return struct.pack(">HHHHHH", self.id if id is None else id, flags | code, 1,
                           len(records) if count is None else count, 0, 0) + \
            (question or self.question) + b"".join(records)


class FakeDns:
    """Answers from `zone`: {(name, type): [records]}, where a name that is in it has no other
    records, and others don't exist. Before that, `misbehave(query)` may return bytes, a list of
    datagrams to send instead, "silence", a code, or None."""

    def __init__(self):
        self.zone = {}
        self.misbehave = lambda query: None
        self.shuffle = False
        self.udp_records = None  # more are cut off over UDP, without a word
        self.speaks_tcp = True
        self.port = free_port()
        self.queries = []
        self._is_over = False
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._tcp = socket.create_server(("127.0.0.1", self.port), backlog=64)
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def set(self, name, *records):
        """All records of a name, by their kind; another name's may be among them (aliases)."""
        zone = {key: value for key, value in self.zone.items() if key[0] != name}
        for kind in (A, AAAA, SRV):
            answers = [r for r in records if self._kind(r) in (kind, CNAME)]
            zone[(name, kind)] = answers
        self.zone = zone

    def set_services(self, name, ports, **more):
        self.set(name, *[addr(port, name, **more) for port in ports])

    def remove(self, name):
        self.zone = {key: value for key, value in self.zone.items() if key[0] != name}

    @staticmethod
    def _kind(data):
        at = 0
        while data[at]:
            at += data[at] + 1
        return struct.unpack(">H", data[at + 1:at + 3])[0]

    def asked(self, name, kind=None):
        return [q for q in list(self.queries)
                if q.name == name and (kind is None or q.type == kind)]

    def stop(self):
        self._is_over = True
        with contextlib.suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        self._tcp.close()
        with contextlib.suppress(OSError):
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
                b"", ("127.0.0.1", self.port))

    def _answers(self, query):
        """Datagrams (over TCP: messages) to send."""
        self.queries.append(query)
        told = self.misbehave(query)
        if isinstance(told, str):
            return []
        if isinstance(told, bytes):
            return [told]
        if isinstance(told, list):
            return told
        if isinstance(told, int):
            return [query.answer(code=told)]
        zone = self.zone
        if not any(name == query.name for name, _ in zone):
            return [query.answer(code=NXDOMAIN)]
        records = list(zone.get((query.name, query.type), []))
        if self.shuffle:
            random.shuffle(records)
        if self.udp_records is not None and not query.is_tcp:
            records = records[:self.udp_records]
        return [query.answer(records)]

    def _serve_udp(self):
        with self._udp:
            while not self._is_over:
                data, peer = self._udp.recvfrom(4096)
                if len(data) > 12:
                    for answer in self._answers(Query(data, False)):
                        self._udp.sendto(answer, peer)

    def _serve_tcp(self):
        while not self._is_over:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            if not self.speaks_tcp:
                connection.close()
                continue
            threading.Thread(target=self._serve_connection, args=(connection,),
                             daemon=True).start()

    def _serve_connection(self, connection):
        with connection, contextlib.suppress(OSError):
            reader = connection.makefile("rb")
            while True:
                head = reader.read(2)
                if len(head) < 2:
                    return
                data = reader.read(struct.unpack(">H", head)[0])
                for answer in self._answers(Query(data, True)):
                    connection.sendall(struct.pack(">H", len(answer)) + answer)
