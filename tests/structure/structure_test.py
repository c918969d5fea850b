#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the house that a program can check, each as one test: the order of the rooms, the
size and head of files, what must not stand in the repository, and documents that name what exists.

Reports in TAP. A complaint names file and line, and what to do.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINES_MAX = 600
LICENCE = "SPDX-License-Identifier: GPL-3.0-or-later"
CLANG_FORMAT = "clang-format-19"
SOURCE_FOLDERS = ("src", "include", "tests", "tools", "bench")


def repository():
    """Every file that is, or would be, in the repository."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"], capture_output=True,
                            text=True, check=False)
    if listed.returncode == 0:
        paths = [ROOT / line for line in listed.stdout.splitlines()]
    else:  # not a clone: an unpacked release
        paths = [path for path in ROOT.rglob("*")
                 if path.relative_to(ROOT).parts[0] not in ("build", ".git") and "__pycache__" not in path.parts]
    return sorted(path for path in paths if path.is_file())


FILES = repository()
CPP = [path for path in FILES
       if path.suffix in (".cc", ".h") and path.relative_to(ROOT).parts[0] in SOURCE_FOLDERS]


def name(path):
    return str(path.relative_to(ROOT))


def text(path):
    return path.read_text(encoding="utf-8", errors="replace")


def first_words(path):
    """The interpreter of a script, else an empty string."""
    first = text(path).split("\n", 1)[0]
    return first if first.startswith("#!") else ""


SCRIPTS = [path for path in FILES if path.suffix == ".py" or (path.suffix == "" and first_words(path))]


def rooms():
    """In their order, as meson.build builds them."""
    listed = re.search(r"^rooms = \[(.*?)\]", text(ROOT / "meson.build"), re.MULTILINE | re.DOTALL)
    return re.findall(r"'([a-z]+)'", listed.group(1))


def room_of(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if parts[:2] == ("include", "ringmta") and len(parts) > 3:
        return parts[2]
    return None


def includes(path):
    for number, line in enumerate(text(path).split("\n"), 1):
        found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if found:
            yield number, found.group(1)


def own_header(path):
    """A source file's header is the first it includes, and has its name."""
    first = next(includes(path), None)
    return first is not None and pathlib.PurePath(first[1]).stem == path.stem


# ---- rooms


def test_every_folder_is_a_room_with_a_place_in_the_order():
    order = rooms()
    for path in CPP:
        if name(path).startswith(("src/", "include/")) and room_of(path) not in order:
            yield f"{name(path)}: is in no room of meson.build ({', '.join(order)})"


def test_architecture_lists_the_rooms_in_their_order():
    order = rooms()
    table = text(ROOT / "docs/architecture.md").split("\n## Rooms\n")[1].split("\n## ")[0]
    listed = [room for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
              for room in re.findall(r"`([a-z]+)/`", row)]
    for room in listed:
        if room not in order:
            yield f"docs/architecture.md: lists the room {room}/, meson.build does not know it"
    if [room for room in order if room in listed] != listed:
        yield f"docs/architecture.md: the rooms are in another order ({listed}) than in meson.build"
    for room in order:
        if (ROOT / "src" / room).is_dir() and room not in listed:
            yield f"docs/architecture.md: the room {room}/ is not in the table"


def test_a_room_includes_only_from_rooms_above_it():
    order = rooms()
    for path in CPP:
        room = room_of(path)
        if room not in order:
            continue
        for line, included in includes(path):
            parts = included.split("/")
            if parts[0] == "ringmta" and len(parts) > 2 and parts[1] in order:
                if order.index(parts[1]) > order.index(room):
                    yield f"{name(path)}:{line}: {room}/ includes from {parts[1]}/, which is below it"
            elif len(parts) > 1 or not (path.parent / included).exists():
                yield (f"{name(path)}:{line}: \"{included}\" is neither a public header (ringmta/ROOM/...) "
                       f"nor a private one of this room")


def test_public_headers_include_no_private_ones():
    for path in CPP:
        if name(path).startswith("include/"):
            for line, included in includes(path):
                if not included.startswith("ringmta/"):
                    yield f"{name(path)}:{line}: \"{included}\" is not a public header (ringmta/ROOM/...)"


def test_tools_and_benchmarks_use_public_headers_only():
    for path in CPP:
        if name(path).startswith(("tools/", "bench/")):
            for line, included in includes(path):
                places = (ROOT / "include" / included, ROOT / included, path.parent / included)
                if not any(place.exists() for place in places):
                    yield f"{name(path)}:{line}: \"{included}\" is private to a room"


# ---- files


def test_files_are_small():
    for path in CPP + SCRIPTS:
        lines = text(path).count("\n")
        if lines > LINES_MAX:
            yield f"{name(path)}: {lines} lines, {LINES_MAX} at most; a second idea in it wants a file of its own"


def test_files_carry_the_licence():
    for path in CPP:
        if not text(path).startswith(f"// {LICENCE}\n"):
            yield f"{name(path)}:1: must be '// {LICENCE}'"
    for path in SCRIPTS:
        if f"# {LICENCE}" not in text(path).split("\n")[:2]:
            yield f"{name(path)}: one of the first two lines must be '# {LICENCE}'"


