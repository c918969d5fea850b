# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenarios. A mode says how the load talks; TLS and signing are asked of the relay by it too."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mode:
    name: str
    says: str
    pipelining: str = "off"        # of ringmta-load
    single: bool = False           # one connection per message
    load_options: tuple = ()
    sink_addresses: str = ""       # where the sink listens; empty: 127.0.0.1

    def sink_options(self, directory):
        return []


MODES = {mode.name: mode for mode in (
    Mode("persist", "sessions send many messages, each command waits for its reply, as most senders do"),
    Mode("single", "one connection per message", single=True),
    Mode("pipelining", "the envelope in one write, the next one behind the end of data (RFC 2920)", pipelining="on"),
    Mode("bdat", "envelope and message in one write (RFC 3030)", pipelining="bdat"),
)}
