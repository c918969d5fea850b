#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay logs in at its smart host: by SCRAM-SHA-256-PLUS at a server made of OpenSSL and Python, which has none of the
relay's code, and at another relay; by what Postfix with Dovecot's authentication offers; by tokens that run out."""

import base64
import grp
import hashlib
import hmac
import os
import pathlib
import pwd
import re
import subprocess
import threading

from auth_test import PASSWORD, add_user, relay_with_users
from harness import check, equal, free_port, load, main, tool, until
from next_hops_test import Postfix

CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
VERIFIED = f'[route.tls]\npolicy = "verified"\nverify_name = "mail.example.com"\nroots = "{CERTIFICATES / "root.pem"}"\n'


def secret(lab, text=PASSWORD, name="secret"):
    path = lab.directory / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def authentication(user, file, more=""):
    return f'[route.auth]\nuser = "{user}"\npassword_file = "{file}"\n{more}'


def encoded(octets):
    return base64.b64encode(octets)


class ScramServer:
    """RFC 5802's other side."""

    def __init__(self, password, binding):
        self.binding = binding
        self.salt, iterations = os.urandom(16), 4096
        self.iterations = iterations
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self.salt, iterations)
        self.stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        self.server_key = hmac.digest(salted, b"Server Key", "sha256")

    def first(self, message):
        self.gs2, rest = message[:message.index(b",,") + 2], message[message.index(b",,") + 2:]
        self.client_first = rest
        equal(self.gs2, b"p=tls-exporter,,", "the binding's name")
        nonce = re.search(rb"r=([^,]+)", rest)[1] + encoded(os.urandom(12))
        self.server_first = b"r=%s,s=%s,i=%d" % (nonce, encoded(self.salt), self.iterations)
        return self.server_first

    def final(self, message):
        """The server's signature; None: the proof or the binding is wrong."""
        without, proof = message.rsplit(b",p=", 1)
        bound = base64.b64decode(re.search(rb"c=([^,]+)", without)[1])
        signed = b",".join((self.client_first, self.server_first, without))
        signature = hmac.digest(self.stored, signed, "sha256")
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature))
        if hashlib.sha256(key).digest() != self.stored or bound != self.gs2 + self.binding:
            return None
        return b"v=" + encoded(hmac.digest(self.server_key, signed, "sha256"))


