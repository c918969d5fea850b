#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One end-to-end figure: load -> relay -> sink, each its own process, all on loopback.

Prints JSON: messages/s, CPU per message (user and system) of load, relay and sink, and syncs per
message. CPU is what the kernel charged each process (wait4), less what the relay had used before
the first message; wall-clock figures on a shared machine are noise, CPU per message is not quite.
Everything is durable unless --durability relaxed; nothing is pinned unless --cpus is given.

  bench/end_to_end.py --build build/release                         ringmta-load, ringmta-sink
  bench/end_to_end.py --build build/release --tls implicit [--single] [--tls-key rsa] [--tls-no-resumption]
  bench/end_to_end.py --build build/release --load smtp-source --sink smtp-sink
                                       Postfix's programs, as in the figures of other mail servers
  bench/end_to_end.py --build build/release --tls-out                TLS from the relay to the sink
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SECONDS_MAX = 600


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process, what):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"{what} ended before it listened (status {process.returncode})")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"{what} does not listen on port {port}")


def cpu_of(pid):
    """User and system seconds of a living process and its ended children."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tick = os.sysconf("SC_CLK_TCK")
    return (int(fields[11]) + int(fields[13])) / tick, (int(fields[12]) + int(fields[14])) / tick


def cpu_exact(pid):
    """User and system seconds with the scheduler's own precision, all threads together."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    user, system = cpu_of(pid)
    share = user / (user + system) if user + system > 0 else 0
    return total / 1e9 * share, total / 1e9 * (1 - share)


def find(program):
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        sys.exit(f"{program} is not installed (it comes with the package postfix)")
    return found


