#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 under load, again and again: every message whose 250 a client has seen arrives. What may
happen is a second delivery of what was in flight when the process died; nothing may be missing and
nothing may change."""

import os
import random
import subprocess
import time

from harness import check, equal, main, program, until

ROUNDS = int(os.environ.get("RINGMTA_KILL_ROUNDS", "8"))


def test_kill_nine_under_load_loses_nothing(lab):
    dice = random.Random(9)
    sink = lab.sink(verify=True)
    relay = lab.relay([sink.address()], shards=2)
    accepted = 0
    for number in range(ROUNDS):
        run = f"kill{number}"
        load = subprocess.Popen(
            [program("RINGMTA_LOAD"), "--target", relay.address(), "--messages", "1000000", "--size", "mix",
             "--sessions", "20", "--recipients", "2", "--run", run, "--json", "--quiet",
             "--connect-patience", "1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        before = sink.report()["deliveries"]
        until(lambda before=before: sink.report()["deliveries"] > before + 200, "mail to flow")
        time.sleep(dice.random() * 0.3)  # the moment of death is to be any
        relay.process.kill()
        import json
        summary = json.loads(load.communicate(timeout=120)[0])
        check(summary["accepted"] > 0, f"round {number}: nothing was accepted")
        accepted += summary["recipients_accepted"]
        relay.start()
    report = until(lambda: (lambda r: r if r["verify"]["deliveries_unique"] >= accepted else None)(sink.report()),
                   f"{accepted} deliveries")
    equal(report["verify"]["corrupt"], 0, "messages that changed")
    until(lambda: relay.total("queue", "recipients") == 0, "the queue to be empty")
    for run in report["verify"]["runs"]:
        print(f"# {run['run']}: {run['recipients']} deliveries")


if __name__ == "__main__":
    main()
