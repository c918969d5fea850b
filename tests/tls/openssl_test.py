#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our sessions against OpenSSL's s_client and s_server: versions, ciphers, groups, certificates, resumption, and what
must not work. TAP on stdout."""

import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

PUMP = os.environ["RINGMTA_TLS_PUMP"]
CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
PATIENCE = 240


def certificate(name):
    """As s_server and s_client want it: the certificate, its issuers, its key."""
    issuers = CERTIFICATES / f"{name}.issuers"
    return ["-cert", CERTIFICATES / f"{name}.pem", "-key", CERTIFICATES / f"{name}.key",
            *(["-cert_chain", issuers] if issuers.exists() else [])]


def facts_of(line):
    return dict(part.split("=", 1) for part in line.split()[1:])


class OurServer:
    def __init__(self, *certificates, ask=False):
        self.process = subprocess.Popen([PUMP, "server", "ask" if ask else "-", *certificates],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def said(self):
        """What was printed about the last connection."""
        lines = []
        while True:
            line = self.process.stdout.readline().strip()
            if line == "done":
                return lines
            assert line, "tls_pump ended"
            lines.append(line)

    def client(self, *arguments, text="over the wire\nQUIT\n"):
        """openssl s_client: (what it printed, what our server said of it)."""
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-ign_eof",
                               *map(str, arguments)], input=text, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE)
        return done.stdout, self.said()


class TheirServer:
    def __init__(self, *arguments):
        for _ in range(5):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            self.process = subprocess.Popen(["openssl", "s_server", "-rev", "-accept", f"127.0.0.1:{self.port}",
                                             *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, text=True)
            if self.accepts():
                break
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True).start()

    def accepts(self):
        end = time.monotonic() + PATIENCE
        while "ACCEPT" not in self.process.stdout.readline():
            if self.process.poll() is not None or time.monotonic() > end:
                return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def connect(self, name="mail.example.com", verify="full", connections=1, with_certificate=()):
        done = subprocess.run([PUMP, "client", str(self.port), name, verify, str(connections), *with_certificate],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=PATIENCE)
        return done.stdout.splitlines()


def expect_echo(result):
    output, said = result
    assert "over the wire" in output, output
    assert said and said[0].startswith("facts"), said
    return facts_of(said[0])


def expect_failure(result, words=""):
    output, said = result
    assert said and said[-1].startswith("error") and words in said[-1], (said, output)


def test_versions_and_ciphers_of_our_server():
    with OurServer("mail_rsa", "mail_ecdsa") as server:
        for cipher in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
            facts = expect_echo(server.client("-tls1_3", "-ciphersuites", cipher))
            assert facts["version"] == "TLSv1.3" and facts["cipher"] == cipher, facts
        for cipher in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                       "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"):
            output, said = result = server.client("-tls1_2", "-cipher", cipher)
            assert expect_echo(result)["version"] == "TLSv1.2", said
            assert f"Cipher is {cipher}" in output, output


def test_what_our_server_refuses():
    with OurServer("mail_rsa", "mail_ecdsa") as server:
        weak = "ALL:@SECLEVEL=0"
        expect_failure(server.client("-tls1_1", "-cipher", weak))
        expect_failure(server.client("-tls1", "-cipher", weak))
        for cipher in ("AES128-SHA", "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "aNULL"):
            expect_failure(server.client("-tls1_2", "-cipher", cipher + ":@SECLEVEL=0"), "in common")
        # And goes on serving.
        expect_echo(server.client())


def test_no_renegotiation():
    with OurServer("mail_rsa") as server:
        client = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        client.stdin.write("R\n")
        client.stdin.flush()
        said = server.said()
        output, _ = client.communicate(timeout=PATIENCE)
        assert "Secure Renegotiation IS supported" in output, output
        assert "RENEGOTIATING" in output and said[-1] != "end", (said, output)
        assert len([line for line in said if line.startswith("facts")]) == 1, said
        expect_echo(server.client())


def test_groups_and_retry():
    with OurServer("mail_ecdsa") as server:
        for groups in ("X25519", "P-256", "P-384", "P-521", "X448:P-256", "X448:X25519"):
            expect_echo(server.client("-tls1_3", "-groups", groups))
        for groups in ("X25519:P-256", "P-256", "P-384:P-256"):
            expect_echo(server.client("-tls1_2", "-groups", groups))


def test_certificate_by_name_and_kind():
    with OurServer("other_rsa", "mail_rsa", "mail_ecdsa") as server:
        def peer(*arguments):
            output, _ = result = server.client("-CAfile", CERTIFICATES / "root.pem", *arguments)
            expect_echo(result)
            assert "Verify return code: 0 (ok)" in output, output
            return ("ECDSA" if "Peer signature type: ECDSA" in output else "RSA",
                    output.split("subject=")[1].split("\n")[0].split("=")[1].strip())
        name = ["-servername", "mail.example.com"]
        assert peer(*name) == ("ECDSA", "mail.example.com")
        assert peer(*name, "-tls1_2") == ("ECDSA", "mail.example.com")
        assert peer(*name, "-sigalgs", "rsa_pss_rsae_sha256:RSA+SHA256") == ("RSA", "mail.example.com")
        assert peer(*name, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256") == ("RSA", "mail.example.com")
        assert peer("-servername", "other.example.net") == ("RSA", "other.example.net")
        assert peer("-noservername", "-sigalgs", "rsa_pss_rsae_sha256") == ("RSA", "other.example.net")
        assert peer("-servername", "x.wild.example.com") == ("ECDSA", "mail.example.com")


def test_resumption_at_our_server():
    for version in ("-tls1_2", "-tls1_3"):
        with OurServer("mail_rsa") as server, tempfile.TemporaryDirectory() as directory:
            session = pathlib.Path(directory) / "session"
            first = expect_echo(server.client(version, "-sess_out", session))
            assert first["resumed"] == "0"
            for _ in range(3):
                output, _ = result = server.client(version, "-sess_in", session, "-sess_out", session)
                assert expect_echo(result)["resumed"] == "1", output
                assert "Reused, " in output, output


def test_client_certificates_at_our_server():
    with OurServer("mail_rsa", ask=True) as server:
        fingerprint = subprocess.run(["openssl", "x509", "-in", CERTIFICATES / "client.pem", "-noout", "-fingerprint",
                                      "-sha256"], stdout=subprocess.PIPE, text=True).stdout
        fingerprint = fingerprint.split("=")[1].strip().replace(":", "").lower()
        for version in ("-tls1_2", "-tls1_3"):
            facts = expect_echo(server.client(version, *certificate("client")))
            assert facts["peer"] == fingerprint and facts["verified"] == "1", facts
            facts = expect_echo(server.client(version))
            assert facts["peer"] == "" and facts["verified"] == "0", facts
            for name in ("self_signed", "unknown_root", "unknown_chain", "expired"):
                facts = expect_echo(server.client(version, *certificate(name)))
                assert len(facts["peer"]) == 64 and facts["verified"] == "0", (name, facts)


def test_channel_binding():
    with OurServer("mail_rsa") as server:
        output, _ = result = server.client("-tls1_3", "-keymatexport", "EXPORTER-Channel-Binding",
                                           "-keymatexportlen", "32")
        assert f"Keying material: {expect_echo(result)['exporter']}" in output, output


def test_much_text():
    with OurServer("mail_ecdsa") as server:
        text = "".join(f"{number} {'y' * 200}\n" for number in range(5000))
        for version in ("-tls1_2", "-tls1_3"):
            output, _ = server.client(version, "-quiet", text=text + "QUIT\n")
            assert text in output, len(output)


def test_versions_and_ciphers_of_our_client():
    for name in ("mail_rsa", "mail_ecdsa"):
        for version, ciphers in (("-tls1_2", ()), ("-tls1_3", ()), ("-tls1_3", ("-ciphersuites", "TLS_AES_256_GCM_SHA384")),
                                 ("-tls1_3", ("-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"))):
            with TheirServer(version, *ciphers, *certificate(name)) as server:
                said = server.connect()
                assert said[-1] == "echoed", said
                facts = facts_of(said[0])
                assert facts["version"] == "TLSv" + version[4:].replace("_", ".") and facts["verified"] == "1", said
    for cipher in ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305", "DHE-RSA-AES128-GCM-SHA256",
                   "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA"):
        with TheirServer("-tls1_2", "-cipher", cipher, *certificate("mail_rsa")) as server:
            said = server.connect()
            assert said[-1] == "echoed", (cipher, said)


def test_groups_and_retry_of_our_client():
    for groups in ("X25519", "P-256", "P-384", "P-521"):
        with TheirServer("-tls1_3", "-groups", groups, *certificate("mail_ecdsa")) as server:
            assert server.connect()[-1] == "echoed", groups


def test_what_our_client_refuses():
    for arguments in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
                      ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"]):
        with TheirServer(*arguments, *certificate("mail_rsa")) as server:
            said = server.connect(verify="none")
            assert said[0].startswith("error"), (arguments, said)


def test_verification_by_our_client():
    for name, words in (("expired", "expired"), ("future", "not valid yet"), ("self_signed", "self-signed"),
                        ("unknown_root", "trusted authority"), ("unknown_chain", "trusted authority"),
                        ("other_rsa", "not for the name"), ("no_names", "not for the name"),
                        ("weak_key", "too weak"), ("weak_hash", "broken hash")):
        for version in ("-tls1_2", "-tls1_3"):
            with TheirServer(version, "-cipher", "ALL:@SECLEVEL=0", *certificate(name)) as server:
                said = server.connect()
                assert said[0].startswith("error") and words in said[0], (name, version, said)
                said = server.connect(verify="none")
                assert said[-1] == "echoed", (name, version, said)


def test_resumption_by_our_client():
    for version, arguments in (("-tls1_2", ()), ("-tls1_3", ()), ("-tls1_3", ("-num_tickets", "4"))):
        with TheirServer(version, *arguments, *certificate("mail_rsa")) as server:
            said = server.connect(connections=4)
            resumed = [facts_of(line)["resumed"] for line in said if line.startswith("facts")]
            assert resumed == ["0", "1", "1", "1"] and said.count("echoed") == 4, (version, said)
    for version in ("-tls1_2", "-tls1_3"):
        with TheirServer(version, "-num_tickets", "0", "-no_ticket", "-no_cache", *certificate("mail_rsa")) as server:
            said = server.connect(connections=2)
            assert said.count("echoed") == 2, said


def test_client_certificate_of_our_client():
    for version in ("-tls1_2", "-tls1_3"):
        with TheirServer(version, "-Verify", "1", "-verify_return_error", "-CAfile", CERTIFICATES / "root.pem",
                         *certificate("mail_rsa")) as server:
            assert server.connect(with_certificate=["client"])[-1] == "echoed"
            said = server.connect()
            assert any(line.startswith("error") and "alert" in line for line in said), said


def main():
    tests = [value for name, value in sorted(globals().items()) if name.startswith("test_")]
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} - {test.__name__}", flush=True)
        except Exception:
            print(f"not ok {number} - {test.__name__}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line[:2000]}", flush=True)


main()
