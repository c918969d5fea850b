# SPDX-License-Identifier: GPL-3.0-or-later
"""Users log in with the programs they have: swaks, Python's smtplib, msmtp with GNU SASL. And with
octets no program sends, by hand.

Loopback is exempted from TLS where a test does not say otherwise. SCRAM's other side is GNU SASL's.
"""

import base64
import hashlib
import hmac
import json
import os
import smtplib
import socket
import ssl
import subprocess
import time

from harness import check, equal, load, main, program, tool, until

PASSWORD = "p3ncil with blanks=,and commas"


def add_user(lab, name, password=PASSWORD, options=""):
    users = lab.directory / "users"
    done = subprocess.run([program("RINGMTA"), "password", name, "--file", users, "--iterations", "4096"],
                          input=password + "\n", capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, 0, done.stderr)
    check(password not in done.stdout + done.stderr, "the password is not shown")
    if options:
        lines = users.read_text().splitlines()
        lines = [line + ":" + options if line.startswith(name + ":") else line for line in lines]
        users.write_text("\n".join(lines) + "\n")
    return users


def relay_with_users(lab, *more, exempt='"127.0.0.0/8"'):
    """Nobody may relay but who has logged in."""
    users = lab.directory / "users"
    sections = [line for line in more if line.startswith("[")]
    keys = [f'users = "{users}"', f"clear_networks = [{exempt}]", *(line for line in more if line not in sections)]
    relay = lab.relay([lab.sink().address()], sections="\n".join(["[auth]", *keys, *sections]) + "\n")
    text = relay.configuration.read_text().replace("[server]\n", '[server]\nrelay_networks = ["192.0.2.0/24"]\n')
    relay.process.stop()
    relay.configuration.write_text(text)
    relay.start()
    return relay


def swaks(relay, *options):
    return subprocess.run([tool("swaks", "swaks"), "--server", relay.address(), "--from", "ann@load.test", "--to",
                           "bob@sink.test", *options], capture_output=True, text=True, timeout=120, check=False)


def test_swaks_by_plain_and_login(lab):
    add_user(lab, "ann@load.test")
    relay = relay_with_users(lab)
    for mechanism in ("PLAIN", "LOGIN"):
        done = swaks(relay, "--auth", mechanism, "--auth-user", "ann@load.test", "--auth-password", PASSWORD)
        equal(done.returncode, 0, done.stdout + done.stderr)
        check("235 2.7.0" in done.stdout, done.stdout)
    done = swaks(relay, "--auth", "PLAIN", "--auth-user", "ann@load.test", "--auth-password", "wrong")
    check("535 5.7.8" in done.stdout, done.stdout)
    done = swaks(relay)
    check("530 5.7.0" in done.stdout, done.stdout)
    for event in relay.wait_for_events("delivered", 2):
        equal((event["user"], event["tenant"]), ("ann@load.test", "ann@load.test"), "who it was")


def test_smtplib_logs_in_and_sends(lab):
    add_user(lab, "ann", options="senders=@load.test tenant=acme messages_per_hour=2")
    relay = relay_with_users(lab)
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo("client.test")
        equal(client.esmtp_features["auth"].split(), ["SCRAM-SHA-256", "PLAIN", "LOGIN"], "what is offered")
        client.login("ann", PASSWORD)
        code, words = client.mail("ann@other.test")
        equal((code, words[:5]), (553, b"5.7.1"), "another's address")
        for _ in range(2):
            client.sendmail("ann@load.test", ["bob@sink.test"], "Subject: hello\n\nhello\n")
        code, words = client.mail("ann@load.test")
        equal((code, words[:5]), (450, b"4.7.1"), "the third in this hour")
    for event in relay.wait_for_events("delivered", 2):
        equal((event["user"], event["tenant"]), ("ann", "acme"), "who it was")
    relay.wait_for_total("server", "senders_refused", 2)


