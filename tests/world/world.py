# SPDX-License-Identifier: GPL-3.0-or-later
"""A small internet on loopback: a real DNS server with a zone of thousands of mail domains, and a
sink that listens on hundreds of addresses and behaves as mailbox providers do.

The insight: a domain's name says what its recipients must end as. `d17.grey.test` is greylisted and
must be delivered, `d3.null.test` has a null MX and must bounce, so a whole run is judged by looking at
each recipient's last event and at nothing else. DNS servers, sink and relay are told the same story
from one table, KINDS.

Addresses: 127.1.0.0/16 answers (every kind has some of its own), 127.9.0.0/16 has no listener.
"""

import dataclasses
import json
import pathlib
import signal
import subprocess

from harness import free_port, program, tool, until


@dataclasses.dataclass(frozen=True)
class Kind:
    name: str
    share: float        # of all domains
    hosts: int          # of all sink addresses in a hundred; 0: it has no listener
    ends: tuple         # what a recipient may end as
    rule: str = ""      # of the sink, for these listeners
    status: str = ""    # the enhanced status a bounce must have


# One line for each sort of domain a bulk sender meets.
KINDS = (
    # Healthy: own hosts, big providers that thousands of domains share, odd but right DNS.
    Kind("ok", 0.40, 30, ("delivered",)),
    Kind("big", 0.30, 10, ("delivered",)),            # one MX set for all of them
    Kind("alias", 0.02, 2, ("delivered",)),           # the MX name is found through a CNAME
    Kind("bare", 0.03, 3, ("delivered",)),            # no MX: the domain's own address
    Kind("backup", 0.04, 5, ("delivered",)),          # the preferred MX is dead, the second answers
    # Slow or moody.
    Kind("slow", 0.04, 10, ("delivered",),
         'phase = "dot"\nlistener = "{listener}"\ndelay = 300'),
    Kind("grey", 0.05, 10, ("delivered",),
         'phase = "rcpt"\nlistener = "{listener}"\nfirst = 1\nreply = "451 4.7.1 Greylisted, come back"'),
    Kind("drop", 0.01, 3, ("delivered",),
         'phase = "dot"\nlistener = "{listener}"\nlimit = 3\ndrop = "before"'),
    Kind("full", 0.01, 3, ("delivered",),
         'phase = "connect"\nlistener = "{listener}"\nshare = 0.3\nreply = "421 4.3.2 Too many connections"\n'
         'drop = "after"'),
    # Never: for now ...
    Kind("busy", 0.02, 5, ("expired",),
         'phase = "rcpt"\nlistener = "{listener}"\nreply = "451 4.3.0 Try later"'),
    Kind("mute", 0.01, 5, ("expired",),
         'phase = "connect"\nlistener = "{listener}"\nstall = true'),
    Kind("dead", 0.02, 0, ("expired",)),
    Kind("lame", 0.01, 0, ("expired",)),              # its DNS answers SERVFAIL
    # ... and for good.
    Kind("no", 0.02, 5, ("bounced",),
         'phase = "rcpt"\nlistener = "{listener}"\nreply = "550 5.1.1 No such user"', "5.1.1"),
    Kind("null", 0.01, 0, ("bounced",), "", "5.1.10"),
    Kind("gone", 0.01, 0, ("bounced",), "", "5.1.2"),  # NXDOMAIN
)
HEALTHY = ("ok", "big", "alias", "bare", "backup")


def kind_of(address):
    """Of the recipient u@d7.grey.test: the Kind grey."""
    name = address.rpartition("@")[2].split(".")[-2]
    return next(kind for kind in KINDS if kind.name == name)


