# SPDX-License-Identifier: GPL-3.0-or-later
"""A running relay is told of other DNS servers: by its configuration, and by /etc/resolv.conf where that names none.

The file of the system is hidden behind one of the test's own, in a mount namespace that only this program and what it
starts live in; without root there is none, and that test is skipped.
"""

import os
import smtplib
import socket
import struct
import subprocess
import sys
import threading

from harness import Skip, check, equal, free_port, main, until

A, MX = 1, 15


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


class DnsServer:
    """Every domain has one MX, whose name says which server was asked, and which has this machine's address."""

    def __init__(self, name, address):
        self.name = name
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(address)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            question, client = self.socket.recvfrom(4096)
            end = question.index(b"\0", 12) + 5
            kind = struct.unpack(">H", question[end - 4:end - 2])[0]
            self.asked.append(kind)
            data = {MX: struct.pack(">H", 10) + wire(f"mx.{self.name}.test"), A: socket.inet_aton("127.0.0.1")}.get(kind)
            head = question[:2] + struct.pack(">5H", 0x8180, 1, 1 if data else 0, 0, 0)
            record = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 300, len(data)) + data if data else b""
            self.socket.sendto(head + question[12:end] + record, client)


def relay_of(lab, dns, shards=1):
    sink = lab.sink()
    return sink, lab.relay(None, shards=shards, sections=f"""
[client]
deliver_to_loopback = true
[mx]
port = {sink.port}
{dns}
""")


def send(relay, domain):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.sendmail("ann@load.test", [f"bob@{domain}"], b"Subject: hello\r\n\r\nbody\r\n")


def reload(relay):
    return relay.command("reload", "--socket", str(relay.control)).stdout


def test_servers_of_the_configuration_are_taken_by_every_shard(lab):
    old_port, new_port = free_port(), free_port()
    old, new = (DnsServer(name, ("127.0.0.1", port)) for name, port in (("old", old_port), ("new", new_port)))
    sink, relay = relay_of(lab, f'[dns]\nservers = ["127.0.0.1:{old_port}"]\n', shards=2)
    send(relay, "before.test")
    sink.wait_for(1)
    asked = len(old.asked)
    check(asked > 0 and not new.asked, f"{old.asked}, {new.asked}")
    text = relay.configuration.read_text()
    relay.configuration.write_text(text.replace(f"127.0.0.1:{old_port}", f"127.0.0.1:{new_port}"))
    told = reload(relay)
    check(f'dns.servers: ["127.0.0.1:{old_port}"] -> ["127.0.0.1:{new_port}"]\n' in told, told)
    for number in range(16):  # domains of both shards
        send(relay, f"after{number}.test")
    sink.wait_for(17)
    equal(len(old.asked), asked, "questions to the old server after the reload")
    equal(new.asked.count(MX), 16, "questions to the new one")
    relay.configuration.write_text(relay.configuration.read_text().replace("[dns]\n", '[dns]\nslow_after = "2s"\n'))
    told = reload(relay)
    check('dns.slow_after: "1s" -> "2s" (at the next start)' in told and "servers" not in told, told)


def hide_resolv_conf(text, lab):
    """Puts a file of ours where the system's is, for us and our children alone."""
    if os.environ.get("RINGMTA_OWN_MOUNTS") != "yes":
        raise Skip("there is no mount namespace (not root?)")
    file = lab.directory / "resolv.conf"
    file.write_text(text)
    subprocess.run(["mount", "--bind", str(file), "/etc/resolv.conf"], check=True)
    return file


def test_resolv_conf_is_read_again(lab):
    file = hide_resolv_conf("nameserver 127.83.1.1\n", lab)
    old, new = DnsServer("old", ("127.83.1.1", 53)), DnsServer("new", ("127.83.1.2", 53))
    sink, relay = relay_of(lab, "")
    send(relay, "before.test")
    sink.wait_for(1)
    check("no key has changed" in (told := reload(relay)), told)
    file.write_text("nameserver 127.83.1.2\nnameserver nonsense\n")
    told = relay.command("reload", "--socket", str(relay.control))
    check('dns.servers: ["127.83.1.1:53"] -> ["127.83.1.2:53"]\n' in told.stdout, told.stdout)
    check("/etc/resolv.conf: " in told.stdout + told.stderr, told.stdout + told.stderr)
    asked = len(old.asked)
    send(relay, "after.test")
    sink.wait_for(2)
    equal((len(old.asked), new.asked.count(MX)), (asked, 1), "questions to the old server and the new one")


def with_mounts_of_our_own():
    """Begins anew in a mount namespace, where there can be one."""
    tried = ["unshare", "--mount", "true"]
    if "RINGMTA_OWN_MOUNTS" in os.environ or os.geteuid() != 0:
        return
    try:
        can = subprocess.run(tried, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        can = False
    os.environ["RINGMTA_OWN_MOUNTS"] = "yes" if can else "no"
    if can:
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])


if __name__ == "__main__":
    with_mounts_of_our_own()
    main()