class OpensslServer:
    """openssl s_server tells what binds to each connection; what goes through it is SMTP by a few lines of ours."""

    def __init__(self, lab, twist=None):
        self.mails, self.logins, self.refusals = 0, 0, 0
        self.twist = twist
        self.problem = None
        self.port = free_port()
        self.process = subprocess.Popen(
            [tool("openssl", "openssl"), "s_server", "-accept", f"127.0.0.1:{self.port}", "-tls1_3",
             "-cert", CERTIFICATES / "mail_ecdsa.pem", "-key", CERTIFICATES / "mail_ecdsa.key",
             "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        lab.processes.append(self)
        self.name = "s_server"
        self.thread = threading.Thread(target=self.talk, daemon=True)
        self.thread.start()

    # What a Lab wants of its processes.
    def alive(self):
        return self.process.poll() is None

    @property
    def popen(self):
        return self.process

    @property
    def output(self):
        return self.process.stdin

    def words(self):
        return f"logins {self.logins}, refusals {self.refusals}, mails {self.mails}, problem {self.problem}"

    def kill(self):
        self.process.kill()

    def say(self, text):
        self.process.stdin.write(text + b"\r\n")
        self.process.stdin.flush()

    def talk(self):
        try:
            for line in self.process.stdout:
                if b"Keying material: " in line:
                    self.dialogue(bytes.fromhex(line.split(b": ")[1].decode().strip()))
        except Exception as problem:  # told by words()
            self.problem = repr(problem)

    def line(self):
        line = self.process.stdout.readline()
        check(line, "OpenSSL ended")
        return line.rstrip(b"\r\n")

    def dialogue(self, binding):
        scram = ScramServer(PASSWORD, self.twist(binding) if self.twist else binding)
        self.say(b"220 openssl.test ESMTP")
        while True:
            line = self.line()
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.say(b"250-openssl.test\r\n250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN")
            elif verb == b"AUTH":
                equal(line.split()[1], b"SCRAM-SHA-256-PLUS", "the strongest")
                self.say(b"334 " + encoded(scram.first(base64.b64decode(line.split()[2]))))
                proof = scram.final(base64.b64decode(self.line()))
                if proof is None:
                    self.refusals += 1
                    self.say(b"535 5.7.8 Authentication credentials invalid")
                    continue
                self.say(b"334 " + encoded(proof))
                equal(self.line(), b"", "the client has no more to say")
                self.logins += 1
                self.say(b"235 2.7.0 welcome")
            elif verb in (b"MAIL", b"RCPT", b"RSET", b"NOOP"):
                self.say(b"250 2.1.0 fine" if self.logins else b"530 5.7.0 log in")
            elif verb == b"DATA":
                self.say(b"354 go on")
                while self.line() != b".":
                    pass
                self.mails += 1
                self.say(b"250 2.0.0 taken")
            elif verb == b"QUIT":
                self.say(b"221 2.0.0 bye")
                return


def has_listener(port):
    wanted = f"0100007F:{port:04X}"
    return any(line.split()[1] == wanted and line.split()[3] == "0A"
               for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])


def test_scram_plus_binds_to_the_connection(lab):
    server = OpensslServer(lab)
    until(lambda: has_listener(server.port), "s_server to listen")
    relay = lab.relay([f"127.0.0.1:{server.port}"],
                      route=VERIFIED + 'mode = "implicit"\n' + authentication("ann", secret(lab)))
    load(relay, "--messages", "3", "--sessions", "1")
    relay.wait_for_events("delivered", 3)
    equal((server.mails, server.refusals, server.problem), (3, 0, None), "at the server")
    relay.wait_for_total("client", "authenticated", server.logins)


def test_scram_plus_over_another_connection_is_refused(lab):
    """As if somebody stood between: the server's end of TLS is not the relay's. The mail waits."""
    server = OpensslServer(lab, twist=lambda binding: bytes([binding[0] ^ 1]) + binding[1:])
    until(lambda: has_listener(server.port), "s_server to listen")
    relay = lab.relay([f"127.0.0.1:{server.port}"],
                      route=VERIFIED + 'mode = "implicit"\n' + authentication("ann", secret(lab)))
    load(relay, "--messages", "1", "--sessions", "1")
    until(lambda: relay.total("client", "auth_failures") >= 1, "the refusal")
    equal((server.mails, server.logins, server.problem), (0, 0, None), "at the server")
    check(server.refusals >= 1, server.words())
    equal(relay.events("bounced") + relay.events("delivered"), [], "what became of the message")
    check(PASSWORD not in relay.process.words(), "the password is in the log")


def another_lab(lab, name):
    """Files of a second relay of the same test."""
    class Second(type(lab)):
        def __init__(self):
            self.directory = lab.directory / name
            self.directory.mkdir()
            self.processes = lab.processes
    return Second()


def test_each_mechanism_at_another_relay(lab):
    for mechanism in ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"):
        theirs, ours = another_lab(lab, f"their-{mechanism}"), another_lab(lab, f"our-{mechanism}")
        add_user(theirs, "ann@load.test", options="senders=@load.test")
        pair = (f'[[server.tls.certificate]]\ncertificate = "{CERTIFICATES / "mail_rsa.pem"}"\n'
                f'key = "{CERTIFICATES / "mail_rsa.key"}"')
        server = relay_with_users(theirs, pair, f'mechanisms = ["{mechanism}"]', exempt='"192.0.2.0/24"')
        relay = ours.relay([server.address()], route=VERIFIED + authentication("ann@load.test", secret(lab)))
        load(relay, "--messages", "20", "--sessions", "4", "--from", "ann@load.test")
        relay.wait_for_events("delivered", 20)
        received = server.wait_for_events("received", 20)
        equal({event["user"] for event in received}, {"ann@load.test"}, mechanism)
        equal(server.total("server", "auth_failures"), 0, mechanism)
        relay.process.stop()
        server.process.stop()


class DovecotAuth:
    """Dovecot's authentication service alone, for Postfix."""

    def __init__(self, lab, mechanisms):
        run = lab.directory / "dovecot-run"
        self.socket = lab.directory / "auth.sock"
        users = lab.directory / "dovecot-users"
        users.write_text(f"ann:{{PLAIN}}{PASSWORD}::::::\n")
        users.chmod(0o644)
        configuration = lab.directory / "dovecot.conf"
        configuration.write_text(f"""
base_dir = {run}
state_dir = {run}
log_path = {lab.directory}/dovecot.log
protocols =
listen = 127.0.0.1
ssl = no
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
first_valid_uid = 1
auth_mechanisms = {mechanisms}
passdb {{
  driver = passwd-file
  args = {users}
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service auth {{
  chroot =
  unix_listener {self.socket} {{
    mode = 0660
    user = postfix
    group = {grp.getgrgid(pwd.getpwnam("postfix").pw_gid).gr_name}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
""")
        self.process = lab.start("dovecot", [tool("dovecot", "dovecot-core"), "-F", "-c", configuration])
        until(lambda: self.socket.exists(), "Dovecot's socket")


def test_postfix_with_dovecots_authentication(lab):
    """SCRAM-SHA-256 of another make, and PLAIN and LOGIN where nothing better is offered."""
    for mechanisms in ("plain login scram-sha-256", "plain", "login"):
        one = another_lab(lab, mechanisms.replace(" ", "-"))
        sink = one.sink()
        dovecot = DovecotAuth(one, mechanisms)
        postfix = Postfix(one, sink.port, f"""
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {CERTIFICATES}/mail_ecdsa.key, {CERTIFICATES}/mail_ecdsa.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {dovecot.socket}
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_delay_reject = yes
""")
        try:
            relay = one.relay([f"127.0.0.1:{postfix.port}"],
                              route=VERIFIED + authentication("ann", secret(one)))
            load(relay, "--messages", "10", "--sessions", "2")
            relay.wait_for_events("delivered", 10)
            sink.wait_for(10)
            log = (one.directory / "postfix.log").read_text()
            strongest = "SCRAM-SHA-256" if "scram" in mechanisms else mechanisms.upper()
            check(f"sasl_method={strongest}, sasl_username=ann" in log, f"{strongest}: {log[-2000:]}")
            wrong = another_lab(one, "wrong")
            other = wrong.relay([f"127.0.0.1:{postfix.port}"],
                                route=VERIFIED + authentication("ann", secret(wrong, "wrong")))
            load(other, "--messages", "1", "--sessions", "1")
            until(lambda other=other: other.total("client", "auth_failures") >= 1, "the refusal")
            equal(other.events("bounced"), [], "a wrong password returns no mail")
            other.process.stop()
            relay.process.stop()
        finally:
            postfix.stop()
            dovecot.process.stop()


def test_a_token_that_runs_out_is_asked_for_again(lab):
    """By a command that says how long each lasts, and by a file that somebody else keeps fresh."""
    runs = lab.directory / "runs"
    command = lab.directory / "token"
    command.write_text(f'#!/bin/sh\necho x >> {runs}\necho \'{{"access_token": "ya29.token", "expires_in": 1}}\'\n')
    command.chmod(0o755)
    sink = lab.sink("--tls-certificate", CERTIFICATES / "mail_rsa.pem", "--tls-key", CERTIFICATES / "mail_rsa.key",
                    "--auth", f'XOAUTH2,OAUTHBEARER:ann:{secret(lab, "ya29.token", "right")}')
    relay = lab.relay([sink.address()], route="messages_per_connection_max = 1\n" + VERIFIED
                      + f'[route.auth]\nuser = "ann"\ntoken_command = ["{command}"]\n')
    sent = 0

    def asked_again():
        nonlocal sent
        load(relay, "--messages", "1", "--sessions", "1")
        sent += 1
        return len(runs.read_text().split()) >= 3 if runs.exists() else False
    until(asked_again, "the third token")
    relay.wait_for_events("delivered", sent)
    equal(sink.report()["auth_refused"], 0, "refused")
    check("ya29" not in relay.process.words() + relay.events_file.read_text() + str(relay.status()), "the token is shown")


def test_a_token_file_that_changes(lab):
    old, new = secret(lab, "old.token", "old"), secret(lab, "new.token", "new")
    current = lab.directory / "current"
    os.symlink(old, current)
    port = free_port()
    tls = ("--tls-certificate", CERTIFICATES / "mail_rsa.pem", "--tls-key", CERTIFICATES / "mail_rsa.key")
    first = lab.sink(*tls, "--auth", f"OAUTHBEARER:ann:{old}", port=port)
    relay = lab.relay([first.address()], route=VERIFIED + f'[route.auth]\nuser = "ann"\ntoken_file = "{current}"\n',
                      sections='[client]\nhost_retry_after = "1s"\n')
    load(relay, "--messages", "2", "--sessions", "1")
    relay.wait_for_events("delivered", 2)
    first.process.stop()
    os.replace(lab.directory / "new", current)  # as who keeps it fresh does
    second = lab.sink(*tls, "--auth", f"OAUTHBEARER:ann:{current}", port=port)
    load(relay, "--messages", "2", "--sessions", "1")
    relay.wait_for_events("delivered", 4)  # by the file's new token, without a reload
    report = second.report()
    check(report["authenticated"] >= 1 and report["auth_refused"] <= 1, report)
    equal(relay.events("bounced"), [], "bounced")


if __name__ == "__main__":
    main()
