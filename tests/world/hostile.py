# SPDX-License-Identifier: GPL-3.0-or-later
"""What a relay meets that means it ill: a DNS server and SMTP hosts that answer out of a script.

The DNS server answers by the first label of the mail domain (`huge7.evil.test` is of the kind `huge`), each of
KINDS in its own way; everything else under `.test` it serves honestly, from a table. The SMTP hosts answer by the
address they listen on. Both are cheap enough not to be what is measured.
"""

import contextlib
import multiprocessing
import os
import random
import select
import socket
import struct
import threading
import time

A, CNAME, SOA, MX, AAAA = 1, 5, 6, 15, 28
SO_RCVBUFFORCE = 33  # socket(7)


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def record(owner, kind, data, ttl=300):
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def mx(owner, preference, host):
    return record(owner, MX, struct.pack(">H", preference) + wire(host))


def read_question(message):
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    return ".".join(labels), struct.unpack(">H", message[at + 1:at + 3])[0], message[12:at + 5]


def reply(query, answers=(), authority=(), rcode=0, truncated=False, question=None, identity=None, counts=None):
    question = query[2] if question is None else question
    flags = 0x8180 | rcode | (0x0200 if truncated else 0)
    counts = counts or (1, len(answers), len(authority), 0)
    return struct.pack(">HHHHHH", query[3] if identity is None else identity, flags, *counts) + question + \
        b"".join(answers) + b"".join(authority)


# Each takes (query, over TCP) and gives messages to send; `query` is (name, type, question, id). OWNER points at the
# name asked for. In the comment: what must become of the mail.
OWNER = b"\xc0\x0c"
# Made once: a server that is slow for want of CPU would be another test.
THOUSANDS = [b"".join(mx(OWNER, 1, "a%d.b" % n) for n in range(3000))]
ALIASES = [b"".join(record(wire("n%d.manyaliases.evil.test" % n), CNAME, wire("n%d.manyaliases.evil.test" % (n + 1)))
                    for n in range(900))]
HOSTS = [b"".join(record(OWNER, MX, struct.pack(">HB", n, len("h%d" % n)) + b"h%d" % n + OWNER) for n in range(200))]
GROUPS = [b"".join(record(OWNER, A, bytes([224, 0, 0, n])) for n in range(60))]


def silent(query, tcp):                       # deferred
    return []


def servfail(query, tcp):                     # deferred
    return [reply(query, rcode=2)]


def huge(query, tcp):                         # 3,000 MX records: deferred
    if not tcp:
        return [reply(query, truncated=True)]
    return [reply(query, THOUSANDS, counts=(1, 3000, 0, 0))]


def circle(query, tcp):                       # an alias for itself: deferred
    return [reply(query, [record(OWNER, CNAME, wire(query[0]))])]


def chain(query, tcp):                        # an endless chain of aliases: deferred
    return [reply(query, [record(OWNER, CNAME, wire("x%d.chain.evil.test" % random.randrange(10**9)))])]


def manyaliases(query, tcp):                  # a long one in one answer: deferred
    if not tcp:
        return [reply(query, truncated=True)]
    return [reply(query, [record(OWNER, CNAME, wire("n0.manyaliases.evil.test")), *ALIASES], counts=(1, 901, 0, 0))]


def pointers(query, tcp):                     # a name that points at itself: deferred
    at = 12 + len(query[2])
    return [reply(query, [struct.pack(">H", 0xC000 | at) + struct.pack(">HHIH", MX, 1, 300, 0)])]


def otherquestion(query, tcp):                # answers what nobody asked: deferred
    return [reply(query, [mx(OWNER, 1, "mx.good.test")], question=wire("victim.test") + struct.pack(">HH", MX, 1))]


def otherid(query, tcp):                      # guesses: deferred
    return [reply(query, [mx(OWNER, 1, "mx.good.test")], identity=(query[3] + n) & 0xFFFF) for n in range(1, 40)]


