# SPDX-License-Identifier: GPL-3.0-or-later
"""What a figure is worth nothing without: the machine and the build it was measured on."""

import json
import os
import pathlib
import platform
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def said(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def first(path, pattern):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(), re.MULTILINE)
        return found.group(1).strip() if found else None
    except OSError:
        return None


def machine():
    memory = first("/proc/meminfo", r"^MemTotal:\s+(\d+)")
    return {"cpu": first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$") or platform.processor(),
            "cores": os.cpu_count(),
            "memory_mb": int(memory) // 1024 if memory else None,
            "hypervisor": "hypervisor" in (first("/proc/cpuinfo", r"^flags\s*:\s*(.*)$") or "").split(),
            "governor": first("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", r"(.*)"),
            "kernel": platform.release(),
            "distribution": first("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)')}


def file_system(directory):
    return said("stat", "-f", "-c", "%T", str(directory))


def build_of(folder):
    options = {option["name"]: option["value"]
               for option in json.loads(said("meson", "introspect", "--buildoptions", str(folder)) or "[]")}
    return {"commit": said("git", "rev-parse", "HEAD"), "changed": bool(said("git", "status", "--porcelain")),
            "compiler": (said("c++", "--version") or "").split("\n")[0],
            **{name: options.get(name) for name in ("buildtype", "optimization", "debug", "b_sanitize", "cpp_args", "b_lto")}}
