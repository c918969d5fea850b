#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivery to servers that people use: Postfix's smtp-sink, a whole Postfix, a whole Exim, Dovecot by LMTP. The two
whole ones pass the mail on to the sink, so that what came out can be compared with what went in."""

import grp
import os
import pathlib
import pwd
import smtplib
import subprocess
import sys

from harness import check, equal, free_port, listening, load, main, tool, until
from postfix_services import postfix_services

COUNT = 200


def test_smtp_sink_takes_everything(lab):
    port = free_port()
    lab.smtp_sink(port)
    relay = lab.relay([f"127.0.0.1:{port}"])
    summary = load(relay, "--messages", COUNT, "--size", "mix", "--recipients", 2)
    relay.wait_for_total("queue", "delivered", summary["recipients_accepted"])


def test_smtp_sink_without_pipelining_and_esmtp(lab):
    port = free_port()
    lab.smtp_sink(port, "-e", "-p")
    relay = lab.relay([f"127.0.0.1:{port}"])
    load(relay, "--messages", COUNT, "--size", 3000)
    until(lambda: relay.total("queue", "delivered") == COUNT, "everything to be delivered")


def test_smtp_sink_that_defers_for_a_while(lab):
    port = free_port()
    peer = lab.smtp_sink(port, "-r", "mail")
    relay = lab.relay([f"127.0.0.1:{port}"])
    load(relay, "--messages", 20, "--size", 1000)
    relay.wait_for_events("deferred", 20)
    peer.kill()
    lab.smtp_sink(port)
    until(lambda: relay.total("queue", "delivered") == 20, "everything to be delivered after all")


class Postfix:
    """A Postfix of its own: configuration, queue and log in the lab's directory."""

    def __init__(self, lab, onward, more=""):
        self.port = free_port()
        self.etc = lab.directory / "postfix"
        self.queue = lab.directory / "postfix-queue"
        self.data = lab.directory / "postfix-data"
        for directory in (self.etc, self.queue, self.data):
            directory.mkdir()
        os.chown(self.data, pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postfix").gr_gid)
        (self.etc / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {self.queue}
data_directory = {self.data}
maillog_file = {lab.directory}/postfix.log
maillog_file_prefixes = {lab.directory}
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:{onward}
smtpd_relay_restrictions = permit_mynetworks, reject
message_size_limit = 60000000
alias_maps =
alias_database =
smtputf8_enable = yes
smtp_host_lookup = native
disable_dns_lookups = yes
{more}
""")
        (self.etc / "master.cf").write_text(postfix_services(self.port))
        self.log = lab.directory / "postfix.log"
        self.command("check")
        self.command("start")
        until(lambda: listening(self.port), "Postfix to listen")

    def command(self, word):
        done = subprocess.run([tool("postfix", "postfix"), "-c", self.etc, word], capture_output=True, text=True,
                              timeout=60, check=False)
        if done.returncode != 0:
            raise AssertionError(f"postfix {word} failed: {done.stdout}{done.stderr}")

    def stop(self):
        self.command("stop")


def test_postfix_as_next_hop(lab):
    sink = lab.sink(verify=True)
    postfix = Postfix(lab, sink.port)
    try:
        relay = lab.relay([f"127.0.0.1:{postfix.port}"])
        summary = load(relay, "--messages", COUNT, "--size", "mix", "--recipients", 2)
        wanted = summary["recipients_accepted"]
        report = sink.wait_for(wanted)
        equal(report["verify"]["corrupt"], 0, "messages that changed on the way")
        equal(report["verify"]["deliveries_unique"], wanted, "deliveries")
        relay.wait_for_total("queue", "delivered", wanted)
        equal(relay.total("queue", "bounced"), 0, "bounced by the relay")
    finally:
        postfix.stop()


class Exim:
    """An Exim unpacked from its package (it cannot be installed beside Postfix), run by its own user."""

    def __init__(self, lab, onward, tls="tls_advertise_hosts =", transport="hosts_avoid_tls = *"):
        self.port = free_port()
        root = pathlib.Path(os.environ["RINGMTA_EXIM_ROOT"])
        binary = root / "usr/sbin/exim4"
        check(binary.exists(), f"{binary} is not there: tools/setup --tests unpacks it")
        spool = lab.directory / "exim"
        spool.mkdir()
        user = pwd.getpwnam("mail")
        os.chown(spool, user.pw_uid, user.pw_gid)
        configuration = lab.directory / "exim.conf"
        configuration.write_text(f"""
primary_hostname = exim.test
exim_path = {binary}
exim_user = mail
exim_group = mail
spool_directory = {spool}
log_file_path = {spool}/log-%s
pid_file_path = {spool}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {self.port}
acl_smtp_rcpt = take
acl_smtp_data = take
{tls}
host_lookup =
rfc1413_query_timeout = 0s
message_size_limit = 60M
never_users =
keep_environment =
smtp_accept_max = 100
smtp_accept_queue = 0
smtp_accept_queue_per_connection = 0
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
  port = {onward}
  allow_localhost
  {transport}
begin retry
* * F,1h,1s
""")
        # The program insists on its user and group being known by name.
        names = []
        for kind, listed, line in (("passwd", pathlib.Path("/etc/passwd"), f"Debian-exim:x:{user.pw_uid}:{user.pw_gid}::/:/bin/false\n"),
                                   ("group", pathlib.Path("/etc/group"), f"Debian-exim:x:{user.pw_gid}:\n")):
            path = lab.directory / kind
            path.write_text(listed.read_text() + line)
            path.chmod(0o644)
            names.append(str(path))
        environment = dict(os.environ, LD_PRELOAD="libnss_wrapper.so", NSS_WRAPPER_PASSWD=names[0],
                           NSS_WRAPPER_GROUP=names[1])
        self.process = lab.start("exim", [binary, "-C", configuration, "-bdf", "-q1s"], env=environment)
        self.process.wait_for_port(self.port)
        self.log = spool / "log-main"


class Dovecot:
    """A Dovecot of its own that only speaks LMTP, on a port and on a socket, and knows users a to h and ann."""

    def __init__(self, lab):
        self.port = free_port()
        self.socket = lab.directory / "lmtp.sock"
        self.mail = lab.directory / "mail"
        self.log = lab.directory / "dovecot.log"
        run = lab.directory / "run"
        user = pwd.getpwnam("mail")
        self.mail.mkdir()
        os.chown(self.mail, user.pw_uid, user.pw_gid)
        for parent in (lab.directory, self.mail):
            parent.chmod(0o755)
        users = lab.directory / "users"
        users.write_text("".join(f"{name}:{{PLAIN}}x:{user.pw_uid}:{user.pw_gid}::{self.mail}/{name}::\n"
                                 for name in (*"abcdefgh", "ann")))
        users.chmod(0o644)
        configuration = lab.directory / "dovecot.conf"
        configuration.write_text(f"""
base_dir = {run}
state_dir = {run}
log_path = {self.log}
protocols = lmtp
listen = 127.0.0.1
ssl = no
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
mail_location = maildir:~/Maildir
mailbox_list_index = no
first_valid_uid = 1
auth_username_format = %Ln
lmtp_rcpt_check_quota = yes
mail_plugins =
passdb {{
  driver = passwd-file
  args = {users}
}}
userdb {{
  driver = passwd-file
  args = {users}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.port}
  }}
  unix_listener {self.socket} {{
    mode = 0666
  }}
}}
service auth {{
  chroot =
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
""")
        self.process = lab.start("dovecot", [tool("dovecot", "dovecot-core"), "-F", "-c", configuration])
        self.process.wait_for_port(self.port)

    def mails(self, user):
        return [path.read_bytes() for folder in ("new", "cur") for path in (self.mail / user / "Maildir" / folder).glob("*")]


def deliver_by_lmtp(lab, dovecot, host):
    relay = lab.relay([host], route="lmtp = true")
    body = b"From: ann@dovecot.test\r\nSubject: by LMTP\r\n\r\n.a line with a dot\r\nlast\r\n"
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        refused = client.sendmail("ann@dovecot.test", [f"{name}@dovecot.test" for name in "abcx"], body)
        equal(refused, {}, "recipients refused by the relay")
        for number in range(50):
            client.sendmail("ann@dovecot.test", [f"{'defgh'[number % 5]}@dovecot.test"], body)
    relay.wait_for_total("queue", "delivered", 54)  # with the notification
    bounced, = relay.wait_for_events("bounced", 1)
    equal(bounced["recipient"], "x@dovecot.test", "the one Dovecot does not know")
    check("550 5.1.1" in bounced["reply"] or bounced.get("code") == 550, f"its reply: {bounced}")
    for name in "abc":
        mail, = dovecot.mails(name)
        check(mail.replace(b"\r\n", b"\n").endswith(b"\n\n.a line with a dot\nlast\n"), f"what {name} got: {mail}")
    notification, = dovecot.mails("ann")
    check(b"Final-Recipient: rfc822; x@dovecot.test" in notification, f"what ann got: {notification}")
    equal([len(dovecot.mails(name)) for name in "defgh"], [10] * 5, "mails of the others")


def test_dovecot_by_lmtp(lab):
    dovecot = Dovecot(lab)
    deliver_by_lmtp(lab, dovecot, f"127.0.0.1:{dovecot.port}")


def test_dovecot_by_lmtp_over_a_unix_socket(lab):
    dovecot = Dovecot(lab)
    deliver_by_lmtp(lab, dovecot, str(dovecot.socket))


def test_exim_as_next_hop(lab):
    sink = lab.sink(verify=True)
    exim = Exim(lab, sink.port)
    relay = lab.relay([f"127.0.0.1:{exim.port}"])
    summary = load(relay, "--messages", 100, "--size", "mix", "--recipients", 2)
    wanted = summary["recipients_accepted"]
    try:
        report = sink.wait_for(wanted)
    except AssertionError:
        print("# " + "\n# ".join(exim.log.read_text().split("\n")[-20:]), file=sys.stdout)
        raise
    equal(report["verify"]["corrupt"], 0, "messages that changed on the way")
    equal(report["verify"]["deliveries_unique"], wanted, "deliveries")
    relay.wait_for_total("queue", "delivered", wanted)


if __name__ == "__main__":
    main()
