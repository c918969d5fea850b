# SPDX-License-Identifier: GPL-3.0-or-later
"""Exim, each message delivered as soon as it is there, by a process of its own, as its design has it; no
limits in front of this one client, no look-ups, a split spool directory, one log line a step. It syncs
each message and its outcome. TLS by GnuTLS with session tickets; DKIM by the smtp transport.

The package cannot be installed beside Postfix's, so tools/setup --bench unpacks it into build/exim.
"""

import os
import pwd
import subprocess

from . import material
from .ends import Trouble
from .modes import SIGNER

NAME = "exim"
MODES = {"persist", "single", "pipelining", "bdat", "dkim", "tls-in", "tls-out", "tls", "tls-single", "domains"}
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
{self.tls_in()}
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
{self.route()}
  transport = onward
  self = send
begin transports
onward:
  driver = smtp
  port = {place.sink_port}
  allow_localhost
  connection_max_messages = 0
{self.tls_out()}
{self.signing()}
begin retry
* * F,1h,5s
""")
        configuration.chmod(0o644)
        return [self.binary, "-C", configuration, "-bdf", "-q5s"]

    def route(self):
        if self.place.mode.by_mx:
            return "  driver = dnslookup\n  domains = *"
        return "  driver = manualroute\n  route_list = * 127.0.0.1"

    def owned(self, path):
        """It gives up root's rights before it reads a key."""
        os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    def tls_in(self):
        lines = "dns_ipv4_lookup = *\n"
        if not self.place.mode.tls_in:
            return lines + "tls_advertise_hosts ="
        pem, key = material.certificate(self.place.directory, "relay")
        return lines + f"tls_advertise_hosts = *\ntls_certificate = {pem}\ntls_privatekey = {self.owned(key)}\ntls_resumption_hosts = *"

    def tls_out(self):
        if not self.place.mode.tls_out:
            return "  hosts_avoid_tls = *"
        return "  hosts_require_tls = *\n  tls_verify_certificates =\n  tls_try_verify_hosts =\n  tls_resumption_hosts = *"

    def signing(self):
        if not self.place.mode.dkim:
            return ""
        key = self.owned(material.dkim_key(self.place.directory))
        return (f"  dkim_domain = {SIGNER}\n  dkim_selector = {material.SELECTOR}\n  dkim_private_key = {key}\n"
                "  dkim_canon = relaxed\n  dkim_strict = true")

    def version(self):
        words = subprocess.run([self.binary, "-C", "/dev/null", "-bV"], capture_output=True, text=True, check=False).stdout
        return " ".join(words.split()[:3]).replace("version ", "")
