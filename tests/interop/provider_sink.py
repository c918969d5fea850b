# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail provider's submission server: its port where that can be had, TLS, the dialogue of its mechanisms, and its limits,
which it enforces. What goes beyond one is refused or cut off in the provider's way, and counted."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import random
import re
import socket
import ssl
import threading

from harness import free_port

CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
TOO_MANY = "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending"
TOKEN_REFUSED = json.dumps({"status": "400", "schemes": "Bearer", "scope": "https://mail.example/"}).encode()


class Gone(Exception):
    """This connection is over."""


def listener(port):
    """On the port that the provider has, at a loopback address of its own; where that takes a privilege that we lack, on
    any port."""
    for _ in range(20):
        address = f"127.{random.randrange(2, 250)}.{random.randrange(250)}.{random.randrange(2, 250)}"
        try:
            return socket.create_server((address, port), backlog=200)
        except PermissionError:
            return socket.create_server(("127.0.0.1", free_port()), backlog=200)
        except OSError:
            continue
    raise RuntimeError(f"no loopback address with port {port} can be had")


class ProviderSink:
    def __init__(self, profile, secret, port, limits, silent=False):
        """`limits`: connections (at once), messages (on one), recipients (of a message); None: any number. `silent`: the
        connection is closed with the last message that it may have, instead of the first beyond."""
        self.profile, self.secret, self.limits, self.silent = profile, secret, limits, silent
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(CERTIFICATES / "mail_rsa.pem", CERTIFICATES / "mail_rsa.key")
        self.lock = threading.RLock()
        self.open, self.peak, self.connections = 0, 0, 0
        self.refused = {"connections": 0, "messages": 0, "recipients": 0, "auth": 0, "submissions": 0}
        self.largest = 0      # recipients of one message
        self.longest = 0      # messages on one connection
        self.deliveries = []  # (X-Load-Id, recipient)
        self.problems = []    # what no client should do
        self.replies = {}     # recipient's local part: a reply to the end of its message, once
        self.submitting, self.others = 0, 0  # messages at once: the client's, and those of another program
        self.overlap = threading.Condition(self.lock)
        self.auth_replies = []  # each to all AUTH of one connection, whatever the secret
        self.socket = listener(port)
        threading.Thread(target=self.accept, daemon=True).start()

    def address(self):
        return "%s:%d" % self.socket.getsockname()

    def accept(self):
        while True:
            peer, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with self.lock:
            self.connections += 1
            self.open += 1
            self.peak = max(self.peak, self.open)
            too_many = self.limits["connections"] is not None and self.open > self.limits["connections"]
        session = Session(self, peer, too_many)
        try:
            session.run()
        except (Gone, OSError):
            pass
        except Exception as problem:  # told by the test
            self.problems.append(repr(problem))
        finally:
            session.leave()
            session.wire.close()


