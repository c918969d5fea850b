#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/quickstart as somebody runs it who has just built: a few thousand messages, its figures, and what it leaves."""

import os
import pathlib
import re
import subprocess

from harness import Skip, check, equal, main

SOURCE = pathlib.Path(os.environ["RINGMTA_SOURCE"])


def quickstart(*options):
    if pathlib.Path(os.environ["RINGMTA"]).resolve() != SOURCE / "build/release/src/cli/ringmta":
        raise Skip("tools/quickstart builds in build/release; these tests run in another directory")
    return subprocess.run([SOURCE / "tools/quickstart", *options], capture_output=True, text=True, timeout=300, check=False)


def test_every_message_arrives(_):
    for _ in range(2):  # safe to run again
        done = quickstart("--messages", "2000", "--no-setup")
        equal(done.returncode, 0, f"status; it said:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        for wanted in (r"accepted   2000 of 2000 messages, \d+ recipients",
                       r"delivered  \d+ recipients; corrupt 0, delivered twice 0",
                       r"lost       0\n", r"speed      \d+ messages/s", r"latency    p50 [\d.]+ ms, p99 [\d.]+ ms",
                       r"relay CPU  \d+ us per message", r"Every message arrived exactly once, byte for byte\."):
            check(re.search(wanted, done.stdout), f"not said: {wanted}\n{done.stdout[-3000:]}")
        run = pathlib.Path(re.search(r"Files of this run are in (\S+):", done.stdout).group(1))
        for name in ("ringmta.toml", "events.jsonl", "load.json", "sink.json"):
            check((run / name).stat().st_size > 0, f"{name} is empty or not there")
        for name in ("relay.pid", "sink.pid"):
            pid = (run / name).read_text().strip()
            check(not os.path.exists(f"/proc/{pid}"), f"{name}: process {pid} is still there")


def test_what_it_does_not_understand_is_told(_):
    for options, words in ((("--messages", "many"), "--messages needs a number"), (("--speed",), "'--speed' is not an option")):
        done = quickstart(*options)
        equal(done.returncode, 2, f"status of {options}")
        check(words in done.stderr, f"{options}: {done.stderr}")


if __name__ == "__main__":
    main()