class World:
    def __init__(self, lab, domains, addresses, only=None, counts=None):
        """`only`: names of kinds; `counts`: domains of each, instead of shares of `domains`."""
        self.lab = lab
        self.smtp_port = free_port()
        self.dns_port = free_port()
        self.kinds = [kind for kind in KINDS if only is None or kind.name in only]
        whole = sum(kind.share for kind in self.kinds)
        self.domains = {kind.name: max(1, round(domains * kind.share / whole)) for kind in self.kinds}
        self.domains.update(counts or {})
        self.hosts = {kind.name: max(1, addresses * kind.hosts // 100) for kind in KINDS if kind.hosts}
        self.start_dns()
        self.start_sink()

    # ---- DNS

    def address_of(self, kind, number):
        block = 1 + [each.name for each in KINDS].index(kind)
        return f"127.1.{block}.{1 + number % 250}"

    def zone(self):
        yield "$ORIGIN test.\n$TTL 300\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 60\n@ NS ns.test.\nns A 127.0.0.1\n"
        for kind, count in self.hosts.items():
            for number in range(count):
                yield f"mx{number}.{kind} A {self.address_of(kind, number)}\n"
        yield "sender MX 10 returns.mx\nreturns.mx A 127.0.0.1\n"
        yield "dead.mx A 127.9.0.1\nalso-dead.mx A 127.9.0.2\n"
        for kind, count in self.domains.items():
            hosts = self.hosts.get(kind, 0)
            digits = len(str(count - 1)) if count > 1 else 0
            for number in range(count):  # named as the load generator names them
                domain = f"d{number:0{digits}}.{kind}" if count > 1 else kind
                yield from self.records(domain, kind, number, hosts)

    def records(self, domain, kind, number, hosts):
        if kind == "big":
            for host in range(hosts):
                yield f"{domain} MX {10 + host % 2 * 10} mx{host}.big\n"
        elif kind == "alias":
            yield f"{domain} MX 10 name.{domain}\nname.{domain} CNAME mx{number % hosts}.{kind}\n"
        elif kind == "bare":
            yield f"{domain} A {self.address_of(kind, number % hosts)}\n"
        elif kind == "backup":
            yield f"{domain} MX 5 dead.mx\n{domain} MX 20 mx{number % hosts}.{kind}\n"
        elif kind == "dead" and number % 2 == 0:
            yield f"{domain} MX 10 dead.mx\n{domain} MX 10 also-dead.mx\n"
        elif kind == "dead":  # a site of its own
            yield f"{domain} MX 10 own.{domain}\nown.{domain} A 127.9.{1 + number // 250 % 250}.{1 + number % 250}\n"
        elif kind == "null":
            yield f"{domain} MX 0 .\n"
        elif kind in ("gone", "lame"):
            return
        else:
            yield f"{domain} MX 10 mx{number % hosts}.{kind}\n"

    def start_dns(self):
        """NSD, an authoritative server; `lame.test` is a zone whose file is missing: SERVFAIL."""
        folder = pathlib.Path(self.lab.directory) / "dns"
        folder.mkdir()
        (folder / "test.zone").write_text("".join(self.zone()))
        configuration = folder / "nsd.conf"
        configuration.write_text(f"""server:
  ip-address: 127.0.0.1@{self.dns_port}
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
  name: "test."
  zonefile: "test.zone"
zone:
  name: "lame.test."
  zonefile: "missing.zone"
""")
        self.dns = self.lab.start("nsd", [tool("nsd", "nsd"), "-d", "-c", configuration])
        self.dns.wait_for_port(self.dns_port)

    # ---- the mailbox providers

    def start_sink(self):
        command = [program("RINGMTA_SINK"), "--verify", "--quiet", "--threads", "1"]
        rules = ""
        for kind in KINDS:
            count = min(self.hosts.get(kind.name, 0), 250)
            if count == 0 or kind.name not in self.domains:
                continue
            first, last = self.address_of(kind.name, 0), self.address_of(kind.name, count - 1)
            span = first if count == 1 else f"{first}-{last}"
            command += ["--listen", f"{span}:{self.smtp_port}"]
            if kind.rule:
                listener = first.rpartition(".")[0] + ".*:*"
                rules += "[[rule]]\n" + kind.rule.format(listener=listener) + "\n\n"
        # Notifications go back to the senders' domain.
        command += ["--listen", f"127.0.0.1:{self.smtp_port}"]
        (self.lab.directory / "world.toml").write_text(rules)
        self.report_file = self.lab.directory / "world-sink.json"
        command += ["--replies", self.lab.directory / "world.toml", "--report-file", self.report_file]
        self.sink = self.lab.start("sink", command)
        self.sink.wait_for_port(self.smtp_port)

    def report(self):
        if self.report_file.exists():
            self.report_file.unlink()
        self.sink.popen.send_signal(signal.SIGUSR1)

        def read():
            try:
                return json.loads(self.report_file.read_text())
            except (OSError, ValueError):
                return None
        return until(read, "the sink's report")

    def limits_exceeded(self, report, per_site):
        """Addresses at which the sink saw more connections at once than a site may have ... of the sites that lead
        there: all shards of the relay together."""
        found = []
        for listener in report["listeners"]:
            address = listener["address"].rpartition(":")[0]
            if address.startswith("127.1.") and listener["connections_peak"] > per_site * self.sites_of(address):
                found.append(f"{listener} had more than {per_site} connections for a site")
        return found

    def sites_of(self, address):
        """How many MX sets name this address: one, but for domains without MX (each its own)."""
        kind = KINDS[int(address.split(".")[2]) - 1].name
        if kind in ("bare", "alias"):
            return -(-self.domains[kind] // self.hosts[kind])
        return 1

    def relay_sections(self, per_site, host_retry, greeting):
        """Of the configuration of a relay that delivers here by MX."""
        return f"""
[client]
deliver_to_loopback = true
host_retry_after = "{host_retry[0]}"
host_retry_longest = "{host_retry[1]}"
[client.timeouts]
greeting = "{greeting}"
[mx]
port = {self.smtp_port}
inet6 = false
connections_max = {per_site}
[dns]
servers = ["127.0.0.1:{self.dns_port}"]
"""

    # ---- mail

    def load_commands(self, target, messages, size=2000, sessions=20, rate=0):
        """One load run for each kind of domain, sized by how many domains it has. `rate`: messages/s in all;
        0: as fast as it goes."""
        whole = sum(self.domains.values())
        for kind, count in self.domains.items():
            pace = ("--rate", max(1, round(rate * count / whole))) if rate else ()
            yield [str(word) for word in (
                program("RINGMTA_LOAD"), "--target", target, "--quiet", "--json", "--run", kind,
                "--messages", max(1, round(messages * count / whole)), "--size", size, "--sessions", sessions,
                "--domain", f"{kind}.test", "--domains", count, "--from", "news@sender.test", "--retry", 50,
                *pace)]

    def send(self, target, messages, **keywords):
        """All kinds at once, as they come in life; how many recipients of each kind were accepted."""
        running = {}
        for command in self.load_commands(target, messages, **keywords):
            kind = command[command.index("--run") + 1]
            running[kind] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        accepted = {}
        for kind, process in running.items():
            output, words = process.communicate(timeout=900)
            if process.returncode != 0:
                raise AssertionError(f"load for {kind} failed: {output[-500:]} {words[-500:]}")
            accepted[kind] = json.loads(output)["recipients_accepted"]
        return accepted


class Outcomes:
    """What became of each recipient, read from the event file as it grows."""
    FINAL = ("delivered", "bounced", "expired", "removed")

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.rest = b""
        self.final = {}        # (id, recipient) -> events; more than one is an error
        self.deferrals = 0
        self.possible_duplicates = 0
        self.notifications = {}  # id of a DSN -> its last event

    def read(self):
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            data = self.rest + file.read()
            self.offset = file.tell()
        *lines, self.rest = data.split(b"\n")
        for line in lines:
            self.take(json.loads(line))

    def take(self, event):
        if event["event"] == "held":  # of a site or domain, not of a recipient
            return
        if event["sender"] == "":
            self.notifications[event["id"]] = event
            return
        if event.get("possible_duplicate"):
            self.possible_duplicates += 1
        if event["event"] == "deferred":
            self.deferrals += 1
        elif event["event"] in self.FINAL:
            self.final.setdefault((event["id"], event["recipient"]), []).append(event)

    def count(self):
        return len(self.final)

    def wrong(self):
        """Sentences about recipients that ended as they must not, at most 20."""
        found = []
        for (identity, recipient), events in self.final.items():
            kind = kind_of(recipient)
            last = events[-1]
            if len(events) != 1:
                found.append(f"{identity} {recipient} ended {len(events)} times")
            elif last["event"] not in kind.ends:
                found.append(f"{identity} {recipient} ended as {last['event']}, not {kind.ends}: {last}")
            elif kind.status and last.get("status") != kind.status:
                found.append(f"{identity} {recipient} has status {last.get('status')}, not {kind.status}: {last}")
            if len(found) == 20:
                break
        return found

    def delays_ms(self, kinds):
        """From the 250 to delivered, sorted, for recipients of these kinds."""
        return sorted(events[-1]["queued_ms"] for (_, recipient), events in self.final.items()
                      if events[-1]["event"] == "delivered" and kind_of(recipient).name in kinds)


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0
