"""Emulators of the providers: real servers, real speech, faults on cue.

They import `audio` and nothing of `providers`. `Emulator` is one provider account without sockets or a clock; `start`
and `serve` put it on a port.
"""

from bridge.fakes.emulator import KINDS, Emulator, Kind
from bridge.fakes.script import Script
from bridge.fakes.server import Running, serve, start

__all__ = ["KINDS", "Emulator", "Kind", "Running", "Script", "serve", "start"]
