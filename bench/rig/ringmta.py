# SPDX-License-Identifier: GPL-3.0-or-later
"""RingMTA as it comes: durable, its defaults, one smart host for everything."""

import json
import subprocess

from .ends import Trouble

NAME = "ringmta"
MODES = {"persist", "single", "pipelining", "bdat"}
OWN_SYNCS = True


class Relay:
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
[spool]
directory = "{place.directory}/spool"
[[route]]
name = "sink"
domains = ["*"]
hosts = ["127.0.0.1:{place.sink_port}"]
connections_max = {place.options.sessions}
[events]
file = "{place.directory}/events.jsonl"
[control]
socket = "{self.control}"
{place.options.config}
""")
        return [self.program, "serve", "-c", configuration]

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
