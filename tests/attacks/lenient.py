# SPDX-License-Identifier: GPL-3.0-or-later
"""The most careless next hop there could be: it takes anything for the end of data that any server
was ever seen to take. What this relay sends must be one message even to it.

A line end is, to it, any run of CR, LF, NUL, VT and FF with a CR or LF in it, whatever else the run holds;
a line of a dot alone, blanks or NULs around it permitted, is the end.
"""

import re

BREAK = rb"[\r\n\0\x0b\x0c]*[\r\n][\r\n\0\x0b\x0c]*"
END = re.compile(rb"(?:\A|" + BREAK + rb")[\0 \t]*\.[\0 \t]*(?=" + BREAK + rb")")
STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


def ends(wire):
    """Places where the careless reader sees an end of data, in wire form with the closing `.CRLF`."""
    return [match.end() for match in END.finditer(wire)]


def trouble(wire):
    """What is wrong with the octets of one DATA content; empty: nothing."""
    if not wire.endswith(b"\r\n.\r\n") and wire != b".\r\n":
        return f"does not end in CRLF.CRLF: {wire[-40:]!r}"
    found = ends(wire)
    if found != [len(wire) - 2]:
        return f"a lenient reader sees an end of data at {found} of {len(wire)}: {wire[max(0, found[0] - 60):][:120]!r}"
    stray = STRAY.search(wire)
    return f"has a stray CR, LF or NUL at {stray.start()}" if stray else ""
