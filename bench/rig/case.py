# SPDX-License-Identifier: GPL-3.0-or-later
"""One measurement: sink, relay and load are started, warmed up, measured and ended."""

import argparse
import dataclasses
import pathlib
import shutil
import tempfile
import time

from . import dns, material
from .ends import Load, Sink, Trouble, until
from .meter import Group, MemoryWatch, counting, free_port, listening, syncs_counted

COUNTED_MESSAGES = 200  # in the round in which strace counts syncs
PROVED_MESSAGES = 20    # in the one in which signatures are looked at


@dataclasses.dataclass(frozen=True)
class Case:
    relay: str
    size: int
    mode: object
    shards: int = 1


@dataclasses.dataclass
class Place:
    """Where one relay runs and what it is to do."""
    options: object
    directory: pathlib.Path
    mode: object
    shards: int
    port: int
    sink_port: int
    dns_server: str = ""
    sections: str = ""  # further lines of RingMTA's configuration


def settle(group):
    """Waits until the relay has done what a message leaves to do after its delivery (5 s at most)."""
    before = sum(group.cpu())
    for _ in range(25):
        time.sleep(0.2)
        now = sum(group.cpu())
        if now - before < 4000:
            return
        before = now


def start_relay(make, place, count_syncs=False):
    """Returns (relay, group, strace's report or None)."""
    relay = make(place)
    command = relay.configure()
    if place.mode.by_mx and getattr(relay, "ASKS_BY_RESOLV_CONF", True):
        command = dns.asking(place.dns_server, command, place.directory)
    group = Group(f"relay-{place.directory.name}", place.directory)
    report = place.directory / "syncs" if count_syncs else None
    cpus = getattr(place.options, "relay_cpus", "")
    group.start(counting(command, report) if count_syncs else command, cwd=place.directory, cpus=cpus)
    try:
        until(lambda: listening(place.port), f"it to listen on port {place.port}", 60, group)
        for helper, port in getattr(relay, "helpers", list)():  # a milter, say: what it costs is the relay's cost
            group.start(helper, cwd=place.directory, cpus=cpus)
            until(lambda at=port: listening(at), f"{helper[0]} to listen on port {port}", 60, group)
    except Trouble:
        group.end()
        raise
    return relay, group, report


def transfer(load, sink, target, messages, arrived, case, group, options):
    """Sends them and waits until `arrived` are there. Returns the seconds that took, and what the load says."""
    load.start(target, messages, case.size)
    try:
        begun = time.monotonic()
        sink.wait_for(arrived, load, group, options.patience)
        return time.monotonic() - begun, *load.end()
    finally:
        load.close()


