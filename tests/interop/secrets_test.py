#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords, tokens and private keys in use, and then everywhere looked for: in the log at its most talkative, events,
status, metrics, listings, what check and reload say, the spool, and in what a core dump of the running relay would hold."""

import base64
import os
import pathlib
import re
import smtplib
import subprocess
import urllib.request

from auth_test import Raw, add_user, plain
from harness import Skip, check, equal, free_port, main, program, tool, until

CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
IN, WRONG, OUT, TOKEN = "P4ssw0rd.of.alice-in", "Wr0ng.guess.of.mallory", "P4ssw0rd.of.ours-out", "ya29.T0ken-of-ours.out"


def hexadecimal(key, label):
    """A number of `openssl pkey -text`."""
    text = subprocess.run([tool("openssl", "openssl"), "pkey", "-in", key, "-noout", "-text"], capture_output=True,
                          text=True, check=True).stdout
    found = re.search(rf"^{label}:\s*\n((?:\s+[0-9a-f:]+\n)+)", text, re.MULTILINE)
    check(found, f"{label} in {text[:60]}")
    return bytes.fromhex(re.sub(r"[\s:]", "", found[1])).lstrip(b"\0")


def numbers(name, key, *labels):
    """In the forms libraries keep: the octets from either end. Any 24 octets of it would be a leak; two windows do."""
    found = {}
    for label in labels:
        octets = hexadecimal(key, label)
        for form, text in (("big", octets), ("little", octets[::-1])):
            found[f"{name} {label} {form}"] = text[:32] if len(text) <= 32 else text[8:40]
    return found


def texts_of(name, text):
    octets = text.encode()
    return {f"{name}": octets, f"{name} in base64": base64.b64encode(octets)}


def pem_lines(name, key):
    """Some of its lines; the first of them say nothing but the key's kind."""
    lines = [line for line in pathlib.Path(key).read_text().split("\n") if len(line) > 30 and " " not in line]
    return {f"{name} line {number}": lines[number].encode() for number in {len(lines) // 3, len(lines) * 2 // 3, len(lines) - 1}}


def dumped(pid):
    """Of each mapping a core would hold (core(5): private and anonymous, not MADV_DONTDUMP): name and octets."""
    with open(f"/proc/{pid}/smaps", encoding="ascii") as smaps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        head = None
        for line in smaps:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                head = line.split()
            elif line.startswith("VmFlags:"):
                flags = line.split()[1:]
                begin, end = (int(part, 16) for part in head[0].split("-"))
                if "rd" not in flags or "dd" in flags or "io" in flags or head[-1] in ("[vvar]", "[vsyscall]"):
                    continue
                for at in range(begin, end, 1 << 24):
                    try:
                        memory.seek(at)
                        yield head[-1] if len(head) > 5 else "anonymous", at, memory.read(min(1 << 24, end - at) + 64 if
                                                                                        at + (1 << 24) < end else end - at)
                    except (OSError, OverflowError):
                        pass


def leaks(pid, secrets):
    found = set()
    total = 0
    for name, at, octets in dumped(pid):
        total += len(octets)
        octets = octets.replace(bytes(4096), b"")  # what was never used is most of it
        found |= {f"{what} in {name} from {at:x}" for what, secret in secrets.items() if secret in octets}
    check(total > 1 << 20, f"only {total} octets could be read")
    return sorted(found)


def dkim_key(lab, selector, *kind):
    path = lab.directory / f"{selector}.pem"
    subprocess.run([program("RINGMTA"), "dkim", "key", "--domain", "load.test", "--selector", selector, "--out", path,
                    *kind], capture_output=True, check=True)
    return path, f'[[dkim.keys]]\ndomain = "load.test"\nselector = "{selector}"\nkey_file = "{path}"\n'


def private_file(lab, name, text):
    path = lab.directory / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def send(relay, mechanism, *routes, starttls=False):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        if starttls:
            client.starttls()
        client.ehlo("client.test")
        client.user, client.password = "alice", IN
        client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))
        for name in routes:
            client.sendmail("alice@load.test", [f"bob@{name}.test"], f"From: alice@load.test\nSubject: {mechanism}\n\nhello\n")


