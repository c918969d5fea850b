#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several thousand mails as they occur in the world, generated from a seed, through two shards: what
comes out is what went in, octet for octet below the trace header. The load generator stamps each
file with its digest, the sink checks it."""

import base64
import os
import random

from harness import check, equal, load, main

COUNT = 3000 if os.environ.get("RINGMTA_BUILD") != "sanitize" else 600
WORDS = "order receipt number your with thanks delivery tomorrow invoice account password reset click".split()
UTF8 = ["Gr\u00fc\u00dfe", "\u65e5\u672c\u8a9e", "\u0440\u0443\u0441\u0441\u043a\u0438\u0439", "caf\u00e9", "\U0001f4e7"]


def words(dice, count):
    return " ".join(dice.choice(WORDS) for _ in range(count))


def header(dice, number, content_type, encoding):
    lines = [f"From: Shop <shop{number % 7}@load.test>", f"To: user{number}@sink.test",
             "Date: Tue, 24 Nov 2026 10:00:00 +0000", f"Message-ID: <{number}.{dice.random()}@load.test>"]
    subject = words(dice, 5)
    if number % 5 == 0:  # raw UTF-8 in a header, as SMTPUTF8 mail has it
        subject = dice.choice(UTF8) + " " + subject
    if number % 7 == 0:
        subject += "\n " + words(dice, 12)  # folded
    lines.append("Subject: " + subject)
    lines += ["MIME-Version: 1.0", "Content-Type: " + content_type, "Content-Transfer-Encoding: " + encoding]
    return "\n".join(lines) + "\n\n"


def plain(dice, number):
    lines = [words(dice, dice.randrange(1, 14)) for _ in range(dice.randrange(1, 60))]
    return header(dice, number, "text/plain; charset=us-ascii", "7bit") + "\n".join(lines) + "\n"


def eight_bit(dice, number):
    lines = [dice.choice(UTF8) + " " + words(dice, 6) for _ in range(dice.randrange(1, 40))]
    return header(dice, number, "text/plain; charset=utf-8", "8bit") + "\n".join(lines) + "\n"


def dotted(dice, number):
    lines = [dice.choice([".", "..", ".x", "...", "", ". " + words(dice, 3), "a."]) for _ in range(40)]
    return header(dice, number, "text/plain", "7bit") + "\n".join(lines) + "\n.\n..\n"


def long_lines(dice, number):
    lines = ["x" * dice.choice([997, 998, 999, 1000, 4095, 4096, 16384, 70000]) for _ in range(3)]
    return header(dice, number, "text/html", "7bit") + "\n".join(lines) + "\n"


def empty(dice, number):
    return header(dice, number, "text/plain", "7bit")


def attachment(dice, octets):
    def make(generator, number):
        body = base64.encodebytes(generator.randbytes(octets)).decode()
        return header(generator, number, "application/octet-stream", "base64") + body
    return make


def test_corpus_arrives_byte_exact_through_two_shards(lab):
    dice = random.Random(20261124)
    folder = lab.directory / "corpus"
    folder.mkdir()
    kinds = [plain, eight_bit, dotted, long_lines, empty, attachment(dice, 30_000)]
    for number in range(COUNT):
        text = kinds[number % len(kinds)](dice, number)
        (folder / f"{number:05}.eml").write_bytes(text.encode())
    for number, octets in enumerate([2_000_000, 15_000_000, 15_000_000]):  # 20 MB when encoded
        text = attachment(dice, octets)(dice, COUNT + number)
        (folder / f"large-{number}.eml").write_bytes(text.encode())
    sink = lab.sink(verify=True)
    relay = lab.relay([sink.address()], shards=2)
    total = COUNT + 3
    summary = load(relay, "--directory", folder, "--stamp", "--sessions", 20, "--messages", total)
    equal(summary["accepted"], total, "accepted by the relay")
    report = sink.wait_for(total, patience=300)
    verify = report["verify"]
    equal(verify["corrupt"], 0, f"messages that changed on the way: {verify['corrupt_samples']}")
    equal(verify["deliveries_unique"], total, "messages that arrived")
    equal(verify["duplicates"], 0, "duplicates")
    shares = [shard["server"]["messages"] for shard in relay.status()["shards"]]
    equal(len(shares), 2, "shards")
    check(all(share > 0 for share in shares), f"both shards took mail: {shares}")


if __name__ == "__main__":
    main()
