# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenSMTPD, its limits on messages per session and connections per host raised. It writes its queue
without waiting for the disk: its figures are those of a relay that may lose what it accepted. TLS it speaks to
the sink only: as packaged (6.8 with OpenSSL 3) it ends every client's handshake by the alert internal_error,
whatever the certificate. It signs by filters that the distribution does not have.

Its spool's and socket's paths are compiled in, so it runs in a mount namespace of its own in which they
are other directories, and in which its users exist. Nothing of the machine's own is touched. The package
cannot be installed beside Postfix's, so tools/setup --bench unpacks it into build/opensmtpd.
"""

import os
import pathlib
import shlex
import subprocess

from .ends import Trouble

NAME = "opensmtpd"
MODES = {"persist", "single", "pipelining", "tls-out", "domains"}
OWN_SYNCS = False
USERS = (("opensmtpd", 61011), ("opensmtpq", 61012))


class Relay:
    ASKS_BY_RESOLV_CONF = False  # it has a namespace already

    def __init__(self, place):
        self.place = place
        self.root = place.options.root / "build/opensmtpd"
        if os.getuid() != 0:
            raise Trouble("OpenSMTPD has to be started by root")
        if not (self.root / "usr/sbin/smtpd").exists():
            raise Trouble(f"{self.root}/usr/sbin/smtpd is not there: run tools/setup --bench")

    def names(self):
        """The machine's users and groups with OpenSMTPD's own, for its namespace alone; and look-ups in /etc/hosts only."""
        passwd, group = pathlib.Path("/etc/passwd").read_text(), pathlib.Path("/etc/group").read_text()
        resolv_conf = f"nameserver {self.place.dns_server}\nlookup bind\n" if self.place.mode.by_mx else "lookup file\n"
        for name, number in USERS:
            if f"\n{name}:" not in passwd:
                passwd += f"{name}:x:{number}:{number}::/var/lib/opensmtpd/empty:/usr/sbin/nologin\n"
            if f"\n{name}:" not in group:
                group += f"{name}:x:{number}:\n"
        for kind, text in (("passwd", passwd), ("group", group), ("resolv.conf", resolv_conf)):
            path = self.place.directory / kind
            path.write_text(text)
            path.chmod(0o644)

    def configure(self):
        place = self.place
        self.names()
        configuration = place.directory / "smtpd.conf"
        sessions = place.options.sessions
        configuration.write_text(f"""
smtp limit max-mails 1000000
smtp max-message-size "60M"
mta limit max-conn-per-host {sessions} max-conn-per-route {sessions} max-conn-per-source {sessions}
mta limit max-conn-per-connector {sessions} max-conn-per-relay {sessions} max-conn-per-domain {sessions}
mta limit session-mail-max 1000000 session-transaction-delay 0
mta limit conn-delay-host 0 conn-delay-source 0 conn-delay-connector 0 conn-delay-relay 0 conn-delay-domain 0
listen on 127.0.0.1 port {place.port} hostname bench.test
{self.onward()}
match from any for any action "onward"
""")
        configuration.chmod(0o600)
        var = place.directory / "var"
        for name in ("spool/smtpd", "run", "lib/opensmtpd/empty"):
            (var / name).mkdir(parents=True)
        for name in ("lib/opensmtpd", "lib/opensmtpd/empty", "spool/smtpd"):
            (var / name).chmod(0o711)
        here = shlex.quote(str(place.directory))
        program = shlex.quote(str(self.root / "usr/sbin/smtpd"))
        script = f"""set -e
mount --bind {here}/passwd /etc/passwd
mount --bind {here}/group /etc/group
mount --bind {here}/resolv.conf /etc/resolv.conf
mount -t tmpfs none /run
mount --bind {here}/var/spool /var/spool
mount --bind {here}/var/lib /var/lib
exec {program} -F -f {here}/smtpd.conf
"""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]

    def onward(self):
        mode, port = self.place.mode, self.place.sink_port
        if mode.by_mx:
            return 'action "onward" relay helo bench.test'
        if mode.tls_out:
            return f'action "onward" relay host "smtp+tls://127.0.0.1:{port}" tls no-verify helo bench.test'
        return f'action "onward" relay host "smtp+notls://127.0.0.1:{port}" helo bench.test'

    def version(self):
        done = subprocess.run([self.root / "usr/sbin/smtpd", "-h"], capture_output=True, text=True, check=False)
        words = (done.stdout + done.stderr).split("\n")[0].split()
        return " ".join(words[-2:]).replace("version: ", "")