def othersection(query, tcp):                 # its MX is in the authority section: no host at all, 5.4.4
    return [reply(query, [], [mx(OWNER, 1, "mx.good.test")])]


def claims(query, tcp):                       # 65,535 records claimed, one sent: deferred
    return [reply(query, [mx(OWNER, 1, "mx.good.test")], counts=(1, 65535, 65535, 65535))]


def cut(query, tcp):                          # truncated over TCP too: deferred
    return [reply(query, truncated=True)]


def noise(query, tcp):                        # deferred
    return [os.urandom(500) for _ in range(20)]


def manyhosts(query, tcp):                    # 200 hosts whose addresses are never told: deferred
    if query[1] != MX:
        return []
    if not tcp:
        return [reply(query, truncated=True)]
    return [reply(query, HOSTS, counts=(1, 200, 0, 0))]


def wide(query, tcp):                         # 200 hosts with 60 addresses each, none of which is a mail host's: 5.4.4
    if query[1] == MX:
        if not tcp:
            return [reply(query, truncated=True)]
        return [reply(query, HOSTS, counts=(1, 200, 0, 0))]
    if query[1] == A:
        return [reply(query, GROUPS, counts=(1, 60, 0, 0))]
    return [reply(query)]


KINDS = {each.__name__: each for each in (
    silent, servfail, huge, circle, chain, manyaliases, pointers, otherquestion, otherid, othersection, claims, cut,
    noise, manyhosts, wide)}
BOUNCED = {"othersection": "5.4.4", "wide": "5.4.4"}  # all others: nobody could say, so it expires


