#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""All threads of a whole relay at once: three shards, of which two have to ask the third for the one site's few
connections, users who log in on all of them, clients with a limit each, the operator looking on, reloads, an end under load.
For TSan, under which this is run too; by itself it says that nothing is lost."""

import json
import os
import pathlib
import subprocess
import threading

from harness import check, equal, load, main, program, until

CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
MESSAGES = 3000


def operator(relay, over, found):
    """Asks, lists and reloads as long as mail flows."""
    while not over.is_set():
        for words in (["status", "--json"], ["queue", "list", "--limit", "20"], ["reload"]):
            done = subprocess.run([program("RINGMTA"), *words, "--socket", str(relay.control)], capture_output=True, text=True,
                                  timeout=120, check=False)
            if done.returncode != 0:
                found.append(f"{words}: {done.stderr}")
                return


def test_everything_at_once(lab):
    few, many = lab.sink(verify=True), lab.sink(verify=True)
    users = lab.directory / "users"
    users.touch(mode=0o600)
    password = lab.directory / "password"
    password.write_text("correct horse\n")
    for name in ("user0@load.test", "user1@load.test"):
        subprocess.run([program("RINGMTA"), "password", name, "--file", str(users), "--iterations", "4096"],
                       input="correct horse\n", text=True, check=True, capture_output=True, timeout=60)
    relay = lab.relay([many.address()], shards=3, server=f"""
sessions_per_client_max = 1000
[[server.tls.certificate]]
certificate = "{CERTIFICATES / "mail_rsa.pem"}"
key = "{CERTIFICATES / "mail_rsa.key"}"
[auth]
users = "{users}"
""", sections=f"""
[[route]]
name = "few"
domains = ["d1.load.test"]
hosts = ["{few.address()}"]
connections_max = 2
""")
    over, found = threading.Event(), []
    watcher = threading.Thread(target=operator, args=(relay, over, found))
    watcher.start()
    try:
        options = ("--messages", MESSAGES, "--sessions", 30, "--domains", 2, "--recipients", 2)
        accepted = load(relay, *options, "--run", "plain")["recipients_accepted"]
        secret = load(relay, *options, "--run", "secret", "--tls", "starttls", "--auth", f"user{{}}@load.test:{password}",
                      "--users", 2, "--from", "user0@load.test", "--messages-per-session", 40)
        accepted += secret["recipients_accepted"]
        until(lambda: relay.total("queue", "recipients") == 0, "the queue to be empty", patience=300)
    finally:
        over.set()
        watcher.join()
    equal(found, [], "what the operator was refused")
    reports = [sink.report()["verify"] for sink in (few, many)]
    for report in reports:
        equal((report["corrupt"], report["duplicates"]), (0, 0), "corrupt, twice")
        check(report["deliveries_unique"] > MESSAGES, "a sink got hardly anything")
    check(few.report()["connections_peak"] <= 2, "a site got more connections than its limit")
    for shard in relay.status()["shards"]:
        check(shard["server"]["messages"] > 0, "a shard took nothing")
    equal(sum(report["deliveries_unique"] for report in reports), accepted, "recipients reached")
    # The end under load: what was accepted is there after the next start.
    going = subprocess.Popen([program("RINGMTA_LOAD"), "--target", relay.address(), "--messages", "100000", "--sessions", "30",
                              "--domains", "2", "--run", "end", "--json", "--quiet", "--connect-patience", "1"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    before = relay.total("spool", "stored")
    until(lambda: relay.total("spool", "stored") > before + 300, "mail to flow")
    equal(relay.process.stop(), 0, "exit status")
    summary = json.loads(going.communicate(timeout=120)[0])
    relay.start()
    until(lambda: relay.total("queue", "recipients") == 0, "the queue to be empty", patience=300)
    arrived = sum(run["recipients"] for sink in (few, many) for run in sink.report()["verify"]["runs"] if run["run"] == "end")
    check(summary["recipients_accepted"] <= arrived <= summary["recipients_accepted"] + summary["recipients_unknown"],
          f"{summary['recipients_accepted']} recipients accepted, {summary['recipients_unknown']} unanswered, {arrived} reached")
    equal(relay.process.stop(), 0, "exit status")


if __name__ == "__main__":
    main()
