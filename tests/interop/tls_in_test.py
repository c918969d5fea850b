#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS with clients: OpenSSL, Python, swaks and Postfix submit; certificates go wrong, are chosen and
reloaded; hostile handshakes cost nobody else anything."""

import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time

from harness import PATIENCE, check, equal, free_port, load, main, program, recorded, tool, until
from next_hops_test import Exim, Postfix

CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
NAME = "mail.example.com"


def pair(name):
    return (f'[[server.tls.certificate]]\ncertificate = "{CERTIFICATES / name}.pem"\n'
            f'key = "{CERTIFICATES / name}.key"\n')


def relay_with(lab, *names, tls="", timeouts="", server="", sections=""):
    """Its relay, with a sink behind it, and its port for TLS from the first octet."""
    sink = lab.sink(record=True)
    port = free_port()
    relay = lab.relay([sink.address()], server=f'listen_tls = ["127.0.0.1:{port}"]\n{server}',
                      sections=f"[server.tls]\n{tls}\n[server.timeouts]\n{timeouts}\n"
                               + "".join(pair(name) for name in names) + sections)
    relay.sink, relay.tls_port = sink, port
    return relay


def trusting(root="root", **versions):
    context = ssl.create_default_context(cafile=CERTIFICATES / f"{root}.pem")
    for key, value in versions.items():
        setattr(context, key, value)
    return context


def send(smtp, subject, to="bob@sink.test"):
    refused = smtp.sendmail("ann@load.test", [to], f"Subject: {subject}\r\n\r\nhello\r\n")
    equal(refused, {}, "refused recipients")


class ByName(smtplib.SMTP):
    """Says another name than the address it connects to, to TLS."""

    def starttls(self, context, name=NAME):
        self._host = name
        return super().starttls(context=context)


def by_starttls(relay, context, name=NAME):
    smtp = ByName("127.0.0.1", relay.port, local_hostname="client.test", timeout=PATIENCE)
    smtp.starttls(context, name)
    return smtp


def by_implicit(relay, context, name=NAME):
    class Implicit(smtplib.SMTP_SSL):
        def _get_socket(self, host, port, timeout):
            plain = socket.create_connection((host, port), timeout)
            return self.context.wrap_socket(plain, server_hostname=name)
    return Implicit("127.0.0.1", relay.tls_port, local_hostname="client.test", context=context, timeout=PATIENCE)


def received_field(message):
    return re.sub(rb"\r\n[ \t]", b" ", message).split(b"\r\n")[0].decode()


def s_client(port, *options, says=(), name=NAME):
    """OpenSSL's client, with a dialogue that waits for the last line of each reply."""
    arguments = [tool("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", "-verify_return_error",
                 "-CAfile", CERTIFICATES / "root.pem", "-servername", name, "-verify_hostname", name, *options]
    client = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    heard = []

    def hear():
        for line in client.stdout:
            heard.append(line.decode(errors="replace").rstrip("\r\n"))
    listener = threading.Thread(target=hear)
    listener.start()
    if "-starttls" not in options:
        until(lambda: client.poll() is not None or any(re.match(r"\d{3} ", one) for one in heard), "the banner")
    for line in says:
        replies = len([one for one in heard if re.match(r"\d{3} ", one)])
        try:
            client.stdin.write(line.encode() + b"\r\n")
            client.stdin.flush()
        except OSError:
            break
        until(lambda before=replies: client.poll() is not None
              or len([one for one in heard if re.match(r"\d{3} ", one)]) > before, f"a reply to {line}: {heard}")
    try:
        client.stdin.close()
    except OSError:
        pass  # it has ended, and the last line was not taken
    until(lambda: client.poll() is not None, f"the end of s_client: {heard}")
    listener.join()
    return heard


def test_starttls_and_implicit_with_both_versions(lab):
    relay = relay_with(lab, "mail_ecdsa", "mail_rsa")
    count = 0
    for version, words in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        for begin in (by_starttls, by_implicit):
            with begin(relay, trusting(minimum_version=version, maximum_version=version)) as smtp:
                equal(smtp.sock.version(), words, "version")
                smtp.ehlo()
                check(not smtp.has_extn("starttls"), "STARTTLS is not offered over TLS")
                send(smtp, f"{words} {begin.__name__}")
            count += 1
    relay.sink.wait_for(count)
    for _, message in until(lambda: (lambda r: r if len(r) == count else None)(recorded(relay.sink)), "the records"):
        field = received_field(message)
        version = re.search(rb"Subject: (TLSv1\.\d)", message).group(1).decode()
        check(" with ESMTPS id " in field, field)
        check(re.search(r" tls TLS_[A-Z0-9_]+ \(" + re.escape(version) + r"\)", field), field)
    events = relay.wait_for_events("received", count)
    equal({event["protocol"] for event in events}, {"ESMTPS"}, "protocol")
    equal({event["tls_version"] for event in events}, {"TLSv1.2", "TLSv1.3"}, "versions")
    check(all(re.match("TLS_[A-Z0-9_]+$", event["tls_cipher"]) for event in events), events)
    relay.wait_for_total("server", "tls_handshakes", count)
    relay.wait_for_total("server", "tls_sessions", 0)
    equal(relay.total("server", "tls_failures"), 0, "failures")


def test_clear_text_is_as_before(lab):
    relay = relay_with(lab, "mail_ecdsa")
    with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="client.test") as smtp:
        smtp.ehlo()
        check(smtp.has_extn("starttls"), "STARTTLS is offered")
        send(smtp, "clear")
    relay.sink.wait_for(1)
    (_, message), = until(lambda: recorded(relay.sink), "the record")
    check(" with ESMTP id " in received_field(message) and " tls " not in received_field(message), message)
    (event,) = relay.wait_for_events("received", 1)
    equal(event["protocol"], "ESMTP", "protocol")
    check("tls_version" not in event and "tls_cipher" not in event, event)


