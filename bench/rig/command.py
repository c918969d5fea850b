# SPDX-License-Identifier: GPL-3.0-or-later
"""Any other relay, by a command line: --command 'NAME:program --port {port} --to {sink_port}'.

The command must stay in the foreground, take mail on 127.0.0.1:{port}, hand it to 127.0.0.1:{sink_port}, and
keep what it writes under {directory}, which is its working directory, empty, and removed afterwards.
"""

import shlex

from .ends import Trouble

MODES = {"persist", "single", "pipelining", "bdat"}
OWN_SYNCS = False


class Relay:
    def __init__(self, place, line):
        self.place, self.line = place, line

    def configure(self):
        place = self.place
        try:
            return [word.format(port=place.port, sink_port=place.sink_port, directory=place.directory,
                                sessions=place.options.sessions) for word in shlex.split(self.line)]
        except (KeyError, IndexError, ValueError) as problem:
            raise Trouble(f"--command: {self.line!r} cannot be read ({problem}); it may use {{port}}, {{sink_port}}, "
                          "{directory} and {sessions}") from None

    def version(self):
        return self.line
