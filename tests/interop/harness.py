# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests with real programs share: starting relay, sink and peers on loopback, waiting for
conditions (never for time alone), and telling meson each test's result in TAP.

A test file defines functions test_*(lab) and calls main(). Each gets a Lab of its own: a directory
that goes away, and processes that are ended, by pid, when the test is over.
"""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

PATIENCE = 60.0 * (3 if os.environ.get("RINGMTA_BUILD") == "sanitize" else 1)


class Skip(Exception):
    pass


def program(variable):
    path = os.environ.get(variable)
    if not path or not os.path.exists(path):
        raise RuntimeError(f"{variable} must name the program (run these tests by 'meson test')")
    return path


def tool(name, package):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise RuntimeError(f"{name} is not installed: tools/setup --tests installs the package {package}")
    return found


PORTS = range(10_000, 32_000)  # below those that the kernel gives to outgoing connections
OWN_PORTS = []


def free_port():
    """A port that nobody listens on and that no test program beside this one is given while this one runs: each port is
    the name of an abstract Unix socket, which only one process can have."""
    while True:
        port = random.choice(PORTS)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0ringmta-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        OWN_PORTS.append(claim)
        return port


def until(condition, what, patience=PATIENCE):
    """Waits for condition() to be true and returns its value; fails when it never is."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(0.02)


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class Process:
    def __init__(self, name, command, log, env=None):
        self.name = name
        self.log = log
        self.output = open(log, "ab")
        self.popen = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                                      stdout=self.output, stderr=self.output, env=env)

    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def wait_for_port(self, port):
        def there():
            if not self.alive():
                raise AssertionError(f"{self.name} ended (status {self.popen.returncode}):\n{self.words()}")
            return listening(port)
        until(there, f"{self.name} to listen on port {port}")

    def words(self):
        return pathlib.Path(self.log).read_text(errors="replace")[-4000:]

    def stop(self):
        """SIGTERM; the exit status."""
        if self.alive():
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end on SIGTERM:\n{self.words()}") from None

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        if self.alive():
            self.popen.kill()
        return self.popen.wait()


class Lab:
    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ringmta-test-"))
        self.directory.chmod(0o755)
        self.processes = []

    def start(self, name, command, env=None):
        process = Process(name, command, self.directory / f"{name}-{len(self.processes)}.log", env)
        self.processes.append(process)
        return process

    def print_last_words(self):
        """What each program said last, as comments of TAP."""
        for process in self.processes:
            print(f"# --- {process.name}:")
            print("\n".join("#   " + line for line in process.words().split("\n")[-15:]), flush=True)

    def close(self):
        for process in reversed(self.processes):
            if process.alive():
                process.popen.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.popen.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            with contextlib.suppress(BrokenPipeError):  # of a pipe that nobody reads any more
                process.output.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def sink(self, *options, record=False, verify=False, port=None):
        sink = Sink(self, options, record, verify, port or free_port())
        return sink

    def relay(self, hosts, extra="", shards=1, port=None, sections="", retry="", route="",
              server=""):
        """`hosts`: smart hosts for everything; None: delivery by MX."""
        return Relay(self, hosts, extra, shards, port or free_port(), sections, retry, route, server)

    def smtp_sink(self, port, *options):
        """Postfix's; as root it wants to be told whom to become."""
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        sink = self.start("smtp-sink", [tool("smtp-sink", "postfix"), *user, *options, f"127.0.0.1:{port}", "1000"])
        sink.wait_for_port(port)
        return sink


class Sink:
    def __init__(self, lab, options, record, verify, port):
        self.port = port
        self.report_file = lab.directory / f"sink-{port}.json"
        self.record = lab.directory / f"record-{port}"
        command = [program("RINGMTA_SINK"), "--listen", f"127.0.0.1:{port}", "--quiet",
                   "--report-file", self.report_file, *options]
        if record:
            self.record.mkdir()
            command += ["--record", self.record]
        if verify:
            command.append("--verify")
        self.process = lab.start("sink", command)
        self.process.wait_for_port(port)

    def address(self):
        return f"127.0.0.1:{self.port}"

    def report(self):
        """As it is now: the sink writes its report on SIGUSR1."""
        if self.report_file.exists():
            self.report_file.unlink()
        self.process.popen.send_signal(signal.SIGUSR1)

        def read():
            try:
                return json.loads(self.report_file.read_text())
            except (OSError, ValueError):
                return None
        return until(read, "the sink's report")

    def wait_for(self, deliveries, patience=PATIENCE):
        return until(lambda: (lambda r: r if r["deliveries"] >= deliveries else None)(self.report()),
                     f"{deliveries} deliveries at the sink", patience)