def test_openssl_s_client(lab):
    relay = relay_with(lab, "mail_ecdsa", "mail_rsa")
    mail = ["EHLO s.client.test", "MAIL FROM:<ann@load.test>", "RCPT TO:<bob@sink.test>", "DATA",
            "Subject: from s_client\r\n\r\nhello\r\n.", "QUIT"]
    for options in (["-starttls", "smtp", "-tls1_3"], ["-starttls", "smtp", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]):
        heard = s_client(relay.port, *options, says=mail)
        check(any(line.startswith("250 2.0.0 Ok: queued as ") for line in heard), heard)
    heard = s_client(relay.tls_port, "-tls1_3", says=["NOOP", *mail])
    check(any(line.startswith("250 2.0.0 Ok: queued as ") for line in heard), heard)
    relay.sink.wait_for(3)
    for old in ("-tls1_1", "-tls1"):
        heard = s_client(relay.tls_port, old, "-cipher", "ALL:@SECLEVEL=0")
        check(not any(line.startswith("220") for line in heard), heard)


def test_certificates_are_chosen_by_name_and_kind(lab):
    relay = relay_with(lab, "mail_ecdsa", "mail_rsa", "other_rsa")

    def shown(name, ciphers):
        context = trusting(maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(ciphers)
        context.check_hostname = name is not None
        with socket.create_connection(("127.0.0.1", relay.tls_port)) as plain:
            with context.wrap_socket(plain, server_hostname=name) as sock:
                names = [value for kind, value in sock.getpeercert()["subjectAltName"] if kind == "DNS"]
                return names[0], sock.cipher()[0].split("-")[1]
    every = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    equal(shown(NAME, every), (NAME, "ECDSA"), "by name, both kinds known")
    equal(shown(NAME, "ECDHE-RSA-AES128-GCM-SHA256"), (NAME, "RSA"), "by name, RSA only")
    equal(shown("other.example.net", every), ("other.example.net", "RSA"), "the other name")
    equal(shown("a.wild.example.com", every), (NAME, "ECDSA"), "a wildcard")
    equal(shown(None, every), (NAME, "ECDSA"), "no name")


def test_sessions_are_resumed_on_every_shard(lab):
    relay = relay_with(lab, "mail_ecdsa", sections="")
    relay.process.stop()
    relay.configuration.write_text(relay.configuration.read_text().replace("count = 1", "count = 3"))
    relay.start()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting(minimum_version=version, maximum_version=version)
        session, resumed = None, 0
        for _ in range(12):
            with socket.create_connection(("127.0.0.1", relay.tls_port)) as plain:
                with context.wrap_socket(plain, server_hostname=NAME, session=session) as sock:
                    sock.recv(100)  # the banner; tickets come before it
                    resumed += sock.session_reused
                    session = sock.session
        equal(resumed, 11, f"resumed of twelve with {version}")
    relay.wait_for_total("server", "tls_resumed", 22)


def test_a_ticket_is_for_one_server_name(lab):
    relay = relay_with(lab, "mail_ecdsa", "other_rsa")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = trusting(minimum_version=version, maximum_version=version)

        def resumed(name, session=None):
            with socket.create_connection(("127.0.0.1", relay.tls_port)) as plain:
                with context.wrap_socket(plain, server_hostname=name, session=session) as sock:
                    check(sock.recv(100).startswith(b"220"), "the banner")
                    return sock.session_reused, sock.session
        _, session = resumed(NAME)
        equal(resumed(NAME, session)[0], True, f"{version.name}: under its name")
        equal(resumed("other.example.net", session)[0], False, f"{version.name}: under another's")
        equal(resumed("host.wild.example.com", session)[0], False, f"{version.name}: under another of the same certificate")
    relay.wait_for_total("server", "tls_failures", 0)


def test_without_tickets_nothing_is_resumed(lab):
    relay = relay_with(lab, "mail_ecdsa", tls='ticket_rotation = "0s"')
    context, session = trusting(), None
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", relay.tls_port)) as plain:
            with context.wrap_socket(plain, server_hostname=NAME, session=session) as sock:
                sock.recv(100)
                check(not sock.session_reused, "resumed")
                session = sock.session


def test_swaks(lab):
    relay = relay_with(lab, "mail_ecdsa", "mail_rsa")
    for port, option in ((relay.port, "--tls"), (relay.tls_port, "--tls-on-connect")):
        done = subprocess.run([tool("swaks", "swaks"), "--server", "127.0.0.1", "--port", str(port), option, "--from", "ann@load.test",
                               "--to", "bob@sink.test", "--tls-verify", "--tls-ca-path", CERTIFICATES / "root.pem",
                               "--tls-sni", NAME], capture_output=True, text=True, timeout=120, check=False)
        equal(done.returncode, 0, done.stdout + done.stderr)
        check("TLS started with cipher TLSv1.3" in done.stdout, done.stdout)
    relay.sink.wait_for(2)


def test_load_over_tls(lab):
    relay = relay_with(lab, "mail_ecdsa", "mail_rsa")
    clear = relay.address()
    count = 0
    for tls, address in (("starttls", clear), ("implicit", f"127.0.0.1:{relay.tls_port}")):
        relay.address = lambda address=address: address
        for options in (["--size", "2k-200k", "--sessions", 10], ["--messages-per-session", 3, "--pipelining", "bdat"],
                        ["--pipelining", "off"]):
            summary = load(relay, "--messages", 60, "--tls", tls, *options)
            equal(summary["accepted"], 60, "accepted")
            equal(summary["tls_handshakes"], summary["connections"], "a handshake for each connection")
            check(summary["tls_resumed"] > 0 or summary["connections"] <= summary["sessions"], summary)
            count += 60
    relay.wait_for_total("server", "messages", count)
    relay.wait_for_total("queue", "delivered", count)


def test_postfix(lab):
    """Postfix's own client library, as its smtp(8) uses it."""
    relay = relay_with(lab, "mail_ecdsa", "mail_rsa")
    (lab.directory / "main.cf").write_text("compatibility_level = 3.6\n")
    done = subprocess.run([tool("posttls-finger", "postfix"), "-c", "-l", "verify", "-L", "summary,untrusted", "-F",
                           CERTIFICATES / "root.pem", "-s", NAME, "-r", "1", f"[127.0.0.1]:{relay.port}", NAME],
                          capture_output=True, text=True, timeout=PATIENCE, check=False,
                          env={**os.environ, "MAIL_CONFIG": str(lab.directory)})
    said = done.stdout + done.stderr
    check(f"Verified TLS connection established to [127.0.0.1]:{relay.port}" in said.replace("127.0.0.1[127.0.0.1]", "[127.0.0.1]"), said)
    relay.wait_for_total("server", "tls_failures", 0)


def deliver_through(relay, port):
    """20 mails by clear text to a server on `port`, which hands them to the relay over TLS."""
    for number in range(20):
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.sendmail("ann@load.test", [f"r{number}@sink.test"], f"Subject: {number}\r\n\r\nbody\r\n".encode())
    relay.sink.wait_for(20)
    for event in relay.wait_for_events("received", 20):
        check(event["tls_version"] == "TLSv1.3" and event["protocol"] == "ESMTPS", f"over TLS: {event}")


def test_postfix_hands_mail_in(lab):
    relay = relay_with(lab, "mail_ecdsa", "mail_rsa", tls="required = true")
    postfix = Postfix(lab, relay.port, f"smtp_tls_security_level = verify\nsmtp_tls_verify_cert_match = {NAME}\n"
                                       f"smtp_tls_CAfile = {CERTIFICATES}/root.pem\n")
    try:
        deliver_through(relay, postfix.port)
    finally:
        postfix.stop()


def test_exim_hands_mail_in(lab):
    relay = relay_with(lab, "mail_ecdsa", "mail_rsa", tls="required = true")
    exim = Exim(lab, relay.port, transport="hosts_require_tls = *")
    deliver_through(relay, exim.port)


def test_tls_can_be_required(lab):
    relay = relay_with(lab, "mail_ecdsa", tls="required = true")
    with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="client.test") as smtp:
        smtp.ehlo()
        code, text = smtp.mail("ann@load.test")
        equal((code, text[:5]), (530, b"5.7.0"), "MAIL in the clear")
    with by_starttls(relay, trusting()) as smtp:
        send(smtp, "required")
    relay.sink.wait_for(1)


