#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes of docs/providers.md, as they stand there, against sinks that behave like each provider: ringmta-sink proves
that mail arrives once and unchanged, provider_sink.py has the provider's port, dialogues and limits. What a test changes
in a block: the address, the file of the secret, and the name and roots that the sink's certificate has."""

import os
import pathlib
import re
import smtplib
import subprocess

from harness import check, equal, load, main, program, until
from provider_sink import ProviderSink

CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "providers.md"

# What each offers, what it says when it is busy (to the dot of one message) and to a wrong secret.
PROVIDERS = {
    "gmail": dict(mechanisms="LOGIN,PLAIN,XOAUTH2,OAUTHBEARER", size=35882577, user="you@gmail.com",
                  busy="421 4.7.0 Try again later, closing connection. - gsmtp", busy_drop=True,
                  refusal="535-5.7.8 Username and Password not accepted. For more information, go to\r\n"
                          "535 5.7.8  https://support.google.com/mail/?p=BadCredentials - gsmtp"),
    "gmail-token": dict(mechanisms="LOGIN,PLAIN,XOAUTH2,OAUTHBEARER", size=35882577, user="you@gmail.com", implicit=True,
                        explains=True,
                        busy="450 4.2.1 The user you are trying to contact is receiving mail too quickly - gsmtp",
                        refusal="535-5.7.8 Username and Password not accepted. For more information, go to\r\n"
                                "535 5.7.8  https://support.google.com/mail/?p=BadCredentials - gsmtp"),
    "yahoo": dict(mechanisms="PLAIN,LOGIN,XOAUTH2,OAUTHBEARER", size=41697280, user="you@yahoo.com", implicit=True,
                  options=["--no-chunking", "--no-smtputf8", "--no-dsn"],
                  busy="421 4.7.0 [TSS04] Messages temporarily deferred", busy_drop=True,
                  refusal="535 5.7.0 (#AUTH005) Too many bad auth attempts."),
    "office365": dict(mechanisms="LOGIN,XOAUTH2", size=157286400, user="you@example.com",
                      busy="432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending",
                      refusal="535 5.7.3 Authentication unsuccessful"),
    "ses": dict(mechanisms="PLAIN,LOGIN", size=41943040, user="AKIAIOSFODNN7EXAMPLE",
                options=["--no-chunking", "--no-pipelining", "--no-smtputf8", "--no-enhanced-status-codes", "--no-dsn"],
                busy="454 Throttling failure: Maximum sending rate exceeded.",
                refusal="535 Authentication Credentials Invalid"),
    "sendgrid": dict(mechanisms="PLAIN,LOGIN", size=31457280, user="apikey",
                     options=["--no-chunking", "--no-smtputf8", "--no-enhanced-status-codes", "--no-dsn"],
                     busy="451 Authentication failed: Maximum credits exceeded",
                     refusal="535 Authentication failed: Bad username / password"),
    "mailgun": dict(mechanisms="PLAIN,LOGIN", size=52428800, user="postmaster@mg.example.com",
                    options=["--no-chunking", "--no-dsn"],
                    busy="421 4.7.0 Too many messages, try again later", busy_drop=True,
                    refusal="535 5.7.0 Invalid login or password"),
    "smtp2go": dict(mechanisms="CRAM-MD5,PLAIN,LOGIN", size=52428800, user="relay", implicit=True,
                    options=["--no-dsn"], busy="451 4.7.1 Rate limit exceeded, try again later",
                    refusal="535 Incorrect authentication data"),
}


def blocks():
    found = {}
    for block in re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.S):
        found[re.search(r'name = "(.*?)"', block)[1]] = block
    return found


def provider_sink(lab, profile, secret_file, rules):
    path = lab.directory / "rules.toml"
    path.write_text(rules)
    return lab.sink("--replies", path, "--size", profile["size"], *profile.get("options", []),
                    "--tls-certificate", CERTIFICATES / "mail_rsa.pem", "--tls-key", CERTIFICATES / "mail_rsa.key",
                    "--tls", "implicit" if profile.get("implicit") else "starttls",
                    "--auth", f'{profile["mechanisms"]}:{profile["user"]}:{secret_file}', verify=True)