def msmtp(relay, lab, method, password=PASSWORD):
    return subprocess.run([tool("msmtp", "msmtp"), "--host=127.0.0.1", f"--port={relay.port}", f"--auth={method}",
                           "--user=ann", f"--passwordeval=printf %s '{password}'", "--tls=off",
                           "--from=ann@load.test", "--file=/dev/null", "bob@sink.test"],
                          input="Subject: from msmtp\n\nhello\n", capture_output=True, text=True, timeout=120,
                          check=False, env={**os.environ, "HOME": str(lab.directory)})


def test_msmtp_by_scram(lab):
    add_user(lab, "ann")
    relay = relay_with_users(lab)
    done = msmtp(relay, lab, "scram-sha-256")
    equal(done.returncode, 0, done.stderr)
    relay.wait_for_events("delivered", 1)
    check(msmtp(relay, lab, "scram-sha-256", "wrong").returncode != 0, "a wrong password is refused")


def gsasl(relay, mechanism, password, *options):
    return subprocess.run([tool("gsasl", "gsasl"), "--client", "--smtp", "--connect", f"127.0.0.1:{relay.port}",
                           f"--mechanism={mechanism}", "--authentication-id=ann", "--authorization-id=",
                           f"--password={password}", *options],
                          input="QUIT\n", capture_output=True, text=True, timeout=120, check=False)


def test_gsasl_by_scram_finds_that_the_server_knows_the_password(lab):
    add_user(lab, "ann")
    relay = relay_with_users(lab)
    done = gsasl(relay, "SCRAM-SHA-256", PASSWORD, "--no-starttls", "--no-cb")
    check("235 2.7.0" in done.stdout, done.stdout + done.stderr)
    done = gsasl(relay, "SCRAM-SHA-256", "wrong", "--no-starttls", "--no-cb")
    check("235 2.7.0" not in done.stdout, "a wrong password is refused")


def test_gsasl_over_starttls(lab):
    """GnuTLS beneath, and STARTTLS without EHLO before it. -PLUS binds to the connection by what GNU SASL itself has
    got out of GnuTLS."""
    add_user(lab, "ann")
    relay = relay_with_users(lab, certificate(lab), 'delay_max = "0s"', exempt='"192.0.2.0/24"')
    roots = f"--x509-ca-file={lab.directory / 'chain.pem'}"
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"):
        cb = ["--no-cb"] if mechanism == "SCRAM-SHA-256" else []
        done = gsasl(relay, mechanism, PASSWORD, "--starttls", roots, *cb)
        check(f"AUTH {mechanism}" in done.stdout and "235 2.7.0" in done.stdout, done.stdout + done.stderr)
        done = gsasl(relay, mechanism, "wrong", "--starttls", roots, *cb)
        check("535 5.7.8" in done.stdout and "235 2.7.0" not in done.stdout, done.stdout + done.stderr)
    relay.wait_for_total("server", "auth_successes", 2)
    relay.wait_for_total("server", "tls_handshakes", 4)