def lines(sock):
    file = sock.makefile("rb")
    while True:
        line = file.readline()
        yield line
        if not line:
            return


def test_what_is_said_behind_starttls_is_forgotten(lab):
    relay = relay_with(lab, "mail_ecdsa")
    with socket.create_connection(("127.0.0.1", relay.port), PATIENCE) as plain:
        heard = lines(plain)
        check(next(heard).startswith(b"220"), "banner")
        plain.sendall(b"EHLO evil.test\r\n")
        while not next(heard).startswith(b"250 "):
            pass
        plain.sendall(b"MAIL FROM:<before@load.test>\r\n")
        check(next(heard).startswith(b"250"), "MAIL")
        plain.sendall(b"STARTTLS\r\nEHLO injected.test\r\nMAIL FROM:<injected@load.test>\r\n")
        check(next(heard).startswith(b"220"), "STARTTLS")
        with trusting().wrap_socket(plain, server_hostname=NAME) as sock:
            sealed = lines(sock)
            sock.sendall(b"RCPT TO:<bob@sink.test>\r\n")
            check(next(sealed).startswith(b"503"), "no transaction, neither the injected one nor that before")
            sock.sendall(b"STARTTLS\r\n")
            check(next(sealed).startswith(b"503"), "no TLS in TLS")
            sock.sendall(b"QUIT\r\n")
            check(next(sealed).startswith(b"221"), "and no reply to what was injected")
    equal(relay.events(), [], "events")


