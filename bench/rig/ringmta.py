# SPDX-License-Identifier: GPL-3.0-or-later
"""RingMTA as it comes: durable, its defaults, one smart host for everything."""

import json
import subprocess

from . import material
from .ends import Trouble
from .modes import SIGNER

NAME = "ringmta"
MODES = {"persist", "single", "pipelining", "bdat", "dkim", "tls-in", "tls-out", "tls", "tls-single", "domains"}
OWN_SYNCS = True


class Relay:
    ASKS_BY_RESOLV_CONF = False  # its servers stand in its own configuration

    def __init__(self, place):
        self.place = place
        self.control = place.directory / "control.sock"
        self.program = place.options.build / "src/cli/ringmta"
        if not self.program.exists():
            raise Trouble(f"{self.program} is not there: build it (ninja -C {place.options.build}) or name another "
                          "build directory with --build")

    def configure(self):
        place = self.place
        cpus = f'\ncpus = "{place.options.cpus}"' if place.options.cpus else ""
        configuration = place.directory / "ringmta.toml"
        configuration.write_text(f"""
hostname = "bench.test"
[shards]
count = {place.shards}{cpus}
[server]
listen = ["127.0.0.1:{place.port}"]
{self.certificate()}
[spool]
directory = "{place.directory}/spool"
durability = "{getattr(place.options, 'durability', 'sync')}"
{self.onward()}
{self.signing()}
{self.events()}
[control]
socket = "{self.control}"
[process]
user = "root"
{place.options.config}
{place.sections}
""")
        return [self.program, "serve", "-c", configuration]

    def certificate(self):
        if not self.place.mode.tls_in:
            return ""
        pem, key = material.certificate(self.place.directory, "relay")
        return f'[[server.tls.certificate]]\ncertificate = "{pem}"\nkey = "{key}"'

    def onward(self):
        place = self.place
        if place.mode.by_mx:
            return f"""
[client]
deliver_to_loopback = true
[mx]
port = {place.sink_port}
inet6 = false
connections_max = {place.options.sessions}
[dns]
servers = ["{place.dns_server}:53"]
"""
        return f"""
[[route]]
name = "sink"
domains = ["*"]
hosts = ["127.0.0.1:{place.sink_port}"]
connections_max = {place.options.sessions}
[route.tls]
policy = "{'required' if place.mode.tls_out else 'none'}"
"""

    def events(self):
        wanted = not getattr(self.place.options, "no_events", False)
        return f'[events]\nfile = "{self.place.directory}/events.jsonl"' if wanted else ""

    def signing(self):
        if not self.place.mode.dkim:
            return ""
        return (f'[[dkim.keys]]\ndomain = "{SIGNER}"\nselector = "{material.SELECTOR}"\n'
                f'key_file = "{material.dkim_key(self.place.directory)}"')

    def version(self):
        return subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False).stdout.strip()

    def counters(self):
        done = subprocess.run([self.program, "status", "--json", "--socket", self.control], capture_output=True,
                              text=True, timeout=30, check=False)
        if done.returncode != 0:
            raise Trouble(f"ringmta status failed: {done.stderr}")
        shards = json.loads(done.stdout)["shards"]
        return {f"{room}.{name}": sum(shard[room].get(name, 0) for shard in shards)
                for room, names in shards[0].items() if isinstance(names, dict) for name in names
                if isinstance(names[name], (int, float))}

    def syncs(self):
        """Every batch of the spool is one write that waits for the disk."""
        return self.counters()["spool.batches"]
