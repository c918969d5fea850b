#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay as its operator meets it: start, status, queue, metrics, signals, mistakes."""

import re
import signal
import smtplib
import subprocess
import urllib.request

from harness import check, equal, free_port, load, main, program, until


def serve_fails(lab, text):
    configuration = lab.directory / "bad.toml"
    configuration.write_text(text)
    done = subprocess.run([program("RINGMTA"), "serve", "-c", configuration], capture_output=True, text=True,
                          timeout=60, check=False)
    check(done.returncode != 0, "it must not start")
    return done.stderr + done.stdout


def test_check_names_every_mistake_with_its_line(lab):
    configuration = lab.directory / "bad.toml"
    configuration.write_text('hostname = "x.test"\n[server]\nlisten = ["127.0.0.1:99999"]\nlissten = []\n'
                             '[[route]]\nname = "a"\ndomains = ["*"]\nhosts = ["127.0.0.1:25"]\n'
                             '[retry]\nfirst = "soon"\n')
    done = subprocess.run([program("RINGMTA"), "check", "-c", configuration], capture_output=True, text=True,
                          timeout=60, check=False)
    words = done.stdout + done.stderr
    equal(done.returncode, 2, f"exit status; {words}")
    for line, key in ((3, "listen"), (4, "lissten"), (10, "first")):
        check(f"bad.toml:{line}" in words and key in words, f"line {line}, key {key} in: {words}")


def test_two_relays_on_one_spool_are_refused(lab):
    sink = lab.sink()
    relay = lab.relay([sink.address()])
    words = serve_fails(lab, relay.configuration.read_text().replace(f":{relay.port}", f":{free_port()}"))
    check(str(relay.spool) in words, words)


def test_port_in_use_is_told(lab):
    sink = lab.sink()
    relay = lab.relay([sink.address()])
    words = serve_fails(lab, relay.configuration.read_text().replace("/spool", "/spool2"))
    check(f"127.0.0.1:{relay.port}" in words, words)


def test_queue_is_listed_retried_and_removed(lab):
    port = free_port()  # nobody listens there yet
    relay = lab.relay([f"127.0.0.1:{port}"], sections='[client]\nhost_retry_after = "1h"\n')
    load(relay, "--messages", 10, "--size", 1000, "--domains", 2)
    until(lambda: relay.total("queue", "recipients") == 10, "the queue to fill")
    listed = relay.command("queue", "list", "--json", "--socket", str(relay.control)).stdout.splitlines()
    entries = [line for line in listed if '"recipient"' in line]
    equal(len(entries), 10, "entries listed")
    removed = relay.command("queue", "remove", "--domain", "d1.load.test", "--socket", str(relay.control)).stdout
    left = 10 - int(removed.split()[0])
    check(0 < left < 10, f"some are left after removing one domain: {left}; {removed}")
    relay.wait_for_total("queue", "recipients", left)
    equal(len(relay.wait_for_events("removed", 10 - left)), 10 - left, "removed events")
    sink = lab.sink(port=port)
    relay.command("queue", "retry", "--all", "--socket", str(relay.control))
    sink.wait_for(left)


def test_a_full_queue_takes_no_mail_until_some_is_gone(lab):
    relay = lab.relay([f"127.0.0.1:{free_port()}"], sections='[client]\nhost_retry_after = "1h"\n'
                      '[queue]\nrecipients_max = 10\n')
    letter = b"Subject: one of many\r\n\r\nbody\r\n"

    def handed_in():
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            for count in range(100):
                try:
                    client.sendmail("ann@load.test", [f"bob{count}@d{count % 2}.test"], letter)
                except smtplib.SMTPDataError as refusal:
                    equal((refusal.smtp_code, refusal.smtp_error[:5]), (452, b"4.3.1"), "the reply when it is full")
                    return count
        return None
    equal(handed_in(), 10, "messages taken")
    words = relay.command("status", "--socket", str(relay.control)).stdout
    check("[queue] recipients_max" in words, words)
    relay.command("queue", "remove", "--domain", "d1.test", "--socket", str(relay.control))
    relay.wait_for_total("queue", "recipients", 5)
    equal(handed_in(), 5, "messages taken where five are gone")