def test_a_client_that_does_not_speak_tls_is_left(lab):
    relay = relay_with(lab, "mail_ecdsa")
    for port, before in ((relay.port, b"EHLO a.test\r\nSTARTTLS\r\n"), (relay.tls_port, b"")):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as plain:
            if before:
                heard = lines(plain)
                check(next(heard).startswith(b"220"), "banner")
                plain.sendall(before)
                while not next(heard).startswith(b"220"):
                    pass
            plain.sendall(b"EHLO again.test\r\nMAIL FROM:<a@load.test>\r\n")
            plain.settimeout(PATIENCE)
            rest = b""
            try:
                while piece := plain.recv(1000):
                    rest += piece
            except ConnectionResetError:
                pass
            check(b"250" not in rest and b"503" not in rest, rest)
    relay.wait_for_total("server", "tls_failures", 2)
    relay.wait_for_total("server", "sessions", 0)


def test_slow_handshakes_end(lab):
    relay = relay_with(lab, "mail_ecdsa", timeouts='handshake = "2s"')
    # The longest ClientHello prefix there can be: an octet at a time, for ever.
    slow = socket.create_connection(("127.0.0.1", relay.tls_port), PATIENCE)
    silent = socket.create_connection(("127.0.0.1", relay.tls_port), PATIENCE)
    slow.sendall(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc")
    began = time.monotonic()
    broken = False
    while not broken and time.monotonic() - began < PATIENCE:
        try:
            slow.sendall(b"\x03")
            time.sleep(0.1)
        except OSError:
            broken = True
    check(broken, "the slow one was cut off")
    relay.wait_for_total("server", "tls_timeouts", 2)
    silent.close()
    relay.wait_for_total("server", "sessions", 0)


def test_many_handshakes_do_not_stall_a_session_in_the_clear(lab):
    relay = relay_with(lab, "mail_rsa")
    context = trusting()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    hellos = []
    for _ in range(200):  # each client's first flight, ready to be sent
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        half = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
        try:
            half.do_handshake()
        except ssl.SSLWantReadError:
            pass
        hellos.append((half, incoming, outgoing, outgoing.read()))
    sockets = [socket.create_connection(("127.0.0.1", relay.tls_port), PATIENCE) for _ in hellos]
    with socket.create_connection(("127.0.0.1", relay.port), PATIENCE) as clear:
        heard = lines(clear)
        check(next(heard).startswith(b"220"), "banner")
        for sock, (_, _, _, hello) in zip(sockets, hellos):
            sock.sendall(hello)
        longest, answered = 0.0, 0
        while answered < 50:
            began = time.monotonic()
            clear.sendall(b"NOOP\r\n")
            check(next(heard).startswith(b"250"), "NOOP")
            longest = max(longest, time.monotonic() - began)
            answered += 1
        clear.sendall(b"QUIT\r\n")
        check(next(heard).startswith(b"221"), "QUIT")
        # How many a turn does is counted in tests/server/tls_test.cc; here other programs take their time, too.
        check(longest < 2 * (PATIENCE / 60), f"a reply in the clear took {longest:.3f} s")
    for sock, (half, incoming, outgoing, _) in zip(sockets, hellos):
        while True:
            try:
                half.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(16384))
        sock.sendall(outgoing.read())
    relay.wait_for_total("server", "tls_handshakes", 200)
    for sock in sockets:
        sock.close()
    relay.wait_for_total("server", "sessions", 0)


