#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The internet of tests/world in a large size: 10,000 domains, a real DNS server, hundreds of hosts that
answer, stall, greylist, refuse or are dead. The same healthy mail twice, without and with the rest, at the same rate:
what trouble costs those who have none. Judged are all recipients (each in its one right state), notifications,
connections at each address (by the sink), and content.

Mail comes at a rate the machine can bear: as fast as it goes (--rate 0) both runs are as slow as the processors,
and the second has more to do.

  bench/world.py --build build/release [--rate 1000] [--rounds 3]
"""

import argparse
import json
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests/interop"), str(ROOT / "tests/world")]


def cpu_seconds(pid):
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def run(options, only):
    from harness import Lab, until
    from world import HEALTHY, KINDS, Outcomes, World, percentile
    lab = Lab()
    try:
        world = World(lab, domains=options.domains, addresses=options.addresses, only=only)
        sections = world.relay_sections(options.per_site, host_retry=("5s", "10s"), greeting="5s")
        relay = lab.relay(None, shards=options.shards, sections=sections,
                          retry=f'expire_after = "{options.expire}s"')
        pid = relay.process.pid()
        before = cpu_seconds(pid)
        share = sum(world.domains[kind] for kind in HEALTHY if kind in world.domains) / sum(world.domains.values())
        begun = time.monotonic()
        accepted = world.send(relay.address(), round(options.messages / share), size=options.size,
                              rate=round(options.rate / share))
        healthy = sum(accepted[kind] for kind in HEALTHY)
        outcomes = Outcomes(relay.events_file)

        def healthy_done():
            outcomes.read()
            return len(outcomes.delays_ms(HEALTHY)) >= healthy
        until(healthy_done, "healthy mail to arrive", patience=600)
        seconds = time.monotonic() - begun
        busy = cpu_seconds(pid) - before
        total = sum(accepted.values())

        def all_final():
            outcomes.read()
            return outcomes.count() >= total
        until(all_final, "everything to be final", patience=600)
        until(lambda: relay.total("queue", "recipients") == 0, "the notifications to be delivered", patience=120)
        outcomes.read()
        delays = outcomes.delays_ms(HEALTHY)
        report = world.report()
        failed = sum(count for name, count in accepted.items()
                     if next(kind for kind in KINDS if kind.name == name).ends != ("delivered",))
        notified = sum(1 for event in outcomes.notifications.values() if event["event"] == "delivered")
        shards = relay.status()["shards"]
        hits = sum(shard["dns_cache"]["hits"] for shard in shards)
        misses = sum(shard["dns_cache"]["misses"] for shard in shards)
        return {
            "kinds": "all" if only is None else "healthy", "domains": sum(world.domains.values()),
            "addresses": len(report["listeners"]), "recipients": total, "healthy_recipients": healthy,
            "wrong": outcomes.wrong(), "failed": failed, "notified": notified,
            "limits_exceeded": world.limits_exceeded(report, options.per_site),
            "corrupt": report["verify"]["corrupt"],
            "duplicates": report["verify"]["duplicates"], "possible_duplicates": outcomes.possible_duplicates,
            "deferrals": outcomes.deferrals, "healthy_per_s": round(healthy / seconds),
            "healthy_delay_ms": {f"p{round(level * 1000) / 10:g}": percentile(delays, level)
                                 for level in (0.5, 0.9, 0.99, 0.999)},
            "relay_cpu_us_per_recipient": round(busy / total * 1e6, 1),
            "relay_cpu_share": round(busy / seconds / options.shards, 2),
            "dns_cache_hit_share": round(hits / max(1, hits + misses), 3),
        }
    finally:
        lab.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--domains", type=int, default=10_000)
    parser.add_argument("--addresses", type=int, default=400)
    parser.add_argument("--messages", type=int, default=20_000, help="to healthy domains")
    parser.add_argument("--rate", type=int, default=1000, help="of these per second; 0: as fast as it goes")
    parser.add_argument("--rounds", type=int, default=1, help="the two runs in turn, so often")
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--per-site", type=int, default=10, help="connections to one MX set")
    parser.add_argument("--expire", type=int, default=60, help="seconds after which mail is returned")
    options = parser.parse_args()
    build = pathlib.Path(options.build).resolve()
    os.environ.update(RINGMTA=str(build / "src/cli/ringmta"), RINGMTA_LOAD=str(build / "tools/ringmta-load"),
                      RINGMTA_SINK=str(build / "tools/ringmta-sink"))
    from world import HEALTHY
    for _ in range(options.rounds):
        for only in (HEALTHY, None):
            print(json.dumps(run(options, only)), flush=True)


if __name__ == "__main__":
    main()
