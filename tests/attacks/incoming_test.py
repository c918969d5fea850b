#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the relay's listeners, from the cases in in/. Each case is a connection that says octets
and compares what it hears; what was accepted must be delivered once, with the envelope that was
meant, to a next hop that writes down every octet it got; nothing smuggled may be among it.
"""

import base64
import os
import pathlib
import re
import select
import signal
import socket
import ssl
import sys
import time
import traceback

import cases
import lenient
import next_hop
from harness import PATIENCE, Lab, check, equal, free_port, program, until

HERE = pathlib.Path(__file__).parent
CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
PASSWORD = "the right one"


class Line:
    """A connection that never blocks on sending while there is something to be read."""

    def __init__(self, port, source):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE,
                                               source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = b""
        self.ended = False

    def receive(self, patience):
        """Whatever comes within the time; false: nothing did."""
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        if not pending and not select.select([self.socket], [], [], patience)[0]:
            return False
        try:
            piece = self.socket.recv(65536)
        except ssl.SSLWantReadError:
            return True
        except (ConnectionError, ssl.SSLError):
            piece = b""
        self.ended = self.ended or not piece
        self.heard += piece
        return True

    def send(self, octets):
        view = memoryview(octets)
        self.socket.settimeout(0)
        end = time.monotonic() + PATIENCE
        try:
            while view and not self.ended:
                check(time.monotonic() < end, "the relay neither took nor answered anything")
                readable, writable, _ = select.select([self.socket], [self.socket], [], 1)
                if readable:
                    self.receive(0)
                if writable:
                    try:
                        view = view[self.socket.send(view[:65536]):]
                    except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                        pass
                    except OSError:  # it has enough of us
                        self.ended = True
        finally:
            self.socket.settimeout(PATIENCE)

    def reply(self):
        """The next whole reply; None: the connection is over."""
        end = time.monotonic() + PATIENCE
        while True:
            at = 0
            while (newline := self.heard.find(b"\n", at)) >= 0:
                line = self.heard[at:newline + 1]
                at = newline + 1
                if line[3:4] != b"-":
                    reply, self.heard = self.heard[:at], self.heard[at:]
                    return reply
            if self.ended:
                return None
            check(time.monotonic() < end, f"no reply came; so far: {self.heard[-200:]!r}")
            self.receive(1)

    def closed(self):
        end = time.monotonic() + PATIENCE
        while not self.ended:
            check(time.monotonic() < end, "the connection stays open")
            self.receive(1)

    def handshake(self):
        context = ssl.create_default_context(cafile=CERTIFICATES / "root.pem")
        self.socket = context.wrap_socket(self.socket, server_hostname="mail.example.com")


class Targets:
    """Two relays: one that takes everything from loopback, one that is strict in all it can be."""

    def __init__(self, lab):
        self.hops = {"open": next_hop.Recorder(chunking=False), "strict": next_hop.Recorder(chunking=True)}
        users = lab.directory / "users"
        import subprocess
        done = subprocess.run([program("RINGMTA"), "password", "ann", "--file", users, "--iterations", "4096"],
                              input=PASSWORD + "\n", capture_output=True, text=True, timeout=60, check=False)
        equal(done.returncode, 0, done.stderr)
        certificate = (f'[[server.tls.certificate]]\ncertificate = "{CERTIFICATES}/mail_ecdsa.pem"\n'
                       f'key = "{CERTIFICATES}/mail_ecdsa.key"\n')
        self.ports = {"plain": free_port(), "tls": free_port(), "strict": free_port()}
        key = lab.directory / "dkim.pem"
        done = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True,
                              capture_output=True)
        key.chmod(0o600)
        self.relays = {}
        self.relays["open"] = lab.relay(
            [self.hops["open"].address()], port=self.ports["plain"],
            server=f'listen_tls = ["127.0.0.1:{self.ports["tls"]}"]\nmessage_size_max = "4MiB"\n',
            sections=certificate + f'[dkim]\n[[dkim.keys]]\ndomain = "relay.test"\nselector = "s"\nkey_file = "{key}"\n'
                                   'from = ["*"]\n')
        self.open_home = lab.directory
        lab.directory = lab.directory / "strict"  # a place of its own
        lab.directory.mkdir()
        self.relays["strict"] = lab.relay(
            [self.hops["strict"].address()], port=self.ports["strict"],
            server='relay_networks = []\ngreeting_delay = "200ms"\nrecipients_max = 5\nline_length_max = 512\n'
                   'message_size_max = "64KiB"\ntext_line_length_max = 998\nerrors_max = 10\ncommands_max = 60\n'
                   'messages_max = 4\nhops_max = 10\n',
            sections=f'[auth]\nusers = "{users}"\nclear_networks = ["127.0.0.0/8"]\nfailures_max = 3\n'
                     'network_failures_max = 6\ndelay_max = "500ms"\n')
        lab.directory = self.open_home

    def of(self, case):
        return "strict" if case.one("listener") == "strict" else "open"


class Play:
    """One case on one connection."""

    def __init__(self, case, targets):
        self.case = case
        listener = case.one("listener", "plain")
        self.line = Line(targets.ports[listener], case.one("from"))
        self.last = b""
        self.asked = time.monotonic()

    def run(self):
        if self.case.one("listener") == "tls":
            self.line.handshake()
        for step in self.case.steps:
            handler = getattr(self, "do_" + step.word.replace("-", "_"), None)
            if handler is None:
                raise ValueError(f"'{step.word}' is no directive")
            try:
                handler(step.text)
            except (AssertionError, OSError) as problem:
                raise AssertionError(f"{self.case.file}:{step.line} ({self.case.name}, form {self.case.form!r}): "
                                     f"{step.word} {step.text[:80]}: {problem}") from None
        self.line.socket.close()

    # ---- directives about the whole case, looked at elsewhere
    def do_listener(self, text):
        pass
    do_from = do_about = do_accepted = do_listener

    # ---- what is said
    def do_send(self, text):
        self.asked = time.monotonic()
        self.line.send(self.case.octets(text))

    def do_hello(self, _text):
        """Greeting and EHLO."""
        self.do_expect("220 ")
        self.do_send(r"EHLO client.test\r\n")
        self.do_expect("250 ")

    def do_envelope(self, _text):
        self.do_hello("")
        self.do_send(r"MAIL FROM:<{case}@load.test>\r\nRCPT TO:<bob@sink.test>\r\n")
        self.do_expect("250 2.1.0")
        self.do_expect("250 2.1.5")

    def do_data(self, text):
        """DATA and its content, the closing included, after the 354."""
        self.do_send(r"DATA\r\n")
        self.do_expect("354 ")
        self.do_send(text)

    def do_chunk(self, text):
        self.bdat(text, b"")

    def do_last(self, text):
        self.bdat(text, b" LAST")

    def bdat(self, text, last):
        octets = self.case.octets(text)
        self.asked = time.monotonic()
        self.line.send(b"BDAT %d%s\r\n" % (len(octets), last) + octets)

    def do_tls(self, _text):
        self.line.handshake()

    def do_login(self, text):
        """AUTH PLAIN with name and password."""
        name, _, password = self.case.octets(text).partition(b" ")
        octets = b"\0" + name + b"\0" + password
        self.asked = time.monotonic()
        self.line.send(b"AUTH PLAIN " + base64.b64encode(octets) + b"\r\n")

    # ---- what is heard
    def do_expect(self, text):
        reply = self.line.reply()
        check(reply is not None, f"the connection ended before '{text}'; heard last: {self.last!r}")
        self.last = reply
        for octet in reply:
            check(octet in (0x0D, 0x0A) or 0x20 <= octet < 0x7F, f"not printable: {reply!r}")
        lines = reply.split(b"\r\n")
        check(lines[-2].decode().startswith(text), f"heard {reply[-300:]!r}")

    def do_times(self, text):
        """N CODE: so many of the reply."""
        count, _, words = text.partition(" ")
        for _ in range(int(count)):
            self.do_expect(words)

    def do_has(self, text):
        check(self.case.octets(text) in self.last, f"is not in {self.last!r}")

    def do_lacks(self, text):
        check(self.case.octets(text) not in self.last, f"is in {self.last!r}")

    def do_within(self, text):
        """Seconds from the last thing said to the last reply."""
        took = time.monotonic() - self.asked
        check(took < float(text) * PATIENCE / 60, f"took {took:.1f} s")

    def do_after(self, text):
        took = time.monotonic() - self.asked
        check(took >= float(text), f"took {took:.2f} s only")

    def do_quit(self, _text):
        """Nothing more was to come: the next reply is QUIT's."""
        self.do_send(r"QUIT\r\n")
        self.do_expect("221 ")
        self.do_closed("")

    def do_closed(self, _text):
        self.line.closed()
        equal(self.line.heard, b"", "heard before the end")

    def do_gone(self, _text):
        """The connection ends; what else is said does not matter."""
        self.line.closed()

    def do_hang_up(self, _text):
        self.line.socket.close()
        self.line.ended = True