def certificate(lab):
    """A section with one of the test's own, for relay.test."""
    chain, key = lab.directory / "chain.pem", lab.directory / "key.pem"
    done = subprocess.run([tool("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
                           "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=relay.test",
                           "-addext", "subjectAltName=DNS:relay.test,IP:127.0.0.1", "-keyout", key, "-out", chain],
                          capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, 0, done.stderr)
    return f'[[server.tls.certificate]]\ncertificate = "{chain}"\nkey = "{key}"'


def test_over_tls_only(lab):
    add_user(lab, "ann")
    relay = relay_with_users(lab, certificate(lab), exempt='"192.0.2.0/24"')
    equal(Raw(relay).ask(plain("ann", PASSWORD))[:10], "538 5.7.11", "not before STARTTLS")
    context = ssl.create_default_context(cafile=str(lab.directory / "chain.pem"))
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo("client.test")
        check("auth" not in client.esmtp_features, client.esmtp_features)
        client.starttls(context=context)
        client.ehlo("client.test")
        equal(client.esmtp_features["auth"].split(), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"],
              "what is offered")
        code, _ = client.docmd("AUTH", "PLAIN " + encoded(b"\0ann\0wrong").decode())
        equal(code, 535, "a wrong password, told late")
        client.login("ann", PASSWORD)
        client.sendmail("ann@load.test", ["bob@sink.test"], "Subject: hello\n\nhello\n")
    (event,) = relay.wait_for_events("received", 1)
    equal((event["user"], event["protocol"]), ("ann", "ESMTPSA"), "how it came")


def scram_plus(connection, user, password, binding):
    """A client of SCRAM-SHA-256-PLUS, apart from all of the relay's own code; the last reply."""
    def ask(line):
        connection.sendall(line + b"\r\n")
        return connection.recv(4096)
    gs2, bare = b"p=tls-exporter,,", b"n=" + user + b",r=fyko+d2lbbFgONRv9qkxdawL"
    answer = ask(b"AUTH SCRAM-SHA-256-PLUS " + encoded(gs2 + bare))
    if not answer.startswith(b"334 "):
        return answer
    first = base64.b64decode(answer[4:])
    nonce, salt, iterations = (part[2:] for part in first.split(b","))
    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(salt), int(iterations))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without = b"c=" + encoded(gs2 + binding) + b",r=" + nonce
    message = bare + b"," + first + b"," + without
    signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature))
    answer = ask(encoded(without + b",p=" + encoded(proof)))
    if not answer.startswith(b"334 "):
        return answer
    proved = base64.b64decode(answer[4:])
    own = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
    equal(proved, b"v=" + encoded(own), "the server's proof")
    return ask(b"")


def test_scram_bound_to_another_connection_is_refused(lab):
    """Python 3.11 cannot export keying material, so the octets are wrong, and that must show."""
    add_user(lab, "ann")
    relay = relay_with_users(lab, certificate(lab), 'delay_max = "0s"')
    context = ssl.create_default_context(cafile=str(lab.directory / "chain.pem"))
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.starttls(context=context)
        client.ehlo("client.test")
        answer = scram_plus(client.sock, b"ann", PASSWORD.encode(), b"x" * 32)
        check(answer.startswith(b"535 5.7.8"), answer)
        # And who would have used -PLUS, had it been offered to him, is told that it is.
        code, words = client.docmd("AUTH", "SCRAM-SHA-256 " + encoded(b"y,,n=ann,r=abcdefgh").decode())
        equal((code, words[:5]), (535, b"5.7.8"), "a downgrade")


