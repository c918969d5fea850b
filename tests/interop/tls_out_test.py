#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS to next hops: OpenSSL's server with good and bad certificates under each policy, the sink, Postfix."""

import os
import pathlib
import pwd
import shutil
import socket
import ssl
import subprocess
import threading

from harness import check, equal, free_port, load, main, tool, until
from next_hops_test import Exim, Postfix

CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
ROOTS = CERTIFICATES / "root.pem"
# Who passes under which policy. All are asked for mail.example.com.
PEERS = {
    "mail_ecdsa": "verified", "mail_rsa": "verified", "expired": "", "other_rsa": "", "self_signed": "",
    "unknown_root": "", "weak_key": "", "weak_hash": "", "no_names": "", "for_clients": "",
}


def security(policy, more=""):
    return f'[route.tls]\npolicy = "{policy}"\nverify_name = "mail.example.com"\nroots = "{ROOTS}"\n{more}'


class OpensslPeer:
    """openssl s_server speaks TLS at one end; what goes through it is SMTP by a few lines of ours."""

    def __init__(self, lab, certificate, *options):
        self.mails = 0
        self.port = free_port()
        self.process = subprocess.Popen(
            [tool("openssl", "openssl"), "s_server", "-accept", f"127.0.0.1:{self.port}", "-quiet", "-naccept", "1",
             "-cert", CERTIFICATES / f"{certificate}.pem", "-cert_chain", CERTIFICATES / f"{certificate}.pem",
             "-key", CERTIFICATES / f"{certificate}.key", "-cipher", "ALL:@SECLEVEL=0", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        threading.Thread(target=self.talk, daemon=True).start()

    def say(self, text):
        self.process.stdin.write((text + "\r\n").encode())
        self.process.stdin.flush()

    def talk(self):
        try:
            self.say("220 openssl.test ESMTP")
            for line in self.process.stdout:
                verb = line[:4].upper()
                if verb == b"EHLO":
                    self.say("250 openssl.test")
                elif verb == b"DATA":
                    self.say("354 go on")
                    for content in self.process.stdout:
                        if content == b".\r\n":
                            break
                    self.mails += 1
                    self.say("250 2.0.0 taken")
                elif verb == b"QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")
        except OSError:
            pass

    def stop(self):
        self.process.kill()
        self.process.wait()


def send_one(relay):
    load(relay, "--messages", "1", "--sessions", "1")


def against_openssl(lab, policy, certificate, passes, *options):
    peer = OpensslPeer(lab, certificate, *options)
    try:
        until(lambda: peer.process.poll() is None and has_listener(peer.port), "s_server to listen")
        relay = another_relay(lab, certificate, f"127.0.0.1:{peer.port}", security(policy, 'mode = "implicit"\n'))
        send_one(relay)
        if passes:
            event, = relay.wait_for_events("delivered", 1)
            equal(event.get("tls_verified", False), policy == "verified", f"{certificate} under {policy}: verified")
            check(event["tls_version"].startswith("TLSv1."), "the event tells of TLS")
            until(lambda: peer.mails == 1, "the mail at the peer")
        else:
            relay.wait_for_total("client", "tls_failures", 1)
            equal(peer.mails, 0, f"{certificate} under {policy}: mails at the peer")
            equal(relay.events("delivered"), [], f"{certificate} under {policy}: deliveries")
        relay.process.stop()
    finally:
        peer.stop()


def has_listener(port):
    """Without connecting: s_server -naccept 1 serves one connection."""
    wanted = f"0100007F:{port:04X}"
    return any(line.split()[1] == wanted and line.split()[3] == "0A"
               for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])


def test_verified_takes_only_who_proves_the_name(lab):
    for certificate, passes in PEERS.items():
        against_openssl(lab, "verified", certificate, passes == "verified")


def test_required_takes_whoever_answers(lab):
    for certificate in ("mail_ecdsa", "expired", "other_rsa", "self_signed", "unknown_root"):
        against_openssl(lab, "required", certificate, True)


def test_tls_1_2_and_rsa(lab):
    against_openssl(lab, "verified", "mail_rsa", True, "-tls1_2")


def test_old_protocols_are_refused(lab):
    against_openssl(lab, "required", "mail_rsa", False, "-tls1_1")


def tls_sink(lab, certificate, *options):
    return lab.sink("--tls-certificate", CERTIFICATES / f"{certificate}.pem",
                    "--tls-key", CERTIFICATES / f"{certificate}.key", *options, verify=True)


def test_starttls_by_default_and_resumed(lab):
    sink = tls_sink(lab, "self_signed")
    relay = lab.relay([sink.address()], route="messages_per_connection_max = 10\n")
    load(relay, "--messages", "300", "--sessions", "10")
    report = sink.wait_for(300)
    equal(report["verify"]["corrupt"] if "corrupt" in report["verify"] else 0, 0, "corrupt messages")
    delivered = relay.wait_for_events("delivered", 300)
    check(all(event["tls_version"] == "TLSv1.3" for event in delivered), "all went over TLS")
    check(not any("tls_verified" in event for event in delivered), "nobody was verified")
    check(report["tls_resumed"] > 0, f"sessions were resumed: {report['tls_resumed']} of {report['tls_sessions']}")
    check(any(event.get("tls_resumed") for event in delivered), "and events say so")


