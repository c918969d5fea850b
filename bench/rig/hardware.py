# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine itself can do: durable operations of its disk, cryptography of one core. A relay's figures
are to be read beside these."""

import json
import re
import subprocess
import tempfile

from .ends import Trouble

# What bench_crypto calls them, and what DKIM and TLS are made of.
CRYPTO = "rsa_sign/(1024|2048)|ed25519_sign|sha256/16384|aes_gcm_seal/128/16384"


def run(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Trouble(f"{command[0]} failed (status {done.returncode}): {done.stderr[-800:]}")
    return done.stdout


def program(options, name):
    path = options.build / "bench" / name
    if not path.exists():
        raise Trouble(f"{path} is not there: build it (ninja -C {options.build}) or name another build directory with --build")
    return path


def disk(options):
    with tempfile.TemporaryDirectory(prefix="ringmta-disk-", dir=options.directory) as directory:
        for line in run([program(options, "bench_disk"), "--directory", directory]).splitlines():
            row = json.loads(line)
            threads = f", {row['threads']} threads" if row["threads"] > 1 else ""
            yield {"what": f"disk: {row['case']}, {row['octets'] // 1024} KB{threads}", "per_s": row["operations_per_s"]}


def crypto(options):
    """By the library that RingMTA is built with."""
    report = json.loads(run([program(options, "bench_crypto"), "--benchmark_format=json", "--benchmark_min_time=0.5",
                             f"--benchmark_filter={CRYPTO}"]))
    for one in report["benchmarks"]:
        row = {"what": f"wolfSSL as built here: {one['name']}"}
        if "bytes_per_second" in one:
            row["mb_per_s"] = round(one["bytes_per_second"] / 1e6)
        else:
            row["per_s"] = round(one["items_per_second"])
        yield row


def openssl():
    """The same by the system's OpenSSL, with its own measuring command."""
    for name, words in (("rsa_sign/1024", ["rsa1024"]), ("rsa_sign/2048", ["rsa2048"]), ("ed25519_sign", ["ed25519"]),
                        ("sha256", ["-bytes", "16384", "-evp", "sha256"]),
                        ("aes128_gcm", ["-bytes", "16384", "-evp", "aes-128-gcm"])):
        try:
            text = run(["openssl", "speed", "-mr", "-seconds", "1", *words])
        except FileNotFoundError:
            raise Trouble("openssl is not installed: run tools/setup") from None
        found = re.findall(r"^\+F\d*:(.*)$", text, re.MULTILINE)
        if not found:
            raise Trouble(f"openssl speed {words[-1]} said nothing that can be read: {text[-300:]}")
        fields = found[-1].split(":")
        row = {"what": f"OpenSSL: {name}"}
        if "-evp" in words:
            row["mb_per_s"] = round(float(fields[-1]) / 1e6)
        else:
            row["per_s"] = round(float(fields[-2]))  # signing; behind it is verifying
        yield row


def figures(options):
    yield from disk(options)
    yield from crypto(options)
    yield from openssl()