class OverOpenssl:
    """A connection made by OpenSSL, which tells the octets that bind to it (RFC 9266)."""

    def __init__(self, lab, relay):
        self.process = subprocess.Popen(
            [tool("openssl", "openssl"), "s_client", "-connect", relay.address(), "-starttls", "smtp", "-crlf",
             "-nocommands", "-CAfile", lab.directory / "chain.pem", "-keymatexport", "EXPORTER-Channel-Binding",
             "-keymatexportlen", "32"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.binding = None
        while self.binding is None:
            line = self.process.stdout.readline()
            check(line, "OpenSSL ended")
            if b"Keying material: " in line:
                self.binding = bytes.fromhex(line.split(b": ")[1].decode().strip())

    def sendall(self, octets):
        self.process.stdin.write(octets.replace(b"\r\n", b"\n"))
        self.process.stdin.flush()

    def recv(self, _):
        """The last line of the next reply; OpenSSL has words of its own in between."""
        while True:
            line = self.process.stdout.readline()
            check(line, "OpenSSL ended")
            if line[:3].isdigit() and line[3:4] == b" ":
                return line

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def test_scram_plus_over_openssl(lab):
    add_user(lab, "ann")
    relay = relay_with_users(lab, certificate(lab), 'delay_max = "0s"', exempt='"192.0.2.0/24"')
    for password, wanted in ((PASSWORD, b"235 2.7.0"), ("wrong", b"535 5.7.8")):
        client = OverOpenssl(lab, relay)
        client.sendall(b"NOOP\r\n")
        while not client.recv(0).startswith(b"250 2.0.0"):
            pass
        client.sendall(b"EHLO client.test\r\n")
        client.recv(0)
        answer = scram_plus(client, b"ann", password.encode(), client.binding)
        check(answer.startswith(wanted), answer)
        client.close()


class Raw:
    """A client by hand."""

    def __init__(self, relay, hello=True):
        self.socket = socket.create_connection(("127.0.0.1", relay.port), timeout=30)
        self.file = self.socket.makefile("rb")
        self.reply()
        if hello:
            self.ask(b"EHLO client.test\r\n")

    def send(self, octets):
        self.socket.sendall(octets)

    def reply(self):
        lines = []
        while not lines or lines[-1][3:4] == b"-":
            lines.append(self.file.readline())
            if not lines[-1]:
                return "closed"
        return lines[-1].decode().rstrip("\r\n")

    def ask(self, octets):
        self.send(octets)
        return self.reply()


def encoded(octets):
    return base64.b64encode(octets)


def plain(user, password):
    return b"AUTH PLAIN " + encoded(b"\0" + user.encode() + b"\0" + password.encode()) + b"\r\n"


def test_raw_octets(lab):
    add_user(lab, "ann")
    relay = relay_with_users(lab, 'delay_max = "0s"', "failures_max = 1000")
    right = plain("ann", PASSWORD)
    dialogues = [
        # said, begin of the last reply to it
        ([b"AUTH PLAIN\r\n", b"*\r\n"], "501 5.7.0"),
        ([b"AUTH PLAIN\r\n", encoded(b"\0ann\0" + PASSWORD.encode()) + b"\r\n"], "235 2.7.0"),
        ([b"auth plain " + right[11:]], "235 2.7.0"),
        ([b"AUTH PLAIN =\r\n"], "535 5.7.8"),
        ([b"AUTH PLAIN ====\r\n"], "501 5.5.2"),
        ([b"AUTH PLAIN YQ\r\n"], "501 5.5.2"),
        ([b"AUTH PLAIN AGE=AGE=\r\n"], "501 5.5.2"),
        ([b"AUTH PLAIN " + encoded(b"no nul here") + b"\r\n"], "535 5.7.8"),
        ([b"AUTH PLAIN " + encoded(b"boss\0ann\0" + PASSWORD.encode()) + b"\r\n"], "535 5.7.8"),
        ([b"AUTH PLAIN " + b"A" * 13000 + b"\r\n"], "500 5.5.2"),
        ([b"AUTH PLAIN\r\n", b"A" * 12288 + b"\r\n"], "500 5.5.6"),
        ([b"AUTH CRAM-MD5\r\n"], "504 5.5.4"),
        ([b"AUTH SCRAM-SHA-256-PLUS " + encoded(b"p=tls-exporter,,n=ann,r=x") + b"\r\n"], "504 5.5.4"),
        ([b"AUTH SCRAM-SHA-256 " + encoded(b"n,,n=nobody,r=abcdefgh") + b"\r\n"], "334 "),
        ([b"AUTH SCRAM-SHA-256 " + encoded(b"y,,n=ann,r=abcdefgh") + b"\r\n", encoded(b"c=eSws,r=x,p=x") + b"\r\n"],
         "535 5.7.8"),
        ([b"AUTH LOGIN\r\n", encoded(b"ann") + b"\r\n", b"\r\n"], "535 5.7.8"),
        ([b"AUTH\r\n"], "501 5.5.4"),
        ([right, right], "503 5.5.1"),
        ([right, b"EHLO again.test\r\n", b"MAIL FROM:<a@b.test> AUTH=<>\r\n"], "250 2.1.0"),
        ([b"MAIL FROM:<a@b.test>\r\n"], "530 5.7.0"),
    ]
    for said, wanted in dialogues:
        client = Raw(relay)
        for line in said:
            last = client.ask(line)
        check(last.startswith(wanted), f"{said}: {last}, not {wanted}")
        client.socket.close()
    hello = Raw(relay, hello=False)
    equal(hello.ask(right)[:9], "503 5.5.1", "AUTH before EHLO")
    known, unknown = (Raw(relay).ask(b"AUTH SCRAM-SHA-256 " + encoded(b"n,,n=" + name + b",r=abcdefgh") + b"\r\n")
                      for name in (b"ann", b"eve"))
    equal(len(known), len(unknown), "nobody can tell who exists")


def test_pipelined_behind_auth_nothing_is_lost(lab):
    add_user(lab, "ann")
    relay = relay_with_users(lab)
    client = Raw(relay)
    client.send(plain("ann", PASSWORD) + b"MAIL FROM:<ann@load.test>\r\nRCPT TO:<bob@sink.test>\r\nDATA\r\n"
                b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
    replies = [client.reply()[:4] for _ in range(6)]
    equal(replies, ["235 ", "250 ", "250 ", "354 ", "250 ", "221 "], "in their order")
    relay.wait_for_events("delivered", 1)


def test_many_at_once_and_one_per_message(lab):
    """Fifty sessions at once cost one derivation, and each log-in after it next to nothing."""
    users = lab.directory / "users"
    done = subprocess.run([program("RINGMTA"), "password", "ann", "--file", users, "--iterations", "1000000"],
                          input="x\n", capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, 0, done.stderr)
    relay = relay_with_users(lab)
    clients = [Raw(relay) for _ in range(50)]
    for client in clients:
        client.send(plain("ann", "x"))
    for client in clients:
        equal(client.reply()[:9], "235 2.7.0", "all of them")
    for _ in range(200):
        client = Raw(relay)
        equal(client.ask(plain("ann", "x"))[:9], "235 2.7.0", "one more")
        client.socket.close()
    until(lambda: relay.total("server", "auth_successes") == 250, "the counter")


def test_the_load_generator_logs_in(lab):
    add_user(lab, "ann")
    secret, wrong = lab.directory / "secret", lab.directory / "wrong"
    secret.write_text(PASSWORD + "\n")
    wrong.write_text("wrong\n")
    relay = relay_with_users(lab, certificate(lab), 'delay_max = "0s"', exempt='"192.0.2.0/24"')
    report = load(relay, "--messages", "200", "--sessions", "10", "--messages-per-session", "1", "--tls", "starttls",
                  "--auth", f"ann:{secret}")
    equal(report["accepted"], 200, "accepted")
    relay.wait_for_total("server", "auth_successes", report["connections"])
    done = subprocess.run([program("RINGMTA_LOAD"), "--target", relay.address(), "--messages", "1", "--quiet",
                           "--connect-patience", "1", "--tls", "starttls", "--auth", f"ann:{wrong}"],
                          capture_output=True, text=True, timeout=60, check=False)
    equal(done.returncode, 1, done.stderr)


def test_the_load_generator_logs_in_as_several(lab):
    for number in range(3):
        add_user(lab, f"u{number}")
    secret = lab.directory / "secret"
    secret.write_text(PASSWORD + "\n")
    relay = relay_with_users(lab, 'delay_max = "0s"')
    report = load(relay, "--messages", "60", "--sessions", "6", "--auth", f"u{{}}:{secret}", "--users", "3")
    equal(report["accepted"], 60, "accepted")

    def senders():
        events = [json.loads(line) for line in relay.events_file.read_text().splitlines()]
        received = [event["user"] for event in events if event["event"] == "received"]
        return set(received) if len(received) == 60 else None
    equal(until(senders, "the events"), {"u0", "u1", "u2"}, "who has sent it")


def test_a_reload_brings_new_users_and_bad_lines_change_nothing(lab):
    add_user(lab, "ann")
    relay = relay_with_users(lab, 'delay_max = "0s"')
    equal(Raw(relay).ask(plain("eve", "apple"))[:9], "535 5.7.8", "not yet")
    users = add_user(lab, "eve", "apple")
    relay.command("reload", "--socket", str(relay.control))
    equal(Raw(relay).ask(plain("eve", "apple"))[:9], "235 2.7.0", "now")
    good = users.read_text()
    users.write_text(good + "mallory:apple\nann:again\n")
    done = relay.command("reload", "--socket", str(relay.control), check=False)
    equal(done.returncode, 2, done.stderr)
    number = len(good.splitlines())
    for line in (number + 1, number + 2):
        check(f"{users}:{line}: " in done.stdout + done.stderr, done.stdout + done.stderr)
    check("apple" not in done.stderr, "what stands in the line is not repeated")
    equal(Raw(relay).ask(plain("eve", "apple"))[:9], "235 2.7.0", "as before")


def test_a_reload_takes_rights_from_sessions_that_are_open(lab):
    for name in ("ann", "bob", "eve"):
        add_user(lab, name)
    relay = relay_with_users(lab, 'delay_max = "0s"')
    ann, bob, eve = Raw(relay), Raw(relay), Raw(relay)
    for client, name in ((ann, "ann"), (bob, "bob"), (eve, "eve")):
        equal(client.ask(plain(name, PASSWORD))[:9], "235 2.7.0", name)
        equal(client.ask(b"MAIL FROM:<x@load.test>\r\n")[:9], "250 2.1.0", name)
    for client in (bob, eve):
        client.ask(b"RSET\r\n")
    users = lab.directory / "users"
    users.write_text("".join(line + (":senders=@bob.test" if line.startswith("bob:") else "") + "\n"
                             for line in users.read_text().splitlines() if not line.startswith("ann:")))
    add_user(lab, "eve", "another")
    relay.command("reload", "--socket", str(relay.control))
    for line in (b"RCPT TO:<y@sink.test>\r\n", b"DATA\r\n", b"Subject: begun before\r\n\r\nx\r\n.\r\n"):
        last = ann.ask(line)
    equal(last[:9], "250 2.0.0", "what was begun is finished")
    equal(ann.ask(b"MAIL FROM:<x@load.test>\r\n")[:9], "421 4.7.0", "who is gone")
    equal(ann.reply(), "closed", "the connection")
    equal(bob.ask(b"MAIL FROM:<x@load.test>\r\n")[:9], "553 5.7.1", "another sender than bob's")
    equal(bob.ask(b"MAIL FROM:<x@bob.test>\r\n")[:9], "250 2.1.0", "bob's")
    equal(eve.ask(b"MAIL FROM:<x@load.test>\r\n")[:9], "421 4.7.0", "who came with the old password")
    equal(Raw(relay).ask(plain("eve", "another"))[:9], "235 2.7.0", "the new one")


def test_who_guesses_waits_and_is_blocked_for_a_while(lab):
    add_user(lab, "ann")
    relay = relay_with_users(lab, "failures_max = 4", 'block_for = "3s"', 'delay_max = "1s"')
    took = []
    for _ in range(4):
        client = Raw(relay)
        began = time.monotonic()
        equal(client.ask(plain("ann", "wrong"))[:9], "535 5.7.8", "a guess")
        took.append(time.monotonic() - began)
    for least, seconds in zip((0.25, 0.5, 1, 1), took):
        check(seconds >= least, f"replies took {took}")
    equal(Raw(relay).ask(plain("ann", PASSWORD))[:9], "454 4.7.0", "even the right one")
    until(lambda: Raw(relay).ask(plain("ann", PASSWORD))[:9] == "235 2.7.0", "the end of the block")
    check(relay.total("server", "auth_blocked") >= 1, "counted")


def test_check_refuses_a_file_that_others_may_read(lab):
    users = add_user(lab, "ann")
    relay = relay_with_users(lab)
    users.chmod(0o644)
    done = relay.command("check", "-c", str(relay.configuration), check=False)
    equal(done.returncode, 2, done.stdout)
    check("chmod 640" in done.stderr + done.stdout, done.stderr)


def test_without_tls_and_exemption_there_is_no_auth(lab):
    add_user(lab, "ann")
    relay = relay_with_users(lab, exempt='"192.0.2.0/24"')
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo("client.test")
        check("auth" not in client.esmtp_features, client.esmtp_features)
    reply = Raw(relay).ask(plain("ann", PASSWORD))
    check(reply[:3] in ("502", "538"), reply)


if __name__ == "__main__":
    main()
