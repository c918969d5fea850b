#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 under load, again and again, with next hops of all tempers: every recipient whose 250 a
client has seen gets the message, unchanged. What may happen is a second delivery of what was in
flight when the process died; and a message whose 250 got lost with the process may arrive or not.
Load and sink tell the numbers of their messages, so the account is exact.

RINGMTA_KILL_ROUNDS: deaths per test (default 8 with a healthy next hop, 3 with each other)."""

import json
import os
import random
import subprocess
import time

from harness import check, equal, main, program, until

ROUNDS = os.environ.get("RINGMTA_KILL_ROUNDS")


class Account:
    """What the load knows of one run, to be compared with what the sink has seen of it, number by number."""

    def __init__(self, summary):
        self.run = summary["run"]
        self.ranges = summary["accepted_ranges"]
        self.accepted = {index for first, last in self.ranges for index in range(first, last + 1)}
        self.unknown = set(summary["unknown_indexes"])
        equal(len(self.accepted), summary["accepted"], "accepted messages listed by number")
        equal(len(self.unknown), summary["unknown"], "unanswered messages listed by number")

    def lost(self, seen):
        """Accepted messages that the sink has not seen for every recipient."""
        return self.accepted - whole_at_the_sink(seen)

    def uninvited(self, seen):
        """Messages that came though their 250 was neither seen nor could have been on its way."""
        return whole_at_the_sink(seen) - self.accepted - self.unknown


def whole_at_the_sink(seen):
    if seen is None:
        return set()
    equal(len(seen["incomplete_indexes"]), seen["incomplete"], "incomplete messages listed by the sink")
    equal(sum(last - first + 1 for first, last in seen["missing_ranges"]), seen["missing"],
          "missing messages listed by the sink")
    whole = set(range(seen["highest_index"] + 1)) - set(seen["incomplete_indexes"])
    for first, last in seen["missing_ranges"]:
        whole.difference_update(range(first, last + 1))
    return whole


def runs_seen(sink):
    return {run["run"]: run for run in sink.report()["verify"]["runs"]}


def kill_again_and_again(lab, rounds, replies="", per_second=0):
    dice = random.Random(9)
    options = []
    if replies:
        rules = lab.directory / "replies.toml"
        rules.write_text(replies)
        options = ["--replies", rules]
    sink = lab.sink(*options, verify=True)
    relay = lab.relay([sink.address()], shards=2)
    accounts = []
    for number in range(int(ROUNDS or rounds)):
        load = subprocess.Popen(
            [program("RINGMTA_LOAD"), "--target", relay.address(), "--messages", "1000000", "--size", "mix",
             "--sessions", "20", "--recipients", "2", "--run", f"kill{number}", "--json",
             "--quiet", "--connect-patience", "1", *(["--rate", str(per_second)] if per_second else [])],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        before = sink.report()["deliveries"]
        until(lambda before=before: sink.report()["deliveries"] > before + 200 and
              relay.total("spool", "stored") > 200, "mail to flow in and out")
        time.sleep(dice.random() * 0.3)  # the moment of death is to be any
        relay.process.kill()
        accounts.append(Account(json.loads(load.communicate(timeout=120)[0])))
        check(accounts[-1].accepted, f"round {number}: nothing was accepted")
        relay.start()
    until(lambda: (lambda seen: not any(account.lost(seen.get(account.run)) for account in accounts))(runs_seen(sink)),
          "all accepted mail to arrive", patience=300)
    until(lambda: relay.total("queue", "recipients") == 0, "the queue to be empty", patience=300)
    seen = runs_seen(sink)
    for account in accounts:
        mine = seen.get(account.run)
        equal(sorted(account.uninvited(mine)), [], f"{account.run}: delivered, never accepted nor unanswered")
        # What was not answered was kept whole or not at all.
        equal(mine["incomplete"], 0, f"{account.run}: messages that reached some of their recipients")
    verified = sink.report()["verify"]
    found, twice, perhaps = (verified[key] for key in ("deliveries_unique", "duplicates", "duplicates_unsure"))
    print(f"# {sum(len(account.accepted) for account in accounts)} messages accepted, "
          f"{sum(len(account.unknown) for account in accounts)} unanswered; {found} recipients reached, "
          f"{twice} twice for sure, {perhaps} perhaps")
    equal(verified["corrupt"], 0, "messages that changed")
    # The sink is sure of a second delivery when the connection of the first outlived its 250. Of these there are
    # few: outcomes milliseconds old when the process died. Who kept no outcomes would send everything again.
    check(twice <= found / 10, f"{twice} of {found} deliveries came twice for sure")


def test_with_a_healthy_next_hop(lab):
    kill_again_and_again(lab, 8)


def test_with_a_slow_next_hop(lab):
    kill_again_and_again(lab, 3, '[[rule]]\nphase = "mail"\ndelay = 20\n[[rule]]\nphase = "rcpt"\ndelay = 20\n', 400)


def test_with_a_next_hop_that_answers_late(lab):
    kill_again_and_again(lab, 3, '[[rule]]\nphase = "dot"\ndelay = 150\n', 300)


def test_with_a_flaky_next_hop(lab):
    kill_again_and_again(lab, 3, """
[[rule]]
phase = "connect"
share = 0.1
reply = "421 4.3.2 Too busy"
[[rule]]
phase = "rcpt"
share = 0.05
reply = "451 4.2.1 Not now"
[[rule]]
phase = "dot"
share = 0.02
reply = "451 4.3.0 Not now"
[[rule]]
phase = "dot"
share = 0.01
drop = "before"
[[rule]]
phase = "dot"
share = 0.01
drop = "after"
[[rule]]
phase = "data"
share = 0.005
reset = true
""")


if __name__ == "__main__":
    main()
