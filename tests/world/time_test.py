#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time and a killed relay: the retry schedule, the delay notice and the expiry of a message are those of the
message, whatever happens to the process."""

import datetime
import smtplib

from harness import check, equal, main, recorded, until

CONTENT = b"From: news@sender.test\r\nSubject: late\r\nMessage-ID: <1@sender.test>\r\n\r\ntext\r\n"


def submit(relay, to, notify=None):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
        client.sendmail("news@sender.test", [to], CONTENT, rcpt_options=[f"NOTIFY={notify}"] if notify else [])


def seconds_of(event, member="time"):
    return datetime.datetime.fromisoformat(event[member].replace("Z", "+00:00")).timestamp()


def restart(relay):
    relay.process.kill()
    relay.start()
    return datetime.datetime.now(datetime.timezone.utc).timestamp()


def expiry_of(relay, recipient):
    return until(lambda: next((event for event in relay.events("expired") if event["recipient"] == recipient), None),
                 f"{recipient} to expire")


def deferring_sink(lab):
    rules = lab.directory / "later.toml"
    rules.write_text('[[rule]]\nphase = "rcpt"\ndomain = "busy.test"\nreply = "451 4.3.0 later"\n')
    return lab.sink("--replies", rules, record=True)


LATE_MAX = 4.5  # seconds that a busy machine may take more; the simulator's tests (tests/queue) are exact


def expired_after(event, seconds):
    check(seconds * 1000 <= event["queued_ms"] < (seconds + LATE_MAX) * 1000, f"it expired at the wrong time: {event}")


def test_a_restart_keeps_the_schedule(lab):
    sink = deferring_sink(lab)
    relay = lab.relay([sink.address()], retry='factor = 1.0\njitter = 0.0\n', sections="""
[[retry.rule]]
domains = ["busy.test"]
first = "15s"
longest = "15s"
""")
    submit(relay, "bob@busy.test")
    first = relay.wait_for_events("deferred", 1)[0]
    equal(first["attempt"], 1, "attempt")
    planned = seconds_of(first, "next_attempt")
    check(abs(planned - seconds_of(first) - 15) < 0.2, f"it is planned 15 s later: {first}")
    until(lambda: relay.total("spool", "notes") >= 1, "what became of the attempt to be on disk")
    up = restart(relay)
    second = relay.wait_for_events("deferred", 2)[1]
    equal(second["attempt"], 2, "attempt")
    late = seconds_of(second) - max(planned, up)
    check(seconds_of(second) > planned - 0.2, f"the second attempt came {planned - seconds_of(second):.1f} s too early")
    check(late < LATE_MAX, f"the second attempt came {late:.1f} s after its time")
    equal(second["id"], first["id"], "message")


def test_a_delay_is_told_once_across_a_restart(lab):
    sink = deferring_sink(lab)
    relay = lab.relay([sink.address()], retry='delay_notice_after = "2s"\nexpire_after = "14s"\n')
    submit(relay, "asked@busy.test", "DELAY,FAILURE")
    submit(relay, "silent@busy.test")  # nobody asked for a notice of delay

    def notices():
        return [message for _, message in recorded(sink) if b"multipart/report" in message]
    until(lambda: len(notices()) >= 1, "the notice of delay")
    check(b"Action: delayed" in notices()[0] and b"asked@busy.test" in notices()[0], f"not of the delay: {notices()[0]}")
    check(b"Will-Retry-Until:" in notices()[0], "it does not say for how long it is tried")
    # That it was told is noted before the notice itself is done with.
    until(lambda: relay.total("spool", "finished") >= 1, "the notice to be done with")
    up = restart(relay)
    relay.wait_for_events("expired", 2)
    until(lambda: len(notices()) >= 3, "the notices of failure")
    relay.wait_for_total("queue", "recipients", 0)
    actions = sorted((b"delayed" if b"Action: delayed" in each else b"failed",
                      b"asked" if b"asked@busy.test" in each else b"silent") for each in notices())
    equal(actions, [(b"delayed", b"asked"), (b"failed", b"asked"), (b"failed", b"silent")], "notices")
    for event in relay.events("expired"):
        arrived = seconds_of(next(each for each in relay.events("received") if each["id"] == event["id"]))
        if up < arrived + 14:  # what runs out while the relay is down is tried once more
            expired_after(event, 14)


def test_a_message_expires_while_its_peer_keeps_it_waiting(lab):
    rules = lab.directory / "stuck.toml"
    rules.write_text('[[rule]]\nphase = "mail"\nstall = true\n')
    sink = lab.sink("--replies", rules)
    # By RFC 5321 the peer has five minutes.
    relay = lab.relay([sink.address()], retry='expire_after = "3s"\n', sections="[client]\nchunking = false\n")
    submit(relay, "bob@stuck.test")
    event = expiry_of(relay, "bob@stuck.test")
    expired_after(event, 3)
    # Where the content is out already (CHUNKING), the peer has ten seconds more to say what it did with it.
    relay.configuration.write_text(relay.configuration.read_text().replace("chunking = false", "chunking = true"))
    relay.command("reload", "--socket", str(relay.control))
    submit(relay, "eve@stuck.test")
    event = expiry_of(relay, "eve@stuck.test")
    expired_after(event, 13)
    told = [event for event in relay.events("deferred") if event["recipient"] == "eve@stuck.test"]
    equal([event.get("possible_duplicate") for event in told], [True], "possible_duplicate")
    relay.wait_for_total("queue", "possible_duplicates", 1)


def test_behind_a_limit_messages_expire_on_time(lab):
    rules = lab.directory / "slow.toml"
    rules.write_text('[[rule]]\nphase = "dot"\ndelay = 10000\n')
    sink = lab.sink("--replies", rules)
    relay = lab.relay([sink.address()], retry='expire_after = "4s"\n', route="connections_max = 1\n", sections="""
[client]
pipelining = false
chunking = false
""")
    for number in range(4):
        submit(relay, f"r{number}@slow.test")

    def ends():
        return [event for event in relay.events() if event["sender"] and event["event"] in ("delivered", "expired")]
    until(lambda: len(ends()) == 4, "the end of all four")
    equal(sorted(event["event"] for event in ends()), ["delivered"] + 3 * ["expired"], "ends")
    for event in ends():
        if event["event"] == "expired":  # while the first one is still on its way
            expired_after(event, 4)


if __name__ == "__main__":
    main()