def judge_deliveries(targets, of, played):
    """What the next hop got is what was accepted, and to a lenient reader one message each."""
    wanted = {}
    either = set()  # cases that may be taken or refused, as long as they are quick
    for case in played:
        accepted = case.one("accepted", "0")
        if accepted == "any":
            either.add(f"{case.name}@load.test")
        elif accepted != "0":
            wanted[f"{case.name}@load.test"] = int(accepted)
    hop, relay = targets.hops[of], targets.relays[of]
    sure = sum(wanted.values())
    until(lambda: len([one for one in hop.messages if one.sender not in either]) >= sure,
          f"{sure} messages at the next hop: {len(hop.messages)}")
    relay.wait_for_total("queue", "messages", 0)
    got = {}
    for message in hop.messages:
        if message.sender not in either:
            got[message.sender] = got.get(message.sender, 0) + 1
        check(message.chunked or not lenient.trouble(message.wire),
              f"what was sent for {message.sender}: {lenient.trouble(message.wire)}")
        if message.chunked:  # a host after the next may get it by DATA: nothing in it may be an end
            stuffed = b"".join(b"." + line if line.startswith(b".") else line
                               for line in message.wire.splitlines(keepends=True)) + b".\r\n"
            check(not lenient.trouble(stuffed), f"sent by BDAT for {message.sender}: {lenient.trouble(stuffed)}")
        if message.sender.startswith("content-without-a-header-section@"):
            head = message.wire.partition(b"\r\n\r\n")[0].split(b"\r\n")
            check(all(re.match(rb"[ \t]|(DKIM-Signature|Received|Date|Message-ID): ", line) for line in head)
                  and head[-1].startswith(b"Message-ID: "), f"among the relay's own fields: {head}")
        if message.recipients != ["bob@sink.test"]:
            check(not any("smuggled" in one for one in message.recipients), f"smuggled: {message.recipients}")
    equal(got, wanted, f"messages at the next hop of the {of} relay, by sender")
    check(not any("smuggled" in event.get("sender", "") + event.get("recipient", "") for event in relay.events()),
          "a smuggled envelope is among the events")
    for line in relay.events_file.read_bytes().split(b"\n"):
        check(all(octet >= 0x20 and octet != 0x7F for octet in line), f"a control in an event: {line!r}")
    log = pathlib.Path(relay.process.log).read_bytes()
    check(b"\x1b" not in log.replace(b"\x1b[", b"") and b"\0" not in log, "a control in the log")
    check(PASSWORD.encode() not in log and base64.b64encode(b"\0ann\0" + PASSWORD.encode()) not in log,
          "a password in the log")


