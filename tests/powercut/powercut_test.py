#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power fails, at any moment, below the file system: what was answered with 250 before must be
there afterwards, whole.

A relay runs on ext4 or XFS on a loop device on a disk that records each write and flush
(recording_disk.cc), while clients send mail and note the time of each 250. From the recording the
image of the disk is made for many cuts: what a flush covers is kept, what came after the last flush
is kept, dropped, mixed write by write, or torn at 512 octets. Each image is mounted, which replays
the file system's journal, and what the spool's recovery finds is compared with what was promised.

kill -9 cannot show a missing sync, since the page cache survives it; this can, and two tests prove
it: a spool that answers before the commit, and a relay told not to sync, are seen to lose mail.

RINGMTA_POWERCUTS: cuts per test (default 24); RINGMTA_SEED: which ones.
"""

import bisect
import collections
import json
import mmap
import os
import random
import socket
import struct
import subprocess
import threading
import time
import zlib

from harness import Lab, Skip, check, free_port, main, program, tool, until  # noqa: F401

CUTS = int(os.environ.get("RINGMTA_POWERCUTS", "24"))
SEED = int(os.environ.get("RINGMTA_SEED", "1"))
DISK_OCTETS = 320 << 20  # XFS takes no less than 300 MiB
SECTOR = 512
MESSAGES = 400  # of each client
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
PACKAGE = {"ext4": "e2fsprogs", "xfs": "xfsprogs"}
POLICIES = ("kept", "dropped", "mixed", "torn")

Record = collections.namedtuple("Record", "kind length offset time at")
Promise = collections.namedtuple("Promise", "line time")


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout.strip()


def permitted():
    if os.getuid() != 0:
        raise Skip("a power cut is emulated below a mounted file system: only root may mount one")
    for node in ("/dev/fuse", "/dev/loop-control"):
        if not os.access(node, os.R_OK | os.W_OK):
            raise Skip(f"a power cut is emulated by FUSE and a loop device: there is no {node} here")


class Mounts:
    """What has to be undone, the last first, whatever happened."""

    def __init__(self):
        self.undo = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for command in reversed(self.undo):
            for _ in range(100):
                if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.05)  # whoever used it is about to end

    def mount(self, what, where, *options):
        where.mkdir(exist_ok=True)
        run("mount", *options, what, where)
        self.undo.append(["umount", str(where)])

    def unmount_last(self):
        command = self.undo.pop()
        until(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0, " ".join(command))


class Disk:
    """A recording disk with a file system on it, mounted at `where`."""

    def __init__(self, lab, mounts, kind):
        self.journal = lab.directory / "journal"
        fuse = lab.directory / "disk"
        fuse.mkdir()
        process = lab.start("disk", [program("RINGMTA_RECORDING_DISK"), fuse, self.journal, DISK_OCTETS])

        def ready():
            if not process.alive():
                raise Skip("a power cut is emulated by FUSE, which is refused here: " + process.words().strip())
            return (fuse / "disk").exists()
        until(ready, "the recording disk")
        mounts.undo.append(["umount", str(fuse)])
        try:
            loop = run("losetup", "--find", "--show", "--direct-io=on", fuse / "disk")
        except AssertionError as refused:
            raise Skip(f"a power cut is emulated on a loop device, which is refused here: {refused}") from None
        mounts.undo.append(["losetup", "-d", loop])
        run(tool(*[MAKE[kind][0], PACKAGE[kind]]), *MAKE[kind][1:], loop)
        self.where = lab.directory / "mounted"
        mounts.mount(loop, self.where)


class Recording:
    def __init__(self, path):
        self.file = open(path, "rb")
        self.octets = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        self.records = []
        at = 0
        while at + 24 <= len(self.octets):
            kind, length, offset, when = struct.unpack_from("=IIQQ", self.octets, at)
            self.records.append(Record(kind, length, offset, when, at + 24))
            at += 24 + (length if kind == 1 else 0)

    def data(self, record):
        return self.octets[record.at:record.at + record.length]

    def index_at(self, when):
        return bisect.bisect_left(self.records, when, key=lambda record: record.time)


class Cutter:
    """Images of the disk after power cuts, in the order of their time."""

    def __init__(self, lab, recording):
        self.recording = recording
        self.durable_path = lab.directory / "durable.img"
        self.image_path = lab.directory / "cut.img"
        self.durable = os.open(self.durable_path, os.O_RDWR | os.O_CREAT)
        os.ftruncate(self.durable, DISK_OCTETS)
        self.flushed = 0  # records before it are in there

    def image(self, cut, policy, dice):
        records = self.recording.records
        synced = max((i for i in range(self.flushed, cut) if records[i].kind == 2), default=self.flushed)
        for record in records[self.flushed:synced]:
            if record.kind == 1:
                os.pwrite(self.durable, self.recording.data(record), record.offset)
        self.flushed = synced
        run("cp", "--sparse=always", self.durable_path, self.image_path)
        with open(self.image_path, "r+b", buffering=0) as image:
            for record in records[synced:cut]:
                if record.kind != 1 or policy == "dropped" or (policy == "mixed" and dice.random() < 0.5):
                    continue
                data = self.recording.data(record)
                if policy != "torn":
                    os.pwrite(image.fileno(), data, record.offset)
                    continue
                for at in range(0, len(data), SECTOR):
                    if dice.random() < 0.5:
                        os.pwrite(image.fileno(), data[at:at + SECTOR], record.offset + at)
        return self.image_path


def found_after(lab, image):
    """What recovery finds in the spool on the image: lines, and its words."""
    with Mounts() as mounts:
        mounts.mount(image, lab.directory / "after", "-o", "loop")
        done = subprocess.run([program("RINGMTA_SPOOL_PROGRAM"), "list", str(lab.directory / "after" / "spool")],
                              capture_output=True, text=True, check=False, timeout=120)
    check(done.returncode == 0, f"recovery failed: {done.stderr}")
    return collections.Counter(done.stdout.splitlines()), done.stderr.splitlines()


def cut_and_compare(lab, journal, promises, begin):
    """Cuts the power after `begin` at random records, and at what first follows random promises (there a missing sync
    shows most surely); per cut: policy, promises lost, words of recovery."""
    dice = random.Random(SEED)
    recording = Recording(journal)
    records = recording.records
    first = recording.index_at(begin)
    cutter = Cutter(lab, recording)
    results = []
    check(len(records) - first > 50, "hardly anything was recorded")
    check(promises, "nothing was promised")
    cuts = sorted([dice.randrange(first, len(records)) for _ in range(CUTS // 2)] +
                  [recording.index_at(dice.choice(promises).time + 1) for _ in range(CUTS - CUTS // 2)])
    oldest = 0.0
    for number, cut in enumerate(cuts):
        policy = POLICIES[number % len(POLICIES)]
        image = cutter.image(cut, policy, dice)
        lines, words = found_after(lab, image)
        # The power fails just before this record was asked for.
        moment = records[cut].time if cut < len(records) else float("inf")
        due = [promise.line for promise in promises if promise.time < moment]
        lost = [line for line in due if lines[line] == 0]
        ages = [moment - promise.time for promise in promises if promise.time < moment and lines[promise.line] == 0]
        results.append((cut, policy, len(due), lost, words))
        oldest = max([oldest, *ages])
    flushes = sum(record.kind == 2 for record in records[first:])
    print(f"# {len(cuts)} cuts in {len(records) - first} writes and flushes ({flushes} flushes); "
          f"{len(promises)} messages promised, {sum(r[2] for r in results)} looked for, "
          f"{sum(len(r[3]) for r in results)} missing in {sum(bool(r[3]) for r in results)} cuts" +
          (f", the oldest accepted {oldest / 1e9:.1f} s before" if oldest else ""), flush=True)
    return results


def nothing_lost(results):
    check(sum(due for _, _, due, _, _ in results) > 0, "no message was promised before any cut")
    for cut, policy, due, lost, words in results:
        check(not lost, f"cut {cut}, un-synced writes {policy}: {len(lost)} of {due} lost, first {lost[:3]}; {words}")
    no_damage(results)


def no_damage(results):
    for cut, policy, _, _, words in results:
        strange = [line for line in words if "was being written" not in line and "info:" not in line]
        check(not strange, f"cut {cut}, un-synced writes {policy}: recovery reports damage: {strange[:3]}")


class Client(threading.Thread):
    """Sends one message after the other and notes when each was accepted."""

    def __init__(self, port, name):
        super().__init__()
        self.port, self.name = port, name
        self.promises, self.problem = [], None

    def run(self):
        try:
            self.send_all()
        except OSError as problem:
            self.problem = problem

    def send_all(self):
        dice = random.Random(self.name)
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            replies = connection.makefile("rb")

            def reply():
                while True:
                    line = replies.readline()
                    if line[3:4] != b"-":
                        return line[:3]
            reply()
            connection.sendall(b"EHLO client.test\r\n")
            reply()
            for number in range(1, MESSAGES + 1):
                sender = f"{self.name}-{number}@client.test"
                # For a while all is delivered at once: such segments die and are used again.
                all_gone = number // 75 % 2 == 0
                domain = "gone.test" if all_gone or number % 3 == 0 else "stays.test"
                body = f"X-Cut: {sender}\r\nSubject: cut\r\n\r\n" + \
                    "".join(f"{dice.random()}\r\n" for _ in range(dice.choice((1, 20, 200, 2000))))
                connection.sendall(f"MAIL FROM:<{sender}>\r\nRCPT TO:<a@{domain}>\r\nDATA\r\n".encode())
                codes = [reply(), reply(), reply()]
                if codes[2] != b"354":
                    continue
                wire = (body + ".\r\n").encode()
                connection.sendall(wire)
                if reply() == b"250":
                    accepted = time.monotonic_ns()
                    if domain == "stays.test":
                        self.promises.append(Promise(f"{sender} {len(wire)} {zlib.crc32(wire)}", accepted))


def run_relay(lab, kind, durability):
    """Mail into a real relay on a recording disk; its journal, the promises, when the mail began."""
    port = free_port()
    sink = lab.sink()
    with Mounts() as mounts:
        disk = Disk(lab, mounts, kind)
        configuration = lab.directory / "ringmta.toml"
        configuration.write_text(f"""
