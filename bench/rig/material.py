# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates of a run, made by openssl(1) in its directory: ECDSA P-256 for TLS, RSA-2048 for DKIM."""

import base64
import email
import email.policy
import subprocess

from .ends import Trouble, installed
from .modes import SIGNER

SELECTOR = "bench"


def openssl(*words):
    done = subprocess.run([installed("openssl", "openssl"), *[str(word) for word in words]], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Trouble(f"openssl {words[0]} failed: {done.stderr[-500:]}")


def certificate(directory, name):
    """(certificate, key) in PEM, signed by itself."""
    pem, key = directory / f"{name}.pem", directory / f"{name}.key"
    if not pem.exists():
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                f"/CN={name}.test", "-addext", f"subjectAltName=DNS:{name}.test", "-keyout", key, "-out", pem)
        key.chmod(0o600)
    return pem, key


def dkim_key(directory):
    """The private key, PEM (PKCS #8)."""
    path = directory / "dkim.pem"
    if not path.exists():
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
        path.chmod(0o600)
    return path


def signed(text):
    """Whether a recorded message bears a signature as these scenarios ask for: rsa-sha256 with 2048 bits."""
    message = email.message_from_bytes(text, policy=email.policy.compat32)
    for field in message.get_all("DKIM-Signature") or []:
        tags = dict(part.strip().split("=", 1) for part in "".join(field.split()).split(";") if "=" in part)
        if (tags.get("a"), tags.get("d")) == ("rsa-sha256", SIGNER) and len(base64.b64decode(tags.get("b", ""))) == 256:
            return True
    return False
