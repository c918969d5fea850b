# SPDX-License-Identifier: GPL-3.0-or-later
"""Cases as data: what is sent, octet for octet, and what has to come back.

A file holds cases, each begun by its name in brackets. A line is a directive and its text; in a text
\\r \\n \\t \\0 \\\\ \\e and \\xHH are octets, and nothing is added to what is written. `{case}` is the case's name,
`{form}` one of its forms, N*(TEXT) a repetition. docs/fuzzing.md lists the directives.
"""

import dataclasses
import pathlib
import re

ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\", "e": b"\x1b"}
REPETITION = re.compile(r"(\d+)\*\(")


@dataclasses.dataclass
class Step:
    line: int
    word: str
    text: str


@dataclasses.dataclass
class Case:
    file: str
    name: str
    steps: list
    form: bytes = b""

    def octets(self, text):
        """The text of a directive as octets."""
        out, at = b"", 0
        while at < len(text):
            repetition = REPETITION.match(text, at)
            if repetition:
                end = closing(text, repetition.end())
                out += int(repetition.group(1)) * self.octets(text[repetition.end():end])
                at = end + 1
            elif text[at] == "\\":
                if text[at + 1] == "x":
                    out += bytes([int(text[at + 2:at + 4], 16)])
                    at += 4
                else:
                    out += ESCAPES[text[at + 1]]
                    at += 2
            elif text.startswith("{case}", at):
                out += self.name.encode()
                at += 6
            elif text.startswith("{form}", at):
                out += self.form
                at += 6
            else:
                out += text[at].encode()
                at += 1
        return out

    def all(self, word):
        return [step.text for step in self.steps if step.word == word]

    def one(self, word, otherwise=None):
        found = self.all(word)
        return found[0] if found else otherwise


def closing(text, at):
    """Of the parenthesis that was opened before `at`."""
    depth = 1
    while True:
        if text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return at
        at += 1


def read(path):
    cases = []
    for number, line in enumerate(path.read_text().split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            cases.append(Case(path.name, line.strip("[] "), []))
            continue
        word, _, text = line.partition(" ")
        if not cases:
            raise ValueError(f"{path}:{number}: stands before the first [case]")
        cases[-1].steps.append(Step(number, word, text))
    return [each for case in cases for each in with_forms(case)]


def with_forms(case):
    """A case for each of its forms; one without any is as it is."""
    forms = case.all("each")
    steps = [step for step in case.steps if step.word != "each"]
    if not forms:
        return [case]
    return [Case(case.file, f"{case.name}-{number}", steps, case.octets(form)) for number, form in enumerate(forms, 1)]


def read_all(directory):
    cases = [case for path in sorted(pathlib.Path(directory).glob("*.attack")) for case in read(path)]
    names = [case.name for case in cases]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"cases with the same name: {twice}")
    return cases
