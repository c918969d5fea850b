#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGTERM in the middle of everything: sessions idle, in an envelope and in a content, deliveries that a
next hop does not answer, mail queued, the operator connected. The relay leaves by itself, with status 0; in the
build with ASan its leak checker then has nothing to say."""

import socket

from harness import check, equal, load, main, until
from want import LimitedRelay, open_session

# Answers everything but the end of a message.
STALLS = '[[rule]]\nphase = "dot"\nstall = true\n'


def test_everything_open(lab):
    rules = lab.directory / "rules.toml"
    rules.write_text(STALLS)
    sink = lab.sink("--replies", rules)
    relay = LimitedRelay(lab, [sink.address()], extra='shutdown_max = "2s"', shards=2)
    load(relay, "--messages", 3000, "--sessions", 30, "--size", "mix")
    until(lambda: relay.total("queue", "active") > 0, "deliveries to be under way")
    clients = []
    for stage in ([], [b"MAIL FROM:<a@b.test>\r\n"],
                  [b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"],
                  [b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n", b"Subject: half\r\n\r\n" + b"x" * 100_000]):
        for _ in range(10):
            client, _ = open_session(relay.port)
            for piece in stage:
                client.sendall(piece)
            clients.append(client)
    operator = socket.socket(socket.AF_UNIX)
    operator.connect(str(relay.control))
    relay.wait_for_total("server", "sessions", len(clients))
    equal(relay.process.stop(), 0, f"exit status; {relay.process.words()}")
    words = relay.process.words()
    for bad in ("LeakSanitizer", "AddressSanitizer", "runtime error", "assertion"):
        check(bad not in words, words)
    cut_off = [event for event in relay.events("deferred") if event.get("possible_duplicate")]
    check(len(cut_off) > 0, "the end of what was cut off was not written down")
    for client in clients:
        client.close()
    operator.close()
    # What was accepted is there.
    relay.start()
    relay.wait_for_total("queue", "recipients", 3000)
    equal(relay.process.stop(), 0, "exit status")


if __name__ == "__main__":
    main()
