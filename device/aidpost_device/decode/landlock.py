"""Landlock: a process gives up, for good, rights that it does not need. Linux 5.13 and later, where it is enabled.

A decoder that a hostile file has taken over can then change, make or remove no file, start no program, open no TCP
connection and signal no other process (the last two from Linux 6.7 and 6.12). Reading stays allowed.
"""

from __future__ import annotations

import ctypes
import os
import struct

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
"""System calls; the numbers are the same on x86-64 and aarch64."""
_ASK_VERSION = 1
_NO_NEW_PRIVILEGES = 38

_EXECUTE, _WRITE = 1 << 0, 1 << 1
_REMOVE_AND_MAKE = 0b1_1111_1111_0000
_REFER, _TRUNCATE, _CONTROL_DEVICES = 1 << 13, 1 << 14, 1 << 15
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1


def give_up_rights() -> int:
    """Give up all that this kernel can take. Returns the version of its Landlock, 0 where it has none."""
    library = ctypes.CDLL(None, use_errno=True)
    version = library.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        return 0
    ruleset = _ruleset(version)
    handle = library.syscall(_CREATE_RULESET, ruleset, len(ruleset), 0)
    if handle < 0:
        return 0
    refused = library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.syscall(_RESTRICT_SELF, handle, 0)
    os.close(handle)
    return 0 if refused else int(version)


def _ruleset(version: int) -> bytes:
    """Name the rights to be given up: on files, on the network, on other processes. No rule gives any of them back."""
    files = _EXECUTE | _WRITE | _REMOVE_AND_MAKE
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _CONTROL_DEVICES)):
        files |= right if version >= since else 0
    network = _BIND_TCP | _CONNECT_TCP if version >= 4 else 0
    processes = _ABSTRACT_SOCKETS | _SIGNALS if version >= 6 else 0
    return struct.pack("<QQQ", files, network, processes)