class Setting:
    """Sink, DNS and relay of one case, in a directory that is removed; ended in the reverse order. `make` is None
    for the floor: the load straight into the sink."""

    def __init__(self, case, make, options, count_syncs=False, record=False, sections=""):
        if getattr(options, "per_shard", False):
            options = argparse.Namespace(**{**vars(options), "sessions": options.sessions * case.shards})
        self.case, self.options = case, options
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"ringmta-peers-{case.relay}-", dir=options.directory))
        self.directory.chmod(0o755)
        self.sink = self.dns = self.relay = self.group = None
        try:
            self.recorded = self.directory / "recorded" if record else None
            if record:
                self.recorded.mkdir()
            network = dns.Network() if case.mode.by_mx else None
            self.sink = Sink(options, case.mode, self.directory, self.recorded, network)
            self.dns = dns.Server(self.directory, network, case.mode.domains) if network else None
            self.load = Load(options, case.mode, self.directory)
            self.target = self.sink.port
            self.sent = 0
            if make is not None:
                place = Place(options, self.directory, case.mode, case.shards, free_port(), self.sink.port,
                              network.server if network else "", sections)
                self.relay, self.group, self.syncs = start_relay(make, place, count_syncs)
                self.target = place.port
        except BaseException:
            self.end()
            raise

    def through(self, messages, load=None):
        """Sends so many and waits for the last; (seconds, load's CPU in us, its summary)."""
        self.sent += messages
        result = transfer(load or self.load, self.sink, self.target, messages, self.sent, self.case, self.group,
                          self.options)
        if self.group:
            settle(self.group)
        arrived = self.sink.arrived()
        if arrived != self.sent:
            raise Trouble(f"{arrived} messages arrived at the sink, {self.sent} were sent")
        return result

    def end(self):
        for one in (self.group, self.dns, self.sink):
            if one:
                one.end()
        if self.options.keep:
            print(f"kept: {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


def check_tls(sink, mode):
    """Every connection to the sink spoke TLS, but for the one that found out whether it listens."""
    if not mode.tls_out or sink.kind != "ringmta-sink":
        return
    report = sink.report()
    if report["tls_sessions"] == 0 or report["connections"] - report["tls_sessions"] > 1:
        raise Trouble(f"of {report['connections']} connections to the sink {report['tls_sessions']} spoke TLS")


def prove(case, make, options):
    """That what a mode asks for is done: a few messages into a sink that keeps them."""
    if make is None or not case.mode.dkim:
        return
    setting = Setting(case, make, options, record=True)
    try:
        setting.through(PROVED_MESSAGES)
        texts = [path.read_bytes() for path in setting.recorded.glob("*.eml")]
        unsigned = sum(not material.signed(text) for text in texts)
        if unsigned or len(texts) != PROVED_MESSAGES:
            raise Trouble(f"{unsigned} of {len(texts)} messages came without a signature of rsa-sha256 with 2048 bits")
    except Trouble as trouble:
        raise Trouble(f"{case.relay}, {case.size} octets, {case.mode.name}: {trouble}") from None
    finally:
        setting.end()


def measure(case, make, options, messages, count_syncs=False):
    """The figures of one run as a dictionary."""
    setting = None
    try:
        setting = Setting(case, make, options, count_syncs)
        sink, relay, group = setting.sink, setting.relay, setting.group
        setting.through(min(options.warmup, messages))
        own_before = relay.counters() if relay and hasattr(relay, "counters") else {}
        watch = MemoryWatch(group) if group and not count_syncs else None
        relay_before, sink_before = group.cpu() if group else (0, 0), sum(sink.group.cpu())
        dns_before = sum(setting.dns.group.cpu()) if setting.dns else 0
        syncs_before = syncs_counted(setting.syncs) if count_syncs else 0
        seconds, load_cpu, summary = setting.through(messages)
        check_tls(sink, case.mode)
        if count_syncs:
            return {"syncs_per_message": (syncs_counted(setting.syncs) - syncs_before) / messages}
        result = {"messages": messages, "messages_per_s": messages / seconds, "load_cpu_us_per_message": load_cpu / messages,
                  "sink_cpu_us_per_message": (sum(sink.group.cpu()) - sink_before) / messages}
        if group:
            user, system = (after - before for after, before in zip(group.cpu(), relay_before))
            result |= {"relay_cpu_us_per_message": (user + system) / messages, "relay_user_us_per_message": user / messages,
                       "peak_memory_mb": watch.end() / 1024, "cpu_exact": group.exact}
        if setting.dns:
            result["dns_cpu_us_per_message"] = (sum(setting.dns.group.cpu()) - dns_before) / messages
        if own_before:
            own = {name: value - own_before[name] for name, value in relay.counters().items() if name in own_before}
            result["syncs_per_message"] = own["spool.batches"] / messages
            result["own"] = {name: value / messages for name, value in own.items() if value}
        if summary:
            result["latency_ms"] = summary["latency_ms"]
        return result
    except Trouble as trouble:
        raise Trouble(f"{case.relay}, {case.size} octets, {case.mode.name}: {trouble}") from None
    finally:
        if setting:
            setting.end()
