# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes in groups, and what a group costs: CPU, memory, syncs.

The insight: a relay of many processes can only be compared with one of a single thread when both are
charged by the same book. A control group is that book: the kernel adds up every process that was ever in
it, those that lived a millisecond included, and killing the group ends exactly what was started here.
Without control groups (no cgroup v2, or not root) the tree of processes is added up instead, as well as
/proc allows; `Group.exact` says which it was.
"""

import os
import pathlib
import re
import signal
import subprocess
import threading
import time

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# System calls that wait for the disk. Writes to files opened with O_SYNC are not among them: of the relays
# here only RingMTA does that, through io_uring, and it counts its own.
SYNC_CALLS = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync")


def free_port(host="127.0.0.1"):
    import socket
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def listening(port, host="127.0.0.1"):
    import socket
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


def unified_mount():
    """Where cgroup v2 is mounted, and our own group in it; None where it is not."""
    try:
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        own = re.search(r"^0::(/.*)$", pathlib.Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    except OSError:
        return None
    found = re.search(r"^\S+ \S+ \S+ (\S+) (\S+) .* - cgroup2 ", mounts, re.MULTILINE)
    if not found or not own:
        return None
    return pathlib.Path(found.group(2)) / os.path.relpath(own.group(1), found.group(1))


def cpu_list(text):
    """0-2,5 -> {0, 1, 2, 5}"""
    numbers = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


class Group:
    """Processes that are started, measured and ended together."""

    made = 0

    def __init__(self, name, directory):
        self.name = name
        self.log = pathlib.Path(directory) / f"{name}.log"
        self.popens = []
        self.folder = None
        Group.made += 1
        parent = unified_mount()
        if parent is not None:
            folder = parent / f"ringmta-peers-{os.getpid()}-{Group.made}"
            try:
                folder.mkdir()
                if (folder / "cpu.stat").exists() and os.access(folder / "cgroup.procs", os.W_OK):
                    self.folder = folder
                else:
                    folder.rmdir()
            except OSError:
                pass
        self.exact = self.folder is not None

    def start(self, command, stdout=None, cpus="", **keywords):
        allowed = cpu_list(cpus)

        def enter():
            if self.folder is not None:
                (self.folder / "cgroup.procs").write_text("0")
            if allowed:
                os.sched_setaffinity(0, allowed)
        output = open(self.log, "ab")
        popen = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stderr=output,
                                 stdout=output if stdout is None else stdout, preexec_fn=enter,
                                 start_new_session=True, **keywords)
        output.close()
        self.popens.append(popen)
        return popen

    def words(self):
        try:
            return self.log.read_text(errors="replace")[-3000:]
        except OSError:
            return ""

    def pids(self):
        if self.folder is not None:
            return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]
        return descendants([popen.pid for popen in self.popens if popen.returncode is None])

    def cpu(self):
        """(user, system) in microseconds so far. The sum is exact, the kernel splits it by its clock ticks."""
        if self.folder is not None:
            stat = dict(line.split() for line in (self.folder / "cpu.stat").read_text().splitlines())
            return int(stat["user_usec"]), int(stat["system_usec"])
        user = system = 0
        for pid in self.pids():
            fields = stat_fields(pid)
            if fields:  # its own and that of its children that have ended
                user += int(fields[11]) + int(fields[13])
                system += int(fields[12]) + int(fields[14])
        return user * 1_000_000 // TICKS_PER_S, system * 1_000_000 // TICKS_PER_S

    def memory_kb(self):
        """What the processes occupy now: shared pages are counted once (PSS)."""
        total = 0
        for pid in self.pids():
            total += number(f"/proc/{pid}/smaps_rollup", r"^Pss:\s+(\d+)")
        return total

    def memory_highest_kb(self):
        """The most that any one process has occupied."""
        return max((number(f"/proc/{pid}/status", r"^VmHWM:\s+(\d+)") for pid in self.pids()), default=0)

    def end(self, patience=20):
        """SIGTERM to what was started here; what remains of the group after that is killed."""
        for popen in self.popens:
            if popen.poll() is None:
                popen.send_signal(signal.SIGTERM)
        end = time.monotonic() + patience
        for popen in self.popens:
            try:
                popen.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
        left = self.pids()
        while left and self.folder is not None:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGTERM if time.monotonic() < end - patience / 2 else signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)
            left = self.pids()
        if self.folder is not None:
            remove_folder(self.folder)
            self.folder = None


def remove_folder(folder):
    for _ in range(100):
        try:
            folder.rmdir()
            return
        except OSError:
            time.sleep(0.02)


def stat_fields(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def descendants(roots):
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = stat_fields(entry.name)
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += parents.get(pid, [])
    return found


def number(path, pattern):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(), re.MULTILINE)
        return int(found.group(1)) if found else 0
    except OSError:
        return 0


class MemoryWatch:
    """Looks at a group's memory twice a second and keeps the most it saw."""

    def __init__(self, group):
        self.group = group
        self.highest_kb = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.over.wait(0.5):
            self.look()

    def look(self):
        self.highest_kb = max(self.highest_kb, self.group.memory_kb())

    def end(self):
        self.over.set()
        self.thread.join()
        self.look()
        return max(self.highest_kb, self.group.memory_highest_kb())


def counting(command, report):
    """`command` under strace, which writes to `report` which of SYNC_CALLS were called. Only these stop the
    program (a seccomp filter chooses), so the rest of it runs undisturbed."""
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=" + ",".join(SYNC_CALLS), "-e", "signal=none",
            "-o", report, *command]


def syncs_counted(report):
    pattern = re.compile(r"^(?:\d+ +)?(" + "|".join(SYNC_CALLS) + r")\(", re.MULTILINE)
    return len(pattern.findall(pathlib.Path(report).read_text(errors="replace")))
