#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody to deliver to: all next hops gone, or no DNS. Mail is taken and kept, the operator is answered,
and when the world is back everything is delivered, once, without anybody's help. (For a day of it, see
tests/simulation.)"""

import socket
import struct
import threading

from harness import check, equal, free_port, load, main, until
from want import FULL, LimitedRelay

MESSAGES = 200_000 if FULL else 5_000


def hand_in(relay):
    """In parts, with the operator asking in between."""
    for part in range(5):
        load(relay, "--messages", MESSAGES // 5, "--sessions", 40, "--domains", 20, "--run", f"away{part}")
        status = relay.status_now()
    until(lambda: relay.total("queue", "recipients") == MESSAGES, f"{MESSAGES} recipients in the queue")
    return status


def delivered(relay, sink):
    report = until(lambda: (lambda r: r if r["verify"]["deliveries_unique"] >= MESSAGES else None)(sink.report()),
                   f"{MESSAGES} deliveries", patience=300)
    until(lambda: relay.status_now()["shards"][0]["queue"]["recipients"] == 0, "the queue to be empty")
    for what in ("corrupt", "duplicates"):
        equal(report["verify"][what], 0, what)


def test_all_next_hops_gone_and_back(lab):
    port = free_port()
    relay = LimitedRelay(lab, [f"127.0.0.1:{port}"], sections='[client]\nhost_retry_after = "1s"\nhost_retry_longest = "1s"\n')
    hand_in(relay)
    delivered(relay, lab.sink(verify=True, port=port))


class Names:
    """A DNS server for one world: every domain's mail is at mx.test, and that is 127.0.0.1."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.asked = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            question, peer = self.socket.recvfrom(4096)
            end = question.index(b"\0", 12) + 5
            kind = struct.unpack("!H", question[end - 4:end - 2])[0]
            data = {15: b"\0\x0a\x02mx\x04test\0", 1: bytes([127, 0, 0, 1])}.get(kind, b"")
            record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data if data else b""
            header = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1 if data else 0, 0, 0)
            self.asked += 1
            self.socket.sendto(header + question[12:end] + record, peer)


def test_dns_gone_and_back(lab):
    names_port = free_port()
    sink = lab.sink(verify=True)
    relay = LimitedRelay(
        lab, None, retry="expire_after = \"1h\"",
        sections=f'[dns]\nservers = ["127.0.0.1:{names_port}"]\nquery_timeout = "2s"\n[dns.cache]\nfailure_ttl = "1s"\n'
                 f'[mx]\nport = {sink.port}\ninet6 = false\n[client]\ndeliver_to_loopback = true\n')
    hand_in(relay)
    check(sink.report()["deliveries"] == 0, "delivered without a name")
    names = Names(names_port)
    delivered(relay, sink)
    check(names.asked > 0, "nobody asked")


if __name__ == "__main__":
    main()
