"""Tying a process to the one that started it, so that nothing is left behind even after `kill -9`."""

from __future__ import annotations

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """Have the kernel send this process `signal_number` when its parent ends, however it ends (prctl(2)).

    Survives exec, so it can be a `preexec_fn`. Only Linux can do this; elsewhere nothing happens.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(signal_number))
