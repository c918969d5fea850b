#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Too few descriptors: nobody new is served, everybody else is, the operator above all; and when some
come back the relay goes on by itself."""

import os
import socket
import subprocess

from harness import check, equal, free_port, load, main, tool, until
from want import LimitedRelay, answer, open_session

LIMIT = 200


def limited(lab, hosts):
    return LimitedRelay(lab, hosts, [tool("prlimit", "util-linux"), f"--nofile={LIMIT}:{LIMIT}"])


def descriptors_of(relay):
    return {int(name) for name in os.listdir(f"/proc/{relay.process.pid()}/fd")}


def set_limit(relay, limit):
    subprocess.run([tool("prlimit", "util-linux"), "--pid", str(relay.process.pid()), f"--nofile={limit}:{LIMIT * 100}"],
                   check=True)


def test_more_clients_than_descriptors(lab):
    sink = lab.sink(verify=True)
    relay = limited(lab, [sink.address()])
    clients = []
    for _ in range(2 * LIMIT):  # connected by the kernel in any case
        client = socket.create_connection(("127.0.0.1", relay.port), timeout=30)
        client.settimeout(0.2)
        clients.append(client)
    served = [client for client in clients if (answer(client) or "").startswith("220")]
    check(40 <= len(served) < LIMIT, f"{len(served)} clients were served with {LIMIT} descriptors")
    for _ in range(5):
        status = relay.status_now()
        check(status["shards"][0]["server"]["sessions"] >= len(served), "the operator is told something else")
    check(len(descriptors_of(relay)) < LIMIT, "the last descriptor is used")
    # Those who are served can hand in mail, and it is delivered: connections out have a share of their own.
    one = served[0]
    one.settimeout(30)
    for command in (b"EHLO c.test\r\n", b"MAIL FROM:<a@b.test>\r\n", b"RCPT TO:<c@d.test>\r\n", b"DATA\r\n",
                    b"Subject: x\r\n\r\nx\r\n.\r\n"):
        one.sendall(command)
        reply = answer(one)
        check(reply is not None and reply[0] in "23", f"{command!r}: {reply!r}")
    sink.wait_for(1)
    for client in clients:
        client.close()
    # It recovers by itself.
    until(lambda: relay.total("server", "sessions") == 0, "the sessions to end")
    load(relay, "--messages", 500, "--sessions", 20)
    sink.wait_for(501)
    equal(sink.report()["verify"]["duplicates"], 0, "duplicates")
    words = relay.process.words()
    check("open files" in words, f"start-up does not say what the limit means:\n{words}")


def test_the_operator_when_none_is_left(lab):
    """Taken away at run time, as a library in the process might do it: the control socket has one in reserve."""
    sink_port = free_port()
    relay = LimitedRelay(lab, [f"127.0.0.1:{sink_port}"])
    until(lambda: relay.total("shard", "streams_open") == 0, "the first connection to be gone")
    # No number below the limit is free. (An accept that is armed keeps the limit it began with.)
    used = until(lambda: (lambda d: d if len(d) > 8 else None)(descriptors_of(relay)), "descriptors")
    set_limit(relay, min(set(range(LIMIT)) - used))
    for _ in range(3):
        relay.status_now()
    set_limit(relay, LIMIT)
    sink = lab.sink(port=sink_port)
    load(relay, "--messages", 100, "--retry", 60)  # the spool may have missed a segment meanwhile, and says 452
    sink.wait_for(100)
    session, greeting = open_session(relay.port)
    check(greeting.startswith("250"), greeting)
    session.close()


if __name__ == "__main__":
    main()
