#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the next hop sees of a relay with two shards: never more connections than the site may have, all shards
together, and yet every shard at work where the limit lets it be. The sink counts."""

import os

from harness import check, equal, load, main

SANITIZE = os.environ.get("RINGMTA_BUILD") == "sanitize"
MESSAGES = 600 if SANITIZE else 2000
SLOW_DOT = '[[rule]]\nphase = "dot"\ndelay = 10\n'  # so that one connection is not enough


def slow_sink(lab):
    rules = lab.directory / "slow.toml"
    rules.write_text(SLOW_DOT)
    return lab.sink("--replies", rules, verify=True)


def deliver(lab, sink, connections_max, more=""):
    """MESSAGES through a relay of two shards; transactions of each shard's connections."""
    relay = lab.relay([sink.address()], shards=2, route=f"connections_max = {connections_max}\n{more}")
    load(relay, "--messages", MESSAGES, "--sessions", 40, "--size", 1000)
    sink.wait_for(MESSAGES, patience=180)
    relay.wait_for_total("queue", "recipients", 0)
    report = sink.report()
    equal(report["deliveries"], MESSAGES, "deliveries")
    equal(report["verify"]["duplicates"], 0, "duplicates")
    peak = max(listener["connections_peak"] for listener in report["listeners"])
    shares = [shard["client"]["transactions"] for shard in relay.status()["shards"]]
    print(f"# connections_max {connections_max}: {peak} at most; transactions by shard: {shares}", flush=True)
    check(peak <= connections_max, f"{peak} connections, {connections_max} allowed")
    return peak, shares


def test_one_connection_for_two_shards(lab):
    # It lives on one shard; the other lends its jobs there.
    peak, shares = deliver(lab, slow_sink(lab), 1)
    equal(peak, 1, "connections at once")
    equal(min(shares), 0, "transactions of the shard without connections")


def test_an_odd_limit_is_shared_and_used_up(lab):
    peak, shares = deliver(lab, slow_sink(lab), 3)
    equal(peak, 3, "connections at once")
    check(min(shares) > 0, f"a shard did nothing: {shares}")


def test_a_hot_smart_host_uses_every_shard(lab):
    peak, shares = deliver(lab, slow_sink(lab), 20)
    check(peak > 4, f"only {peak} connections for a slow host")
    check(min(shares) > MESSAGES // 5, f"the work is not shared: {shares}")


def test_messages_per_connection(lab):
    sink = slow_sink(lab)
    _, shares = deliver(lab, sink, 4, "messages_per_connection_max = 7")
    report = sink.report()
    # One connection was the test's own look whether the sink is there.
    check(report["connections"] - 1 >= -(-sum(shares) // 7), f"{report['connections']} connections for {shares}")


if __name__ == "__main__":
    main()
