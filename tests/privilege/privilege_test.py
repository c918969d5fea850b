#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the relay gives up at its start, seen from outside: its user, its capabilities, its filters; and what goes on
all the same: mail, reloads, log rotation. Most of it needs root, who starts the relay here as an operator would."""

import os
import pathlib
import pwd
import re
import shutil
import socket
import stat
import subprocess

from harness import Skip, check, equal, free_port, load, main, program, tool, until

CERTIFICATES = pathlib.Path(os.environ["RINGMTA_CERTIFICATES"])
SOURCE = pathlib.Path(os.environ["RINGMTA_SOURCE"])
USER = "nobody"
SANITIZED = os.environ.get("RINGMTA_BUILD") in ("sanitize", "tsan")


def needs_root():
    if os.getuid() != 0:
        raise Skip("only root can start a relay that becomes somebody else")


def configuration(lab, sink, process=f'user = "{USER}"', more="", port=None):
    """The relay's own directories are not there yet."""
    port = port or free_port()
    route = f'[[route]]\nname = "next"\ndomains = ["*"]\nhosts = ["{sink.address()}"]\n' if sink else ""
    path = lab.directory / "etc" / "ringmta.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"""
hostname = "relay.test"
log_level = "debug"
[server]
listen = ["127.0.0.1:{port}"]
[spool]
directory = "{lab.directory}/var/spool"
segment_size = "128MiB"
disk_reserve = "16MiB"
{route}
[events]
file = "{lab.directory}/log/events.jsonl"
[control]
socket = "{lab.directory}/run/control.sock"
[process]
{process}
{more}
""")
    return path, port


class Started:
    """A relay that root starts; or anybody, with `process` for it."""

    def __init__(self, lab, sink=None, process=f'user = "{USER}"', more="", port=None):
        self.lab = lab
        self.file, self.port = configuration(lab, sink, process, more, port)
        self.control = lab.directory / "run" / "control.sock"
        self.process = lab.start("relay", [program("RINGMTA"), "serve", "-c", self.file])
        self.process.wait_for_port(self.port)

    def address(self):
        return f"127.0.0.1:{self.port}"

    def command(self, *words):
        return subprocess.run([program("RINGMTA"), *words, "--socket", self.control], capture_output=True, text=True,
                              timeout=60, check=False)

    def threads(self):
        """/proc/PID/task/*/status of the relay, each as a dictionary."""
        for task in pathlib.Path(f"/proc/{self.process.pid()}/task").iterdir():
            yield facts(task / "status")

    def runner(self):
        """The process that runs commands: the relay's one child."""
        pid = self.process.pid()
        (child,) = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)


def facts(path):
    return dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)


def refused(lab, file):
    done = subprocess.run([program("RINGMTA"), "serve", "-c", file], capture_output=True, text=True, timeout=60,
                          check=False)
    check(done.returncode != 0, "it must not start")
    return done.stdout + done.stderr


def is_nobody(facts_of, what):
    entry = pwd.getpwnam(USER)
    equal(facts_of["Uid"].split(), [str(entry.pw_uid)] * 4, f"user of {what}")
    equal(facts_of["Gid"].split(), [str(entry.pw_gid)] * 4, f"group of {what}")
    equal(facts_of["Groups"].split(), [str(entry.pw_gid)], f"further groups of {what}")
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        equal(int(facts_of[capabilities], 16), 0, f"{capabilities} of {what}")
    equal(facts_of["NoNewPrivs"], "1", f"NoNewPrivs of {what}")


def owned(path, mode):
    about = os.lstat(path)
    equal((pwd.getpwuid(about.st_uid).pw_name, oct(stat.S_IMODE(about.st_mode))), (USER, oct(mode)), str(path))


def privileged_port():
    """A free one below 1024."""
    for port in range(600, 1024):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Skip("no port below 1024 is free here")


def test_root_is_given_up_and_mail_flows(lab):
    needs_root()
    sink = lab.sink(verify=True)
    relay = Started(lab, sink, port=privileged_port())
    threads = list(relay.threads())
    check(len(threads) >= 3, "there are shards")
    for thread in threads:
        is_nobody(thread, thread["Name"])
        equal(thread["Seccomp"], "0" if SANITIZED else "2", f"filter of {thread['Name']}")
    is_nobody(facts(pathlib.Path(f"/proc/{relay.runner()}/status")), "the process that runs commands")
    load(relay, "--messages", 200, "--size", 4000)
    equal(sink.wait_for(200)["verify"]["corrupt"], 0, "corrupt messages")
    words = relay.process.words()
    check(f"runs as {USER}" in words and "confined by: " in words, words)
    if SANITIZED:
        check("no seccomp filter (this build has a sanitizer" in words, words)
    equal(relay.process.stop(), 0, "exit status")


def test_what_it_writes_is_its_own_and_nobody_elses(lab):
    needs_root()
    sink = lab.sink()
    relay = Started(lab, sink)
    load(relay, "--messages", 10, "--size", 1000)
    sink.wait_for(10)
    owned(lab.directory / "var" / "spool", 0o700)
    for path in (lab.directory / "var" / "spool").iterdir():
        owned(path, 0o600)
    owned(lab.directory / "log", 0o750)
    owned(lab.directory / "log" / "events.jsonl", 0o640)
    owned(lab.directory / "run", 0o750)
    owned(relay.control, 0o600)
    equal((lab.directory / "var").stat().st_uid, 0, "owner of a directory above")


def test_nobody_else_looks_into_its_memory(lab):
    needs_root()
    for allowed, owner in (("false", 0), ("true", pwd.getpwnam(USER).pw_uid)):
        relay = Started(lab, process=f'user = "{USER}"\ncore_dumps = {allowed}')
        # The kernel gives what is in /proc to root when a process is not to be dumped.
        equal(os.stat(f"/proc/{relay.process.pid()}/mem").st_uid, owner, f"core_dumps = {allowed}")
        equal(os.stat(f"/proc/{relay.runner()}/mem").st_uid, 0, "of the process that runs commands")
        equal(relay.process.stop(), 0, "exit status")


def test_the_filters_can_be_turned_off(lab):
    relay = Started(lab, process=f'user = "{USER}"\nseccomp = false\nlandlock = false')
    for thread in relay.threads():
        equal(thread["Seccomp"], "0", "filter")
        equal(thread["NoNewPrivs"], "1", "no new privileges")
    words = relay.process.words()
    check("no seccomp filter ([process] seccomp = false)" in words, words)
    check("no Landlock ([process] landlock = false)" in words, words)


def test_somebody_else_stays_who_it_is(lab):
    needs_root()
    lab.directory.chmod(0o777)
    file, port = configuration(lab, None, process='user = "daemon"')
    for name in ("var", "log", "run"):
        (lab.directory / name).mkdir()
        shutil.chown(lab.directory / name, USER)
    process = lab.start("relay", ["setpriv", "--reuid", USER, "--regid", "nogroup", "--init-groups",
                                  program("RINGMTA"), "serve", "-c", file])
    process.wait_for_port(port)
    is_nobody(facts(pathlib.Path(f"/proc/{process.pid()}/status")) | {"CapBnd": "0"}, "the relay")
    equal(process.stop(), 0, "exit status")


def test_a_user_that_is_not_there(lab):
    needs_root()
    file, _ = configuration(lab, None, process='user = "ringmta-nobody-has-this-name"')
    words = refused(lab, file)
    check("there is no user" in words and "useradd --system" in words and "[process] user" in words, words)
    checked = subprocess.run([program("RINGMTA"), "check", "-c", file], capture_output=True, text=True, timeout=60,
                             check=False)
    check("there is no user" in checked.stderr, checked.stderr)


def test_a_spool_of_root_is_told_with_its_remedy(lab):
    needs_root()
    (lab.directory / "var" / "spool").mkdir(parents=True)
    file, _ = configuration(lab, None)
    words = refused(lab, file)
    check(f"chown -R {USER}: {lab.directory}/var/spool" in words, words)


def test_a_spool_that_is_open_to_all_is_closed(lab):
    needs_root()
    spool = lab.directory / "var" / "spool"
    spool.mkdir(parents=True)
    shutil.chown(spool, USER)
    spool.chmod(0o755)
    relay = Started(lab)
    owned(spool, 0o750)
    check("was open to every user" in relay.process.words(), relay.process.words())


def pair(lab, directory="etc"):
    """A certificate and its key, the key for root and the group of USER."""
    place = lab.directory / directory
    place.mkdir(exist_ok=True)
    certificate, key = place / "mail.pem", place / "mail.key"
    shutil.copy(CERTIFICATES / "mail_ecdsa.pem", certificate)
    shutil.copy(CERTIFICATES / "mail_ecdsa.key", key)
    os.chown(key, 0, pwd.getpwnam(USER).pw_gid)
    key.chmod(0o640)
    return certificate, key


def certificate_section(certificate, key):
    return f'[[server.tls.certificate]]\ncertificate = "{certificate}"\nkey = "{key}"\n'


def test_a_reload_reads_what_was_replaced(lab):
    needs_root()
    certificate, key = pair(lab)
    relay = Started(lab, more=certificate_section(certificate, key))
    for path in (certificate, key, relay.file):  # as renewals and editors do it: another file of the same name
        new = path.with_suffix(".new")
        shutil.copy2(path, new)
        shutil.chown(new, 0, path.stat().st_gid)
        new.rename(path)
    relay.file.write_text(relay.file.read_text().replace('log_level = "debug"', 'log_level = "info"'))
    done = relay.command("reload")
    equal((done.returncode, "log_level" in done.stdout), (0, True), done.stdout + done.stderr)
    os.rename(lab.directory / "log" / "events.jsonl", lab.directory / "log" / "events.1")
    relay.process.signal(1)
    until((lab.directory / "log" / "events.jsonl").exists, "the event file to be opened anew")


def test_a_file_that_a_reload_could_not_read_is_told(lab):
    needs_root()
    certificate, key = pair(lab)
    os.chown(key, 0, 0)
    key.chmod(0o600)
    relay = Started(lab, more=certificate_section(certificate, key))
    told = f"server.tls.certificate.key: {key} cannot be read by the relay's user, {USER}"
    check(told in relay.process.words(), relay.process.words())
    checked = subprocess.run([program("RINGMTA"), "check", "-c", relay.file], capture_output=True, text=True,
                             timeout=60, check=False)
    equal((checked.returncode, told in checked.stderr), (0, True), checked.stderr)
    check("chmod g+r" in checked.stderr, checked.stderr)
    done = relay.command("reload")
    check(done.returncode != 0 and str(key) in done.stderr, done.stdout + done.stderr)


def test_files_elsewhere_are_out_of_reach(lab):
    needs_root()
    certificate, key = pair(lab, "elsewhere")
    relay = Started(lab)
    if "Landlock version" not in relay.process.words():
        raise Skip(relay.process.words())
    before = relay.file.read_text()
    relay.file.write_text(before + certificate_section(certificate, key))
    done = relay.command("reload")
    words = done.stdout + done.stderr
    check(done.returncode != 0 and str(certificate) in words and "[process] readable" in words, words)
    relay.process.stop()
    relay = Started(lab, process=f'user = "{USER}"\nreadable = ["{certificate.parent}"]')
    relay.file.write_text(relay.file.read_text() + certificate_section(certificate, key))
    equal(relay.command("reload").returncode, 0, "status of the reload")


def test_secrets_that_all_can_read_are_told(lab):
    certificate, key = pair(lab)
    etc = lab.directory / "etc"
    files = {name: etc / name for name in ("password", "token", "users", "dkim.key")}
    files["password"].write_text("the-password\n")
    files["token"].write_text("the-token\n")
    files["users"].write_text("# nobody yet\n")
    subprocess.run([tool("openssl", "openssl"), "genrsa", "-out", files["dkim.key"], "2048"], check=True,
                   capture_output=True)
    route = ('[[route]]\nname = "{0}"\ndomains = ["{0}.test"]\nhosts = ["127.0.0.1:25"]\n'
             '[route.auth]\nuser = "me"\n{0}_file = "{1}"\n')
    more = (certificate_section(certificate, key) + route.format("password", files["password"]) +
            route.format("token", files["token"]) + f'[auth]\nusers = "{files["users"]}"\n'
            f'[[dkim.keys]]\ndomain = "x.test"\nselector = "s"\nkey_file = "{files["dkim.key"]}"\n')
    file, _ = configuration(lab, None, more=more)
    secrets = (key, *files.values())
    for opened in (None, *secrets):
        for path in secrets:
            path.chmod(0o644 if path == opened else 0o640)
        words = subprocess.run([program("RINGMTA"), "check", "-c", file], capture_output=True, text=True, timeout=60,
                               check=False).stderr
        for path in secrets:
            told = [line for line in words.splitlines() if str(path) in line and "chmod" in line
                    and "cannot be read by" not in line]
            equal(bool(told), path == opened, f"{path} told, {opened} open to all; {words}")


def test_secrets_are_in_no_log_and_no_event(lab):
    """Whoever hands mail in with AUTH, and a next hop that wants a password; at the most talkative level."""
    sink = lab.sink("--auth", f"PLAIN:me:{secret_file(lab)}")
    users = lab.directory / "users"
    done = subprocess.run([program("RINGMTA"), "password", "anna", "--file", users], input="in-secret\n", text=True,
                          capture_output=True, timeout=60, check=False)
    equal(done.returncode, 0, done.stderr)
    users.chmod(0o640)
    shutil.chown(users, None, pwd.getpwnam(USER).pw_gid) if os.getuid() == 0 else None
    more = (f'[[route]]\nname = "next"\ndomains = ["*"]\nhosts = ["{sink.address()}"]\n[route.auth]\nuser = "me"\n'
            f'password_file = "{lab.directory}/secret"\nwithout_tls = true\n'
            f'[auth]\nusers = "{users}"\nclear_networks = ["127.0.0.0/8"]\n')
    relay = Started(lab, more=more)
    import smtplib
    for password, works in (("in-wrong-secret", False), ("in-secret", True)):
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
            try:
                client.login("anna", password)
                equal(works, True, "a wrong password is refused")
                client.sendmail("anna@a.test", ["bob@b.test"], "Subject: x\r\n\r\nx\r\n")
            except smtplib.SMTPAuthenticationError:
                equal(works, False, "the right password is taken")
    sink.wait_for(1)
    equal(relay.process.stop(), 0, "exit status")
    texts = [pathlib.Path(relay.process.log), lab.directory / "log" / "events.jsonl"]
    for text in texts:
        content = text.read_bytes()
        check(content, f"{text} is empty")
        for secret in (b"in-secret", b"in-wrong-secret", b"out-secret", b"AGFubmEAaW4t", b"AG1lAG91dC1z"):
            check(secret not in content, f"{secret} in {text}")


def secret_file(lab):
    path = lab.directory / "secret"
    path.write_text("out-secret\n")
    if os.getuid() == 0:
        os.chown(path, 0, pwd.getpwnam(USER).pw_gid)
    path.chmod(0o640)
    return path


def members(name):
    """Of one of systemd's sets of system calls."""
    listed = subprocess.run([tool("systemd-analyze", "systemd"), "syscall-filter", name], capture_output=True, text=True,
                            timeout=60, check=True).stdout
    found = set()
    for word in (line.strip() for line in listed.splitlines()[1:]):
        if word and not word.startswith("#"):
            found |= members(word) if word.startswith("@") else {word}
    return found


def test_the_unit_is_one_and_lets_the_relay_do_what_it_must(lab):
    if not shutil.which("systemd-analyze"):
        raise Skip("systemd-analyze is not installed")
    unit = (SOURCE / "tools/systemd/ringmta.service").read_text()
    copy = lab.directory / "ringmta.service"
    copy.write_text(unit.replace("/usr/bin/ringmta", program("RINGMTA")))
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "ringmta" in line]
    equal((done.returncode, complaints), (0, []), "systemd-analyze verify")
    allowed = set()
    for negated, words in re.findall(r"^SystemCallFilter=(~?)(.*)$", unit, re.MULTILINE):
        for word in words.split():
            named = members(word) if word.startswith("@") else {word}
            allowed = allowed - named if negated else allowed | named
    source = (SOURCE / "src/process/system_calls.cc").read_text()
    made = set(re.findall(r"SCMP_SYS\((\w+)\)", re.search(r"kMade\[\] = \{(.*?)\};", source, re.S)[1]))
    check(len(made) > 100, "the list was found")
    # Of the start, and of the process that runs commands.
    made |= {"capset", "prctl", "clone", "clone3", "mmap", "mprotect", "prlimit64", "landlock_create_ruleset",
             "landlock_add_rule", "landlock_restrict_self", "execve", "vfork", "kill", "socket", "socketpair"}
    equal(sorted(made - allowed), [], "calls that the unit's filter refuses")


if __name__ == "__main__":
    main()