class Relay:
    def __init__(self, lab, hosts, extra, shards, port, sections, retry, more, server):
        self.lab = lab
        self.port = port
        self.spool = lab.directory / "spool"
        self.events_file = lab.directory / "events.jsonl"
        self.control = lab.directory / "control.sock"
        self.configuration = lab.directory / "ringmta.toml"
        route = ""
        if hosts is not None:
            listed = ", ".join(f'"{host}"' for host in hosts)
            route = f'[[route]]\nname = "next"\ndomains = ["*"]\nhosts = [{listed}]\n{more}'
        self.configuration.write_text(f"""
hostname = "relay.test"
{extra}
[shards]
count = {shards}
[server]
listen = ["127.0.0.1:{port}"]
{server}
[spool]
directory = "{self.spool}"
segment_size = "128MiB"
disk_reserve = "16MiB"
{route}
[retry]
first = "1s"
longest = "2s"
{retry}
[events]
file = "{self.events_file}"
[control]
socket = "{self.control}"
[process]
user = "root"
{sections}
""")
        self.process = None
        self.start()

    def start(self):
        self.process = self.lab.start("relay", [program("RINGMTA"), "serve", "-c", self.configuration])
        self.process.wait_for_port(self.port)

    def address(self):
        return f"127.0.0.1:{self.port}"

    def command(self, *words, check=True):
        done = subprocess.run([program("RINGMTA"), *words], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"ringmta {' '.join(words)} failed: {done.stderr}{self.process.words()}")
        return done

    def status(self):
        return json.loads(self.command("status", "--json", "--socket", str(self.control)).stdout)

    def total(self, room, name):
        return sum(shard[room][name] for shard in self.status()["shards"])

    def wait_for_total(self, room, name, wanted):
        """The shards publish their counters a few times a second."""
        until(lambda: self.total(room, name) == wanted, f"{room}.{name} to be {wanted}: {self.total(room, name)}")

    def events(self, kind=None):
        if not self.events_file.exists():
            return []
        lines = self.events_file.read_text().split("\n")[:-1]
        found = [json.loads(line) for line in lines]
        return [event for event in found if kind is None or event["event"] == kind]

    def wait_for_events(self, kind, count, patience=PATIENCE):
        def enough():
            found = self.events(kind)
            return found if len(found) >= count else None
        try:
            return until(enough, f"{count} events '{kind}'", patience)
        except AssertionError as problem:
            raise AssertionError(f"{problem}; events so far: {self.events()[-5:]}\n{self.process.words()}") from None


def load(relay, *options):
    """ringmta-load against the relay; its JSON summary. Fails when a message was not accepted."""
    done = subprocess.run([program("RINGMTA_LOAD"), "--target", relay.address(), "--quiet", "--json",
                           *[str(option) for option in options]],
                          capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise AssertionError(f"load failed (status {done.returncode}): {done.stdout[-2000:]} {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def recorded(sink):
    """What the sink wrote down: a list of (envelope lines as text, message as bytes)."""
    found = []
    for path in sorted(sink.record.glob("*.eml")):
        rest, envelope = path.read_bytes(), []
        while rest.startswith(b"X-Sink-"):
            line, _, rest = rest.partition(b"\r\n")
            envelope.append(line.decode())
        found.append((envelope, rest))
    return found


def without_trace(message):
    """The message as it was before the relay put its Received field on top."""
    if not message.startswith(b"Received: "):
        raise AssertionError(f"no Received field on top: {message[:200]!r}")
    lines = message.split(b"\r\n")
    count = 1
    while lines[count][:1] in (b" ", b"\t"):
        count += 1
    return b"\r\n".join(lines[count:])


def equal(got, wanted, what=""):
    if got != wanted:
        if isinstance(got, bytes) and isinstance(wanted, bytes):
            at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
            raise AssertionError(f"{what}: {len(got)} octets, wanted {len(wanted)}; from octet {at} on "
                                 f"got {got[at:at + 100]!r}, wanted {wanted[at:at + 100]!r}")
        raise AssertionError(f"{what}: got {got!r:.500}, wanted {wanted!r:.500}")


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def main():
    module = sys.modules["__main__"]
    tests = [(name, function) for name, function in vars(module).items()
             if name.startswith("test_") and callable(function)]
    print("TAP version 13")
    print(f"1..{len(tests)}", flush=True)
    bad = False
    for number, (name, function) in enumerate(tests, 1):
        lab = Lab()
        try:
            function(lab)
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception as problem:  # whatever went wrong is this test's failure
            bad = True
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exception(problem):
                print("\n".join("# " + part for part in line.rstrip().split("\n")), flush=True)
            lab.print_last_words()
        finally:
            lab.close()
    sys.exit(1 if bad else 0)