def busy_relay(lab):
    """Everything that has a secret, in use."""
    users = add_user(lab, "alice", IN)
    tls = ("--tls-certificate", CERTIFICATES / "mail_rsa.pem", "--tls-key", CERTIFICATES / "mail_rsa.key")
    by_password = lab.sink(*tls, "--auth", f'PLAIN,LOGIN:ours:{private_file(lab, "right", OUT)}')
    by_token = lab.sink(*tls, "--auth", f'XOAUTH2:ours:{private_file(lab, "token", TOKEN)}')
    refusing = lab.sink(*tls, "--auth", f'SCRAM-SHA-256:ours:{private_file(lab, "other", "something else")}')
    token_command = lab.directory / "token_command"
    token_command.write_text(f"#!/bin/sh\necho {TOKEN}\necho {TOKEN} >&2\n")
    token_command.chmod(0o755)
    keys = [dkim_key(lab, "rsa"), dkim_key(lab, "big", "--bits", "3072"), dkim_key(lab, "ed", "--ed25519")]
    routes = ""
    for name, sink, secret in (("password", by_password, f'password_file = "{lab.directory / "right"}"'),
                               ("token", by_token, f'token_command = ["{token_command}"]'),
                               ("refusing", refusing, f'password_file = "{lab.directory / "right"}"')):
        routes += f'''[[route]]
name = "{name}"
domains = ["{name}.test"]
hosts = ["{sink.address()}"]
[route.tls]
policy = "required"
certificate = "{CERTIFICATES / "client.pem"}"
key = "{CERTIFICATES / "client.key"}"
[route.auth]
user = "ours"
{secret}
'''
    port = free_port()
    sections = routes + f'[auth]\nusers = "{users}"\ndelay_max = "0s"\nclear_networks = ["127.0.0.0/8"]\n'
    for name in ("mail_rsa", "mail_ecdsa"):
        sections += (f'[[server.tls.certificate]]\ncertificate = "{CERTIFICATES / name}.pem"\n'
                     f'key = "{CERTIFICATES / name}.key"\n')
    metrics = free_port()
    sections += f'[metrics]\nlisten = ["127.0.0.1:{metrics}"]\n' + "".join(text for _, text in keys)
    relay = lab.relay(None, extra='log_level = "debug"', sections=sections,
                      server=f'listen_tls = ["127.0.0.1:{port}"]\nrelay_networks = ["192.0.2.0/24"]')
    relay.metrics, relay.keys = metrics, [path for path, _ in keys]
    send(relay, "PLAIN", "password", "token")
    send(relay, "LOGIN", "password", "token", starttls=True)
    equal(Raw(relay).ask(plain("alice", WRONG))[:9], "535 5.7.8", "a wrong password")
    send(relay, "PLAIN", "refusing", starttls=True)
    relay.wait_for_events("delivered", 4)
    until(lambda: relay.total("client", "auth_failures") >= 1, "a refusal of our password")
    return relay


def secrets_of(relay):
    secrets = {}
    for name, text in (("a client's password", IN), ("a client's wrong password", WRONG), ("our password", OUT),
                       ("our token", TOKEN)):
        secrets |= texts_of(name, text)
    secrets |= texts_of("what PLAIN sends", f"\0alice\0{IN}") | texts_of("what our PLAIN sends", f"\0ours\0{OUT}")
    secrets |= numbers("DKIM's RSA key", relay.keys[0], "privateExponent", "prime1", "prime2", "exponent1", "exponent2")
    secrets |= numbers("DKIM's larger RSA key", relay.keys[1], "privateExponent", "prime1", "prime2")
    secrets |= numbers("DKIM's Ed25519 key", relay.keys[2], "priv")
    secrets |= numbers("the RSA certificate's key", CERTIFICATES / "mail_rsa.key", "privateExponent", "prime1", "prime2")
    for name in ("mail_ecdsa", "client"):
        secrets |= numbers(f"the key of {name}", CERTIFICATES / f"{name}.key", "priv")
    for key in (*relay.keys, CERTIFICATES / "mail_rsa.key", CERTIFICATES / "mail_ecdsa.key", CERTIFICATES / "client.key"):
        secrets |= pem_lines(f"PEM of {pathlib.Path(key).name}", key)
    return secrets


def test_nothing_that_is_written_holds_a_secret(lab):
    relay = busy_relay(lab)
    secrets = secrets_of(relay)
    # No proxy is asked for loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    said = {"metrics": opener.open(f"http://127.0.0.1:{relay.metrics}/metrics", timeout=60).read()}
    control = ("--socket", str(relay.control))
    for words in (("status", *control), ("status", "--json", *control), ("queue", "list", *control),
                  ("queue", "list", "--json", *control), ("check", "-c", str(relay.configuration)),
                  ("check", "--help",), ("reload", *control)):
        done = relay.command(*words, check=False)
        said[" ".join(words[:2])] = (done.stdout + done.stderr).encode()
    # A reload with a mistake in each file that holds a secret.
    for path in (relay.keys[0], lab.directory / "users"):
        before = path.read_bytes()
        path.write_bytes(before.replace(b"\n", b"x\n", 3))
        done = relay.command("reload", *control, check=False)
        check(done.returncode != 0, f"{path} was broken")
        said[f"reload with a mistake in {path.name}"] = (done.stdout + done.stderr).encode()
        path.write_bytes(before)
    relay.process.stop()
    said["log"] = pathlib.Path(relay.process.log).read_bytes()
    check(all(said[place] for place in ("metrics", "status --socket", "check -c", "reload --socket")), "words were said")
    check(b"authentication failed: 535" in said["log"] and b'AUTH PLAIN of "alice"' in said["log"], "the log tells of log-ins")
    said["events"] = relay.events_file.read_bytes()
    for path in relay.spool.rglob("*"):
        if path.is_file():
            said[f"spool {path.name}"] = path.read_bytes().rstrip(b"\0")
    for place, octets in said.items():
        for what, secret in secrets.items():
            check(secret not in octets, f"{what} in {place}")


def test_a_core_dump_would_hold_no_secret(lab):
    if os.environ.get("RINGMTA_BUILD") == "sanitize":
        raise Skip("under AddressSanitizer secrets are in its own memory, so that it sees them")
    relay = busy_relay(lab)
    pid = relay.process.pid()
    # The search finds what is there: the user's name is no secret.
    check(leaks(pid, {"a name": b"alice@load.test"}), "what is in memory is found")
    found = leaks(pid, secrets_of(relay))
    equal(found, [], "secrets in a core dump")


if __name__ == "__main__":
    main()
