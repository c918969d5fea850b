#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Submission by programs that people use: Postfix's smtp-source, swaks, Python's smtplib."""

import smtplib
import subprocess
from email.message import EmailMessage

from harness import check, equal, main, recorded, tool, until, without_trace


def test_smtp_source_with_sessions_kept_open(lab):
    sink = lab.sink()
    relay = lab.relay([sink.address()])
    subprocess.run([tool("smtp-source", "postfix"), "-d", "-s", "10", "-m", "500", "-l", "2000",
                    "-f", "from@load.test", "-t", "to@sink.test", relay.address()], check=True, timeout=120)
    sink.wait_for(500)
    relay.wait_for_total("server", "messages", 500)
    relay.wait_for_total("queue", "delivered", 500)
    equal(sink.report()["deliveries"], 500, "deliveries at the sink")


def test_smtp_source_with_one_connection_per_message(lab):
    sink = lab.sink()
    relay = lab.relay([sink.address()])
    subprocess.run([tool("smtp-source", "postfix"), "-s", "10", "-m", "300", "-l", "500",
                    "-f", "from@load.test", "-t", "to@sink.test", relay.address()], check=True, timeout=120)
    sink.wait_for(300)
    equal(sink.report()["deliveries"], 300, "deliveries at the sink")


def test_smtp_source_with_several_recipients(lab):
    sink = lab.sink()
    relay = lab.relay([sink.address()])
    subprocess.run([tool("smtp-source", "postfix"), "-d", "-s", "5", "-m", "100", "-r", "7", "-l", "500",
                    "-f", "from@load.test", "-t", "to@sink.test", relay.address()], check=True, timeout=120)
    sink.wait_for(700)
    equal(sink.report()["deliveries"], 700, "deliveries at the sink")


def swaks(relay, *options):
    return subprocess.run([tool("swaks", "swaks"), "--server", relay.address(), "--from", "ann@load.test",
                           *options], capture_output=True, text=True, timeout=120, check=False)


def test_swaks_sends_a_message(lab):
    sink = lab.sink(record=True)
    relay = lab.relay([sink.address()])
    done = swaks(relay, "--to", "bob@sink.test", "--header", "Subject: from swaks", "--body", "a line\\n.a dotted line\\n")
    equal(done.returncode, 0, done.stdout + done.stderr)
    check("250 2.0.0 Ok: queued as " in done.stdout, "the reply tells the id")
    sink.wait_for(1)
    (envelope, message), = until(lambda: recorded(sink), "the record")
    check("X-Sink-Recipient: <bob@sink.test>" in envelope, f"recipient in {envelope}")
    check(b"Subject: from swaks\r\n" in message, "the subject arrived")
    check(b"\r\n.a dotted line\r\n" in message, "the dotted line arrived with one dot")


def test_swaks_to_a_recipient_that_the_next_hop_refuses(lab):
    rules = lab.directory / "rules.toml"
    rules.write_text('[[rule]]\nphase = "rcpt"\nrecipient = "nobody@sink.test"\nreply = "550 5.1.1 no such user"\n')
    sink = lab.sink("--replies", rules)
    relay = lab.relay([sink.address()])
    equal(swaks(relay, "--to", "nobody@sink.test").returncode, 0, "the relay accepts it")
    bounced, = relay.wait_for_events("bounced", 1)
    equal(bounced["recipient"], "nobody@sink.test", "who bounced")
    equal(bounced["code"], 550, "the peer's code")
    sink.wait_for(1)  # the notification to ann@load.test goes the same way


def test_smtplib_with_an_attachment_and_utf8(lab):
    sink = lab.sink(record=True)
    relay = lab.relay([sink.address()])
    message = EmailMessage()
    message["From"], message["To"] = "ann@load.test", "bob@sink.test, eve@sink.test"
    message["Subject"] = "Gr\u00fc\u00dfe aus K\u00f6ln"
    message["Date"], message["Message-ID"] = "Tue, 24 Nov 2026 12:00:00 +0000", "<1@load.test>"
    message.set_content("Zeile eins\n.Zeile mit Punkt\n\u00fcber\n", cte="8bit")
    message.add_attachment(bytes(range(256)) * 400, maintype="application", subtype="octet-stream", filename="x.bin")
    message.set_boundary("a-boundary-of-its-own")  # otherwise each rendering makes up another
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo("client.test")
        check(client.has_extn("8bitmime") and client.has_extn("smtputf8"), "extensions are offered")
        equal(client.send_message(message, mail_options=["BODY=8BITMIME"]), {}, "refused recipients")
    sink.wait_for(2)
    (envelope, received), = until(lambda: recorded(sink), "the record")
    equal(sum(line.startswith("X-Sink-Recipient") for line in envelope), 2, "one transaction for both")
    check("BODY=8BITMIME" in " ".join(envelope), f"8BITMIME is passed on: {envelope}")
    wanted = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
    equal(without_trace(received), wanted, "the message as it was sent")


def test_smtplib_internationalised_addresses(lab):
    sink = lab.sink(record=True)
    relay = lab.relay([sink.address()])
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo("client.test")
        client.sendmail("j\u00fcrgen@load.test", ["\u7528\u6237@sink.test"], "Subject: x\r\n\r\nbody\r\n".encode(),
                        mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    sink.wait_for(1)
    (envelope, _), = until(lambda: recorded(sink), "the record")
    check("X-Sink-Recipient: <\u7528\u6237@sink.test>" in envelope, f"recipient in {envelope}")
    check("SMTPUTF8" in " ".join(envelope), f"SMTPUTF8 is passed on: {envelope}")


def test_missing_date_and_message_id_are_added(lab):
    sink = lab.sink(record=True)
    relay = lab.relay([sink.address()])
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.sendmail("ann@load.test", ["bob@sink.test"], b"Subject: bare\r\n\r\nbody\r\n")
    sink.wait_for(1)
    (_, received), = until(lambda: recorded(sink), "the record")
    header = received.partition(b"\r\n\r\n")[0]
    equal(header.count(b"\r\nDate: "), 1, "Date fields")
    equal(header.count(b"\r\nMessage-ID: <"), 1, "Message-ID fields")
    check(received.endswith(b"Subject: bare\r\n\r\nbody\r\n"), "what was sent is unchanged")


def test_who_is_not_in_the_relay_networks_is_refused(lab):
    sink = lab.sink()
    relay = lab.relay([sink.address()], sections='')
    text = relay.configuration.read_text().replace("[server]\n", '[server]\nrelay_networks = ["192.0.2.0/24"]\n')
    relay.process.stop()
    relay.configuration.write_text(text)
    relay.start()
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        client.ehlo("client.test")
        client.mail("ann@load.test")
        code, words = client.rcpt("bob@sink.test")
        equal(code, 550, "reply to RCPT")
        check(words.startswith(b"5.7.1"), words)


if __name__ == "__main__":
    main()
