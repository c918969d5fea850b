# SPDX-License-Identifier: GPL-3.0-or-later
"""Next hops on loopback: one that writes down every octet it is sent, and one that does to the relay
what a case says.
"""

import dataclasses
import select
import socket
import ssl
import threading
import time

PATIENCE = 60.0


@dataclasses.dataclass
class Message:
    sender: str
    recipients: list
    wire: bytes    # by DATA with its closing; by BDAT the octets of its chunks
    chunked: bool


class Reader:
    """Lines and counted octets of a connection."""

    def __init__(self, connection):
        self.connection = connection
        self.octets = b""

    def more(self):
        piece = self.connection.recv(65536)
        if not piece:
            raise ConnectionError("the relay has closed the connection")
        self.octets += piece

    def line(self):
        while b"\n" not in self.octets:
            self.more()
        line, _, self.octets = self.octets.partition(b"\n")
        return line + b"\n"

    def exactly(self, count):
        while len(self.octets) < count:
            self.more()
        taken, self.octets = self.octets[:count], self.octets[count:]
        return taken

    def content(self):
        """Up to CRLF.CRLF, which is given too."""
        at = 0
        while True:
            if self.octets.startswith(b".\r\n"):
                end = 3
                break
            found = self.octets.find(b"\r\n.\r\n", max(0, at - 5))
            if found >= 0:
                end = found + 5
                break
            at = len(self.octets)
            self.more()
        taken, self.octets = self.octets[:end], self.octets[end:]
        return taken


class Server:
    """Listens on a free port; serve(connection) runs for each connection in a thread of its own."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def address(self):
        return f"127.0.0.1:{self.port}"

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.guarded, args=(connection,), daemon=True).start()

    def guarded(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass  # the relay has hung up
        finally:
            try:
                connection.close()
            except OSError:
                pass


class Recorder(Server):
    """Takes everything and keeps it as it came."""

    def __init__(self, chunking):
        self.chunking = chunking
        self.messages = []
        self.lock = threading.Lock()
        super().__init__()

    def serve(self, connection):
        reader = Reader(connection)
        connection.sendall(b"220 hop.test ESMTP\r\n")
        sender, recipients, chunks = "", [], b""
        while True:
            line = reader.line().rstrip(b"\r\n")
            verb = line.split(b" ")[0].upper()
            answer = b"250 2.0.0 Ok\r\n"
            if verb == b"EHLO":
                answer = b"250-hop.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE\r\n" + \
                    (b"250-CHUNKING\r\n" if self.chunking else b"") + b"250 ENHANCEDSTATUSCODES\r\n"
            elif verb == b"MAIL":
                sender, recipients, chunks = line.split(b"<")[1].split(b">")[0].decode(errors="replace"), [], b""
            elif verb == b"RCPT":
                recipients.append(line.split(b"<")[1].split(b">")[0].decode(errors="replace"))
            elif verb == b"DATA":
                connection.sendall(b"354 Go\r\n")
                self.keep(sender, recipients, reader.content(), False)
            elif verb == b"BDAT":
                chunks += reader.exactly(int(line.split(b" ")[1]))
                if line.upper().endswith(b"LAST"):
                    self.keep(sender, recipients, chunks, True)
            elif verb == b"QUIT":
                connection.sendall(b"221 Bye\r\n")
                return
            elif verb not in (b"RSET", b"NOOP"):
                answer = b"500 5.5.2 What?\r\n"
            connection.sendall(answer)

    def keep(self, sender, recipients, wire, chunked):
        with self.lock:
            self.messages.append(Message(sender, list(recipients), wire, chunked))


class Player(Server):
    """Plays a case's server lines on each connection. What goes wrong is kept in `problems`; that the
    relay hangs up in the middle of something is what most cases want."""

    def __init__(self, case, certificates):
        self.case = case
        self.certificates = certificates
        self.connections = 0
        self.open = 0
        self.ended = 0
        self.problems = []
        self.heard = []   # lines that the relay said
        super().__init__()

    def serve(self, connection):
        self.connections += 1
        self.open += 1
        connection.settimeout(PATIENCE)
        reader = Reader(connection)
        try:
            for step in self.case.steps:
                connection, reader = self.act(step, connection, reader)
        except (ConnectionError, socket.timeout, ssl.SSLError, OSError):
            pass
        finally:
            self.open -= 1
            self.ended += 1

    def act(self, step, connection, reader):
        octets = self.case.octets
        if step.word == "say":
            connection.sendall(octets(step.text))
        elif step.word == "flood":  # until the relay has had enough
            piece = octets(step.text) * max(1, 65536 // len(octets(step.text)))
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                connection.sendall(piece)
        elif step.word == "drip":  # an octet a second, for ever
            end = time.monotonic() + PATIENCE
            for octet in octets(step.text) * 100:
                if time.monotonic() > end:
                    break
                connection.sendall(bytes([octet]))
                if select.select([connection], [], [], 1)[0] and not connection.recv(65536, socket.MSG_PEEK):
                    raise ConnectionError("the relay has hung up")
        elif step.word == "hear":
            line = reader.line()
            self.heard.append(line)
            if not line.upper().startswith(octets(step.text).upper()):
                self.problems.append(f"line {step.line}: heard {line!r}")
                raise ConnectionError
        elif step.word == "hear-content":
            reader.content()
        elif step.word == "hear-chunk":
            line = reader.line()
            if not line.startswith(b"BDAT "):
                self.problems.append(f"line {step.line}: heard {line!r}")
                raise ConnectionError
            reader.exactly(int(line.split(b" ")[1]))
        elif step.word == "mail":  # greeting to the end of the content, as an honest host would
            for word, reply in (("EHLO", b"250 x\r\n"), ("MAIL", b"250 x\r\n"), ("RCPT", b"250 x\r\n"),
                                ("DATA", b"354 x\r\n")):
                if word == "EHLO":
                    connection.sendall(b"220 x\r\n")
                self.heard.append(reader.line())
                connection.sendall(reply)
            reader.content()
        elif step.word == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificates / "mail_ecdsa.pem", self.certificates / "mail_ecdsa.key")
            connection = context.wrap_socket(connection, server_side=True)
            reader = Reader(connection)
        elif step.word == "hold":  # says nothing more
            while connection.recv(65536):
                pass
        elif step.word == "deaf":  # takes nothing either, until the relay hangs up
            end = time.monotonic() + PATIENCE
            poller = select.poll()
            poller.register(connection, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
            while time.monotonic() < end and not poller.poll(1000):
                pass
        elif step.word == "close":
            raise ConnectionError("as the case says")
        elif step.word == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raise ConnectionError("as the case says")
        return connection, reader
