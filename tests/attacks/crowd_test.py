#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks by number: clients that say a line an octet at a time, clients that never read their replies, clients that
connect and say nothing, from many addresses of 127.0.0.0/8, while an honest client's mail must pass and the relay must
stay small. A few hundred here; RINGMTA_ATTACKS_FULL=10000 (or another number) makes a night of it.

Every octet is a real one on a real socket: a crowd needs as many descriptors, so the limit is raised as far as it goes.
"""

import os
import pathlib
import resource
import select
import smtplib
import socket
import time

import next_hop
from harness import PATIENCE, check, equal, main, until

CROWD = int(os.environ.get("RINGMTA_ATTACKS_FULL", "0") or 0) or 300
SLOWNESS = PATIENCE / 60
# What ASan keeps of memory that was given back: 256 MiB, and what its own allocator has not returned of that yet.
QUARANTINE_KIB = 1_048_576 if SLOWNESS > 1 else 0
ADDRESSES = 50  # of each kind of client
# What one of the crowd may cost the relay, sockets' memory in the kernel not counted.
KIB_PER_CLIENT_MAX = 24 * (6 if SLOWNESS > 1 else 1)


def raise_descriptors():
    """The relay inherits it."""
    wanted = 2 * CROWD + 20_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, hard), max(wanted, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        check(hard > CROWD + 500, f"{hard} descriptors are not enough for {CROWD} clients: raise 'ulimit -Hn'")


def resident_kib(process):
    status = pathlib.Path(f"/proc/{process.pid()}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def start(lab, server="", timeouts=""):
    raise_descriptors()
    hop = next_hop.Recorder(chunking=True)
    relay = lab.relay([hop.address()], server=f"sessions_max = {CROWD + 1000}\n{server}",
                      sections=f"[server.timeouts]\n{timeouts}\n")
    return relay, hop


class Crowd:
    """Non-blocking connections from addresses of their own."""

    def __init__(self, relay, kind, small_window=False):
        self.sockets = []
        for number in range(CROWD):
            client = socket.socket()
            if small_window:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.bind((f"127.{kind}.0.{1 + number % ADDRESSES}", 0))
            client.settimeout(PATIENCE)
            client.connect(("127.0.0.1", relay.port))
            self.sockets.append(client)
        for client in self.sockets:  # who talks before the greeting is refused
            check(client.recv(4) == b"220 ", "a client is not greeted")
            client.setblocking(False)

    def say(self, octets):
        """To everybody; how many are still there."""
        alive = 0
        for client in self.sockets:
            try:
                client.send(octets)
                alive += 1
            except BlockingIOError:
                alive += 1
            except OSError:
                pass
        return alive

    def close(self):
        for client in self.sockets:
            client.close()


def honest_mail(relay, hop, messages=20):
    """Sends and waits for the arrival; the slowest of them, in seconds."""
    slowest = 0.0
    with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="honest.test", timeout=PATIENCE) as client:
        for number in range(messages):
            before, begun = len(hop.messages), time.monotonic()
            client.sendmail("ann@load.test", ["bob@sink.test"], f"Subject: {number}\r\n\r\nhello\r\n")
            until(lambda: len(hop.messages) > before, "an honest message to arrive")
            slowest = max(slowest, time.monotonic() - begun)
    return slowest


def judge(relay, hop, crowd, before_kib, what):
    slowest = honest_mail(relay, hop)
    used = resident_kib(relay.process) - before_kib
    print(f"# {what}: {len(crowd.sockets)} clients cost {used} KiB, {used / len(crowd.sockets):.1f} each; "
          f"the slowest of 20 honest messages took {slowest * 1000:.0f} ms", flush=True)
    check(slowest < 5 * SLOWNESS, f"an honest message took {slowest:.1f} s")
    check(used < KIB_PER_CLIENT_MAX * len(crowd.sockets) + 20_000 * SLOWNESS + QUARANTINE_KIB, f"the crowd costs {used} KiB")


def finish(relay, crowd):
    crowd.close()
    relay.wait_for_total("server", "sessions", 0)
    equal(relay.process.stop(), 0, "the relay's exit status")


def test_clients_that_say_an_octet_at_a_time(lab):
    relay, hop = start(lab)
    before = resident_kib(relay.process)
    crowd = Crowd(relay, 2)
    relay.wait_for_total("server", "sessions", CROWD)
    for octet in b"EHLO slow.test\r\nMAIL FROM:<a@load.test>\r\nRC":
        equal(crowd.say(bytes([octet])), CROWD, "clients alive")
    judge(relay, hop, crowd, before, "an octet at a time")
    finish(relay, crowd)


def test_contents_that_come_an_octet_at_a_time(lab):
    relay, hop = start(lab)
    before = resident_kib(relay.process)
    crowd = Crowd(relay, 3)
    crowd.say(b"EHLO slow.test\r\nMAIL FROM:<a@load.test>\r\nRCPT TO:<b@sink.test>\r\nDATA\r\n")
    for octet in b"Subject: slow\r\n\r\nand slower":
        equal(crowd.say(bytes([octet])), CROWD, "clients alive")
    judge(relay, hop, crowd, before, "contents an octet at a time")
    finish(relay, crowd)


def no_longer_read(client):
    """Talks until the relay takes no more, or has hung up."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    try:
        for _ in range(2000):
            client.send(b"HELP\r\nNOOP\r\nEHLO deaf.test\r\n" * 40)
    except OSError:  # it would block, or the connection is gone
        return True
    return False


