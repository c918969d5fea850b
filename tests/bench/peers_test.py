#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""bench/peers from outside: what it prints, and that it refuses to count a case that went wrong."""

import json
import os
import pathlib
import subprocess
import sys

from harness import check, equal, main

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench"))
KEYS = ["relay", "size", "mode", "messages_per_s", "relay_cpu_us_per_message", "relay_user_us_per_message",
        "load_cpu_us_per_message", "sink_cpu_us_per_message", "peak_memory_mb", "syncs_per_message"]


def peers(lab, *words):
    return subprocess.run([ROOT / "bench/peers", "--build", os.environ["RINGMTA_BUILD_DIRECTORY"], "--directory",
                           "/var/tmp", *words], capture_output=True, text=True, timeout=200, check=False)


def forwarder(lab, forget=""):
    """A relay in a few lines: takes a message, says 250, hands it on."""
    path = lab.directory / "forwarder.py"
    path.write_text('''
import smtplib, socketserver, sys
count = 0
class Session(socketserver.StreamRequestHandler):
    def handle(self):
        global count
        say = lambda line: self.wfile.write(line + b"\\r\\n")
        say(b"220 forwarder")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"MAIL": sender, recipients = line[10:].split(b">")[0].lstrip(b"<"), []
            if verb == b"RCPT": recipients.append(line[8:].split(b">")[0].lstrip(b"<"))
            if verb == b"DATA":
                say(b"354 go on")
                body = b""
                while (line := self.rfile.readline()) != b".\\r\\n": body += line[1:] if line[:1] == b"." else line
                count += 1
                if count != FORGET:
                    with smtplib.SMTP("127.0.0.1", int(sys.argv[2])) as onward:
                        onward.sendmail(sender.decode(), [one.decode() for one in recipients], body)
            say(b"221 bye" if verb == b"QUIT" else b"250 ok")
            if verb == b"QUIT": return
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100
Server(("127.0.0.1", int(sys.argv[1])), Session).serve_forever()
'''.replace("FORGET", str(forget or 0)))
    return f"mine:{sys.executable} {path} {{port}} {{sink_port}}"


def test_figures_of_the_relay_and_the_floor(lab):
    done = peers(lab, "--only", "ringmta,floor", "--messages", "200", "--rounds", "2", "--mode", "persist", "--json")
    equal(done.returncode, 0, done.stderr)
    ours, floor = [json.loads(line) for line in done.stdout.splitlines()]
    equal(list(ours)[:len(KEYS)], KEYS, "the first keys of a line")
    equal((ours["relay"], ours["size"], ours["mode"], ours["rounds"]), ("ringmta", 1024, "persist", 2), "the case")
    for key in KEYS[3:]:
        if key != "relay_user_us_per_message":
            check(ours[key] > 0, f"{key} is {ours[key]}")
    # The kernel splits user from system by its clock ticks, of which so few messages may see none.
    check(0 <= ours["relay_user_us_per_message"] <= ours["relay_cpu_us_per_message"], f"user time beyond all time: {ours}")
    check(ours["syncs_per_message"] <= 1, f"more syncs than messages: {ours}")
    equal(floor["relay_cpu_us_per_message"], None, "CPU of no relay")
    check(floor["messages_per_s"] > 0, f"the floor: {floor}")


def test_signing_tls_and_many_domains(lab):
    report = lab.directory / "results.json"
    done = peers(lab, "--only", "ringmta", "--messages", "200", "--warmup", "50", "--rounds", "1", "--json", "--mode",
                 "dkim,tls,tls-single,domains", "--out", report)
    equal(done.returncode, 0, done.stderr)
    lines = {line["mode"]: line for line in map(json.loads, done.stdout.splitlines())}
    equal(list(lines), ["dkim", "tls", "tls-single", "domains"], "the modes")
    equal(lines["dkim"]["own"]["server.dkim_signatures"], 1, "signatures per message")
    equal(lines["tls"]["own"]["client.tls_transactions"], 1, "messages over TLS to the sink, per message")
    check(lines["tls-single"]["own"]["server.tls_handshakes"] >= 1, f"a handshake for every message: {lines['tls-single']}")
    check(lines["tls-single"]["own"]["server.tls_resumed"] > 0.5, f"most of them are resumptions: {lines['tls-single']}")
    check(lines["domains"]["dns_cpu_us_per_message"] > 0, f"the DNS server was asked: {lines['domains']}")
    kept = json.loads(report.read_text())
    equal(kept["cases"], list(lines.values()), "what is in the file")
    check(kept["machine"]["cpu"] and kept["build"]["commit"], f"where it was measured: {kept}")


