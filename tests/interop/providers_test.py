#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes of docs/providers.md, as they stand there, against sinks that behave like each provider. What a test changes
in a block: the address, the file of the secret, and the name and roots that the sink's certificate has."""

import os
import pathlib
import re

from harness import check, equal, load, main, until

CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "providers.md"

# What each offers, what it says when it is busy (to the dot of one message) and to a wrong secret.
PROVIDERS = {
    "gmail": dict(mechanisms="LOGIN,PLAIN,XOAUTH2,OAUTHBEARER", size=35882577, user="you@gmail.com",
                  busy="421 4.7.0 Try again later, closing connection. - gsmtp", busy_drop=True,
                  refusal="535-5.7.8 Username and Password not accepted. For more information, go to\\n"
                          "535 5.7.8  https://support.google.com/mail/?p=BadCredentials - gsmtp"),
    "gmail-token": dict(mechanisms="LOGIN,PLAIN,XOAUTH2,OAUTHBEARER", size=35882577, user="you@gmail.com", implicit=True,
                        busy="450 4.2.1 The user you are trying to contact is receiving mail too quickly - gsmtp"),
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
    if profile.get("implicit") and "mode =" not in block:
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


def refuses(lab, name):
    """A wrong secret, and the provider's words for it: the mail waits, and goes when it is put right."""
    profile, block = PROVIDERS[name], blocks()[name]
    right, wrong = secret(lab, "right", "S3cret.0123456789"), secret(lab, "wrong", "Wr0ng.0123456789")
    sink = provider_sink(lab, profile, right, f'[[rule]]\nphase = "auth"\nlimit = 1\nreply = "{profile["refusal"]}"\n')
    relay = lab.relay(None, sections=adapted(block, sink, profile, wrong) + '[client]\nhost_retry_after = "1s"\n')
    load(relay, "--messages", "1", "--sessions", "1")
    until(lambda: relay.total("client", "auth_failures") >= 2, "two refusals")
    listed = relay.command("queue", "list", "--socket", str(relay.control)).stdout
    check("authentication failed: 535" in listed, f"the queue says why: {listed}")
    equal(relay.events("bounced") + relay.events("deferred"), [], "what the message paid for it")
    wrong.write_text(right.read_text())
    relay.wait_for_events("delivered", 1)
    check("Wr0ng" not in relay.process.words(), "the secret is in the log")


def test_every_block_has_its_provider(_lab):
    equal(sorted(blocks()), sorted(PROVIDERS), "routes of docs/providers.md")


for _name, _profile in PROVIDERS.items():
    globals()[f"test_{_name}_delivers"] = lambda lab, name=_name: delivers(lab, name)
    if "refusal" in _profile:
        globals()[f"test_{_name}_refuses_a_wrong_secret"] = lambda lab, name=_name: refuses(lab, name)

if __name__ == "__main__":
    main()
