"""What the parser's process takes away from itself before it reads a file that nobody trusts.

`limit` is called first: memory, processor time, processes, files, and death with its parent. `shut` is called when all
code is loaded: nothing can be written from then on, and, where the kernel allows it (Landlock, a network namespace of
its own, a filter of system calls), no other file of this machine can be read, no network, socket or process reached.
The limits hold everywhere; the rest is a second fence, so a kernel without it is no reason to read no documents.
"""

import contextlib
import ctypes
import errno
import os
import resource
import signal
import struct
import sys
from pathlib import Path

from rag.extract import syscalls
from rag.extract.model import MIB, Limits

LINUX = sys.platform.startswith("linux")
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
LANDLOCK_RULE_PATH_BENEATH = 1
# The thirteen rights of Landlock's first version: everything is ruled, files may be read and directories listed.
ALL_RIGHTS = (1 << 13) - 1
READ_FILE, READ_DIRECTORY = 1 << 2, 1 << 3
# The loader's and the fonts', for pages that are drawn.
SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/usr/share/fonts", "/usr/share/zoneinfo")


def limit(limits: Limits) -> None:
    """Bound what this process may use, and let it end when the one that started it does."""
    if LINUX:
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _libc().prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 2)
    # macOS counts what is shared with every process, and has no use for the limit.
    if LINUX:
        _lower(resource.RLIMIT_AS, limits.memory_bytes)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, 64)
    # Enough for compiled modules, which Python writes once.
    _lower(resource.RLIMIT_FSIZE, 16 * MIB)
    with contextlib.suppress(AttributeError):
        _lower(resource.RLIMIT_NPROC, 0)


def shut() -> None:
    """Write nothing from now on; read only code and fonts; reach nobody."""
    _lower(resource.RLIMIT_FSIZE, 0)
    if LINUX:
        libc = _libc()
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _read_only_code(libc)
        # Root may do without a user namespace, in which it would lose its right to read what is another's. Refused
        # where such namespaces are switched off; Landlock and the limits still hold.
        if libc.unshare(CLONE_NEWNET):
            libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)
        syscalls.forbid(libc)


def _lower(which: int, soft: int, hard: int | None = None) -> None:
    """Set a limit; one that is lower already stays."""
    top = resource.getrlimit(which)[1]
    most = hard if hard is not None else soft
    most = most if top == resource.RLIM_INFINITY else min(most, top)
    resource.setrlimit(which, (min(soft, most), most))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _read_only_code(libc: ctypes.CDLL) -> None:
    """Landlock: of the whole file system only code and fonts can be read. Files that are open stay open."""
    rules = struct.pack("=Q", ALL_RIGHTS)
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, rules, len(rules), 0)
    if ruleset < 0:
        if ctypes.get_errno() in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
            return
        raise OSError(ctypes.get_errno(), "Landlock")
    # The project's own code: this package, and not the root, under which the data may lie.
    code = {Path(__file__).parent, *(Path(place) for place in sys.path[1:]), *map(Path, SYSTEM)}
    for place in code:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
            rights = READ_FILE | READ_DIRECTORY if place.is_dir() else READ_FILE
            libc.syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, struct.pack("=Qi", rights, opened), 0)
            os.close(opened)
    libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