def test_large_messages_over_tls(lab):
    sink = tls_sink(lab, "mail_rsa", "--tls", "implicit")
    relay = lab.relay([sink.address()], route=security("verified", 'mode = "implicit"\n'))
    load(relay, "--messages", "20", "--size", "300000", "--sessions", "4")
    equal(sink.wait_for(20)["verify"]["corrupt"], 0, "messages that changed on the way")


def test_a_next_hop_that_refuses_starttls(lab):
    rules = lab.directory / "rules.toml"
    rules.write_text('[[rule]]\nphase = "starttls"\nreply = "454 4.7.0 TLS not available due to temporary reason"\n')
    sink = tls_sink(lab, "mail_ecdsa", "--replies", rules)
    opportunistic = lab.relay([sink.address()])
    send_one(opportunistic)
    event, = opportunistic.wait_for_events("delivered", 1)
    check("tls_version" not in event, "it went in clear text")
    required = another_relay(lab, "required", sink.address(), security("required"))
    send_one(required)
    until(lambda: required.total("client", "site_failures") > 0, "the site to fail")
    equal(required.events("delivered"), [], "nothing in clear text")


class Mx:
    """A host that talks with each of its clients in a thread of their own."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()


class BrokenTls(Mx):
    """Offers STARTTLS and takes it, but does not speak TLS then; in the clear it is an MX like any other."""

    def __init__(self):
        self.tried, self.mails = 0, 0
        super().__init__()

    def talk(self, connection):
        with connection, connection.makefile("rb") as lines:
            try:
                connection.sendall(b"220 broken.test ESMTP\r\n")
                for line in lines:
                    verb = line[:4].upper()
                    if verb == b"STAR":
                        self.tried += 1
                        connection.sendall(b"220 go on\r\n")
                        connection.recv(5)
                        connection.sendall(b"HTTP/1.1 400 this is a device that takes TLS apart\r\n\r\n")
                        return
                    if verb == b"DATA":
                        connection.sendall(b"354 go on\r\n")
                        while lines.readline() not in (b".\r\n", b""):
                            pass
                        self.mails += 1
                    connection.sendall({b"EHLO": b"250-broken.test\r\n250 STARTTLS\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n"))
                    if verb == b"QUIT":
                        return
            except OSError:
                pass


def test_a_host_whose_tls_is_broken_is_remembered(lab):
    peer = BrokenTls()
    relay = lab.relay([peer.address], route="messages_per_connection_max = 1\n",
                      sections='[client.tls]\nbroken_for = "3s"\n')
    for count in (1, 2, 3):
        send_one(relay)
        delivered = relay.wait_for_events("delivered", count)
        check("tls_version" not in delivered[-1], "in clear text")
    equal((peer.tried, peer.mails), (1, 3), "STARTTLS is tried once, then remembered")
    relay.wait_for_total("client", "tls_fallbacks", 1)

    def tried_again():
        send_one(relay)
        return peer.tried == 2
    until(tried_again, "TLS to be tried again when it is forgotten")
    required = another_relay(lab, "required", peer.address, security("required"))
    before = peer.mails
    send_one(required)
    until(lambda: required.total("client", "tls_failures") >= 1, "the failure")
    equal((required.events("delivered"), peer.mails), ([], before), "nothing in clear text under required")
    listed = required.command("queue", "list", "--socket", str(required.control)).stdout
    check("TLS" in listed, listed)
    peer.socket.close()


class SmtpOverTls(Mx):
    """An MX that offers STARTTLS, by Python's ssl. `refuses(connection)`: it closes on the EHLO in TLS."""

    def __init__(self, refuses=lambda connection: False, **settings):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(CERTIFICATES / "mail_ecdsa.pem", CERTIFICATES / "mail_ecdsa.key")
        for key, value in settings.items():
            setattr(self.context, key, value)
        self.refuses = refuses
        self.resumed, self.mails = [], []  # of each handshake; of each mail, whether over TLS
        super().__init__()

    def talk(self, connection):
        try:
            connection.sendall(b"220 python.test ESMTP\r\n")
            if not self.dialogue(connection, b"250-python.test\r\n250 STARTTLS\r\n"):
                return
            connection = self.context.wrap_socket(connection, server_side=True)
            self.resumed.append(connection.session_reused)
            self.dialogue(connection, b"250 python.test\r\n", True)
        except OSError:
            pass
        finally:
            connection.close()

    def dialogue(self, connection, hello, over_tls=False):
        """True: STARTTLS comes."""
        lines = connection.makefile("rb")
        for line in lines:
            verb = line[:4].upper()
            if verb == b"EHLO" and over_tls and self.refuses(connection):
                return False
            if verb == b"DATA":
                connection.sendall(b"354 go on\r\n")
                while lines.readline() not in (b".\r\n", b""):
                    pass
                self.mails.append(over_tls)
            connection.sendall({b"EHLO": hello, b"QUIT": b"221 bye\r\n", b"STAR": b"220 go on\r\n"}.get(verb, b"250 ok\r\n"))
            if verb in (b"STAR", b"QUIT"):
                return verb == b"STAR"
        return False


