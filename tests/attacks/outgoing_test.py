#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks by next hops, from the cases in out/. All of them are played at once against one relay, each for a
domain of its own; a healthy domain beside them must not notice. What the hosts said may come out in
events, notifications and the log only as text on one line.
"""

import email
import email.policy
import json
import os
import pathlib
import re
import smtplib
import sys
import time
import traceback

import cases
import lenient
import next_hop
from harness import PATIENCE, Lab, check, equal, until

HERE = pathlib.Path(__file__).parent
CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
MEMORY_MAX_KIB = 200 * 1024 * (6 if os.environ.get("RINGMTA_BUILD") == "sanitize" else 1)


class Attack:
    def __init__(self, case):
        self.case = case
        steps = [step for step in case.steps if step.word not in ("outcome", "reply", "within", "tls-policy", "lacks", "about", "lines")]
        self.player = next_hop.Player(cases.Case(case.file, case.name, steps, case.form), CERTIFICATES)
        self.domain = f"{case.name}.out"

    def route(self):
        policy = self.case.one("tls-policy", "none")
        return (f'[[route]]\nname = "{self.case.name}"\ndomains = ["{self.domain}"]\nconnections_max = 1\n'
                f'hosts = ["{self.player.address()}"]\n[route.tls]\npolicy = "{policy}"\n')

    def judge(self, relay, begun):
        outcome = self.case.one("outcome")
        patience = float(self.case.one("within", "30")) * PATIENCE / 60
        left = max(1, begun + patience - time.monotonic())
        if outcome == "held":
            return self.judge_held(relay, left)

        def there():
            return [event for event in relay.events(outcome) if event.get("recipient") == f"bob@{self.domain}"]
        found = until(there, f"'{outcome}' for {self.domain}; events: "
                             f"{[e for e in relay.events() if e.get('recipient', '').endswith(self.domain)][-3:]}",
                      left)
        event = found[0]
        words = event.get("reply", "")
        wanted = self.case.one("reply")
        if wanted is not None:
            check(re.search(wanted, f"{event.get('code', '')} {words}"), f"the reply is {event.get('code')} {words!r}")
        for text in self.case.all("lacks"):
            check(text not in str(event), f"{text!r} is in {event}")
        equal(self.player.problems, [], "what the host heard")
        check(self.player.connections > 0, "the host was never spoken to")

    def judge_held(self, relay, patience):
        """A host that cannot be spoken to costs the connection, and the site waits as a whole: no outcome of any message."""
        until(lambda: self.player.ended > 0, f"the relay to give up its connection to {self.domain}", patience)
        shown = relay.command("queue", "list", "--json", "--domain", self.domain, "--socket", str(relay.control)).stdout
        waiting = [json.loads(line) for line in shown.splitlines()]
        equal(len(waiting), 1, f"recipients of {self.domain} in the queue")
        wanted = self.case.one("reply")
        if wanted is not None:
            check(re.search(wanted, waiting[0]["last_reply"]), f"why it waits: {waiting[0]['last_reply']!r}")
        events = [event["event"] for event in relay.events() if event.get("recipient") == f"bob@{self.domain}"]
        check(set(events) <= {"received", "deferred"}, f"events {events}")
        equal(self.player.problems, [], "what the host heard")
        return waiting[0]["last_reply"]


def start(lab, attacks, healthy, returns):
    routes = "".join(attack.route() for attack in attacks)
    routes += f'[[route]]\nname = "healthy"\ndomains = ["healthy.out"]\nhosts = ["{healthy.address()}"]\n'
    routes += f'[[route]]\nname = "returns"\ndomains = ["load.test"]\nhosts = ["{returns.address()}"]\n'
    quick = "".join(f'{name} = "2s"\n' for name in ("connect", "greeting", "ehlo", "tls", "auth", "mail", "recipient",
                                                    "data", "content_block", "content_end", "quit"))
    relay = lab.relay(None, sections=routes + '[client]\nhost_retry_after = "1s"\nhost_retry_longest = "2s"\n'
                                              "[client.timeouts]\n" + quick)
    relay.configuration.write_text(relay.configuration.read_text())
    return relay


def send(client, domain, lines=3):
    client.sendmail("ann@load.test", [f"bob@{domain}"], "Subject: x\r\n\r\n" + "a line\r\n" * lines)


def healthy_mail_passes(relay, healthy):
    before = len(healthy.messages)
    begun = time.monotonic()
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as client:
        send(client, "healthy.out")
    until(lambda: len(healthy.messages) > before, "mail for the healthy domain", 5 * PATIENCE / 60)
    return time.monotonic() - begun


def judge_notifications(relay, returns, attacks):
    """Each bounce's notification is one message with the fields it should have."""
    bounced = [attack for attack in attacks if attack.case.one("outcome") == "bounced"]
    until(lambda: len(returns.messages) >= len(bounced), f"{len(bounced)} notifications: {len(returns.messages)}")
    allowed = {"reporting-mta", "arrival-date", "original-envelope-id", "final-recipient", "original-recipient", "action",
               "status", "remote-mta", "diagnostic-code", "last-attempt-date", "will-retry-until"}
    for message in returns.messages:
        equal(message.sender, "", "the reverse-path of a notification")
        equal(lenient.trouble(message.wire), "", "a notification")
        unstuffed = re.sub(rb"(?m)^\.", b"", message.wire[:-3])
        parsed = email.message_from_bytes(unstuffed, policy=email.policy.default)
        equal(parsed.get_content_type(), "multipart/report", "a notification")
        parts = list(parsed.iter_parts())
        check(len(parts) in (2, 3), f"{len(parts)} parts")
        blocks = parts[1].get_payload()
        equal(len(blocks), 2, "blocks in the report: one of the message, one of the recipient")
        for block in blocks:
            names = [name.lower() for name in block.keys()]
            check(set(names) <= allowed and len(set(names)) == len(names), f"fields {names}")
        check(not any("smuggled" in str(value) and name.lower() != "diagnostic-code"
                      for block in blocks for name, value in block.items()), "a smuggled field")


