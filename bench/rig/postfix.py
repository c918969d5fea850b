# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix, tuned for relaying as its TUNING_README and CONNECTION_CACHE_README say: enough processes, long
lives for them, no limits on this one client, many connections to this one destination and their reuse, no
DNS, no rewriting, no flow control in front of the queue. It syncs each message, as it always does.

Its log goes to syslog, as it does on any machine; where no syslog daemon runs that costs it nothing,
which is in its favour: RingMTA writes its event per recipient into a file.
"""

import grp
import os
import pathlib
import pwd
import subprocess

from postfix_services import postfix_services

from .ends import Trouble, installed

NAME = "postfix"
MODES = {"persist", "single", "pipelining"}
OWN_SYNCS = False
MASTER = "/usr/lib/postfix/sbin/master"


class Relay:
    def __init__(self, place):
        self.place = place
        if os.getuid() != 0:
            raise Trouble("Postfix has to be started by root")
        installed("postfix", "postfix")
        if not pathlib.Path(MASTER).exists():
            raise Trouble(f"{MASTER} is not there: run tools/setup --bench")

    def configure(self):
        place = self.place
        self.etc = etc = place.directory / "etc"
        queue, data = place.directory / "queue", place.directory / "data"
        for directory in (etc, queue, data):
            directory.mkdir()
        os.chown(data, pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postfix").gr_gid)
        processes = 2 * place.options.sessions + 20
        (etc / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
myhostname = bench.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:{place.sink_port}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
smtpd_junk_command_limit = 1000000
message_size_limit = 60000000
alias_maps =
alias_database =
local_recipient_maps =
local_header_rewrite_clients =
receive_override_options = no_address_mappings,no_header_body_checks
smtp_host_lookup = native
disable_dns_lookups = yes
smtp_tls_security_level = none
default_process_limit = {processes}
max_use = 10000
in_flow_delay = 0
default_destination_concurrency_limit = {place.options.sessions}
initial_destination_concurrency = {min(20, place.options.sessions)}
smtp_connection_cache_destinations = [127.0.0.1]:{place.sink_port}
smtp_connection_reuse_time_limit = 600s
""")
        (etc / "master.cf").write_text(postfix_services(place.port))
        done = subprocess.run([installed("postfix", "postfix"), "-c", etc, "check"], capture_output=True, text=True,
                              timeout=60, check=False)
        if done.returncode != 0:
            raise Trouble(f"postfix check failed: {done.stdout}{done.stderr}")
        return [MASTER, "-c", etc, "-d"]

    def version(self):
        return "Postfix " + subprocess.run(["postconf", "-c", self.etc, "-h", "mail_version"], capture_output=True,
                                           text=True, check=False).stdout.strip()
