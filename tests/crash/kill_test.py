#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 under load, again and again, with next hops of all tempers: every recipient whose 250 a
client has seen gets the message, unchanged. What may happen is a second delivery of what was in
flight when the process died; and a message whose 250 got lost with the process may arrive or not.

RINGMTA_KILL_ROUNDS: deaths per test (default 8 with a healthy next hop, 3 with each other)."""

import json
import os
import random
import subprocess
import time

from harness import check, equal, main, program, until

ROUNDS = os.environ.get("RINGMTA_KILL_ROUNDS")
SESSIONS = 20
RECIPIENTS = 2


def kill_again_and_again(lab, rounds, replies="", per_second=0):
    dice = random.Random(9)
    options = []
    if replies:
        rules = lab.directory / "replies.toml"
        rules.write_text(replies)
        options = ["--replies", rules]
    sink = lab.sink(*options, verify=True)
    relay = lab.relay([sink.address()], shards=2)
    accepted = unanswered = 0
    for number in range(int(ROUNDS or rounds)):
        load = subprocess.Popen(
            [program("RINGMTA_LOAD"), "--target", relay.address(), "--messages", "1000000", "--size", "mix",
             "--sessions", str(SESSIONS), "--recipients", str(RECIPIENTS), "--run", f"kill{number}", "--json",
             "--quiet", "--connect-patience", "1", *(["--rate", str(per_second)] if per_second else [])],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        before = sink.report()["deliveries"]
        until(lambda before=before: sink.report()["deliveries"] > before + 200 and
              relay.total("spool", "stored") > 200, "mail to flow in and out")
        time.sleep(dice.random() * 0.3)  # the moment of death is to be any
        relay.process.kill()
        summary = json.loads(load.communicate(timeout=120)[0])
        check(summary["accepted"] > 0, f"round {number}: nothing was accepted")
        accepted += summary["recipients_accepted"]
        unanswered += SESSIONS * RECIPIENTS  # at most: one transaction of each session
        relay.start()
    report = until(lambda: (lambda r: r if r["verify"]["deliveries_unique"] >= accepted else None)(sink.report()),
                   f"{accepted} deliveries", patience=300)
    until(lambda: relay.total("queue", "recipients") == 0, "the queue to be empty", patience=300)
    report = sink.report()
    found = report["verify"]["deliveries_unique"]
    print(f"# {accepted} recipients accepted, {found} reached, {report['verify']['duplicates']} twice for sure, "
          f"{report['verify']['duplicates_unsure']} perhaps")
    equal(report["verify"]["corrupt"], 0, "messages that changed")
    check(accepted <= found <= accepted + unanswered,
          f"{accepted} recipients were accepted and up to {unanswered} not answered: {found} reached")


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