hostname = "relay.test"
[shards]
count = 2
[server]
listen = ["127.0.0.1:{port}"]
message_size_max = "200KiB"
recipients_max = 100
sessions_max = 100
[client]
connections_max = 100
[spool]
directory = "{disk.where}/spool"
durability = "{durability}"
segment_size = "1MiB"
disk_reserve = "8MiB"
[[route]]
name = "next"
domains = ["gone.test"]
hosts = ["{sink.address()}"]
[[route]]
name = "nowhere"
domains = ["*"]
hosts = ["127.0.0.1:{free_port()}"]
[retry]
first = "1s"
longest = "2s"
[control]
socket = "{lab.directory}/control.sock"
[process]
user = "root"
""")
        relay = lab.start("relay", [program("RINGMTA"), "serve", "-c", configuration])
        relay.wait_for_port(port)
        begin = time.monotonic_ns()
        clients = [Client(port, f"c{i}") for i in range(6)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
            check(client.problem is None, f"{client.name}: {client.problem}")
        status = json.loads(run(program("RINGMTA"), "status", "--json", "--socket", f"{lab.directory}/control.sock"))
        relay.kill()
    recycled = sum(shard["spool"]["recycled_segments"] for shard in status["shards"])
    print(f"# {kind}, {durability}: {recycled} segments were used again")
    check(recycled > 0, "no segment was used again")
    return disk.journal, [promise for client in clients for promise in client.promises], begin


def run_spool(lab, kind, *more):
    with Mounts() as mounts:
        disk = Disk(lab, mounts, kind)
        begin = time.monotonic_ns()
        lines = run(program("RINGMTA_SPOOL_PROGRAM"), "write", disk.where / "spool", 800, *more).splitlines()
    parts = [line.rpartition(" ") for line in lines]
    return disk.journal, [Promise(line, int(when)) for line, _, when in parts], begin


def test_what_was_accepted_survives_on_ext4(lab):
    permitted()
    nothing_lost(cut_and_compare(lab, *run_relay(lab, "ext4", "sync")))


def test_what_was_accepted_survives_on_xfs(lab):
    permitted()
    nothing_lost(cut_and_compare(lab, *run_relay(lab, "xfs", "sync")))


def test_what_the_spool_committed_survives(lab):
    permitted()
    nothing_lost(cut_and_compare(lab, *run_spool(lab, "ext4")))


def test_buffered_writes_survive_on_ext4(lab):
    permitted()
    nothing_lost(cut_and_compare(lab, *run_spool(lab, "ext4", "buffered")))


def test_buffered_writes_survive_on_xfs(lab):
    permitted()
    nothing_lost(cut_and_compare(lab, *run_spool(lab, "xfs", "buffered")))


def relaxed_loses(lab, kind):
    """Mail, and with it the proof that a missing sync is seen here; never the spool itself."""
    permitted()
    results = cut_and_compare(lab, *run_relay(lab, kind, "relaxed"))
    check(any(lost for _, _, _, lost, _ in results), "nothing was lost: this test could not see a missing sync")


def test_a_relay_told_not_to_sync_is_seen_to_lose_mail_on_ext4(lab):
    relaxed_loses(lab, "ext4")


def test_a_relay_told_not_to_sync_is_seen_to_lose_mail_on_xfs(lab):
    relaxed_loses(lab, "xfs")


def test_an_answer_before_the_commit_is_seen(lab):
    permitted()
    results = cut_and_compare(lab, *run_spool(lab, "ext4", "early"))
    check(any(lost for _, _, _, lost, _ in results), "nothing was lost: this test could not see an early answer")


if __name__ == "__main__":
    main()
