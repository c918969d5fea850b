# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages as they should not be, but are: made at random from a seed, always with a From field. And what verifiers make
of them: their signatures hold, but for the exceptions in refusal()."""

import random
import re

CRLF = b"\r\n"
WORDS = [b"offer", b"Gr\xc3\xbc\xc3\x9fe", b"=?utf-8?Q?caf=C3=A9?=", b"a", b"of", b"the", b"\xe4\xf6\xfc", b"DKIM-Signature",
         b"http://example.com/?a=b;c=d&e", b"x" * 60, b"100%", b"\"quoted\"", b"(comment)", b"b=", b"=20", b"."]
NAMES = [b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"Reply-To", b"MIME-Version", b"Content-Type",
         b"List-Unsubscribe", b"List-Unsubscribe-Post", b"X-Campaign", b"x-empty", b"SENDER", b"references", b"X_y.z",
         b"Received", b"Resent-From", b"X-Long-" + b"n" * 50]
VERTICAL = [b"page\x0cbreak", b"tab\x0bulated"]
NO_FIELDS = [b"this line is no field", b"this neither\r\n folded: as it is", b">From somebody"]


def gap(choice):
    return choice.choice([b" "] * 6 + [b"  ", b"\t", b" \t ", b"\t\t"])


def fold(choice):
    return CRLF + choice.choice([b" ", b"\t", b"  ", b" \t"])


def value(choice):
    parts = []
    for _ in range(choice.randrange(0, 14)):
        parts.append(choice.choice(WORDS))
        parts.append(fold(choice) if choice.random() < 0.15 else gap(choice))
    text = b"".join(parts)
    return text if choice.random() < 0.3 else text.rstrip(b" \t\r\n")


def field(choice, name):
    return name + b":" + choice.choice([b" ", b"", b"  ", b"\t"]) + value(choice) + CRLF


def header(choice):
    fields = [field(choice, choice.choice(NAMES)) for _ in range(choice.randrange(0, 20))]
    if choice.random() < 0.03:  # RFC 5322 4.5
        fields.append(choice.choice([b"Subject : obsolete", b"X-Old : obsolete", b"To  : b@example.com"]) + CRLF)
    if choice.random() < 0.03:
        fields.append(b"Subject: " + choice.choice(VERTICAL) + gap(choice) + choice.choice(VERTICAL + WORDS) + CRLF)
    choice.shuffle(fields)
    senders = [b"From: a@example.com", b"from:a@example.com", b"FROM:  A B <a@example.com>  ",
               b"From: \"A,\r\n B\"\r\n\t<a@example.com>"]
    sender = choice.choice(senders) if choice.random() < 0.98 else b"From : a@example.com"
    fields.insert(choice.randrange(0, len(fields) + 1), sender + CRLF)
    if choice.random() < 0.03:  # not on top, where the relay puts an empty line in front of it
        fields.insert(choice.randrange(1, len(fields) + 1), choice.choice(NO_FIELDS) + CRLF)
    return b"".join(fields)


def refusal(judge, message, simple_header):
    """Why a verifier refuses a signature that holds, or None."""
    lines = [line for line in message.split(CRLF + CRLF, 1)[0].split(CRLF) if line[:1] not in (b" ", b"\t")]
    if judge == "python3-dkim" and not all(re.match(rb"[!-9;-~]+:", line) for line in lines):
        return "to it such a message has no format, though RFC 5322 4.5 lets white space stand before the colon"
    if judge == "libopendkim" and not all(b":" in line for line in lines):
        return "it stops reading at a line that is no field, and has not seen the signature then"
    if judge in ("libopendkim", "mailauth") and not simple_header and any(
            line.lower().startswith(b"subject") and re.search(rb"[\v\f]", line) for line in lines):
        return "it takes VT and FF for white space, which is space and tab alone (RFC 6376 2.8)"
    return None


def disagreement(judge, words, message, simple_headers):
    """None where a verifier said of each signature what it should; `simple_headers` tells of each its canonicalization."""
    wanted = [refusal(judge, message, simple) is None for simple in simple_headers]
    said = [word == "pass" for word in words] + [False] * (len(wanted) - len(words))
    return None if said == wanted else f"{words}, wanted {wanted}"


def body_line(choice):
    kind = choice.randrange(12)
    if kind == 0:
        return b""
    if kind == 1:
        return choice.choice([b" ", b"\t", b" \t  "])
    if kind == 2:
        return b"." * choice.randrange(1, 4) + choice.choice([b"", b" ", b"x"])
    if kind == 3:
        return bytes(choice.choice(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") for _ in range(76))
    if kind == 4:
        return b" " * choice.randrange(1, 30) + b"<td>cell</td>" + b" " * choice.randrange(0, 3)
    if kind == 5:
        return bytes(choice.randrange(128, 256) for _ in range(choice.randrange(1, 100)))
    if kind == 6:
        return b"long " * choice.randrange(20, 400)
    if kind == 7:
        return b"DKIM-Signature: v=1; b=AAAA"
    words = WORDS + VERTICAL if kind == 8 else WORDS
    return b"".join(choice.choice(words) + gap(choice) for _ in range(choice.randrange(0, 15)))


def body(choice):
    kind = choice.randrange(10)
    if kind == 0:
        return b""
    if kind == 1:
        return CRLF * choice.randrange(1, 5)
    lines = [body_line(choice) for _ in range(choice.randrange(1, choice.choice([3, 10, 40, 300])))]
    return CRLF.join(lines) + CRLF + CRLF * choice.choice([0, 0, 0, 1, 2, 5])


def message(seed):
    choice = random.Random(seed)
    return header(choice) + CRLF + body(choice)