class Bench:
    def __init__(self, options):
        self.options = options
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ringmta-bench-", dir=options.directory))
        self.build = pathlib.Path(options.build).resolve()
        self.processes = []

    def start(self, command, **keywords):
        process = subprocess.Popen(command, **keywords)
        self.processes.append(process)
        return process

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start_sink(self):
        port = free_port()
        if self.options.sink == "smtp-sink":
            as_user = ["-u", "nobody"] if os.getuid() == 0 else []
            process = self.start([find("smtp-sink"), *as_user, f"127.0.0.1:{port}", "1000"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        else:
            process = self.start([self.build / "tools/ringmta-sink", "--listen", f"127.0.0.1:{port}",
                                  "--quiet", *self.tls_options(), *self.options.sink_option],
                                 stdout=subprocess.DEVNULL)
        wait_for_port(port, process, "the sink")
        return port, process

    def tls_options(self):
        """A certificate for the sink, if it is to speak TLS: ECDSA P-256, signed by itself."""
        if not self.options.tls_out:
            return []
        key, certificate = self.directory / "sink.key", self.directory / "sink.pem"
        subprocess.run([find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=sink.test", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        return ["--tls-certificate", certificate, "--tls-key", key]

    def start_relay(self, sink_port):
        port = free_port()
        self.control = self.directory / "control.sock"
        shards = f'count = {self.options.shards}'
        if self.options.cpus:
            shards += f'\ncpus = "{self.options.cpus}"'
        configuration = self.directory / "ringmta.toml"
        configuration.write_text(f"""
hostname = "bench.test"
[shards]
{shards}
[server]
listen = ["127.0.0.1:{port}"]
{self.tls_settings()}
[spool]
directory = "{self.directory}/spool"
durability = "{self.options.durability}"
[[route]]
name = "sink"
domains = ["*"]
hosts = ["127.0.0.1:{sink_port}"]
connections_max = {self.options.connections}
[events]
file = "{self.directory}/events.jsonl"
[control]
socket = "{self.control}"
[process]
user = "root"
{self.options.config}
{self.dkim_keys()}
""")
        log = open(self.directory / "relay.log", "w")
        process = self.start([self.build / "src/cli/ringmta", "serve", "-c", configuration],
                             stdout=log, stderr=log)
        wait_for_port(port, process, "the relay")
        return port, process

    def tls_settings(self):
        """A self-signed certificate made here, and where to listen with TLS from the first octet."""
        if self.options.tls == "off":
            return ""
        algorithm = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}[self.options.tls_key]
        pem, key = self.directory / "tls.pem", self.directory / "tls.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", *algorithm, "-nodes", "-subj", "/CN=bench.test",
                        "-addext", "subjectAltName=DNS:bench.test", "-days", "30", "-keyout", key, "-out", pem],
                       check=True, capture_output=True)
        self.tls_port = free_port()
        return (f'listen_tls = ["127.0.0.1:{self.tls_port}"]\n'
                f'[[server.tls.certificate]]\ncertificate = "{pem}"\nkey = "{key}"')

    def dkim_keys(self):
        """A new key of each kind; all of them sign every message."""
        sections = ""
        for kind in filter(None, self.options.dkim.split(",")):
            file = self.directory / f"{kind}.pem"
            wanted = ["--ed25519"] if kind == "ed25519" else ["--bits", kind.removeprefix("rsa")]
            subprocess.run([self.build / "src/cli/ringmta", "dkim", "key", "--domain", "bench.test", "--selector", kind,
                            "--out", file, *wanted], check=True, capture_output=True)
            sections += (f'[[dkim.keys]]\ndomain = "bench.test"\nselector = "{kind}"\nkey_file = "{file}"\n'
                         'from = ["*"]\n')
        return sections

    def status(self):
        text = subprocess.run([self.build / "src/cli/ringmta", "status", "--json", "--socket", self.control],
                              check=True, capture_output=True, text=True, timeout=30).stdout
        return json.loads(text)

    def total(self, status, room, name):
        return sum(shard[room].get(name, 0) for shard in status["shards"])

    def load_command(self, port):
        o = self.options
        if o.load == "smtp-source":
            once = ["-d"] if not o.single else []
            return [find("smtp-source"), *once, "-s", str(o.sessions), "-m", str(o.messages), "-l", str(o.size),
                    "-f", "load@load.test", "-t", "sink@sink.test", f"127.0.0.1:{port}"]
        single = ["--messages-per-session", "1"] if o.single else []
        if o.tls != "off":
            single += ["--tls", o.tls] + ([] if o.tls_resumption else ["--tls-no-resumption"])
            port = self.tls_port if o.tls == "implicit" else port
        return [self.build / "tools/ringmta-load", "--target", f"127.0.0.1:{port}", "--messages", str(o.messages),
                "--size", str(o.size), "--sessions", str(o.sessions), "--pipelining", o.pipelining,
                "--quiet", "--json", *single]

    def run(self):
        options = self.options
        sink_port, sink = self.start_sink()
        relay = None
        target = sink_port
        if not options.no_relay:
            target, relay = self.start_relay(sink_port)
            relay_before = cpu_exact(relay.pid)
        sink_before = cpu_exact(sink.pid)
        begun = time.monotonic()
        load = self.start(self.load_command(target), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        output = load.stdout.read()
        _, status, usage = os.wait4(load.pid, 0)
        load.returncode = os.waitstatus_to_exitcode(status)
        accepted_in = time.monotonic() - begun
        if load.returncode != 0:
            sys.exit(f"the load generator failed (status {load.returncode}):\n{output}")
        result = {"load": options.load, "sink": options.sink, "size": options.size, "messages": options.messages,
                  "sessions": options.sessions, "single": options.single, "shards": options.shards,
                  "durability": options.durability, "tls": options.tls}
        if relay is not None:
            end = time.monotonic() + SECONDS_MAX
            while True:
                status = self.status()
                delivered = self.total(status, "queue", "delivered")
                if delivered >= options.messages:
                    break
                if time.monotonic() > end:
                    sys.exit(f"only {delivered} of {options.messages} messages were delivered in {SECONDS_MAX} s")
                time.sleep(0.05)
        seconds = time.monotonic() - begun
        count = options.messages

        def per_message(after, before=(0.0, 0.0)):
            user, system = (after[0] - before[0]) / count * 1e6, (after[1] - before[1]) / count * 1e6
            return {"user": round(user, 2), "system": round(system, 2), "total": round(user + system, 2)}

        result["messages_per_s_accepted"] = round(count / accepted_in)
        result["messages_per_s_delivered"] = round(count / seconds)
        cpu = {"load": per_message((usage.ru_utime, usage.ru_stime)),
               "sink": per_message(cpu_exact(sink.pid), sink_before)}
        if relay is not None:
            cpu["relay"] = per_message(cpu_exact(relay.pid), relay_before)
            batches = self.total(status, "spool", "batches")
            if options.dkim:
                result["dkim"] = options.dkim
                result["dkim_signatures"] = self.total(status, "server", "dkim_signatures")
            result["syncs_per_message"] = round(batches / count, 4)
            if options.tls_out:
                transactions = self.total(status, "client", "tls_transactions")
                if transactions < count:
                    sys.exit(f"only {transactions} of {count} messages went over TLS")
                result["tls_handshakes"] = self.total(status, "client", "tls_handshakes")
                result["tls_resumed"] = self.total(status, "client", "tls_resumed")
            result["turns_per_message"] = round(self.total(status, "ring", "turns") / count, 3)
            memory = pathlib.Path(f"/proc/{relay.pid}/status").read_text()
            result["relay_rss_max_kb"] = int(memory.split("VmHWM:")[1].split()[0])
        result["cpu_us_per_message"] = cpu
        if options.load == "ringmta-load":
            result["latency_ms"] = json.loads(output)["latency_ms"]
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release", help="Meson build directory")
    parser.add_argument("--load", choices=["ringmta-load", "smtp-source"], default="ringmta-load")
    parser.add_argument("--sink", choices=["ringmta-sink", "smtp-sink"], default="ringmta-sink")
    parser.add_argument("--no-relay", action="store_true", help="the load straight into the sink: the floor")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=1024, help="octets of each message")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--single", action="store_true", help="one connection per message")
    parser.add_argument("--pipelining", choices=["on", "off", "bdat"], default="on", help="of ringmta-load")
    parser.add_argument("--tls", choices=["off", "starttls", "implicit"], default="off",
                        help="from ringmta-load to the relay")
    parser.add_argument("--tls-key", choices=["ecdsa", "rsa"], default="ecdsa", help="of the relay's certificate")
    parser.add_argument("--tls-no-resumption", dest="tls_resumption", action="store_false",
                        help="a full handshake for each connection (see --single)")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--cpus", default="", help='pin the shards, like "0-1"')
    parser.add_argument("--connections", type=int, default=50, help="to the sink")
    parser.add_argument("--durability", choices=["sync", "relaxed"], default="sync")
    parser.add_argument("--tls-out", action="store_true", help="STARTTLS between relay and sink")
    parser.add_argument("--config", default="", help="further lines of the relay's configuration")
    parser.add_argument("--dkim", default="", help='sign every message with new keys, like "rsa2048" or '
                                                   '"rsa2048,ed25519"')
    parser.add_argument("--sink-option", action="append", default=[], help="passed to ringmta-sink")
    parser.add_argument("--directory", default=None, help="where the spool lies; default: the system's")
    parser.add_argument("--repeat", type=int, default=1, help="runs; the median by relay CPU is printed last")
    options = parser.parse_args()
    if options.tls != "off" and (options.no_relay or options.load != "ringmta-load"):
        parser.error("--tls is between ringmta-load and the relay")
    results = []
    for _ in range(options.repeat):
        bench = Bench(options)
        try:
            results.append(bench.run())
        finally:
            bench.close()
        print(json.dumps(results[-1]), flush=True)
    if options.repeat > 1:
        key = "sink" if options.no_relay else "relay"
        results.sort(key=lambda one: one["cpu_us_per_message"][key]["total"])
        print(json.dumps({"median": results[len(results) // 2]}))


if __name__ == "__main__":
    main()
