# SPDX-License-Identifier: GPL-3.0-or-later
"""One measurement: sink, relay and load are started, warmed up, measured and ended."""

import dataclasses
import pathlib
import shutil
import tempfile
import time

from .ends import Load, Sink, Trouble, until
from .meter import Group, MemoryWatch, counting, free_port, listening, syncs_counted

COUNTED_MESSAGES = 200  # in the round in which strace counts syncs


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


def settle(group):
    """Waits until the relay has done what a message leaves to do after its delivery (5 s at most)."""
    before = sum(group.cpu())
    for _ in range(25):
        time.sleep(0.2)
        now = sum(group.cpu())
        if now - before < 4000:
            return
        before = now


def start_relay(make, place, count_syncs):
    """Returns (relay, group, strace's report or None)."""
    relay = make(place)
    command = relay.configure()
    group = Group(f"relay-{place.directory.name}", place.directory)
    report = place.directory / "syncs" if count_syncs else None
    group.start(counting(command, report) if count_syncs else command, cwd=place.directory)
    try:
        until(lambda: listening(place.port), f"it to listen on port {place.port}", 60, group)
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


def measure(case, make, options, messages, count_syncs=False):
    """The figures of one run as a dictionary. `make` is None for the floor: the load straight into the sink."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"ringmta-peers-{case.relay}-", dir=options.directory))
    directory.chmod(0o755)
    sink = relay = group = None
    try:
        sink = Sink(options, case.mode, directory)
        load = Load(options, case.mode, directory)
        target = sink.port
        if make is not None:
            place = Place(options, directory, case.mode, case.shards, free_port(), sink.port)
            relay, group, report = start_relay(make, place, count_syncs)
            target = place.port
        warm = min(options.warmup, messages)
        transfer(load, sink, target, warm, warm, case, group, options)
        if group:
            settle(group)
        own_before = relay.counters() if relay and hasattr(relay, "counters") else {}
        watch = MemoryWatch(group) if group and not count_syncs else None
        relay_before, sink_before = group.cpu() if group else (0, 0), sink.group.cpu()
        syncs_before = syncs_counted(report) if count_syncs else 0
        seconds, load_cpu, summary = transfer(load, sink, target, messages, warm + messages, case, group, options)
        if group:
            settle(group)
        arrived = sink.arrived()
        if arrived != warm + messages:
            raise Trouble(f"{arrived} messages arrived at the sink, {warm + messages} were sent")
        if count_syncs:
            return {"syncs_per_message": (syncs_counted(report) - syncs_before) / messages}
        result = {"messages": messages, "messages_per_s": messages / seconds, "load_cpu_us_per_message": load_cpu / messages,
                  "sink_cpu_us_per_message": (sum(sink.group.cpu()) - sum(sink_before)) / messages}
        if group:
            user, system = (after - before for after, before in zip(group.cpu(), relay_before))
            result |= {"relay_cpu_us_per_message": (user + system) / messages, "relay_user_us_per_message": user / messages,
                       "peak_memory_mb": watch.end() / 1024, "cpu_exact": group.exact}
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
        if group:
            group.end()
        if sink:
            sink.end()
        if options.keep:
            print(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