def adapted(block, sink, profile, secret_file):
    block = re.sub(r'hosts = \[".*?"\]', f'hosts = ["{sink.address()}"]', block)
    block = re.sub(r'password_file = ".*?"', f'password_file = "{secret_file}"', block)
    block = re.sub(r'token_command = \[".*?"\]', f'token_command = ["/bin/cat", "{secret_file}"]', block)
    more = f'roots = "{CERTIFICATES}/root.pem"\nverify_name = "mail.example.com"\n'
    if profile.get("implicit") and "mode =" not in block and not sink.address().endswith(":465"):
        more += 'mode = "implicit"\n'  # the document's port says it
    return block.replace("[route.tls]\n", "[route.tls]\n" + more)


def secret(lab, name, text):
    path = lab.directory / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def delivers(lab, name):
    profile, block = PROVIDERS[name], blocks()[name]
    right = secret(lab, "secret", "S3cret.0123456789-abcdefghij")
    drop = 'drop = "after"\n' if profile.get("busy_drop") else ""
    sink = provider_sink(lab, profile, right, f'[[rule]]\nphase = "dot"\nlimit = 1\nreply = "{profile["busy"]}"\n{drop}')
    relay = lab.relay(None, sections=adapted(block, sink, profile, right))
    load(relay, "--messages", "100", "--sessions", "10", "--size", "mix")
    report = sink.wait_for(100)
    delivered = relay.wait_for_events("delivered", 100)
    check(all(event["tls_verified"] for event in delivered), "all went over verified TLS")
    equal(report["auth_refused"], 0, "refused AUTH")
    equal(report["bad_commands"] + report["early_input"], 0, "what the sink did not offer was not used")
    equal(relay.events("bounced"), [], "bounced")
    deferred = relay.events("deferred")
    check(deferred and deferred[0]["code"] == int(profile["busy"][:3]), f"the busy reply deferred: {deferred}")
    connections_max = int(re.search(r"connections_max = (\d+)", block)[1])
    check(report["connections_peak"] <= connections_max, f"{report['connections_peak']} connections")
    per_connection = re.search(r"messages_per_connection_max = (\d+)", block)
    if per_connection:
        check(report["messages_per_connection"]["max"] <= int(per_connection[1]), f"{report['messages_per_connection']}")
    check("S3cret" not in relay.events_file.read_text() + relay.process.words() + str(relay.status()),
          "the secret is in events, log or status")


def number(block, key):
    found = re.search(key + r" = (\d+)", block)
    return int(found[1]) if found else None


def like(name, right, **more):
    """What the document says of the provider: its port, and its limits as those of the route."""
    block = blocks()[name]
    port = int(re.search(r'hosts = \["[^"]*:(\d+)"\]', block)[1])
    limits = {"connections": number(block, "connections_max"), "messages": number(block, "messages_per_connection_max"),
              "recipients": number(block, "recipients_per_message_max")}
    return ProviderSink(PROVIDERS[name], right.read_text().strip().encode(), port, limits, **more)


def without(block, *keys):
    for key in keys:
        block, count = re.subn(rf"{key} = .*\n", "", block)
        equal(count, 1, key)
    return block


def arrives_once(relay, sink, count):
    """All of it, and each recipient's copy once."""
    until(lambda: len(sink.deliveries) >= count, f"{count} deliveries: {len(sink.deliveries)} {sink.problems}")
    relay.wait_for_events("delivered", count)
    equal(len(sink.deliveries), count, "deliveries")
    equal(len(set(sink.deliveries)), count, "different ones")
    equal(sink.problems, [], "what the provider does not know or offer")
    equal(relay.events("bounced"), [], "bounced")


