# SPDX-License-Identifier: GPL-3.0-or-later
"""Postfix, tuned for relaying as its TUNING_README and CONNECTION_CACHE_README say: enough processes, long
lives for them, no limits on this one client, many connections to this one destination and their reuse, no
DNS but where a mode asks for it, no rewriting, no flow control in front of the queue. It syncs each message,
as it always does. TLS as its TLS_README says: session tickets, and connections that are reused by way of
tlsproxy(8). It signs by a milter, OpenDKIM, as the distribution has it; that is part of its cost.

Its log goes to syslog, as it does on any machine; where no syslog daemon runs that costs it nothing,
which is in its favour: RingMTA writes its event per recipient into a file.
"""

import grp
import os
import pathlib
import pwd
import subprocess

from postfix_services import postfix_services

from . import material
from .ends import Trouble, installed
from .meter import free_port
from .modes import SIGNER

NAME = "postfix"
MODES = {"persist", "single", "pipelining", "dkim", "tls-in", "tls-out", "tls", "tls-single", "domains"}
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
default_process_limit = {processes}
max_use = 10000
in_flow_delay = 0
default_destination_concurrency_limit = {place.options.sessions}
initial_destination_concurrency = {min(20, place.options.sessions)}
smtp_connection_reuse_time_limit = 600s
{self.onward()}
{self.tls()}
{self.signing()}
""")
        (etc / "master.cf").write_text(postfix_services(place.port))
        done = subprocess.run([installed("postfix", "postfix"), "-c", etc, "check"], capture_output=True, text=True,
                              timeout=60, check=False)
        if done.returncode != 0:
            raise Trouble(f"postfix check failed: {done.stdout}{done.stderr}")
        return [MASTER, "-c", etc, "-d"]

    def onward(self):
        place = self.place
        if place.mode.by_mx:  # connections are cached on demand, by address: domains share them
            return f"relayhost =\nsmtp_host_lookup = dns\nsmtp_tcp_port = {place.sink_port}\n"
        host = f"[127.0.0.1]:{place.sink_port}"
        return (f"relayhost = {host}\nsmtp_host_lookup = native\ndisable_dns_lookups = yes\n"
                f"smtp_connection_cache_destinations = {host}\n")

    def tls(self):
        lines = "smtp_tls_security_level = none\n"
        if self.place.mode.tls_out:
            lines = ("smtp_tls_security_level = encrypt\nsmtp_tls_connection_reuse = yes\n"
                     "smtp_tls_session_cache_database = btree:$data_directory/smtp_scache\n")
        if self.place.mode.tls_in:
            pem, key = material.certificate(self.place.directory, "relay")
            lines += f"smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {pem}\nsmtpd_tls_key_file = {key}\n"
        return lines

    def signing(self):
        if not self.place.mode.dkim:
            return ""
        self.milter_port = free_port()
        return f"smtpd_milters = inet:127.0.0.1:{self.milter_port}\nmilter_default_action = tempfail\n"

    def helpers(self):
        """(command, port) of what runs beside it."""
        if not self.place.mode.dkim:
            return []
        place = self.place
        unpacked = place.options.root / "build/opendkim/usr/sbin/opendkim"
        program = unpacked if unpacked.exists() else installed("opendkim", "opendkim")
        configuration = place.directory / "opendkim.conf"
        configuration.write_text(f"""
Mode s
Domain {SIGNER}
Selector {material.SELECTOR}
KeyFile {material.dkim_key(place.directory)}
Canonicalization relaxed/relaxed
SignatureAlgorithm rsa-sha256
InternalHosts 127.0.0.0/8
Socket inet:{self.milter_port}@127.0.0.1
Syslog no
RequireSafeKeys false
""")
        return [([program, "-f", "-x", configuration], self.milter_port)]

    def version(self):
        return "Postfix " + subprocess.run(["postconf", "-c", self.etc, "-h", "mail_version"], capture_output=True,
                                           text=True, check=False).stdout.strip()