def fingerprint(name):
    text = subprocess.run([tool("openssl", "openssl"), "x509", "-in", CERTIFICATES / f"{name}.pem", "-noout", "-fingerprint", "-sha256"],
                          capture_output=True, text=True, check=True).stdout
    return text.strip().split("=")[1]


def test_client_certificates_permit_relaying(lab):
    def allowed(relay, certificate, version):
        context = trusting(minimum_version=version, maximum_version=version)
        if certificate:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or it would not show what is weak
            context.load_cert_chain(CERTIFICATES / f"{certificate}.pem", CERTIFICATES / f"{certificate}.key")
        with by_implicit(relay, context) as smtp:
            smtp.ehlo()
            smtp.mail("ann@load.test")
            return smtp.rcpt("bob@sink.test")[0] == 250
    nobody = 'relay_networks = ["192.0.2.0/24"]'
    for tls, known in ((f'client_roots = "{CERTIFICATES / "root.pem"}"', "client"),
                       (f'client_fingerprints = ["{fingerprint("self_signed")}"]', "self_signed")):
        relay = relay_with(lab, "mail_ecdsa", tls=tls, server=nobody)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            check(allowed(relay, known, version), f"{known} may relay")
            check(not allowed(relay, None, version), "nobody without a certificate")
            check(not allowed(relay, "unknown_root", version), "nobody with another's certificate")
            for weak in ("weak_key", "weak_hash", "weak_issuer"):
                check(not allowed(relay, weak, version), f"nobody with a certificate that could be forged: {weak}")
        with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="client.test") as smtp:
            smtp.ehlo()
            smtp.mail("ann@load.test")
            equal(smtp.rcpt("bob@sink.test")[0], 550, "in the clear")
        relay.process.stop()