def test_files_open_by_saying_what_they_are():
    for path in CPP:
        second = text(path).split("\n")[1:2]
        if path.suffix == ".cc" and own_header(path):
            continue  # whose words serve for both
        if not (second and re.match(r"// \S+ \S+", second[0])):
            yield f"{name(path)}:2: a comment that says what this file is, and why"
    for path in SCRIPTS:
        lines = text(path).split("\n")
        after = lines[2 if lines[0].startswith("#!") else 1] if len(lines) > 2 else ""
        if not re.match(r'("""|# )\S+ \S+', after):
            yield f"{name(path)}: a comment below the licence that says what this file is"
    for path in CPP:
        if path.suffix == ".h" and "\n#pragma once\n" not in text(path):
            yield f"{name(path)}: #pragma once is missing"


def test_no_unfinished_work_is_left_in_words():
    markers = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
    for path in CPP + SCRIPTS:
        for number, line in enumerate(text(path).split("\n"), 1):
            if markers.search(line):
                yield f"{name(path)}:{number}: do it now, or leave it out: {line.strip()}"


def test_no_paths_of_a_machine():
    # In pieces, so that this file does not complain of itself.
    private = re.compile("|".join([r"(?<![\w.])/wo" + r"rk/", r"(?<![\w.])/ho" + r"me/\w", r"(?<![\w.])/ro" + r"ot/",
                                   r"bash" + r"_jobs"]))
    for path in FILES:
        for number, line in enumerate(text(path).split("\n"), 1):
            if private.search(line):
                yield f"{name(path)}:{number}: a path of somebody's machine: {line.strip()[:120]}"


def test_clang_format_would_change_nothing():
    if shutil.which(CLANG_FORMAT) is None:
        yield f"{CLANG_FORMAT} is not installed: tools/setup --tests installs it"
        return
    done = subprocess.run([CLANG_FORMAT, "--dry-run", "-Werror", *CPP], capture_output=True, text=True, check=False)
    bad = sorted({line.split(":")[0] for line in done.stderr.split("\n") if "clang-format-violations" in line})
    for path in bad:
        yield f"{os.path.relpath(path, ROOT)}: run {CLANG_FORMAT} -i on it"
    if done.returncode != 0 and not bad:
        yield f"{CLANG_FORMAT} failed: {done.stderr[:500]}"


# ---- documents


def options_of(source):
    return set(re.findall(r'"!?(--[a-z0-9][a-z0-9-]*)', text(ROOT / source)))


def keys_of(source, reader):
    return set(re.findall(reader + r'\("([a-z_]+)"', text(ROOT / source)))


def column(document, heading):
    """What stands in code type in the first column of the tables below a heading."""
    part = text(ROOT / document).split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return {item for row in re.findall(r"^\| (.*?) \|", part, re.MULTILINE) for item in re.findall(r"`([^`]+)`", row)}


def test_the_options_of_the_load_generator_are_documented():
    documented = {item.split()[0] for item in column("docs/load.md", "Options")}
    offered = options_of("tools/load/options.cc")
    for option in sorted(offered - documented):
        yield f"docs/load.md: {option} is missing from the table"
    for option in sorted(documented - offered):
        yield f"docs/load.md: the load generator has no {option}"


def test_the_options_of_the_sink_are_documented():
    documented = {item.split()[0] for item in column("docs/sink.md", "Options")}
    offered = options_of("tools/sink/options.cc")
    for option in sorted(offered - documented):
        yield f"docs/sink.md: {option} is missing from the table"
    for option in sorted(documented - offered):
        yield f"docs/sink.md: the sink has no {option}"


def test_the_keys_of_a_replies_program_are_documented():
    documented = column("docs/sink.md", "Replies program")
    known = keys_of("tools/sink/rules_file.cc", r"reader\.(?:text|integer|fraction|flag)")
    for key in sorted(known - documented):
        yield f"docs/sink.md: the key '{key}' is missing from the tables"


def test_documents_name_files_that_exist():
    pattern = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:cc|h|py|md|toml|build))(?::\d+)?`")
    for path in FILES:
        if path.suffix != ".md":
            continue
        for number, line in enumerate(text(path).split("\n"), 1):
            for named in pattern.findall(line):
                places = (ROOT, ROOT / "src", ROOT / "include/ringmta", path.parent)
                if not any((place / named).exists() for place in places):
                    yield f"{name(path)}:{number}: there is no {named}"


def main():
    tests = [(title, function) for title, function in globals().items() if title.startswith("test_")]
    print("TAP version 13")
    print(f"1..{len(tests)}")
    bad = False
    for number, (title, function) in enumerate(tests, 1):
        complaints = list(function())
        print(f"{'not ok' if complaints else 'ok'} {number} - {title.removeprefix('test_').replace('_', ' ')}")
        for complaint in complaints:
            print(f"# {complaint}")
        bad = bad or bool(complaints)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
