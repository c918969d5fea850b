# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of exhaustion share: sessions that stay, the operator's patience, limits on a process.

RINGMTA_EXHAUSTION=full takes the large sizes (20,000 sessions, a million recipients, 512 MB)."""

import json
import os
import re
import socket
import subprocess
import time

from harness import PATIENCE, Relay, check, free_port, program

FULL = os.environ.get("RINGMTA_EXHAUSTION") == "full"
OPERATOR_WAIT_S = 2.0 * (5 if os.environ.get("RINGMTA_BUILD") == "sanitize" else 1)


class LimitedRelay(Relay):
    """Started by `before`: words of a command that ends in exec."""

    def __init__(self, lab, hosts, before=(), env=None, **options):
        self.before, self.env = list(before), env
        base = dict(extra="", shards=1, port=free_port(), sections="", retry="", route="", server="")
        base.update(options)
        super().__init__(lab, hosts, base["extra"], base["shards"], base["port"], base["sections"], base["retry"],
                         base["route"], base["server"])

    def start(self):
        env = None if self.env is None else {**os.environ, **self.env}
        self.process = self.lab.start("relay", [*self.before, program("RINGMTA"), "serve", "-c", self.configuration], env)
        self.process.wait_for_port(self.port)

    def status_now(self):
        """The operator's answer; it has to come soon, whatever the relay lacks."""
        begun = time.monotonic()
        done = subprocess.run([program("RINGMTA"), "status", "--json", "--socket", str(self.control)],
                              capture_output=True, text=True, timeout=PATIENCE, check=False)
        took = time.monotonic() - begun
        check(done.returncode == 0, f"ringmta status fails: {done.stderr}{self.process.words()}")
        check(took < OPERATOR_WAIT_S, f"ringmta status took {took:.1f} s")
        return json.loads(done.stdout)

    def memory_kib(self, what="VmRSS"):
        with open(f"/proc/{self.process.pid()}/status", encoding="ascii") as file:
            return int(re.search(rf"^{what}:\s+(\d+) kB", file.read(), re.MULTILINE).group(1))


def answer(client):
    """A whole reply, or None when the client was not answered in time."""
    text = b""
    try:
        while not re.search(rb"(?m)^\d{3} .*\n", text):
            piece = client.recv(4096)
            if not piece:
                return text.decode() or None
            text += piece
    except TimeoutError:
        return None
    return text.decode()


def open_session(port, source="127.0.0.1", hello=True, timeout=PATIENCE):
    client = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
    greeting = answer(client)
    if hello and greeting is not None and greeting.startswith("220"):
        client.sendall(b"EHLO client.test\r\n")
        greeting = answer(client)
    return client, greeting

