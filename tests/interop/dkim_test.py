#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail signed by the running relay, judged by others' verifiers at the other end: thousands of odd
messages by DATA and BDAT, keys chosen by rule, keys exchanged by a reload, signatures that outlive
kill -9, and what the DNS says about the keys. Debian's Python, since that has Debian's dkim module."""

import os
import pathlib
import re
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "dkim"))
import odd_messages
import verifiers
from harness import check, equal, free_port, main, program, recorded, tool, until

COUNT = int(os.environ.get("RINGMTA_DKIM_MESSAGES", "2000"))
CRLF = b"\r\n"


class Key:
    """Made by `ringmta dkim key`; its line in the configuration."""

    def __init__(self, lab, domain, selector, kind, more=""):
        self.file = lab.directory / f"{selector}.{domain}.pem"
        self.name = f"{selector}._domainkey.{domain}"
        made = subprocess.run([program("RINGMTA"), "dkim", "key", "--domain", domain, "--selector", selector,
                               "--out", self.file, *kind], capture_output=True, text=True, check=True)
        self.record = "".join(re.findall(r'^    "([^"]*)"', made.stdout, re.MULTILINE))
        self.toml = (f'[[dkim.keys]]\ndomain = "{domain}"\nselector = "{selector}"\n'
                     f'key_file = "{self.file}"\n{more}\n')


ED25519, RSA1024, RSA2048, RSA3072 = ["--ed25519"], ["--bits", "1024"], [], ["--bits", "3072"]


class Client:
    """Speaks SMTP octet by octet, pipelining commands; content by DATA or by BDAT in pieces."""

    def __init__(self, relay):
        self.socket = socket.create_connection(("127.0.0.1", relay.port))
        self.replies = self.socket.makefile("rb")
        self.expect(b"220")
        self.say(b"EHLO client.test")
        self.expect(b"250")

    def say(self, line):
        self.socket.sendall(line + CRLF)

    def expect(self, code):
        while True:
            line = self.replies.readline()
            if line[3:4] != b"-":
                break
        check(line.startswith(code), f"wanted {code!r}, got {line!r}")
        return line

    def send(self, message, recipient, chunked=False):
        self.begin(message, recipient, chunked)
        return self.finish(chunked)

    def begin(self, message, recipient, chunked=False):
        self.say(b"MAIL FROM:<a@example.com> BODY=8BITMIME\r\nRCPT TO:<%s>" % recipient.encode())
        if chunked:
            half = len(message) // 2
            self.socket.sendall(b"BDAT %d\r\n" % half + message[:half])
            self.socket.sendall(b"BDAT %d LAST\r\n" % (len(message) - half) + message[half:])
        else:
            self.say(b"DATA")
            lines = message.split(CRLF)
            stuffed = CRLF.join(b"." + line if line.startswith(b".") else line for line in lines)
            self.socket.sendall(stuffed + b".\r\n")

    def finish(self, chunked=False, wanted=b"250"):
        self.expect(b"250")
        self.expect(b"250")
        self.expect(b"250" if chunked else b"354")
        return self.expect(wanted)

    def close(self):
        self.say(b"QUIT")
        self.expect(b"221")
        self.socket.close()


def arrived(sink, count):
    """Messages by the local part of their recipient."""
    sink.wait_for(count)

    def all_there():
        found = recorded(sink)
        return found if len(found) >= count else None
    found = {}
    for envelope, message in until(all_there, f"{count} messages on disk"):
        recipient = re.search(r"<([^>@]*)@sink\.test>", "\n".join(envelope)).group(1)
        check(recipient not in found, f"{recipient} twice")
        found[recipient] = message
    return found


def signatures(message):
    """(domain, selector) of each, from the top."""
    head = message.split(b"\r\n\r\n", 1)[0].replace(b"\r\n\t", b"").replace(b"\r\n ", b"")
    found = []
    for line in head.split(CRLF):
        if line.startswith(b"DKIM-Signature:"):
            tags = dict(part.strip().split(b"=", 1) for part in line.split(b":", 1)[1].split(b";") if b"=" in part)
            found.append((tags[b"d"].decode(), tags[b"s"].decode()))
    return found


def records(*keys):
    return {key.name: key.record for key in keys}


def simple(sender, more=b""):
    return b"From: %s\r\nSubject: hello\r\n%s\r\nbody\r\n" % (sender.encode(), more)


def test_odd_messages_verify_at_the_other_end(lab):
    keys = [Key(lab, "example.com", "rsa", RSA2048), Key(lab, "example.com", "ed", ED25519, 'header = "simple"'),
            Key(lab, "esp.test", "old", RSA1024, 'from = ["*"]\nbody = "simple"\nlifetime = "30d"'),
            Key(lab, "esp.test", "big", RSA3072, 'from = ["*"]\nheader = "simple"\nbody = "simple"\ntimestamp = false'
                '\ntenants = ["rare"]')]
    sink = lab.sink(record=True)
    relay = lab.relay([sink.address()], shards=2, sections="[dkim]\n" + "".join(key.toml for key in keys))
    clients = [Client(relay) for _ in range(8)]
    for first in range(0, COUNT, len(clients)):  # all of them at once, so that signatures come in batches
        batch = list(zip(range(first, min(first + len(clients), COUNT)), clients))
        for seed, client in batch:
            client.begin(odd_messages.message(seed), f"s{seed}@sink.test", seed % 3 == 0)
        for seed, client in batch:
            client.finish(seed % 3 == 0)
    for client in clients:
        client.close()
    found = arrived(sink, COUNT)
    judges = [judge(records(*keys)) for judge in (verifiers.DkimPy, verifiers.OpenDkim, verifiers.MailAuth)]
    for seed in range(COUNT):
        message = found[f"s{seed}"]
        check(message.startswith(b"DKIM-Signature:"), f"{seed}: {message[:80]!r}")
        sent = odd_messages.message(seed)
        check(message.endswith(sent), f"{seed}: the content changed")
        for judge in judges:
            equal(odd_messages.disagreement(judge.name, judge.verify(message), sent, [False, True, False]), None,
                  f"{judge.name} about {seed}")
    for judge in judges:
        judge.close()
    relay.wait_for_total("server", "dkim_messages", COUNT)
    relay.wait_for_total("server", "dkim_signatures", 3 * COUNT)
    equal(relay.total("server", "dkim_failures"), 0, "failures")
    equal(relay.total("server", "dkim_waiting"), 0, "waiting")


def test_what_the_relay_adds_is_signed_too(lab):
    key = Key(lab, "example.com", "rsa", RSA2048)
    sink = lab.sink(record=True)
    relay = lab.relay([sink.address()], sections=key.toml)
    client = Client(relay)
    client.send(simple("a@example.com"), "one@sink.test")
    message = arrived(sink, 1)["one"]
    judge = verifiers.DkimPy(records(key))
    equal(judge.verify(message), ["pass"], "as it arrived")
    equal(judge.verify(b"Received: from a by b; Tue, 24 Nov 2026 10:00:00 +0000\r\n" + message), ["pass"], "after a hop")
    for name in (b"Date", b"Message-ID", b"From", b"Subject"):
        check(b"\r\n" + name + b": " in message, f"{name} is missing")
        check(judge.verify(message.replace(b"\r\n" + name + b": ", b"\r\n" + name + b": x")) != ["pass"],
              f"{name} is not signed")
        check(judge.verify(b"%s: another\r\n" % name + message) != ["pass"], f"another {name} passes")


def test_keys_are_chosen_by_rule(lab):
    keys = [Key(lab, "example.com", "far", ED25519), Key(lab, "news.example.com", "near", ED25519),
            Key(lab, "esp.test", "all", ED25519, 'from = ["*"]'), Key(lab, "sub.test", "below", ED25519, 'from = [".sub.test"]'),
            Key(lab, "other.test", "tenant", ED25519, 'from = ["*"]\ntenants = ["nobody"]'),
            Key(lab, "xn--mnchen-3ya.test", "idn", ED25519)]
    sink = lab.sink(record=True)
    relay = lab.relay([sink.address()], sections="".join(key.toml for key in keys))
    client = Client(relay)
    wanted = {
        "a@example.com": ["far", "all"], "a@www.EXAMPLE.com": ["far", "all"], "A <a@news.example.com>": ["near", "all"],
        "a@x.news.example.com": ["near", "all"], "a@notexample.com": ["all"], "a@sub.test": ["all"],
        "a@x.sub.test": ["all", "below"], "a@m\u00fcnchen.test": ["all", "idn"], "nobody": []}
    for number, sender in enumerate(wanted):
        client.send(b"From: " + sender.encode() + b"\r\nSubject: x\r\n\r\nbody\r\n", f"r{number}@sink.test")
    found = arrived(sink, len(wanted))
    for number, (sender, selectors) in enumerate(wanted.items()):
        equal([selector for _, selector in signatures(found[f"r{number}"])], selectors, sender)


def test_a_reload_exchanges_keys_and_a_bad_one_changes_nothing(lab):
    old, new = Key(lab, "example.com", "old", RSA2048), Key(lab, "example.com", "new", RSA2048)
    sink = lab.sink(record=True)
    relay = lab.relay([sink.address()], shards=2, sections="# keys\n")
    client = Client(relay)

    def with_keys(text):
        whole = relay.configuration.read_text()
        relay.configuration.write_text(whole.split("# keys\n")[0] + "# keys\n" + text)

    def signed_by(name):
        before = len(recorded(sink))
        client.send(simple("a@example.com"), f"{name}@sink.test")
        return [selector for _, selector in signatures(arrived(sink, before + 1)[name])]
    equal(signed_by("none"), [], "without keys")
    with_keys(old.toml)
    relay.command("reload", "--socket", str(relay.control))
    equal(signed_by("first"), ["old"], "after the first reload")
    with_keys(new.toml)
    relay.command("reload", "--socket", str(relay.control))
    equal(signed_by("second"), ["new"], "after the second")
    # The same file with another key in it: nothing in the configuration has changed.
    other = Key(lab, "example.com", "other", RSA2048)
    new.file.write_bytes(other.file.read_bytes())
    relay.command("reload", "--socket", str(relay.control))
    client.send(simple("a@example.com"), "third@sink.test")
    message = arrived(sink, 4)["third"]
    equal(verifiers.DkimPy({new.name: other.record}).verify(message), ["pass"], "with the file's new key")
    new.file.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    check(relay.command("reload", "--socket", str(relay.control), check=False).returncode != 0, "a bad key was taken")
    client.send(simple("a@example.com"), "fourth@sink.test")
    message = arrived(sink, 5)["fourth"]
    equal(verifiers.DkimPy({new.name: other.record}).verify(message), ["pass"], "with the key from before")
    with_keys("")
    relay.command("reload", "--socket", str(relay.control))
    equal(signed_by("fifth"), [], "when there are no keys any more")


def test_signatures_outlive_kill_nine(lab):
    key = Key(lab, "example.com", "rsa", RSA2048)
    port = free_port()  # nobody listens there yet
    relay = lab.relay([f"127.0.0.1:{port}"], shards=2, sections=key.toml)
    client = Client(relay)
    for number in range(50):
        client.send(odd_messages.message(number), f"k{number}@sink.test", number % 2 == 0)
    relay.process.kill()
    whole = relay.configuration.read_text()
    relay.configuration.write_text(whole.replace(key.toml, ""))  # it cannot be signed again
    key.file.unlink()
    sink = lab.sink(record=True, port=port)
    relay.start()
    judge = verifiers.DkimPy(records(key))
    for name, message in arrived(sink, 50).items():
        sent = odd_messages.message(int(name[1:]))
        equal(odd_messages.disagreement(judge.name, judge.verify(message), sent, [False]), None, name)


def test_notifications_of_the_relay_are_signed(lab):
    """By the key of their From's domain, or one for all; not by one that is for some tenants. Judged by dkimpy, after a
    restart, too."""
    own, every = Key(lab, "relay.test", "own", RSA2048), Key(lab, "esp.test", "all", ED25519, 'from = ["*"]')
    tenant = Key(lab, "relay.test", "tenant", ED25519, 'tenants = ["acme"]')
    rules = lab.directory / "rules.toml"
    rules.write_text('[[rule]]\nphase = "rcpt"\ndomain = "refused.test"\nreply = "550 5.1.1 nobody"\n')
    port = free_port()
    relay = lab.relay([f"127.0.0.1:{port}"], shards=2, sections="".join(key.toml for key in (own, every, tenant)))
    client = Client(relay)
    for number in range(20):
        client.say(b"MAIL FROM:<sender%d@sink.test> RET=%s\r\nRCPT TO:<bob@refused.test>\r\nDATA"
                   % (number, [b"HDRS", b"FULL"][number % 2]))
        client.socket.sendall(simple("a@example.com", b"X-Odd: \t x \r\n").replace(b"\r\nbody", b"\r\n..\r\nbody")
                              + b".\r\n")
        client.finish()
    client.close()
    sink = lab.sink("--replies", rules, record=True, port=port)
    found = arrived(sink, 20)
    judge = verifiers.DkimPy(records(own, every))
    for name, message in found.items():
        check(name.startswith("sender"), name)
        equal(signatures(message), [("relay.test", "own"), ("esp.test", "all")], name)
        check(b"\r\nFrom: Mail Delivery System <MAILER-DAEMON@relay.test>\r\n" in message, message[:2000])
        equal(judge.verify(message), ["pass", "pass"], f"{name}: {message[:3000]!r}")
        check(judge.verify(message.replace(b"Action: failed", b"Action: delayed")) != ["pass", "pass"], "changed")
    judge.close()
    relay.wait_for_total("queue", "dsns", 20)
    equal(relay.total("server", "dkim_failures"), 0, "failures")
    until(lambda: relay.total("queue", "messages") == 0, "an empty queue")


def test_notifications_go_unsigned_without_a_key(lab):
    rules = lab.directory / "rules.toml"
    rules.write_text('[[rule]]\nphase = "rcpt"\ndomain = "refused.test"\nreply = "550 5.1.1 nobody"\n')
    sink = lab.sink("--replies", rules, record=True)
    relay = lab.relay([sink.address()], sections=Key(lab, "example.com", "other", ED25519).toml)
    client = Client(relay)
    client.say(b"MAIL FROM:<sender@sink.test>\r\nRCPT TO:<bob@refused.test>\r\nDATA")
    client.socket.sendall(simple("a@example.com") + b".\r\n")
    client.finish()
    equal(signatures(arrived(sink, 1)["sender"]), [], "the notification")


def test_check_asks_the_dns(lab):
    right, wrong = Key(lab, "example.com", "right", RSA2048), Key(lab, "example.com", "wrong", ED25519)
    missing = Key(lab, "example.com", "missing", RSA2048)
    port = free_port()
    zone = lab.directory / "zone"
    strings = " ".join(f'"{right.record[at:at + 255]}"' for at in range(0, len(right.record), 255))
    zone.write_text(f'$ORIGIN example.com.\n@ 60 IN SOA ns root 1 60 60 60 60\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\n'
                    f'right._domainkey 60 IN TXT {strings}\nalias._domainkey 60 IN CNAME right._domainkey\n'
                    f'wrong._domainkey 60 IN TXT "v=DKIM1; k=ed25519; p=AAAA"\n')
    (lab.directory / "nsd.conf").write_text(f"""server:
  ip-address: 127.0.0.1
  port: {port}
  username: ""
  zonesdir: "{lab.directory}"
  database: ""
  pidfile: "{lab.directory}/nsd.pid"
  xfrdfile: ""
  zonelistfile: "{lab.directory}/zone.list"
zone:
  name: example.com
  zonefile: zone
""")
    nsd = lab.start("nsd", [tool("nsd", "nsd"), "-d", "-c", lab.directory / "nsd.conf"])
    nsd.wait_for_port(port)

    def ask(key, selector):
        return subprocess.run([program("RINGMTA"), "dkim", "check", "--key", key.file, "--domain", "example.com",
                               "--selector", selector, "--server", f"127.0.0.1:{port}"],
                              capture_output=True, text=True, check=False, timeout=60)
    for selector in ("right", "alias"):
        answer = ask(right, selector)
        equal(answer.returncode, 0, answer.stdout + answer.stderr)
        check("the published key is that of the private one (RSA, 2048 bits)" in answer.stdout, answer.stdout)
    answer = ask(wrong, "wrong")
    equal(answer.returncode, 1, answer.stdout)
    check("another private key" in answer.stdout, answer.stdout)
    answer = ask(missing, "missing")
    equal(answer.returncode, 1, answer.stdout)
    check("no record is published" in answer.stdout and missing.record[:100] in answer.stdout, answer.stdout)
    nsd.stop()
    equal(ask(right, "right").returncode, 4, "without a DNS")


if __name__ == "__main__":
    main()