def test_clients_that_take_no_replies(lab):
    """The kernel holds the replies of most of them, who then are idle; a third say more than it holds, and the relay stops
    reading from each of these. It hangs up on all, each at its time."""
    relay, hop = start(lab, server="errors_max = 0\n", timeouts='reply = "10s"\nidle = "12s"\n')
    before = resident_kib(relay.process)
    crowd = Crowd(relay, 4, small_window=True)
    crowd.say(b"EHLO deaf.test\r\n")
    crowd.say(b"HELP\r\nNOOP\r\nEHLO deaf.test\r\n" * 40)
    loud = crowd.sockets[:CROWD // 3]
    stopped = sum(no_longer_read(client) for client in loud)
    equal(stopped, len(loud), "clients from whom the relay stops reading")
    judge(relay, hop, crowd, before, "replies not taken")
    relay.wait_for_total("server", "sessions", 0)  # it hangs up on all of them
    finish(relay, crowd)


def test_clients_that_say_nothing(lab):
    relay, hop = start(lab, timeouts='idle = "4s"\n')
    before = resident_kib(relay.process)
    crowd = Crowd(relay, 5)
    relay.wait_for_total("server", "sessions", CROWD)
    judge(relay, hop, crowd, before, "nothing said")
    relay.wait_for_total("server", "sessions", 0)  # it hangs up on all of them
    finish(relay, crowd)


def test_one_address_has_its_limit(lab):
    relay, hop = start(lab, server="sessions_per_client_max = 10\n")
    clients = []
    for number in range(40):
        client = socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE, source_address=("127.6.0.1", 0))
        clients.append(client)
    greetings = [client.recv(200)[:9] for client in clients]
    equal((greetings.count(b"220 relay"), greetings.count(b"421 4.7.0")), (10, 30), "greetings")
    check(honest_mail(relay, hop, 3) < 5 * SLOWNESS, "honest mail is slow")
    for client in clients:
        client.close()
    relay.wait_for_total("server", "sessions", 0)


def test_connections_that_come_and_go(lab):
    relay, hop = start(lab)
    before = resident_kib(relay.process)
    for number in range(CROWD * 4):
        client = socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE)
        if number % 3 == 0:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if number % 2 == 0:
            client.send(b"EHLO x\r\nMAIL FROM:<a@load.test>\r\n")
        client.close()
    slowest = honest_mail(relay, hop)
    relay.wait_for_total("server", "sessions", 0)
    used = resident_kib(relay.process) - before
    print(f"# {CROWD * 4} connections came and went: {used} KiB more than before, slowest {slowest * 1000:.0f} ms", flush=True)
    check(used < 20_000 * SLOWNESS, f"{used} KiB are left behind")
    equal(relay.process.stop(), 0, "the relay's exit status")


def test_empty_chunks_by_the_million(lab):
    """All of them answered, none of them kept."""
    chunks = 1_000_000 if "RINGMTA_ATTACKS_FULL" in os.environ else 50_000
    relay, hop = start(lab)
    before = resident_kib(relay.process)
    client = socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE)
    check(client.recv(200).startswith(b"220 "), "no greeting")
    client.sendall(b"EHLO x\r\nMAIL FROM:<a@load.test>\r\nRCPT TO:<b@sink.test>\r\n")
    heard = 0
    client.setblocking(False)
    unsent = memoryview(b"BDAT 0\r\n" * chunks)
    end = time.monotonic() + PATIENCE * 2
    wanted = chunks + 2
    tail = b""
    while heard < wanted:
        check(time.monotonic() < end, f"{heard} of {wanted} replies")
        readable, writable, _ = select.select([client], [client] if unsent else [], [], 1)
        if readable:
            piece = client.recv(1 << 16)
            check(piece, "the relay hung up")
            whole = tail + piece
            lines = whole.split(b"\r\n")
            tail = lines.pop()
            heard += sum(line.startswith(b"250 2.") for line in lines)
        if writable and unsent:
            unsent = unsent[client.send(unsent[:65536]):]
    used = resident_kib(relay.process) - before
    print(f"# {chunks} empty chunks: {used} KiB", flush=True)
    check(used < 10_000 * SLOWNESS, f"they cost {used} KiB")
    check(honest_mail(relay, hop, 3) < 5 * SLOWNESS, "honest mail is slow")
    client.close()


if __name__ == "__main__":
    main()
