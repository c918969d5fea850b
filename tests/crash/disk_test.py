#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that are full or damaged, seen from outside of the real relay."""

import json
import os
import re
import subprocess

from harness import Skip, check, equal, free_port, main, program, tool, until


class SmallRelay:
    """Segments of a mebibyte, so that a little mail fills several, and one next hop that need not be there."""

    def __init__(self, lab, spool, sink_port, reserve="0B"):
        self.lab, self.spool, self.port = lab, spool, free_port()
        self.control = lab.directory / "control.sock"
        self.configuration = lab.directory / "small.toml"
        self.configuration.write_text(f"""
hostname = "relay.test"
[shards]
count = 1
[server]
listen = ["127.0.0.1:{self.port}"]
message_size_max = "200KiB"
recipients_max = 100
sessions_max = 200
[client]
connections_max = 200
[spool]
directory = "{spool}"
segment_size = "1MiB"
disk_reserve = "{reserve}"
[[route]]
name = "next"
domains = ["*"]
hosts = ["127.0.0.1:{sink_port}"]
[retry]
first = "1s"
longest = "1s"
[control]
socket = "{self.control}"
[process]
user = "root"
""")

    def start(self):
        self.process = self.lab.start("relay", [program("RINGMTA"), "serve", "-c", self.configuration])
        self.process.wait_for_port(self.port)

    def found(self):
        """Messages found by the last start, as it says."""
        return int(re.search(r"(\d+) messages with", self.process.words()).group(1))

    def figures(self, room):
        done = subprocess.run([program("RINGMTA"), "status", "--json", "--socket", str(self.control)],
                              capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)["shards"][0][room]

    def load(self, run, messages):
        """The load's summary; refusals are no failure here."""
        done = subprocess.run([program("RINGMTA_LOAD"), "--target", f"127.0.0.1:{self.port}", "--messages",
                               str(messages), "--size", "4096", "--sessions", "10", "--run", run, "--json", "--quiet"],
                              capture_output=True, text=True, timeout=300, check=False)
        return json.loads(done.stdout)


def mount_small(lab, octets):
    if os.getuid() != 0 or not os.access("/dev/loop-control", os.R_OK | os.W_OK):
        raise Skip("a small file system is mounted on a loop device: only root may, where there are any")
    image, where = lab.directory / "small.img", lab.directory / "small"
    image.touch()
    os.truncate(image, octets)
    where.mkdir()
    subprocess.run([tool("mkfs.ext4", "e2fsprogs"), "-q", "-F", image], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", image, where], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    return where


def test_a_full_disk_refuses_mail_and_recovers_by_itself(lab):
    where = mount_small(lab, 48 << 20)
    try:
        sink_port = free_port()
        relay = SmallRelay(lab, where / "spool", sink_port)
        relay.start()
        accepted = 0
        for number in range(40):  # more than fits
            accepted += relay.load(f"full{number}", 1000)["recipients_accepted"]
            if not relay.figures("spool")["accepting"]:
                break
        else:
            raise AssertionError("the disk was never full")
        check(accepted > 1000, f"only {accepted} messages fitted on the disk")
        equal(relay.load("refused", 100)["accepted"], 0, "messages taken on a full disk")
        # A restart on the full disk finds everything, and delivers it.
        relay.process.kill()
        sink = lab.sink(verify=True, port=sink_port)
        relay.start()
        equal(relay.found(), accepted, "messages found by the restart")
        sink.wait_for(accepted, patience=180)
        until(lambda: relay.figures("spool")["accepting"], "mail to be taken again")
        more = relay.load("again", 200)
        equal(more["accepted"], 200, "messages taken when there was room again")
        report = until(lambda: (lambda r: r if r["verify"]["deliveries_unique"] >= accepted + 200 else None)(sink.report()),
                       "all that was accepted")
        equal(report["verify"]["deliveries_unique"], accepted + 200, "recipients reached")
        equal(report["verify"]["corrupt"], 0, "messages that changed")
        relay.process.stop()
    finally:
        for process in lab.processes:
            process.kill()
        until(lambda: subprocess.run(["umount", where], capture_output=True, check=False).returncode == 0,
              f"{where} to be unmounted")


def test_damage_is_told_and_the_rest_is_saved(lab):
    sink_port = free_port()
    spool = lab.directory / "spool"
    relay = SmallRelay(lab, spool, sink_port)
    relay.start()
    accepted = relay.load("damage", 2000)["recipients_accepted"]
    equal(accepted, 2000, "messages accepted")
    equal(relay.process.stop(), 0, "status")
    segments = sorted(spool.glob("segment-000-*"))
    used = [path for path in segments if b"X-Load-Id" in path.read_bytes()]
    check(len(used) >= 6, f"only {len(used)} segments hold mail")

    def letters(octets):
        return set(re.findall(rb"X-Load-Id: (\S+)", octets))
    flipped, cut, missing, strange = used[0], used[1], used[2], segments[-1].with_name("segment-000-000999")
    with open(flipped, "r+b") as file:  # in the middle of a content
        at = file.read().index(b"X-Load-Id", 500_000) + 2_000
        file.seek(at)
        octet = file.read(1)[0]
        file.seek(at)
        file.write(bytes([octet ^ 0x10]))
    whole = cut.read_bytes()
    os.truncate(cut, 700_000)
    gone = letters(whole) - letters(whole[:695_000])
    gone |= letters(missing.read_bytes())
    missing.unlink()
    strange.write_bytes(b"no segment" * 1000)

    sink = lab.sink(verify=True, port=sink_port)
    relay.start()
    words = relay.process.words()
    for wanted in (rf"{flipped.name} is damaged from \d+ to \d+", rf"{cut.name} is cut: it has 700000 octets",
                   rf"{missing.name} is missing: ", rf"{strange.name} is no segment that can be understood"):
        check(re.search(wanted, words), f"not said: {wanted}\n{words}")
    check(any((spool / "quarantine").iterdir()), "nothing was set aside")
    waiting = relay.found()
    lost = accepted - waiting
    check(1 <= lost <= len(gone) + 2, f"{lost} messages lost, but {len(gone)} lay in what is gone")
    report = until(lambda: (lambda r: r if r["verify"]["deliveries_unique"] >= waiting else None)(sink.report()),
                   f"{waiting} deliveries")
    equal(report["verify"]["deliveries_unique"], waiting, "recipients reached")
    equal(report["verify"]["corrupt"], 0, "messages that changed")


if __name__ == "__main__":
    main()
