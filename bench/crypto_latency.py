#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a session waits for the reply to NOOP while the same shard signs or shakes hands for others.

One shard, one session in clear text that says NOOP again and again, and beside it, one after the other: nothing; a flood of
mail signed with RSA-4096, RSA-2048, Ed25519; a flood of TLS handshakes without resumption, each with an RSA-2048 certificate.
Prints a line of JSON for each: the percentiles of the reply's time in milliseconds, and what the shard did meanwhile a second.
On a busy machine only the comparison within one run means something.

  bench/crypto_latency.py --build build/release [--seconds 5] [--sessions 20] [--only rsa4096,handshakes]
"""

import argparse
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

DKIM = {"rsa4096": ["--bits", "4096"], "rsa2048": ["--bits", "2048"], "ed25519": ["--ed25519"]}
CASES = ["quiet", *DKIM, "handshakes"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process):
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nothing listens on port {port}")


class Bench:
    def __init__(self, options):
        self.options = options
        self.build = pathlib.Path(options.build).resolve()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ringmta-latency-", dir=options.directory))
        self.processes = []

    def start(self, *command, output=None):
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=output)
        self.processes.append(process)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self):
        for process in reversed(self.processes):
            self.stop(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def keys(self):
        text = ""
        for selector, kind in DKIM.items():
            file = self.directory / f"{selector}.pem"
            subprocess.run([self.build / "src/cli/ringmta", "dkim", "key", "--domain", f"{selector}.test", "--selector",
                            selector, "--out", file, *kind], check=True, capture_output=True)
            text += f'[[dkim.keys]]\ndomain = "{selector}.test"\nselector = "{selector}"\nkey_file = "{file}"\n'
        key, certificate = self.directory / "tls.key", self.directory / "tls.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=relay.test",
                        "-addext", "subjectAltName=DNS:relay.test", "-keyout", key, "-out", certificate], check=True,
                       capture_output=True)
        return text + f'[[server.tls.certificate]]\ncertificate = "{certificate}"\nkey = "{key}"\n'

    def budget(self):
        steps = self.options.handshakes_per_turn
        return f"[server.tls]\nhandshakes_per_turn = {steps}" if steps else ""

    def start_relay(self):
        self.port, self.tls_port, sink_port = free_port(), free_port(), free_port()
        self.control = self.directory / "control.sock"
        sink = self.start(self.build / "tools/ringmta-sink", "--listen", f"127.0.0.1:{sink_port}", "--quiet")
        wait_for_port(sink_port, sink)
        configuration = self.directory / "ringmta.toml"
        configuration.write_text(f"""
hostname = "relay.test"
[process]
user = "{pwd.getpwuid(os.getuid()).pw_name}"
[shards]
count = 1
[server]
listen = ["127.0.0.1:{self.port}"]
listen_tls = ["127.0.0.1:{self.tls_port}"]
{self.budget()}
[spool]
directory = "{self.directory}/spool"
[[route]]
name = "sink"
domains = ["*"]
hosts = ["127.0.0.1:{sink_port}"]
[control]
socket = "{self.control}"
{self.keys()}""")
        self.relay = self.start(self.build / "src/cli/ringmta", "serve", "-c", configuration)
        wait_for_port(self.port, self.relay)

    def total(self, name):
        done = subprocess.run([self.build / "src/cli/ringmta", "status", "--json", "--socket", self.control],
                              capture_output=True, text=True, check=True)
        return sum(shard["server"][name] for shard in json.loads(done.stdout)["shards"])

    def load(self, case):
        if case == "quiet":
            return None, None
        common = [self.build / "tools/ringmta-load", "--messages", 100_000_000, "--sessions", self.options.sessions, "--quiet"]
        if case == "handshakes":
            return self.start(*common, "--target", f"127.0.0.1:{self.tls_port}", "--tls", "implicit", "--tls-no-resumption",
                              "--messages-per-session", 1), "tls_handshakes"
        return self.start(*common, "--target", f"127.0.0.1:{self.port}", "--from", f"ann@{case}.test"), "dkim_signatures"

    def measure(self, case):
        load, counter = self.load(case)
        if load is not None:  # until it is at full speed
            end = time.monotonic() + 60
            while self.total(counter) == 0:
                if time.monotonic() > end or load.poll() is not None:
                    sys.exit(f"{case}: the load does not run")
                time.sleep(0.1)
        before = self.total(counter) if counter else 0
        took = []
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.recv(1000)
            began = time.monotonic()
            while time.monotonic() - began < self.options.seconds:
                asked = time.perf_counter()
                client.sendall(b"NOOP\r\n")
                if not client.recv(1000).startswith(b"250"):
                    sys.exit("NOOP was not answered by 250")
                took.append((time.perf_counter() - asked) * 1e3)
            seconds = time.monotonic() - began
        after = self.total(counter) if counter else 0
        if load is not None:
            self.stop(load)
        took.sort()
        result = {"case": case, "noops": len(took)}
        for name, share in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99), ("max_ms", 1)):
            result[name] = round(took[min(len(took) - 1, int(len(took) * share))], 3)
        if counter:
            result[f"{counter}_per_s"] = round((after - before) / seconds)
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--sessions", type=int, default=20, help="of the flood")
    parser.add_argument("--only", default=",".join(CASES), help="cases, with commas between")
    parser.add_argument("--handshakes-per-turn", type=int, default=0, help="another than the default")
    parser.add_argument("--directory", default=os.environ.get("TMPDIR", "/var/tmp"), help="for the spool")
    options = parser.parse_args()
    bench = Bench(options)
    try:
        bench.start_relay()
        for case in options.only.split(","):
            if case not in CASES:
                sys.exit(f"there is no case {case}: {', '.join(CASES)}")
            print(json.dumps(bench.measure(case)), flush=True)
    finally:
        bench.close()


main()
