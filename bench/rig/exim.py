# SPDX-License-Identifier: GPL-3.0-or-later
"""Exim, each message delivered as soon as it is there, by a process of its own, as its design has it; no
limits in front of this one client, no look-ups, a split spool directory, one log line a step. It syncs
each message and its outcome.

The package cannot be installed beside Postfix's, so tools/setup --bench unpacks it into build/exim.
"""

import os
import pwd
import subprocess

from .ends import Trouble

NAME = "exim"
MODES = {"persist", "single", "pipelining", "bdat"}
OWN_SYNCS = False


class Relay:
    def __init__(self, place):
        self.place = place
        self.binary = place.options.root / "build/exim/usr/sbin/exim4"
        if os.getuid() != 0:
            raise Trouble("Exim has to be started by root")
        try:
            self.user = pwd.getpwnam("Debian-exim")
        except KeyError:
            self.user = None
        if not self.binary.exists() or self.user is None:
            raise Trouble(f"Exim or its user is not there ({self.binary}, Debian-exim): run tools/setup --bench")

    def configure(self):
        place = self.place
        spool = place.directory / "spool"
        spool.mkdir()
        os.chown(spool, self.user.pw_uid, self.user.pw_gid)
        configuration = place.directory / "exim.conf"
        configuration.write_text(f"""
primary_hostname = bench.test
exim_path = {self.binary}
spool_directory = {spool}
log_file_path = {spool}/log-%s
pid_file_path = {spool}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {place.port}
acl_smtp_rcpt = take
acl_smtp_data = take
tls_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
message_size_limit = 60M
never_users =
keep_environment =
split_spool_directory
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
smtp_connect_backlog = {4 * place.options.sessions}
queue_run_max = 5
begin acl
take:
  accept
begin routers
onward:
  driver = manualroute
  transport = onward
  route_list = * 127.0.0.1
  self = send
begin transports
onward:
  driver = smtp
  port = {place.sink_port}
  allow_localhost
  hosts_avoid_tls = *
  connection_max_messages = 0
begin retry
* * F,1h,5s
""")
        configuration.chmod(0o644)
        return [self.binary, "-C", configuration, "-bdf", "-q5s"]

    def version(self):
        words = subprocess.run([self.binary, "-C", "/dev/null", "-bV"], capture_output=True, text=True, check=False).stdout
        return " ".join(words.split()[:3]).replace("version ", "")