def talk_before_the_accept(targets):
    """Octets that are there before the relay can know of their connection, while it stands still: 554, each time."""
    pid = targets.relays["open"].process.pid()
    for _ in range(20):
        os.kill(pid, signal.SIGSTOP)
        try:
            tasks = pathlib.Path(f"/proc/{pid}/task")
            until(lambda: all(" T " in (task / "stat").read_text().rpartition(")")[2][:3]
                              for task in tasks.iterdir()), "all threads of the relay stand still")
            line = Line(targets.ports["plain"], None)
            line.send(b"EHLO x\r\nNOOP\r\n")
        finally:
            os.kill(pid, signal.SIGCONT)
        equal(line.reply(), b"554 5.5.1 You spoke before the greeting\r\n", "the first reply")
        line.closed()
        line.socket.close()


def resident_kib(process):
    status = pathlib.Path(f"/proc/{process.pid()}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def main():
    wanted = sys.argv[1:]
    found = [case for case in cases.read_all(HERE / "in") if not wanted or case.name.startswith(tuple(wanted))]
    print("TAP version 13")
    print(f"1..{len(found) + 4}", flush=True)
    lab = Lab()
    bad = []

    def report(number, name, function):
        begun = time.monotonic()
        try:
            function()
            slow = time.monotonic() - begun
            print(f"ok {number} - {name}" + (f" # {slow:.1f} s" if slow > 1 else ""), flush=True)
        except Exception as problem:  # whatever went wrong is this case's failure
            bad.append(name)
            print(f"not ok {number} - {name}", flush=True)
            lines = traceback.format_exception(problem) if not isinstance(problem, AssertionError) else [str(problem)]
            print("\n".join("# " + line for text in lines for line in text.rstrip().split("\n")), flush=True)

    try:
        targets = Targets(lab)
        played = {"open": [], "strict": []}
        for number, case in enumerate(found, 1):
            played[targets.of(case)].append(case)
            report(number, f"{case.file[:-7]}: {case.name}", lambda case=case: Play(case, targets).run())
        report(len(found) + 1, "who talks before he is accepted is refused", lambda: talk_before_the_accept(targets))
        for offset, of in enumerate(("open", "strict"), 2):
            report(len(found) + offset, f"what the {of} relay passed on",
                   lambda of=of: judge_deliveries(targets, of, played[of]))

        def nothing_left():
            for relay in targets.relays.values():
                relay.wait_for_total("server", "sessions", 0)
                equal(relay.process.stop(), 0, "the relay's exit status")
        report(len(found) + 4, "no session is left and the relays end well", nothing_left)
        if bad:
            lab.print_last_words()
    finally:
        lab.close()
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