def keeps_limits(lab, name):
    """The route's limits are the provider's, so the relay meets none of its refusals."""
    right = secret(lab, "secret", "S3cret.0123456789-abcdefghij")
    sink = like(name, right)
    relay = lab.relay(None, sections=adapted(blocks()[name], sink, PROVIDERS[name], right))
    at_once, messages, recipients = (sink.limits[of] for of in ("connections", "messages", "recipients"))
    reached = messages is not None and at_once * messages <= 500  # by so much mail, on the connections that it may have
    singles = at_once * messages + 100 if reached else 200
    load(relay, "--messages", singles, "--sessions", 40, "--size", 2000)
    arrives_once(relay, sink, singles)
    with smtplib.SMTP("127.0.0.1", relay.port) as client:
        for part in range(2):
            client.sendmail("you@example.com", [f"r{part}x{i}@load.test" for i in range(recipients // 2 + 1)],
                            f"X-Load-Id: together-{part}\r\n\r\n")
        many = recipients + recipients // 4 if recipients < 1000 else 1000
        client.sendmail("you@example.com", [f"r{i}@load.test" for i in range(many)], "X-Load-Id: many\r\n\r\n")
    arrives_once(relay, sink, singles + 2 * (recipients // 2 + 1) + many)
    equal(sink.refused, dict.fromkeys(sink.refused, 0), "what the provider refused")
    check(sink.peak <= at_once, f"{sink.peak} connections at once")
    equal(sink.largest, min(many, recipients), "recipients of the largest")
    if reached:
        equal(sink.longest, messages, "messages on the longest connection")
    equal(relay.events("deferred") + relay.events("held"), [], "mail that had to wait")


def refuses(lab, name):
    """A wrong secret, and the provider's words for it: the mail waits, and goes when it is put right."""
    profile, block = PROVIDERS[name], blocks()[name]
    right, wrong = secret(lab, "right", "S3cret.0123456789"), secret(lab, "wrong", "Wr0ng.0123456789")
    sink = like(name, right)
    relay = lab.relay(None, sections=adapted(block, sink, profile, wrong) + '[client]\nhost_retry_after = "1s"\n')
    load(relay, "--messages", "1", "--sessions", "1")
    until(lambda: relay.total("client", "auth_failures") >= 2, "two refusals")
    listed = relay.command("queue", "list", "--socket", str(relay.control)).stdout
    check("authentication failed: 535" in listed, f"the queue says why: {listed}")
    if profile.get("explains"):
        check('"status": "400"' in relay.events("held")[0]["reply"], f"the explanation: {relay.events('held')[0]}")
    equal(relay.events("bounced") + relay.events("deferred"), [], "what the message paid for it")
    wrong.write_text(right.read_text())
    arrives_once(relay, sink, 1)
    check("Wr0ng" not in relay.process.words() + relay.events_file.read_text(), "the secret is in the log or the events")


def documented_replies():
    """{route: {reply: meaning}} of the tables; each stands in the section of the route before it."""
    found, route = {}, None
    for line in DOCUMENT.read_text().split("\n"):
        if line.startswith('name = "'):
            route = line.split('"')[1]
        row = re.match(r"\| `(\d{3} .*?)` \| (.*) \|$", line)
        if row:
            found.setdefault(route, {})[row[1]] = row[2]
    return found


# Said to AUTH; all others are said to a message.
TO_AUTH = ("534 ", "535 ", "454 4.7.0 ", "550 5.7.30 ", "451 Authentication failed")


def behaves_as_documented(lab, name):
    """Each reply of the provider's table: to AUTH, all mail is held and none pays for it; to a message, it is tried again
    (4xx) or returned (5xx), and the table says so."""
    right = secret(lab, "secret", "S3cret.0123456789")
    sink = like(name, right)
    rows = documented_replies()[name]
    to_auth = [reply for reply in rows if reply.startswith(TO_AUTH)]
    to_mail = [reply for reply in rows if reply not in to_auth]
    for reply in rows:
        promise = "held" if reply in to_auth else "returned" if reply[0] == "5" else "tried again"
        check(promise in rows[reply], f"the document says of {reply} not '{promise}' but '{rows[reply]}'")
    sink.auth_replies = list(to_auth)
    sink.replies = {f"row{row}": reply for row, reply in enumerate(to_mail)}
    relay = lab.relay(None, sections=adapted(blocks()[name], sink, PROVIDERS[name], right)
                      + '[client]\nhost_retry_after = "1s"\nhost_retry_longest = "1s"\n')
    with smtplib.SMTP("127.0.0.1", relay.port) as client:
        for row in range(len(to_mail)):
            client.sendmail("", [f"row{row}@load.test"], f"X-Load-Id: {row}\r\n\r\n")
    until(lambda: len(relay.events("delivered") + relay.events("bounced")) == len(to_mail), "an end to each message")
    held = [event["reply"] for event in relay.events("held")]
    for reply in to_auth:
        check(any(f"authentication failed: {reply}" in one for one in held), f"{reply} held nothing: {held}")
    for row, reply in enumerate(to_mail):
        mine = [event for event in relay.events() if event.get("recipient") == f"row{row}@load.test"]
        check(("bounced" if reply[0] == "5" else "deferred", int(reply[:3]), reply[4:])
              in [(event["event"], event.get("code"), event.get("reply")) for event in mine], f"{reply}: {mine}")
        equal(mine[-1]["event"], "bounced" if reply[0] == "5" else "delivered", reply)
    equal(sink.problems, [], "what the provider does not know or offer")


def is_taken(lab, name):
    """The block as it stands, host and port and all."""
    block = blocks()[name]
    configuration = lab.directory / "c.toml"
    configuration.write_text('hostname = "relay.test"\n' + re.sub(
        r'"/(etc|usr)/[^"]*"', f'"{secret(lab, "secret", "S3cret")}"', block))
    done = subprocess.run([program("RINGMTA"), "check", "--effective", "-c", configuration], capture_output=True, text=True,
                          check=False, timeout=60)
    equal(done.returncode, 0, done.stderr)
    check("route" not in done.stderr, done.stderr)
    for line in filter(None, block.split("\n")):
        if "/etc/" not in line and "/usr/" not in line:
            check(line in done.stdout.split("\n"), f"{line} is not in force")
    # "by_port" is TLS from the first octet at 465; the other tests try it there.
    port = int(re.search(r'hosts = \["[^"]*:(\d+)"\]', block)[1])
    mode = re.search(r'\[route\.tls\][^\[]*\nmode = "(.*)"', done.stdout)[1]
    equal(mode == "implicit" or mode == "by_port" and port == 465, PROVIDERS[name].get("implicit", False), "TLS first")


def test_every_block_has_its_provider(_lab):
    equal(sorted(blocks()), sorted(PROVIDERS), "routes of docs/providers.md")


def test_yahoo_closes_without_a_word(lab):
    """With its 20th message a connection is over. The relay that knows ends it itself; one that does not opens another."""
    right = secret(lab, "secret", "S3cret.0123456789")
    for block in (blocks()["yahoo"], without(blocks()["yahoo"], "messages_per_connection_max")):
        sink = like("yahoo", right, silent=True)
        relay = lab.relay(None, sections=adapted(block, sink, PROVIDERS["yahoo"], right))
        load(relay, "--messages", 250, "--sessions", 10, "--size", 2000)
        arrives_once(relay, sink, 250)
        equal(sink.longest, 20, "messages on the longest connection")
        relay.process.stop()
        relay.events_file.unlink()


def test_another_program_uses_the_office365_mailbox(lab):
    """It submits two messages at any time, three are possible: what the relay sends beyond is told 432, and goes later."""
    right = secret(lab, "secret", "S3cret.0123456789")
    sink = like("office365", right)
    sink.others = 2
    relay = lab.relay(None, sections=adapted(blocks()["office365"], sink, PROVIDERS["office365"], right))
    load(relay, "--messages", 50, "--sessions", 10, "--size", 2000)
    arrives_once(relay, sink, 50)
    check(sink.refused["submissions"] > 0, "the relay never had two messages under way")
    equal({event["code"] for event in relay.events("deferred")}, {432}, "why mail had to wait")


for _name in PROVIDERS:
    for _how, _function in (("delivers", delivers), ("is_taken_as_it_stands", is_taken), ("keeps_limits", keeps_limits),
                            ("refuses_a_wrong_secret", refuses), ("behaves_as_documented", behaves_as_documented)):
        if _function is not behaves_as_documented or _name in documented_replies():
            globals()[f"test_{_name}_{_how}"] = lambda lab, name=_name, function=_function: function(lab, name)

if __name__ == "__main__":
    main()
