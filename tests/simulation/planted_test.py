#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that the simulator's checks can fail: each of these mistakes, planted into a copy of one source
file, must be found within 1,000 seeds. Only that file is compiled anew; its object goes before the
libraries, so that it takes the place of the right one."""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ["RINGMTA_SOURCE"])
BUILD = pathlib.Path(os.environ["RINGMTA_BUILD_ROOT"])
TARGET = "tests/simulation/ringmta-simulate"
SEEDS = 1000
CONTROL = "nothing is wrong, and nothing is found"

# What is wrong, where, what stands there, what is planted.
PLANTED = [
    (CONTROL, "src/spool/commit.cc", "durability()", "durability()"),
    ("the 250 does not wait for stable storage", "src/spool/commit.cc",
     "durability()", "ring::Durability::none"),
    ("a short write is believed", "src/spool/commit.cc",
     "if (result >= 0 && static_cast<uint64_t>(result) == batch->length()) {", "if (result >= 0) {"),
    ("a record is skipped on recovery", "src/relay/shard_relay.cc",
     "void ShardRelay::recovered(spool::StoredHandle stored, const spool::Recovered& message) {",
     "void ShardRelay::recovered(spool::StoredHandle stored, const spool::Recovered& message) {\n"
     "  if (spool_->id(stored).value % 7 == 3) return;"),
    ("a deferred recipient is forgotten", "src/queue/places.cc",
     "  place(index, Place::deferred);\n  retries.arm(index, due);",
     "  static uint32_t count = 0;\n  if (++count % 50 == 0) return;\n"
     "  place(index, Place::deferred);\n  retries.arm(index, due);"),
    ("retry timers follow the wall clock", "src/queue/queue.cc",
     "return static_cast<uint32_t>((now() - begun).count / kTickMs);",
     "static const int64_t first = wall().ms;\n"
     "  return static_cast<uint32_t>(std::max<int64_t>(0, wall().ms - first) / kTickMs);"),
    ("what is finished is not noted", "src/spool/notes.cc",
     "const size_t count = std::min(tombstones.size(), ids_max);",
     "const size_t count = std::min<size_t>(0, ids_max);"),
    ("outcomes are noted a second late", "src/spool/notes.cc",
     ": options.note_delay_max);", ": options.note_delay_max + seconds(1));"),
    ("that a notification was sent is not recorded", "src/queue/notices.cc",
     "spool.record_states(message.stored, notice.states);", "{}"),
    ("a site's limit is not kept", "src/client/opening.cc",
     "uint32_t limit = queue.site(site.id).local_share;",
     "uint32_t limit = queue.site(site.id).local_share + 1;"),
    ("a wrong octet read back from the disk is not noticed", "src/spool/load.cc",
     "!check_message(payload, header.payload_crc) ||", ""),
    ("memory that a content was read into is not given back", "src/spool/load.cc",
     "  blocks.release(load.block);\n  load.tags.clear();", "  load.tags.clear();"),
    ("more sessions than the limit", "src/server/server.cc",
     "clients.enter(peer, {options.sessions_max,", "clients.enter(peer, {options.sessions_max + 1,"),
]


def compile_command(path):
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if (BUILD / entry["file"]).resolve() == path:
            return shlex.split(entry["command"])
    raise AssertionError(f"{path} is not part of the build")


def link_command():
    listed = subprocess.run(["ninja", "-C", BUILD, "-t", "commands", TARGET], capture_output=True, text=True, check=True)
    return shlex.split([line for line in listed.stdout.splitlines() if f"-o {TARGET} " in line][-1])


def plant(directory, file, old, new):
    path = (SOURCE / file).resolve()
    text = path.read_text()
    if text.count(old) < 1:
        raise AssertionError(f"{file} has no line \"{old}\" any more: plant the mistake where it belongs now")
    mutant = directory / path.name
    mutant.write_text(text.replace(old, new))
    command = compile_command(path)
    command[command.index("-o") + 1] = str(mutant.with_suffix(".o"))
    command[command.index("-c") + 1] = str(mutant)
    for option in ("-MQ", "-MF"):
        if option in command:
            command[command.index(option) + 1] = str(mutant.with_suffix(".d"))
    command[-2:-2] = ["-O1", "-iquote", str(path.parent), "-Wno-error"]
    subprocess.run(command, cwd=BUILD, check=True)
    command = link_command()
    command[command.index("-o") + 1] = str(directory / "simulate")
    first = next(i for i, word in enumerate(command) if word.endswith(".a"))
    command.insert(first, str(mutant.with_suffix(".o")))
    subprocess.run(command, cwd=BUILD, check=True)


def found_by(directory):
    """How many seeds it took, and what was seen; None: nothing."""
    done = subprocess.run([directory / "simulate", "--seeds", str(SEEDS)], capture_output=True, text=True,
                          timeout=1200, check=False)
    if done.returncode == 0:
        return None
    seed = re.search(r"^seed (\d+):.*\n(.*)", done.stdout, re.MULTILINE)
    if seed is not None:
        return f"seed {seed.group(1)}", seed.group(2).strip()
    own = re.search(r"^.*assertion failed.*$", done.stderr, re.MULTILINE)  # the relay's own is as good
    if done.returncode != -signal.SIGABRT or own is None:
        raise AssertionError(f"it ended with {done.returncode}: {done.stderr[-500:]}")
    return "an assertion", own.group(0)


def found_by_none(directory):
    done = subprocess.run([directory / "simulate", "--seeds", "20"], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stdout[-500:] + done.stderr[-500:])
    return "20 seeds", "nothing"


def try_out(planted):
    """What was seen of one mistake, in TAP's words; and whether it was found."""
    number, (what, file, old, new) = planted
    seen, comment = None, ""
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        try:
            plant(pathlib.Path(directory), file, old, new)
            seen = (found_by_none if what == CONTROL else found_by)(pathlib.Path(directory))
        except (AssertionError, subprocess.SubprocessError) as problem:
            comment = f"# {problem}\n"
    if seen is None:
        return f"{comment}not ok {number} - {what}", False
    return f"ok {number} - {what}\n# found by {seen[0]}: {seen[1]}", True


def main():
    print("TAP version 13")
    print(f"1..{len(PLANTED)}", flush=True)
    good = True
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for words, found in pool.map(try_out, enumerate(PLANTED, 1)):
            print(words, flush=True)
            good = good and found
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