def test_a_host_that_wants_a_certificate_we_have_not(lab):
    """With TLS 1.3 it says so when our side of the handshake is done."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        peer = SmtpOverTls(maximum_version=version, verify_mode=ssl.CERT_REQUIRED)
        peer.context.load_verify_locations(ROOTS)
        relay = another_relay(lab, f"without-{version.name}", peer.address, security("opportunistic"))
        send_one(relay)
        event, = relay.wait_for_events("delivered", 1)
        check("tls_version" not in event, "in clear text")
        equal(peer.mails, [False], f"{version.name}: mails over TLS")
        relay.process.stop()
        with_one = f'certificate = "{CERTIFICATES}/client.pem"\nkey = "{CERTIFICATES}/client.key"\n'
        relay = another_relay(lab, f"with-{version.name}", peer.address, security("opportunistic", with_one))
        send_one(relay)
        event, = relay.wait_for_events("delivered", 1)
        equal((event.get("tls_version"), peer.mails), (version.name.replace("_", "."), [False, True]), "with a certificate")
        relay.process.stop()
        peer.socket.close()


def test_a_host_that_breaks_on_resumed_sessions(lab):
    for policy in ("opportunistic", "required"):
        peer = SmtpOverTls(refuses=lambda connection: connection.session_reused)
        relay = another_relay(lab, policy, peer.address, "messages_per_connection_max = 1\n" + security(policy))
        for count in (1, 2, 3):
            send_one(relay)
            relay.wait_for_events("delivered", count)
        equal(peer.mails, [True, True, True], f"{policy}: mails over TLS")
        equal(peer.resumed, [False, True, False, True, False], f"{policy}: resumed handshakes")
        equal(relay.total("client", "tls_fallbacks"), 0, "fallbacks")
        equal(relay.total("client", "site_failures"), 0, "failures of the site")
        relay.process.stop()
        peer.socket.close()


def test_a_reload_changes_the_policy_of_open_connections(lab):
    sink = tls_sink(lab, "mail_ecdsa")
    relay = lab.relay([sink.address()], route=security("none"))
    send_one(relay)
    event, = relay.wait_for_events("delivered", 1)
    check("tls_version" not in event, "clear text first")
    text = relay.configuration.read_text()
    relay.configuration.write_text(text.replace('policy = "none"', 'policy = "verified"'))
    relay.command("reload", "--socket", str(relay.control))
    send_one(relay)
    event = relay.wait_for_events("delivered", 2)[1]
    equal(event.get("tls_verified"), True, "then verified")


def another_relay(lab, name, host, route):
    """A further relay of a test, with files of its own."""
    keep, lab.directory = lab.directory, lab.directory / name
    lab.directory.mkdir()
    try:
        return lab.relay([host], route=route)
    finally:
        lab.directory = keep


def under_each_policy(lab, host):
    for policy in ("opportunistic", "required", "verified"):
        relay = another_relay(lab, policy, host, security(policy))
        load(relay, "--messages", "50", "--sessions", "5", "--size", "mix")
        delivered = relay.wait_for_events("delivered", 50)
        check(all(event["tls_version"] == "TLSv1.3" for event in delivered), f"all over TLS under {policy}")
        equal([event.get("tls_verified", False) for event in delivered], [policy == "verified"] * 50, "verified")


def test_postfix_with_tls(lab):
    sink = lab.sink(verify=True)
    postfix = Postfix(lab, sink.port, f"""
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {CERTIFICATES}/mail_ecdsa.key, {CERTIFICATES}/mail_ecdsa.pem
""")
    try:
        under_each_policy(lab, f"127.0.0.1:{postfix.port}")
        equal(sink.wait_for(150)["verify"]["corrupt"], 0, "messages that changed on the way")
    finally:
        postfix.stop()


def test_exim_with_tls(lab):
    sink = lab.sink(verify=True)
    user = pwd.getpwnam("mail")
    for name in ("mail_rsa.pem", "mail_rsa.key"):  # it reads them as its user
        shutil.copy(CERTIFICATES / name, lab.directory / name)
        os.chown(lab.directory / name, user.pw_uid, user.pw_gid)
    exim = Exim(lab, sink.port, f"""
tls_advertise_hosts = *
tls_certificate = {lab.directory}/mail_rsa.pem
tls_privatekey = {lab.directory}/mail_rsa.key
""")
    under_each_policy(lab, f"127.0.0.1:{exim.port}")
    equal(sink.wait_for(150)["verify"]["corrupt"], 0, "messages that changed on the way")


if __name__ == "__main__":
    main()