def test_any_command_is_a_relay(lab):
    done = peers(lab, "--only", "mine", "--command", forwarder(lab), "--messages", "20", "--rounds", "1", "--warmup",
                 "5", "--sessions", "4", "--mode", "persist", "--no-syncs", "--json")
    equal(done.returncode, 0, done.stderr)
    line = json.loads(done.stdout)
    equal(line["relay"], "mine", "the relay")
    check(line["relay_cpu_us_per_message"] > 0, f"its CPU: {line}")


def test_a_lost_message_is_an_error(lab):
    done = peers(lab, "--only", "mine", "--command", forwarder(lab, forget=12), "--messages", "20", "--rounds", "1",
                 "--warmup", "5", "--sessions", "4", "--mode", "persist", "--no-syncs", "--patience", "3")
    equal(done.returncode, 1, done.stdout)
    check("only 24 of 25 messages arrived" in done.stderr, f"it says so: {done.stderr}")


def test_only_the_signature_asked_for_counts(lab):
    from rig import material
    unsigned = b"From: a@sender.test\r\n\r\ntext\r\n"
    check(not material.signed(unsigned), "no signature")
    other = b"DKIM-Signature: v=1; a=ed25519-sha256; d=sender.test; s=x; b=" + b"A" * 86 + b"==\r\n" + unsigned
    check(not material.signed(other), "one of another kind")
    short = b"DKIM-Signature: v=1; a=rsa-sha256; d=sender.test; s=x; b=" + b"A" * 172 + b"==\r\n" + unsigned
    check(not material.signed(short), "1024 bits")
    good = b"DKIM-Signature: v=1; a=rsa-sha256; d=sender.test;\r\n s=x; b=" + b"A" * 171 + b"\r\n\t" + b"A" * 171 + b"==\r\n"
    check(material.signed(good + unsigned), "2048 bits, folded")


def test_plots_are_well_formed(lab):
    from xml.dom import minidom
    from rig import plot
    points = [(10.0 ** power, 20 + power, 19 + power, 22 + power) for power in range(6)]
    drawn = minidom.parseString(plot.svg("A & B", "x", "y", {"one": points, "two": points[2:]}))
    equal(len(drawn.getElementsByTagName("circle")), 10, "a dot per point")
    places = [float(dot.getAttribute("cy")) for dot in drawn.getElementsByTagName("circle")][:6]
    check(places == sorted(places, reverse=True), f"more is higher: {places}")


def test_latency_at_a_share_of_the_highest_rate(lab):
    done = subprocess.run([ROOT / "bench/latency", "--build", os.environ["RINGMTA_BUILD_DIRECTORY"], "--messages", "3000",
                           "--seconds", "1", "--rounds", "1", "--share", "0.3", "--json"], capture_output=True, text=True,
                          timeout=200, check=False)
    equal(done.returncode, 0, done.stderr)
    line = json.loads(done.stdout)
    for key in ("250_ms", "delivered_ms"):
        figures = [line[key][name] for name in ("p50", "p90", "p99", "p999", "max")]
        check(figures[0] > 0 and figures == sorted(figures), f"{key}: {line[key]}")
    check(line["rate_per_s"] < line["highest_per_s"], f"it is slower than it could be: {line}")


def test_mistakes_are_answered_with_what_to_do(lab):
    for words, answer in ((["--onyl", "ringmta"], "did you mean --only?"),
                          (["--only", "postfux"], "did you mean 'postfix'?"),
                          (["--mode", "singel"], "did you mean 'single'?"),
                          (["--size", "many"], "1024, 10k or 1M"),
                          (["--mode", "tls", "--load", "smtp-source", "--only", "floor"], "cannot do the mode tls"),
                          (["--messages", "0"], "a whole number above 0"),
                          (["--command", "mine"], "it is NAME:LINE"),
                          (["--only", "ringmta", "--build", "/nowhere"], "name another build directory with --build")):
        done = subprocess.run([ROOT / "bench/peers", *words], capture_output=True, text=True, timeout=60, check=False)
        equal(done.returncode, 2, f"status of {words}: {done.stderr}")
        check(answer in done.stderr, f"{words} is answered: {done.stderr}")


if __name__ == "__main__":
    main()
