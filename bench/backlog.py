#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead mail must not slow live mail: throughput and CPU of live messages through a relay with nothing queued, and
through one with hundreds of thousands queued for dead destinations (half of them one site, half a site each, all found
by MX from a real DNS server), which it goes on probing. Also what a queued recipient costs of the process's memory, and
how soon the relay takes mail again when it is killed and started with all that in its queue.

Load, relay and sink are processes of their own, everything is durable. Rounds alternate between the two relays, so
that what else the machine does hits both; the middle one of each is compared.

  bench/backlog.py --build build/release [--queued 300000] [--live 30000] [--rounds 5]
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests/interop"), str(ROOT / "tests/world")]


def cpu_seconds(pid):
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def memory_octets(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon")


def load(relay, domain, domains, messages, options, *more):
    from harness import program
    done = subprocess.run(
        [program("RINGMTA_LOAD"), "--target", relay.address(), "--quiet", "--json", "--run", f"r{time.monotonic_ns()}",
         "--messages", str(messages), "--size", str(options.size), "--sessions", "50", "--domain", domain,
         "--domains", str(domains), "--from", "news@sender.test", *more],
        capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"load failed: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    return json.loads(done.stdout)


def live_round(relay, world, options):
    """Until the last message is delivered."""
    from harness import until
    pid = relay.process.pid()
    delivered = relay.total("queue", "delivered")
    cpu, begun = cpu_seconds(pid), time.monotonic()
    load(relay, "ok.test", world.domains["ok"], options.live, options)
    until(lambda: relay.total("queue", "delivered") >= delivered + options.live, "live mail to arrive", patience=300)
    seconds = time.monotonic() - begun
    return {"per_s": options.live / seconds, "cpu_us": (cpu_seconds(pid) - cpu) / options.live * 1e6}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--queued", type=int, default=300_000, help="recipients for dead destinations")
    parser.add_argument("--dead-domains", type=int, default=4000)
    parser.add_argument("--live", type=int, default=30_000, help="messages in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--settle", type=float, default=60,
                        help="seconds between filling the queue and the first round: dead sites are probed often at first")
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    build = pathlib.Path(options.build).resolve()
    os.environ.update(RINGMTA=str(build / "src/cli/ringmta"), RINGMTA_LOAD=str(build / "tools/ringmta-load"),
                      RINGMTA_SINK=str(build / "tools/ringmta-sink"))
    from harness import Lab, until
    from world import World
    labs = [Lab(), Lab(), Lab()]
    try:
        # 100 live domains with 30 hosts; both relays deliver to the same.
        world = World(labs[0], domains=options.dead_domains + 100, addresses=100, only=("ok", "dead"),
                      counts={"ok": 100, "dead": options.dead_domains})
        sections = world.relay_sections(100, host_retry=("15s", "30m"), greeting="30s")
        empty, full = (lab.relay(None, shards=options.shards, sections=sections,
                                 retry='expire_after = "3d"') for lab in labs[1:])
        for relay in (empty, full):  # warm: DNS, connections, memory
            load(relay, "ok.test", world.domains["ok"], options.live, options)
        until(lambda: full.total("queue", "recipients") == 0, "the warm-up to be delivered", patience=120)
        before = memory_octets(full.process.pid())
        filled = load(full, "dead.test", options.dead_domains, options.queued, options)
        time.sleep(options.settle)
        rounds = {"empty": [], "full": []}
        for number in range(options.rounds):
            pair = [("empty", empty), ("full", full)]
            for name, relay in pair if number % 2 == 0 else reversed(pair):
                rounds[name].append(live_round(relay, world, options))
        middle = {name: {what: statistics.median(each[what] for each in found) for what in ("per_s", "cpu_us")}
                  for name, found in rounds.items()}
        queued = full.total("queue", "recipients")
        shards = full.status()["shards"]
        queue_octets = sum(shard["queue"]["memory_octets"] for shard in shards)
        probes = sum(shard["client"]["connect_failures"] for shard in shards)
        result = {
            "queued": queued, "sites": options.dead_domains // 2 + 1, "fill_per_s": round(filled["messages_per_s"]),
            "empty": {what: round(value, 1) for what, value in middle["empty"].items()},
            "full": {what: round(value, 1) for what, value in middle["full"].items()},
            "full_of_empty": {what: round(middle["full"][what] / middle["empty"][what], 3) for what in ("per_s", "cpu_us")},
            "rounds": {name: [{what: round(value, 1) for what, value in each.items()} for each in found]
                       for name, found in rounds.items()},
            "queue_octets_per_recipient": round(queue_octets / queued, 1),
            "process_octets_per_recipient": round((memory_octets(full.process.pid()) - before) / queued),
            "connections_tried_in_vain": probes,
        }
        full.process.kill()
        begun = time.monotonic()
        full.start()  # (the killed one's port may seem to listen for a moment)
        until(lambda: full.command("status", "--json", "--socket", str(full.control), check=False).returncode == 0,
              "the relay to answer again", patience=120)
        result["restart_s"] = round(time.monotonic() - begun, 2)
        until(lambda: full.total("queue", "recipients") == queued, "the queue to be there again", patience=60)
        result["restart_process_octets_per_recipient"] = round(memory_octets(full.process.pid()) / queued)
        result["after_restart"] = {what: round(value, 1) for what, value in live_round(full, world, options).items()}
        print(json.dumps(result), flush=True)
    finally:
        for lab in reversed(labs):
            lab.close()


if __name__ == "__main__":
    main()
