# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ends of every measurement: a load that sends, a sink that takes and counts.

Ours know which message is which: the sink verifies each one's digest and that it came once. Postfix's
smtp-source and smtp-sink are what others publish figures with; that sink can only count.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time

from .meter import Group, free_port, listening
from .modes import MANY


class Trouble(Exception):
    """A case that cannot be measured, or that must not count. The text is for whoever ran it."""


def until(condition, what, patience_s, group=None):
    end = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        ended = [popen for popen in group.popens if popen.poll() is not None] if group is not None else []
        if ended:
            raise Trouble(f"{group.name} ended (status {ended[0].returncode}) while waiting for {what}:\n{group.words()}")
        if time.monotonic() > end:
            raise Trouble(f"waited {patience_s:.0f} s in vain for {what}"
                          + (f"; the last words of {group.name}:\n{group.words()}" if group else ""))
        time.sleep(0.02)


def installed(program, package):
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise Trouble(f"{program} is not installed (Debian's package {package}): run tools/setup --bench")
    return found


class Sink:
    def __init__(self, options, mode, directory, record=None, network=None):
        from . import dns, material
        self.kind = options.sink
        self.directory = directory
        self.group = Group("sink", directory)
        self.listen = network.addresses if network else "127.0.0.1"
        self.port = dns.SMTP_PORT if network else free_port()
        first = self.listen.split("-")[0]
        cpus = getattr(options, "sink_cpus", "")
        if self.kind == "smtp-sink":
            user = ["-u", "nobody"] if os.getuid() == 0 else []
            self.counts = open(directory / "sink-counts", "w+b")
            self.group.start([installed("smtp-sink", "postfix"), *user, "-c", f"{first}:{self.port}", "1000"],
                             stdout=self.counts, cpus=cpus)
        else:
            self.report_file = directory / "sink.json"
            further = ["--record", record] if record else []
            if mode.tls_out:
                certificate, key = material.certificate(directory, "sink")
                further += ["--tls-certificate", certificate, "--tls-key", key]
            self.group.start([options.build / "tools/ringmta-sink", "--listen", f"{self.listen}:{self.port}",
                              "--quiet", "--verify", "--report-file", self.report_file, *further], cpus=cpus)
        try:
            until(lambda: listening(self.port, first), "the sink to listen", 30, self.group)
        except Trouble:
            self.group.end()
            raise

    def arrived(self):
        """How many messages so far; our own sink also vouches for them."""
        if self.kind == "smtp-sink":
            self.counts.seek(0, os.SEEK_END)
            self.counts.seek(max(0, self.counts.tell() - 200))
            found = re.findall(rb"mesg=(\d+)", self.counts.read())
            return int(found[-1]) if found else 0
        verify = self.report()["verify"]
        for fault in ("corrupt", "duplicates"):
            if verify[fault]:
                raise Trouble(f"the sink reports {verify[fault]} messages {fault}: "
                              f"{json.dumps(verify)[:500]}")
        return verify["deliveries_unique"]

    def report(self):
        self.report_file.unlink(missing_ok=True)
        self.group.popens[0].send_signal(signal.SIGUSR1)

        def read():
            try:
                return json.loads(self.report_file.read_text())
            except (OSError, ValueError):
                return None
        return until(read, "the sink's report", 30, self.group)

    def wait_for(self, count, load, relay_group, patience_s):
        """Returns when so many have arrived; fails when nothing came for `patience_s`."""
        highest, since = -1, time.monotonic()
        looked = 0
        while True:
            sending = load.running()
            if sending and time.monotonic() - looked < 0.25:  # looking costs the sink a little
                time.sleep(0.005)
                continue
            now, looked = self.arrived(), time.monotonic()
            if now >= count:
                return
            if now > highest:
                highest, since = now, time.monotonic()
            if not sending and load.process.returncode != 0:
                load.end()  # says why
            if time.monotonic() - since > patience_s:
                raise Trouble(f"only {now} of {count} messages arrived at the sink, and none for {patience_s} s"
                              + (f"; the relay's last words:\n{relay_group.words()}" if relay_group else ""))
            time.sleep(0.02)

    def end(self):
        self.group.end()
        if self.kind == "smtp-sink":
            self.counts.close()


class Load:
    def __init__(self, options, mode, directory, further=()):
        self.options, self.mode, self.further = options, mode, further
        self.directory = directory
        self.kind = options.load
        self.runs = 0

    def command(self, port, messages, size):
        sessions = min(self.options.sessions, messages)
        if self.kind == "smtp-source":
            once = [] if self.mode.single else ["-d"]
            return [installed("smtp-source", "postfix"), *once, "-s", sessions, "-m", messages, "-l", size,
                    "-f", "load@load.test", "-t", "sink@sink.test", f"127.0.0.1:{port}"]
        once = ["--messages-per-session", 1] if self.mode.single else []
        once += ["--tls", "starttls"] if self.mode.tls_in else []
        once += ["--domains", self.mode.domains, "--domain", MANY] if self.mode.by_mx else []
        self.runs += 1
        return [self.options.build / "tools/ringmta-load", "--target", f"127.0.0.1:{port}", "--messages", messages,
                "--size", size, "--sessions", sessions, "--pipelining", self.mode.pipelining, "--quiet", "--json",
                "--connect-patience", 60, "--timeout", 30, *once, *self.further]

    def start(self, port, messages, size):
        self.group = Group(f"load-{self.runs}", self.directory)
        self.output = open(self.directory / f"load-{self.runs}.out", "w+b")
        self.process = self.group.start(self.command(port, messages, size), stdout=self.output,
                                        cpus=getattr(self.options, "load_cpus", ""))

    def running(self):
        """Reaps the process without losing what it used."""
        if self.process.returncode is None:
            pid, status, self.usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode is None

    def end(self):
        """The CPU it took (user + system, microseconds) and, of our own load, its summary."""
        while self.running():
            time.sleep(0.02)
        self.output.seek(0)
        output = self.output.read().decode(errors="replace")
        if self.process.returncode != 0:
            raise Trouble(f"the load failed (status {self.process.returncode}): {output[-1500:]} {self.group.words()}")
        summary = json.loads(output) if self.kind == "ringmta-load" else None
        return (self.usage.ru_utime + self.usage.ru_stime) * 1e6, summary

    def close(self):
        self.group.end()
        self.output.close()
