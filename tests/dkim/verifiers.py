# SPDX-License-Identifier: GPL-3.0-or-later
"""Three verifiers by others behind one call: verify(message) -> a list of words, one for each signature, "pass" where
it holds. Keys come from a dictionary instead of the DNS."""

import base64
import ctypes
import json
import os
import pathlib
import subprocess
import tempfile

import dkim


class DkimPy:
    name = "python3-dkim"

    def __init__(self, records):
        self.records = {name: text.encode() for name, text in records.items()}

    def verify(self, message):
        def lookup(name, timeout=5):
            return self.records.get(name.decode().rstrip("."))
        words = []
        count = sum(line.lower().startswith(b"dkim-signature:")
                    for line in message.split(b"\r\n\r\n", 1)[0].split(b"\r\n"))
        for index in range(count):
            try:
                verifier = dkim.DKIM(message, minkey=1024)
                words.append("pass" if verifier.verify(index, dnsfunc=lookup) else "fail")
            except dkim.DKIMException as error:
                words.append(f"error: {error}")
        return words

    def close(self):
        pass


class OpenDkim:
    """Debian's libopendkim, with its method of reading keys from a file."""
    name = "libopendkim"

    SETOPT, OPT_FLAGS, OPT_QUERYMETHOD, OPT_QUERYINFO, OPT_MINKEYBITS = 1, 0, 6, 7, 14
    QUERY_FILE = 1
    FLAG_PROCESSED, FLAG_PASSED = 0x02, 0x04

    def __init__(self, records):
        lib = self.lib = ctypes.CDLL("libopendkim.so.11")
        for function in (lib.dkim_init, lib.dkim_verify):
            function.restype = ctypes.c_void_p
        for function, arguments in (
                (lib.dkim_options, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]),
                (lib.dkim_verify, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]),
                (lib.dkim_chunk, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
                (lib.dkim_eom, [ctypes.c_void_p, ctypes.c_void_p]),
                (lib.dkim_free, [ctypes.c_void_p]), (lib.dkim_close, [ctypes.c_void_p]),
                (lib.dkim_getsiglist, [ctypes.c_void_p, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)),
                                       ctypes.POINTER(ctypes.c_int)]),
                (lib.dkim_sig_process, [ctypes.c_void_p, ctypes.c_void_p]),
                (lib.dkim_sig_geterror, [ctypes.c_void_p]), (lib.dkim_sig_getbh, [ctypes.c_void_p]),
                (lib.dkim_sig_getflags, [ctypes.c_void_p])):
            function.argtypes = arguments
        self.handle = lib.dkim_init(None, None)
        self.keys = tempfile.NamedTemporaryFile("w", suffix=".keys")
        for name, text in records.items():
            self.keys.write(f"{name} {text}\n")
        self.keys.flush()
        self.option(self.OPT_QUERYMETHOD, ctypes.c_int(self.QUERY_FILE))
        self.option(self.OPT_MINKEYBITS, ctypes.c_uint(1024))
        path = ctypes.create_string_buffer(self.keys.name.encode())
        assert lib.dkim_options(self.handle, self.SETOPT, self.OPT_QUERYINFO, path, len(path)) == 0

    def option(self, which, value):
        assert self.lib.dkim_options(self.handle, self.SETOPT, which, ctypes.byref(value), ctypes.sizeof(value)) == 0

    def verify(self, message):
        status = ctypes.c_int()
        lib = self.lib
        one = lib.dkim_verify(self.handle, b"test", None, ctypes.byref(status))
        assert one and status.value == 0
        lib.dkim_chunk(one, message, len(message))
        lib.dkim_chunk(one, b"", 0)
        lib.dkim_eom(one, None)
        signatures = ctypes.POINTER(ctypes.c_void_p)()
        count = ctypes.c_int()
        words = []
        if lib.dkim_getsiglist(one, ctypes.byref(signatures), ctypes.byref(count)) == 0:
            for index in range(count.value):
                signature = signatures[index]
                lib.dkim_sig_process(one, signature)
                passed = lib.dkim_sig_getflags(signature) & self.FLAG_PASSED and lib.dkim_sig_getbh(signature) == 0
                words.append("pass" if passed else f"fail ({lib.dkim_sig_geterror(signature)})")
        lib.dkim_free(one)
        return words

    def close(self):
        self.lib.dkim_close(self.handle)
        self.keys.close()


class MailAuth:
    name = "mailauth"

    def __init__(self, records):
        modules = os.environ["RINGMTA_NODE_MODULES"]
        script = pathlib.Path(__file__).with_name("mailauth_verify.js")
        self.node = subprocess.Popen(["node", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     env=dict(os.environ, NODE_PATH=modules))
        self.say({"records": records})

    def say(self, what):
        self.node.stdin.write(json.dumps(what).encode() + b"\n")
        self.node.stdin.flush()

    def verify(self, message):
        self.say({"message": base64.b64encode(message).decode()})
        answer = self.node.stdout.readline()
        assert answer, "mailauth ended"
        return json.loads(answer)

    def close(self):
        self.node.stdin.close()
        self.node.wait()
