# SPDX-License-Identifier: GPL-3.0-or-later
"""The DNS of the mode `domains`: NSD with a zone of mail domains whose MX hosts are addresses of the sink.

Programs that ask through the C library can be told a server's address, not its port, and only by
/etc/resolv.conf; so the server has port 53 of a loopback address of its own, and they see a resolv.conf
that is bound over the machine's in a mount namespace of theirs. Nothing of the machine is changed.
"""

import random
import shlex
import socket

from .ends import Trouble, installed, until
from .meter import Group, listening
from .modes import MANY

HOSTS = 50      # MX hosts: so many domains share one, as they do at the big providers
SMTP_PORT = 25  # OpenSMTPD knows no other for hosts that DNS names


class Network:
    """A part of 127.0.0.0/8 in which nothing listens yet: of a DNS server and the hosts it names."""

    def __init__(self):
        for second in random.sample(range(64, 250), 20):
            self.server, self.prefix = f"127.{second}.0.53", f"127.{second}.1."
            if free(self.server, 53) and free(self.prefix + "1", SMTP_PORT):
                self.addresses = f"{self.prefix}1-{self.prefix}{HOSTS}"
                return
        raise Trouble("the ports 25 and 53 of loopback addresses cannot be listened on: this mode needs root, and no "
                      "server that listens there on every address")


def free(address, port):
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            return True
        except OSError:
            return False


def zone(network, domains, ttl=3600):
    """Named as ringmta-load names them: d0 .. d9, d00 .. d99 and so on."""
    digits = len(str(domains - 1))
    yield f"$ORIGIN {MANY}.\n$TTL {ttl}\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A {network.server}\n"
    for host in range(HOSTS):
        yield f"mx{host} A {network.prefix}{1 + host}\n"
    if domains == 1:
        yield "@ MX 10 mx0\n"
        return
    for number in range(domains):
        yield f"d{number:0{digits}} MX 10 mx{number % HOSTS}\n"


class Server:
    def __init__(self, directory, network, domains):
        folder = directory / "dns"
        folder.mkdir()
        (folder / "many.zone").write_text("".join(zone(network, domains)))
        (folder / "nsd.conf").write_text(f"""server:
  ip-address: {network.server}@53
  zonesdir: "{folder}"
  database: ""
  zonelistfile: "{folder}/zone.list"
  xfrdfile: "{folder}/xfrd.state"
  pidfile: "{folder}/nsd.pid"
  username: ""
  server-count: 1
  do-ip6: no
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "{MANY}."
  zonefile: "many.zone"
""")
        self.group = Group("dns", directory)
        self.group.start([installed("nsd", "nsd"), "-d", "-c", folder / "nsd.conf"])
        try:
            until(lambda: listening(53, network.server), "the DNS server to listen", 30, self.group)
        except Trouble:
            self.group.end()
            raise

    def end(self):
        self.group.end()


def asking(server, command, directory):
    """`command`, for which the system's name server is that one."""
    path = directory / "resolv.conf"
    path.write_text(f"nameserver {server}\n")
    path.chmod(0o644)
    script = f"mount --bind {shlex.quote(str(path))} /etc/resolv.conf && exec " + shlex.join(str(word) for word in command)
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
