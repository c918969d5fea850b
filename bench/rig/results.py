# SPDX-License-Identifier: GPL-3.0-or-later
"""Results in a file, with what they were measured on and by which command: bench/results/ keeps such files."""

import datetime
import json
import os
import pathlib
import shlex
import sys

from .machine import build_of, file_system, machine


def surroundings(options):
    """To be asked for before the first measurement."""
    return {"time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "command": shlex.join([f"bench/{pathlib.Path(sys.argv[0]).name}", *sys.argv[1:]]),
            "machine": machine(), "file_system": file_system(options.directory), "build": build_of(options.build),
            "priority": os.getpriority(os.PRIO_PROCESS, 0), "load_average_before": os.getloadavg()[0]}


def write(path, before, key, results):
    report = {**before, "load_average_after": os.getloadavg()[0], key: results}
    lines = json.dumps({name: value for name, value in report.items() if name != key}, indent=1)[:-2]
    rows = results if isinstance(results, list) else [results]
    body = ",\n".join("  " + json.dumps(row) for row in rows)  # a row a line: differences can be read
    path.write_text(f'{lines},\n "{key}": [\n{body}\n ]\n}}\n')


def warn_if_busy(before, program):
    busy = max(before["load_average_before"], 0)
    if busy > os.cpu_count() / 2:
        print(f"{program}: the machine was busy with other things (load {busy:.1f}): compare ratios, not absolute figures",
              file=sys.stderr)