def test_a_reload_takes_new_certificates_and_sessions_stay(lab):
    for name in ("mail_ecdsa", "other_rsa"):
        for kind in ("pem", "key"):
            shutil.copy(CERTIFICATES / f"{name}.{kind}", lab.directory / f"{name}.{kind}")
    mine = f'[[server.tls.certificate]]\ncertificate = "{lab.directory}/mail_ecdsa.pem"\nkey = "{lab.directory}/mail_ecdsa.key"\n'
    relay = relay_with(lab, sections=mine)
    with by_starttls(relay, trusting()) as before:
        for kind in ("pem", "key"):  # as a renewal does: new files under the old names
            os.replace(lab.directory / f"other_rsa.{kind}", lab.directory / f"mail_ecdsa.{kind}")
        with by_starttls(relay, trusting()) as smtp:
            send(smtp, "not reloaded yet")
        relay.process.signal(signal.SIGHUP)

        def renewed():
            try:
                with by_starttls(relay, trusting(), "other.example.net") as smtp:
                    send(smtp, "reloaded")
                return True
            except ssl.SSLCertVerificationError:
                return False
        until(renewed, "the new certificate")
        send(before, "from before")
    relay.sink.wait_for(3)
    # A key that does not fit leaves everything as it is.
    shutil.copy(CERTIFICATES / "mail_rsa.key", lab.directory / "mail_ecdsa.key")
    done = relay.command("reload", "--socket", str(relay.control), check=False)
    check("does not belong to the certificate" in done.stdout + done.stderr, done)
    with by_starttls(relay, trusting(), "other.example.net") as smtp:
        send(smtp, "as before")
    relay.sink.wait_for(4)


def test_what_is_wrong_with_certificates_is_told(lab):
    def words(text):
        file = lab.directory / "check.toml"
        file.write_text(f'hostname = "relay.test"\n[spool]\ndirectory = "{lab.directory}/spool"\n{text}')
        done = subprocess.run([program("RINGMTA"), "check", "-c", file], capture_output=True, text=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout + done.stderr
    key = (CERTIFICATES / "mail_ecdsa.key").read_text()
    readable = lab.directory / "readable.key"
    readable.write_text(key)
    readable.chmod(0o644)

    def files(certificate, private):
        return f'[[server.tls.certificate]]\ncertificate = "{certificate}"\nkey = "{private}"\n'
    for text, code, wanted in (
            (pair("mail_ecdsa"), 0, ""),
            (pair("expired"), 0, "the certificate ended on 2020-02-01"),
            (pair("future"), 0, "valid from 2098-01-01"),
            (pair("no_names"), 0, "has no subjectAltName"),
            (pair("weak_hash"), 0, "broken hash"),
            (files(CERTIFICATES / "mail_ecdsa.pem", readable), 0, "chmod o-rwx"),
            (files(CERTIFICATES / "mail_ecdsa.pem", CERTIFICATES / "mail_rsa.key"), 1, "does not belong to the certificate"),
            (files(CERTIFICATES / "mail_ecdsa.key", CERTIFICATES / "mail_ecdsa.key"), 1, "there is no certificate in it"),
            (files(CERTIFICATES / "mail_ecdsa.pem", CERTIFICATES / "mail_ecdsa.pem"), 1, "the private key cannot be read"),
            (files("/nowhere/a.pem", CERTIFICATES / "mail_ecdsa.key"), 1, "/nowhere/a.pem: "),
            ('[server]\nlisten_tls = ["127.0.0.1:465"]\n', 1, "add a [[server.tls.certificate]]"),
            ("[server.tls]\nrequired = true\n", 1, "add a [[server.tls.certificate]]"),
            (pair("mail_ecdsa") + f'[server.tls]\nclient_roots = "{readable}"\n', 1, "roots for client certificates")):
        status, said = words(text)
        check((status != 0) == (code != 0) and wanted in said, f"{text}\nstatus {status}: {said}")
        check("PRIVATE KEY" not in said, said)
        check(not any(line and line in said for line in key.split("\n")[1:-2]), "the key in the output")


main()