def resident_kib(process):
    status = pathlib.Path(f"/proc/{process.pid()}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def main():
    wanted = sys.argv[1:]
    attacks = [Attack(case) for case in cases.read_all(HERE / "out")
               if not wanted or case.name.startswith(tuple(wanted))]
    print("TAP version 13")
    print(f"1..{len(attacks) + 5}", flush=True)
    number = 0
    bad = []
    lab = Lab()

    def report(name, function):
        nonlocal number
        number += 1
        try:
            remark = function()
            print(f"ok {number} - {name}" + (f" # {remark}" if remark else ""), flush=True)
        except Exception as problem:  # whatever went wrong is this case's failure
            bad.append(name)
            print(f"not ok {number} - {name}", flush=True)
            lines = traceback.format_exception(problem) if not isinstance(problem, AssertionError) else [str(problem)]
            print("\n".join("# " + line for text in lines for line in text.rstrip().split("\n")), flush=True)

    try:
        healthy, returns = next_hop.Recorder(chunking=True), next_hop.Recorder(chunking=False)
        relay = start(lab, attacks, healthy, returns)
        begun = time.monotonic()
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as client:
            for attack in attacks:
                send(client, attack.domain, int(attack.case.one("lines", "3")))

        def beside():
            slowest = max(healthy_mail_passes(relay, healthy) for _ in range(10))
            return f"the slowest of 10 took {slowest * 1000:.0f} ms"
        report("healthy mail passes beside the attacks", beside)
        for attack in attacks:
            report(f"{attack.case.file[:-7]}: {attack.case.name}", lambda attack=attack: attack.judge(relay, begun))
        report("notifications are what they should be", lambda: judge_notifications(relay, returns, attacks))

        def clean():
            for line in relay.events_file.read_bytes().split(b"\n"):
                check(all(octet >= 0x20 and octet != 0x7F for octet in line), f"a control in an event: {line!r}")
            log = re.sub(rb"\x1b\[[0-9;]*m", b"", pathlib.Path(relay.process.log).read_bytes())
            check(re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", log) is None, "a control in the log")
        report("events and log are clean lines", clean)

        def small():
            used = resident_kib(relay.process)
            check(used < MEMORY_MAX_KIB, f"the relay takes {used} KiB")
            return f"{used} KiB resident"
        report("memory stays small", small)

        def ends():
            relay.command("queue", "remove", "--all", "--yes", "--socket", str(relay.control), check=False)
            equal(relay.process.stop(), 0, "the relay's exit status")
            until(lambda: all(attack.player.open == 0 for attack in attacks), "the connections to end")
        report("the relay ends well", ends)
        if bad:
            lab.print_last_words()
    finally:
        lab.close()
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