def test_reload_takes_changes_without_a_start(lab):
    dead, first = free_port(), lab.sink()
    relay = lab.relay([f"127.0.0.1:{dead}"], sections='[client]\nhost_retry_after = "1s"\n')
    load(relay, "--messages", 20, "--size", 1000)
    before = relay.configuration.read_text()
    relay.configuration.write_text(before.replace("[server]\n", "[server]\nrecipients_max = \"many\"\n"))
    mistaken = relay.command("reload", "--socket", str(relay.control), check=False)
    equal(mistaken.returncode, 2, f"exit status of a reload with a mistake: {mistaken.stderr}")
    check("recipients_max" in mistaken.stderr and "as before" in mistaken.stderr, mistaken.stderr)
    relay.configuration.write_text(before.replace(f"127.0.0.1:{dead}", first.address()).replace(
        "[server]\n", "[server]\nrecipients_max = 3\nsessions_max = 77\n"))
    done = relay.command("reload", "--socket", str(relay.control))
    check("server.recipients_max: 1000 -> 3" in done.stdout, done.stdout)
    check(re.search(r"sessions_max: \d+ -> 77 \(at the next start\)", done.stdout), done.stdout)  # \d+: as files allow
    first.wait_for(20)
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo()
        check(client.has_extn("limits") and "RCPTMAX=3" in client.esmtp_features["limits"], client.esmtp_features)
    relay.configuration.write_text(before.replace(f"127.0.0.1:{dead}", first.address()))
    relay.process.signal(signal.SIGHUP)

    def offered():
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            client.ehlo()
            return "RCPTMAX=1000" in client.esmtp_features["limits"]
    until(offered, "SIGHUP to have the file read")


def test_metrics_are_served(lab):
    metrics = free_port()
    sink = lab.sink()
    relay = lab.relay([sink.address()], sections=f'[metrics]\nlisten = ["127.0.0.1:{metrics}"]\n')
    load(relay, "--messages", 30, "--size", 1000)
    sink.wait_for(30)

    def scraped():
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        lines = [line for line in text.splitlines() if line.startswith("ringmta_") and "delivered" in line]
        return any(line.split()[-1] in ("30", "30.0") for line in lines)
    until(scraped, "the metrics to tell 30 deliveries")


def test_status_for_people_and_machines(lab):
    sink = lab.sink()
    relay = lab.relay([sink.address()], shards=2)
    load(relay, "--messages", 30, "--size", 1000)
    sink.wait_for(30)
    until(lambda: relay.total("queue", "delivered") == 30, "the status to tell 30 deliveries")
    words = relay.command("status", "--socket", str(relay.control)).stdout
    check("relay.test" in words, words)


def test_hangup_opens_the_event_file_anew(lab):
    sink = lab.sink()
    relay = lab.relay([sink.address()])
    load(relay, "--messages", 5, "--size", 1000)
    relay.wait_for_events("delivered", 5)
    relay.events_file.rename(lab.directory / "events.1")
    relay.process.popen.send_signal(signal.SIGHUP)
    until(relay.events_file.exists, "the new event file")
    load(relay, "--messages", 5, "--size", 1000)
    relay.wait_for_events("delivered", 5)


def test_term_keeps_what_is_queued_and_a_start_takes_it_up(lab):
    port = free_port()
    relay = lab.relay([f"127.0.0.1:{port}"])
    load(relay, "--messages", 50, "--size", 2000)
    equal(relay.process.stop(), 0, "exit status")
    sink = lab.sink(port=port, verify=True)
    relay.start()
    report = sink.wait_for(50)
    equal(report["verify"]["corrupt"], 0, "messages that changed")
    equal(report["verify"]["deliveries_unique"], 50, "messages that arrived")


def test_another_number_of_shards_takes_the_spool_over(lab):
    port = free_port()
    relay = lab.relay([f"127.0.0.1:{port}"], shards=2)
    load(relay, "--messages", 60, "--size", 2000, "--sessions", 10)
    relay.process.stop()
    text = relay.configuration.read_text()
    relay.configuration.write_text(text.replace("count = 2", "count = 1"))
    sink = lab.sink(port=port, verify=True)
    relay.start()
    report = sink.wait_for(60)
    equal(report["verify"]["deliveries_unique"], 60, "messages that arrived")


def test_expired_mail_is_returned(lab):
    port = free_port()
    relay = lab.relay([f"127.0.0.1:{port}"])
    relay.process.stop()
    relay.configuration.write_text(relay.configuration.read_text().replace(
        "[retry]\n", '[retry]\nexpire_after = "3s"\n'))
    relay.start()
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.sendmail("ann@load.test", ["bob@sink.test"], b"Subject: too late\r\n\r\nbody\r\n")
    expired, = relay.wait_for_events("expired", 1)
    equal(expired["recipient"], "bob@sink.test", "who expired")
    returned = [event for event in relay.wait_for_events("received", 2) if event["recipient"] == "ann@load.test"]
    equal(len(returned), 1, "the notification to the sender")


if __name__ == "__main__":
    main()