class Session:
    def __init__(self, sink, peer, too_many):
        self.sink, self.profile, self.too_many = sink, sink.profile, too_many
        peer.settimeout(60)
        self.use(peer)
        self.known, self.messages, self.secure, self.counted = False, 0, False, True
        self.auth_reply, self.submits = None, False
        self.recipients = None  # of the transaction; None: there is none

    def leave(self):
        """Before the client can know that it may open another."""
        with self.sink.lock:
            self.sink.open -= self.counted
            self.counted = False
        self.submit(False)

    def submit(self, begins):
        with self.sink.lock:
            self.sink.submitting += begins - self.submits
            self.submits = begins
            self.sink.overlap.notify_all()

    def crowded(self):
        """Is this message one too many beside those of another program? The first waits until there is another beside it,
        so that there is such a one."""
        sink = self.sink
        if sink.others == 0:
            return False
        with sink.lock:
            sink.overlap.wait_for(lambda: sink.submitting > 1 or sink.refused["submissions"], 30)
            too_many = sink.submitting + sink.others > sink.limits["connections"]
            sink.refused["submissions"] += too_many
        return too_many

    def use(self, wire):
        self.wire, self.lines = wire, wire.makefile("rb")

    def say(self, text):
        self.wire.sendall(text.encode() + b"\r\n")

    def line(self):
        line = self.lines.readline()
        if not line.endswith(b"\r\n"):
            raise Gone
        return line[:-2].decode()

    def start_tls(self):
        try:
            self.use(self.sink.context.wrap_socket(self.wire, server_side=True))
        except ssl.SSLError as problem:
            raise Gone from problem
        self.secure = True

    def run(self):
        if self.profile.get("implicit"):
            self.start_tls()
        self.say("220 provider.test ESMTP")
        while True:
            line = self.line()
            verb = line.split(" ")[0].upper()
            handler = getattr(self, "on_" + verb.lower(), None)
            if handler is None:
                self.sink.problems.append(line)
                self.say("502 5.5.1 Unrecognized command")
            else:
                handler(line)

    def on_ehlo(self, _line):
        offered = ["provider.test", f"SIZE {self.profile['size']}", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES"]
        offered += [f"AUTH {self.profile['mechanisms'].replace(',', ' ')}"] if self.secure else ["STARTTLS"]
        self.say("\r\n".join(f"250{' ' if i == len(offered) - 1 else '-'}{one}" for i, one in enumerate(offered)))

    def on_starttls(self, _line):
        self.say("220 2.0.0 Ready to start TLS")
        self.start_tls()

    def ask(self, challenge):
        self.say("334 " + base64.b64encode(challenge).decode())
        return base64.b64decode(self.line())

    def on_auth(self, line):
        if not self.secure:
            self.sink.problems.append("AUTH in the clear")
        _, mechanism, *first = line.split(" ")
        dialogue = getattr(self, "auth_" + mechanism.lower().replace("-", "_"))
        self.known = dialogue(base64.b64decode(first[0]) if first else None)
        with self.sink.lock:
            if self.auth_reply is None and self.sink.auth_replies:
                self.auth_reply = self.sink.auth_replies.pop(0)
            self.known = self.known and self.auth_reply is None
            self.sink.refused["auth"] += not self.known
        self.say("235 2.7.0 Accepted" if self.known else self.auth_reply or self.profile["refusal"])

    def auth_plain(self, first):
        said = first if first is not None else self.ask(b"")
        return said == b"\0%s\0%s" % (self.profile["user"].encode(), self.sink.secret)

    def auth_login(self, first):
        user = first if first is not None else self.ask(b"Username:")
        return user == self.profile["user"].encode() and self.ask(b"Password:") == self.sink.secret

    def auth_cram_md5(self, _first):
        challenge = b"<%s@provider.test>" % os.urandom(6).hex().encode()
        digest = hmac.new(self.sink.secret, challenge, hashlib.md5).hexdigest()
        return self.ask(challenge) == f"{self.profile['user']} {digest}".encode()

    def token(self, said, wanted):
        """Google explains a wrong token in a challenge, which is answered before the refusal comes."""
        if said == wanted or not self.profile.get("explains"):
            return said == wanted
        answer = self.ask(TOKEN_REFUSED)
        if answer not in (b"", b"\x01"):
            self.sink.problems.append(f"the explanation was answered by {answer}")
        return False

    def auth_xoauth2(self, first):
        return self.token(first, b"user=%s\x01auth=Bearer %s\x01\x01" % (self.profile["user"].encode(), self.sink.secret))

    def auth_oauthbearer(self, first):
        said = re.search(rb"\x01auth=Bearer ([^\x01]*)\x01\x01$", first)
        return self.token(said and said[1], self.sink.secret)

    def on_mail(self, _line):
        if not self.known:
            self.sink.problems.append("MAIL without AUTH")
        self.recipients = None
        if self.too_many:
            self.sink.refused["connections"] += 1
            self.say(TOO_MANY)
            return
        if self.last():
            self.sink.refused["messages"] += 1
            raise Gone
        self.recipients = []
        self.submit(True)
        self.say("250 2.1.0 OK")

    def last(self):
        limit = self.sink.limits["messages"]
        return limit is not None and self.messages >= limit

    def on_rcpt(self, line):
        if self.recipients is None:  # sent along with a MAIL that was refused
            self.say("503 5.5.1 MAIL first")
            return
        limit = self.sink.limits["recipients"]
        if limit is not None and len(self.recipients) >= limit:
            self.sink.refused["recipients"] += 1
            self.say("452 4.5.3 Your message has too many recipients")
            return
        self.recipients.append(re.search("<(.*?)>", line)[1])
        self.say("250 2.1.5 OK")

    def on_data(self, _line):
        if not self.recipients:  # likewise, or all of them were
            self.say("503 5.5.1 No recipients")
            return
        self.say("354 Go ahead")
        name, in_header = "", True
        while (line := self.line_octets()) != b".\r\n":
            in_header = in_header and line != b"\r\n"
            if in_header and line.lower().startswith(b"x-load-id:"):
                name = line[10:].strip().decode()
        reply = TOO_MANY if self.crowded() else self.sink.replies.pop(self.recipients[0].split("@")[0], None)
        with self.sink.lock:
            if reply is None:
                self.messages += 1
                self.sink.longest = max(self.sink.longest, self.messages)
                self.sink.largest = max(self.sink.largest, len(self.recipients))
                self.sink.deliveries += [(name, one) for one in self.recipients]
        ends = self.sink.silent and self.last() or reply is not None and reply.startswith("421")
        self.submit(False)
        self.recipients = None
        if ends:
            self.leave()
        self.say(reply or "250 2.0.0 OK")
        if ends:
            raise Gone

    def line_octets(self):
        line = self.lines.readline()
        if not line:
            raise Gone
        return line

    def on_rset(self, _line):
        self.recipients = None
        self.submit(False)
        self.say("250 2.0.0 OK")

    def on_quit(self, _line):
        self.leave()
        self.say("221 2.0.0 closing")
        raise Gone
