#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures over thousands of odd messages, judged by three verifiers that others wrote; and the same verifiers
refuse a message that was changed. TAP on stdout."""

import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import odd_messages
import verifiers

MESSAGES = int(os.environ.get("RINGMTA_DKIM_MESSAGES", "3000"))
# Of the signers in sign_messages.cc: four canonicalizations each of RSA-1024, -2048, Ed25519, RSA-3072, -4096.
COMMON, SLOW = range(0, 12), range(12, 20)


def simple_header(signer):
    return signer % 4 >= 2


class Relay:
    def __init__(self):
        self.process = subprocess.Popen([os.environ["RINGMTA_SIGN_MESSAGES"]], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.records = {}
        while True:
            line = self.process.stdout.readline().decode().rstrip("\n")
            if line == "end":
                break
            domain, selector, record = line.split(" ", 2)
            self.records[f"{selector}._domainkey.{domain}"] = record

    def sign(self, seed, message, signers):
        names = ",".join(str(signer) for signer in signers)
        self.process.stdin.write(f"{seed} {len(message)} {names}\n".encode() + message)
        self.process.stdin.flush()
        size = int(self.process.stdout.readline())
        return self.process.stdout.read(size)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0, "sign_messages failed"


def signers_for(seed):
    if seed % 50 == 0:
        return [SLOW[seed // 50 % len(SLOW)]]
    if seed % 7 == 0:
        return [COMMON[seed % 12], COMMON[(seed + 5) % 12], 8 + seed % 4]
    return [COMMON[seed % 12]]


def changed(message, seed):
    """The message with one visible octet of its last line or of its From changed, or None."""
    header, _, body = message.partition(b"\r\n\r\n")
    if seed % 2 and body.strip(b" \t\r\n"):
        return message[:-len(body)] + body.replace(body.strip(b" \t\r\n")[-1:], b"#")
    at = header.lower().find(b"a@example.com")
    return message[:at] + b"c" + message[at + 1:]


def main():
    began = time.monotonic()
    relay = Relay()
    judges = [judge(relay.records) for judge in (verifiers.DkimPy, verifiers.OpenDkim, verifiers.MailAuth)]
    wrong = {judge.name: [] for judge in judges}
    credulous = {judge.name: [] for judge in judges}
    excepted = {judge.name: 0 for judge in judges}
    for seed in range(MESSAGES):
        message = odd_messages.message(seed)
        signers = signers_for(seed)
        signed = relay.sign(seed, message, signers)
        for judge in judges:
            simple = [simple_header(signer) for signer in signers]
            wrongly = odd_messages.disagreement(judge.name, judge.verify(signed), message, simple)
            if wrongly:
                wrong[judge.name].append((seed, signers, wrongly))
            excepted[judge.name] += any(odd_messages.refusal(judge.name, message, one) for one in simple)
        if seed % 20 == 0:
            other = changed(signed, seed // 20)
            for judge in judges:
                if "pass" in judge.verify(other):
                    credulous[judge.name].append(seed)
    relay.close()
    print(f"1..{2 * len(judges)}")
    number = 0
    for judge in judges:
        judge.close()
        for what, found in (("accepts every signature", wrong), ("sees every change", credulous)):
            number += 1
            failures = found[judge.name]
            print(f"{'not ok' if failures else 'ok'} {number} - {judge.name} {what}")
            for failure in failures[:5]:
                print(f"# {failure}")
            if failures:
                print(f"# {len(failures)} in all; message of a seed: odd_messages.message(seed)")
    print(f"# messages that one refuses for a reason of its own (odd_messages.refusal): {excepted}")
    print(f"# {MESSAGES} messages in {time.monotonic() - began:.0f} s")


main()
