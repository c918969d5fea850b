# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenarios. A mode says how the load talks, and what is asked of the relay: signing, TLS, deliveries by MX."""

import dataclasses

SIGNER = "sender.test"           # the domain in From of what the load sends
MANY = "many.test"               # d0000.many.test and its sisters, where a mode delivers by MX
DOMAINS = 10_000


@dataclasses.dataclass(frozen=True)
class Mode:
    name: str
    says: str
    pipelining: str = "off"        # of ringmta-load
    single: bool = False           # one connection per message
    tls_in: bool = False           # STARTTLS between load and relay, with session tickets
    tls_out: bool = False          # and between relay and sink
    dkim: bool = False             # RSA-2048, relaxed/relaxed, by the relay's own means
    domains: int = 0               # not 0: recipients in so many, whose hosts are found by asking a DNS server

    @property
    def by_mx(self):
        return self.domains > 0

    def needs_our_ends(self):
        """Postfix's load and sink programs do without these."""
        return self.tls_in or self.tls_out or self.dkim or self.by_mx


MODES = {mode.name: mode for mode in (
    Mode("persist", "sessions send many messages, each command waits for its reply, as most senders do"),
    Mode("single", "one connection per message", single=True),
    Mode("pipelining", "the envelope in one write, the next one behind the end of data (RFC 2920)", pipelining="on"),
    Mode("bdat", "envelope and message in one write (RFC 3030)", pipelining="bdat"),
    Mode("dkim", "as persist, each message signed with DKIM, RSA-2048", dkim=True),
    Mode("tls-in", "as persist, with STARTTLS from the load", tls_in=True),
    Mode("tls-out", "as persist, with STARTTLS to the sink", tls_out=True),
    Mode("tls", "as persist, with STARTTLS on both sides", tls_in=True, tls_out=True),
    Mode("tls-single", "one connection with STARTTLS per message, resumed by tickets", single=True, tls_in=True),
    Mode("domains", f"as persist, recipients in {DOMAINS:,} domains that are found by MX", domains=DOMAINS),
)}
