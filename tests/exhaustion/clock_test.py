#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wall clock of the relay is set, far back and far ahead, while it works: timers go on, nothing
expires that is not due, nothing stalls, mail comes in and goes out."""

import datetime
import os
import struct
import time

from harness import check, equal, free_port, load, main, program, until
from want import LimitedRelay

DAY_MS = 24 * 3600 * 1000


class Clock:
    def __init__(self, lab):
        self.file = lab.directory / "offset"
        self.set(0)

    def set(self, ms):
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("q", ms))

    def env(self):
        # With a sanitizer its library has to be told that another one comes first.
        options = os.environ.get("ASAN_OPTIONS", "")
        return {"LD_PRELOAD": program("RINGMTA_WALL_CLOCK"), "RINGMTA_WALL_CLOCK_FILE": str(self.file),
                "ASAN_OPTIONS": options + ":verify_asan_link_order=0"}


def jump(lab, ms):
    clock = Clock(lab)
    port = free_port()
    relay = LimitedRelay(lab, [f"127.0.0.1:{port}"], env=clock.env(), retry='expire_after = "30d"',
                         sections='[client]\nhost_retry_after = "1s"\nhost_retry_longest = "1s"\n')
    load(relay, "--messages", 200, "--run", "before")
    relay.wait_for_total("queue", "recipients", 200)
    clock.set(ms)
    load(relay, "--messages", 200, "--run", "after")
    relay.status_now()
    sink = lab.sink(verify=True, port=port)  # retries have to find it, whatever the clock says
    until(lambda: sink.report()["verify"]["deliveries_unique"] == 400, "400 deliveries")
    relay.wait_for_total("queue", "recipients", 0)
    equal(relay.total("queue", "expired"), 0, "messages that expired")
    told = datetime.datetime.fromisoformat(relay.events("delivered")[-1]["time"].replace("Z", "+00:00"))
    off = told.timestamp() - time.time() - ms / 1000
    check(abs(off) < 600, f"the relay's clock was not set: its events are {off:.0f} s away from what was asked for")
    # A restart under the new clock finds an orderly spool, and goes on from there.
    equal(relay.process.stop(), 0, "exit status")
    relay.start()
    load(relay, "--messages", 100, "--run", "restarted")
    until(lambda: sink.report()["verify"]["deliveries_unique"] == 500, "500 deliveries")
    clock.set(0)
    load(relay, "--messages", 100, "--run", "back")
    until(lambda: sink.report()["verify"]["deliveries_unique"] == 600, "600 deliveries")
    equal(sink.report()["verify"]["duplicates"], 0, "duplicates")


def test_set_back(lab):
    jump(lab, -20 * DAY_MS)


def test_set_ahead(lab):
    jump(lab, 20 * DAY_MS)


if __name__ == "__main__":
    main()