class Dns:
    """`table`: mail domain -> addresses of its only MX host."""

    def __init__(self, table, port=0):
        self.table = table
        self.questions = 0
        self.stopping = False
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.suppress(OSError):  # as root; a server that loses bursts would be another test, too
            self.datagrams.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.datagrams.bind(("127.0.0.1", port))
        self.port = self.datagrams.getsockname()[1]
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(128)
        self.threads = [threading.Thread(target=self.serve, daemon=True)]
        for thread in self.threads:
            thread.start()

    def close(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        self.datagrams.close()
        self.listener.close()

    def answers(self, message, tcp):
        self.questions += 1
        name, kind, question = read_question(message)
        query = (name.lower(), kind, question, struct.unpack(">H", message[:2])[0])
        if ".evil.test" in query[0]:
            sort = query[0].split(".evil.test")[0].rpartition(".")[2].rstrip("0123456789")
            return KINDS[sort](query, tcp)
        if kind == MX and query[0] in self.table:
            return [reply(query, [mx(OWNER, 10, "mx." + query[0])])]
        domain = query[0].removeprefix("mx.")
        if query[0].startswith("mx.") and domain in self.table:
            addresses = self.table[domain] if kind == A else []
            return [reply(query, [record(OWNER, A, socket.inet_aton(each)) for each in addresses])]
        soa = record(wire("test"), SOA, wire("ns.test") + wire("h.test") + struct.pack(">5I", 1, 60, 60, 60, 60))
        return [reply(query, [], [soa], rcode=3)]

    def serve(self):
        streams = {}
        while not self.stopping:
            readable, _, _ = select.select([self.datagrams, self.listener, *streams], [], [], 0.1)
            for each in readable:
                if each is self.datagrams:
                    message, peer = each.recvfrom(4096)
                    for answer in self.answers(message, False):
                        self.datagrams.sendto(answer, peer)
                elif each is self.listener:
                    stream, _ = each.accept()
                    streams[stream] = b""
                else:
                    self.on_stream(each, streams)
        for stream in streams:
            stream.close()

    def on_stream(self, stream, streams):
        try:
            data = stream.recv(4096)
        except OSError:
            data = b""
        if not data:
            stream.close()
            del streams[stream]
            return
        streams[stream] += data
        while len(streams[stream]) >= 2:
            size = struct.unpack(">H", streams[stream][:2])[0]
            if len(streams[stream]) < 2 + size:
                return
            message, streams[stream] = streams[stream][2:2 + size], streams[stream][2 + size:]
            try:
                for answer in self.answers(message, True):
                    answer = answer[:65535]
                    stream.sendall(struct.pack(">H", len(answer)) + answer)
            except OSError:
                pass


# ---- SMTP hosts: each is a function of a connected socket, run on a thread of its own, that ends when the relay goes

EHLO = "250-mx\n250-8BITMIME\n250 PIPELINING\n"


def say(stream, text):
    stream.sendall(text.replace("\n", "\r\n").encode())


def until_end(stream):
    while stream.recv(65536):
        pass


def mute(stream):                   # accepts and never says a word
    until_end(stream)


def drips(stream):                  # its greeting comes an octet at a time
    for octet in "220 " + "x" * 10_000:
        say(stream, octet)
        time.sleep(0.5)


def endless(stream):                # a reply to EHLO without an end
    say(stream, "220 mx\n")
    stream.recv(4096)
    while True:
        say(stream, "250-x%d\n" % random.randrange(10**9) * 1000)


def longline(stream):               # a greeting that is one line of any length
    while True:
        say(stream, "x" * 65536)


def chatter(stream):                # replies to nothing, without an end
    say(stream, "220 mx\n")
    stream.recv(4096)
    while True:
        say(stream, "250 ok\n" * 1000)


def nonsense(stream):
    stream.sendall(os.urandom(100_000))
    until_end(stream)


def converse(stream, answer):
    """`answer(line)` gives the reply to each command."""
    say(stream, "220 mx\n")
    pending = b""
    while True:
        data = stream.recv(65536)
        if not data:
            return
        pending += data
        while b"\r\n" in pending:
            line, _, pending = pending.partition(b"\r\n")
            text = answer(line[:4].upper().decode("latin-1"))
            if text is None:
                until_end(stream)
                return
            say(stream, text)


def quiet_at(verb):
    def host(stream):
        replies = {"EHLO": EHLO, "DATA": "354 go\n"}
        converse(stream, lambda line: None if line == verb else replies.get(line, "250 ok\n"))
    host.__name__ = "quiet_at_" + verb.lower()
    return host


def defers(stream):                 # 451 to each recipient
    replies = {"EHLO": EHLO, "RCPT": "451 4.7.1 not now\n", "DATA": "503 5.5.1 no recipients\n"}
    converse(stream, lambda line: replies.get(line, "250 ok\n"))


def resets(stream):
    say(stream, "220 mx\n")
    stream.recv(4096)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


SMTP_HOSTS = (mute, drips, endless, longline, chatter, nonsense, quiet_at("MAIL"), quiet_at("RCPT"), quiet_at("DATA"),
              defers, resets)


class SmtpHosts:
    """One address each, 127.3.0.1 and on, all on one port; in a process of their own, so that what floods the relay
    does not starve the DNS server."""

    def __init__(self, port, hosts=SMTP_HOSTS):
        self.names = [host.__name__ for host in hosts]
        self.counts = multiprocessing.Array("i", len(hosts))
        self.listeners = []
        for number in range(1, len(hosts) + 1):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.address(number), port))
            listener.listen(64)
            self.listeners.append(listener)
        self.process = multiprocessing.get_context("fork").Process(target=self.serve, args=(hosts,), daemon=True)
        self.process.start()
        for listener in self.listeners:
            listener.close()

    @staticmethod
    def address(number):
        return f"127.3.0.{number}"

    def connections(self):
        return dict(zip(self.names, self.counts))

    def close(self):
        self.process.terminate()
        self.process.join()

    def serve(self, hosts):
        while True:
            for listener in select.select(self.listeners, [], [])[0]:
                number = self.listeners.index(listener)
                stream, _ = listener.accept()
                self.counts[number] += 1
                stream.settimeout(60)
                threading.Thread(target=self.run, args=(stream, hosts[number]), daemon=True).start()

    @staticmethod
    def run(stream, host):
        with stream:
            try:
                host(stream)
            except OSError:
                pass
