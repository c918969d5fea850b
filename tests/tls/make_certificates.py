#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the certificates of the TLS tests with OpenSSL: make_certificates.py DIRECTORY STAMP. In NAME.pem the certificate
is followed by its issuers, which are in NAME.issuers too; NAME.key is its key."""

import pathlib
import subprocess
import sys

CA_CONFIG = """
[ca]
default_ca = ca
[ca]
database = {here}/index.txt
new_certs_dir = {here}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = none
[any]
commonName = supplied
"""

PRESENT = ("20200101000000Z", "20990101000000Z")
PAST = ("20200101000000Z", "20200201000000Z")
FUTURE = ("20980101000000Z", "20990101000000Z")


class Maker:
    def __init__(self, directory):
        self.here = pathlib.Path(directory).resolve()
        self.here.mkdir(parents=True, exist_ok=True)

    def openssl(self, *arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(f"openssl {' '.join(map(str, arguments))}: {done.stdout}")

    def path(self, name):
        return self.here / name

    def key(self, name, kind):
        algorithm = {"ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                     "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                     "rsa1024": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]}[kind]
        self.openssl("genpkey", *algorithm, "-out", self.path(f"{name}.key"))

    def certificate(self, name, kind, issuer, names="", subject="", is_ca=False, dates=PRESENT, digest="sha256", chain=(),
                    usage=""):
        """`issuer` None: signed by itself. `usage`: extended; empty: any."""
        self.key(name, kind)
        self.path("index.txt").write_text("")
        self.path("ca.cnf").write_text(CA_CONFIG.format(here=self.here))
        extensions = ["basicConstraints = critical, CA:" + ("TRUE" if is_ca else "FALSE"),
                      "subjectKeyIdentifier = hash"]
        if is_ca:
            extensions.append("keyUsage = critical, keyCertSign, cRLSign")
        if usage:
            extensions.append(f"extendedKeyUsage = {usage}")
        if names:
            extensions.append(f"subjectAltName = {names}")
        self.path("extensions.cnf").write_text("\n".join(extensions) + "\n")
        subject = subject or names.split(",")[0].split(":")[-1] or name
        self.openssl("req", "-new", "-key", self.path(f"{name}.key"), "-subj", f"/CN={subject}",
                     "-out", self.path(f"{name}.csr"))
        signer = ["-selfsign", "-keyfile", self.path(f"{name}.key")] if issuer is None else [
            "-cert", self.path(f"{issuer}.pem"), "-keyfile", self.path(f"{issuer}.key")]
        self.openssl("ca", "-batch", "-config", self.path("ca.cnf"), "-in", self.path(f"{name}.csr"), *signer,
                     "-startdate", dates[0], "-enddate", dates[1], "-md", digest, "-notext",
                     "-extfile", self.path("extensions.cnf"), "-out", self.path(f"{name}.pem"))
        issuers = "".join(self.path(f"{one}.pem").read_text() for one in chain)
        if issuers:
            self.path(f"{name}.issuers").write_text(issuers)
        with self.path(f"{name}.pem").open("a") as file:
            file.write(issuers)


def main():
    make = Maker(sys.argv[1])
    mail = "DNS:mail.example.com"
    make.certificate("root", "ecdsa", None, is_ca=True)
    make.certificate("other_root", "rsa", None, is_ca=True)
    make.certificate("between", "rsa", "root", is_ca=True)
    make.certificate("mail_rsa", "rsa", "between", mail, chain=["between"])
    make.certificate("mail_ecdsa", "ecdsa", "root", f"{mail}, DNS:*.wild.example.com, IP:127.0.0.1")
    make.certificate("other_rsa", "rsa", "root", "DNS:other.example.net")
    make.certificate("expired", "ecdsa", "root", mail, dates=PAST)
    make.certificate("future", "ecdsa", "root", mail, dates=FUTURE)
    make.certificate("self_signed", "ecdsa", None, mail)
    make.certificate("unknown_root", "rsa", "other_root", mail)
    make.certificate("unknown_chain", "rsa", "other_root", mail, chain=["other_root"])
    make.certificate("expired_root", "ecdsa", None, is_ca=True, dates=PAST)
    make.certificate("expired_chain", "ecdsa", "expired_root", mail, chain=["expired_root"])
    make.certificate("expired_between", "ecdsa", "root", is_ca=True, dates=PAST)
    make.certificate("expired_issuer", "ecdsa", "expired_between", mail, chain=["expired_between"])
    make.certificate("weak_key", "rsa1024", "root", mail)
    make.certificate("weak_hash", "rsa", "root", mail, digest="sha1")
    make.certificate("weak_between", "rsa1024", "root", is_ca=True)
    make.certificate("weak_issuer", "ecdsa", "weak_between", mail, chain=["weak_between"])
    make.certificate("for_clients", "ecdsa", "root", mail, usage="clientAuth")
    make.certificate("for_servers", "ecdsa", "root", mail, usage="serverAuth")
    make.certificate("no_names", "ecdsa", "root", subject="mail.example.com")
    make.certificate("client", "ecdsa", "root", "DNS:client.example.com")
    pathlib.Path(sys.argv[2]).write_text("")


main()
