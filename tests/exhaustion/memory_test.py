#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory is bounded, by a control group's limit here: with many idle sessions and a long queue the relay
lives, keeps everything, answers its operator, and delivers when its next hop is back.

In full (RINGMTA_EXHAUSTION=full): 512 MB, 20,000 sessions, a million recipients in a million messages."""

import multiprocessing
import os
import pathlib
import resource

from harness import Skip, check, equal, free_port, load, main, until
from want import FULL, LimitedRelay, answer, open_session

SESSIONS = 20_000 if FULL else 1_000
MESSAGES = 1_000_000 if FULL else 20_000
LIMIT_MIB = 512 if FULL else 192
SESSIONS_PER_PROCESS = 5_000
ASAN = os.environ.get("RINGMTA_BUILD") == "sanitize"


class Group:
    """A control group of our own below the one we are in, of either version."""

    def __init__(self, octets):
        self.path, self.reason = None, "there is no control group for memory here"
        for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "memory":
                self.take(pathlib.Path("/sys/fs/cgroup/memory" + path), octets, "memory.limit_in_bytes",
                          "memory.max_usage_in_bytes")
            elif controllers == "" and self.path is None:
                self.take(pathlib.Path("/sys/fs/cgroup" + path), octets, "memory.max", "memory.peak")
        if self.path is None:
            raise Skip(f"the memory limit cannot be tested: {self.reason}")

    def take(self, parent, octets, limit, peak):
        path = parent / f"ringmta-test-{os.getpid()}"
        try:
            path.mkdir()
        except OSError as problem:
            self.reason = f"{path} cannot be made: {problem.strerror}"
            return
        try:
            (path / limit).write_text(str(octets))
        except OSError as problem:
            self.reason = f"{path / limit} cannot be written to: {problem.strerror}"
            path.rmdir()
            return
        self.path, self.peak_file = path, path / peak

    def before(self):
        return ["/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.path)]

    def peak_mib(self):
        return int(self.peak_file.read_text()) >> 20 if self.peak_file.exists() else 0

    def kills(self):
        for name in ("memory.oom_control", "memory.events"):
            if (self.path / name).exists():
                words = (self.path / name).read_text().split()
                return int(words[words.index("oom_kill") + 1])
        return 0

    def close(self):
        until(lambda: not (self.path / "cgroup.procs").read_text(), "the control group to be empty")
        self.path.rmdir()


def hold_sessions(port, count, number, pipe):
    clients = [open_session(port, f"127.0.0.{2 + number}")[0] for _ in range(count)]
    pipe.send(count)
    pipe.recv()  # all are there: are they still?
    alive = 0
    for client in clients[::50]:
        client.sendall(b"NOOP\r\n")
        alive += (answer(client) or "").startswith("250")
    pipe.send((alive, len(clients[::50])))
    pipe.recv()
    for client in clients:
        client.close()


class Sessions:
    def __init__(self, port, count):
        context = multiprocessing.get_context("fork")
        self.processes, self.pipes = [], []
        for number, begin in enumerate(range(0, count, SESSIONS_PER_PROCESS)):
            ours, theirs = context.Pipe()
            process = context.Process(target=hold_sessions, daemon=True,
                                      args=(port, min(SESSIONS_PER_PROCESS, count - begin), number, theirs))
            process.start()
            self.processes.append(process)
            self.pipes.append(ours)

    def each(self):
        for pipe in self.pipes:
            check(pipe.poll(300), "sessions are not answered")
        return [pipe.recv() for pipe in self.pipes]

    def go_on(self):
        for pipe in self.pipes:
            pipe.send(True)

    def close(self):
        self.go_on()
        for process in self.processes:
            process.join(60)


def test_many_sessions_and_a_long_queue(lab):
    if ASAN:
        raise Skip("the sanitizer's own memory is more than the limit")
    needed = SESSIONS + 2_000  # some are for connections and the DNS
    limit = max(needed, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, limit))
    except (ValueError, OSError) as problem:
        raise Skip(f"{SESSIONS} sessions need {needed} open files: {problem}") from None
    group = Group(LIMIT_MIB << 20)
    try:
        fill_and_drain(lab, group)
    finally:
        for process in lab.processes:
            process.kill()
        group.close()


def fill_and_drain(lab, group):
    port = free_port()
    relay = LimitedRelay(
        lab, [f"127.0.0.1:{port}"], group.before(), server='[server.timeouts]\nidle = "1h"\n',
        extra='log_level = "info"',
        sections='[client]\nconnections_max = 500\nhost_retry_after = "1s"\nhost_retry_longest = "5s"\n')
    empty = relay.memory_kib()
    sessions = Sessions(relay.port, SESSIONS)
    equal(sum(sessions.each()), SESSIONS, "sessions")
    with_sessions = relay.memory_kib()
    for part in range(4):
        load(relay, "--messages", MESSAGES // 4, "--sessions", 50, "--run", f"long{part}", "--retry", 100)
        relay.status_now()
    until(lambda: relay.total("queue", "recipients") == MESSAGES, f"{MESSAGES} recipients queued")
    queued = relay.memory_kib()
    status = relay.status_now()["shards"][0]
    sessions.go_on()
    alive = sessions.each()
    equal(sum(one[0] for one in alive), sum(one[1] for one in alive), "sessions that still answer")
    sink = lab.sink(verify=True, port=port)
    report = until(lambda: (lambda r: r if r["verify"]["deliveries_unique"] >= MESSAGES else None)(sink.report()),
                   f"{MESSAGES} deliveries", patience=900)
    until(lambda: relay.status_now()["shards"][0]["queue"]["recipients"] == 0, "the queue to be empty")
    print(f"# {SESSIONS} sessions: {(with_sessions - empty) * 1024 / SESSIONS:.0f} octets each; "
          f"{MESSAGES} recipients: {status['queue']['memory_octets'] / MESSAGES:.0f} octets each in the queue; resident: "
          f"{empty >> 10} MiB empty, {with_sessions >> 10} with the sessions, {queued >> 10} with the queue; "
          f"the group's peak: {group.peak_mib()} of {LIMIT_MIB} MiB", flush=True)
    for what in ("corrupt", "duplicates"):
        equal(report["verify"][what], 0, what)
    equal(group.kills(), 0, "processes killed for memory")
    check(relay.process.alive(), "the relay is gone")
    sessions.close()
    equal(relay.process.stop(), 0, "exit status")


if __name__ == "__main__":
    main()
