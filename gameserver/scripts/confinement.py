"""What a process gives up before it runs scripts: files, network, other processes, new rights.

It is the second wall: the engine offers none of these to a script. Where a system lacks a means, the process
goes without it.
"""

import contextlib
import ctypes
import platform
import signal
import struct
import sys
from typing import Any

MEMORY_BYTES = 4 << 30  # all that the process may address; a script's own limit is much lower

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # EPERM
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06

# What the engine and the interpreter around it need, once they are loaded: the pipe, memory, locks, time.
_CALLS = {
    "x86_64": (
        0xC000003E,
        317,
        {
            "read": 0,
            "write": 1,
            "mmap": 9,
            "mprotect": 10,
            "munmap": 11,
            "brk": 12,
            "rt_sigaction": 13,
            "rt_sigprocmask": 14,
            "rt_sigreturn": 15,
            "sched_yield": 24,
            "mremap": 25,
            "madvise": 28,
            "setitimer": 38,
            "exit": 60,
            "gettimeofday": 96,
            "sigaltstack": 131,
            "futex": 202,
            "clock_gettime": 228,
            "clock_nanosleep": 230,
            "exit_group": 231,
            "getrandom": 318,
            "restart_syscall": 219,
        },
    ),
    "aarch64": (
        0xC00000B7,
        277,
        {
            "read": 63,
            "write": 64,
            "exit": 93,
            "exit_group": 94,
            "futex": 98,
            "setitimer": 103,
            "clock_gettime": 113,
            "clock_nanosleep": 115,
            "restart_syscall": 128,
            "sched_yield": 124,
            "sigaltstack": 132,
            "rt_sigaction": 134,
            "rt_sigprocmask": 135,
            "rt_sigreturn": 139,
            "gettimeofday": 169,
            "brk": 214,
            "munmap": 215,
            "mremap": 216,
            "mmap": 222,
            "mprotect": 226,
            "madvise": 233,
            "getrandom": 278,
        },
    ),
}


def confine() -> None:
    """Give up what a script's process does not need. What it needs must be loaded and open by now."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        _limit()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            _filter_calls(ctypes.CDLL(None, use_errno=True))


def _limit() -> None:
    import resource  # noqa: PLC0415 - not on Windows

    open_files = 3  # the pipe and the complaints
    for name, most in (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_NOFILE", open_files),
        ("RLIMIT_AS", MEMORY_BYTES),
    ):
        kind = getattr(resource, name, None)
        if kind is not None:
            with contextlib.suppress(OSError, ValueError):  # lower already
                resource.setrlimit(kind, (most, most))


def _filter_calls(libc: Any) -> None:
    """Let the kernel refuse every call that is not in the list, and kill the process when the server dies."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    machine, seccomp, allowed = _CALLS.get(platform.machine(), (0, 0, {}))
    if not allowed:
        return
    numbers = sorted(allowed.values())
    steps = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, machine), (_RETURN, 0, 0, _REFUSE), (_LOAD, 0, 0, 0)]
    steps += [(_JUMP_IF_EQUAL, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    steps += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    program = b"".join(struct.pack("HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(program)
    head = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(buffer))
    libc.syscall(
        seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, ctypes.create_string_buffer(head)
    )
