"""A filter of system calls (seccomp): nobody is connected to, signalled, traced or started from then on.

Landlock rules files and the network namespace rules TCP, but a Unix socket in the file system is neither: through one a
parser that a file has taken over would reach the database of the whole installation.
"""

import ctypes
import errno
import platform
import struct

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
LOAD, JUMP_IF_EQUAL, JUMP_IF_ABOVE, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER, ARCHITECTURE = 0, 4
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
# Numbers from here on are those of the x32 ABI, which would be a way around.
OTHER_ABI = 0x40000000

# In this order: socket, connect, kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, ptrace, process_vm_readv,
# process_vm_writev, execve, execveat, clone; then those that have one number everywhere: pidfd_send_signal,
# io_uring_setup, pidfd_open, clone3, pidfd_getfd.
EVERYWHERE = (424, 425, 434, 435, 438)
X86_64 = (41, 42, 62, 200, 234, 129, 297, 101, 310, 311, 59, 322, 56, 57, 58)  # with fork and vfork
AARCH64 = (198, 203, 129, 130, 131, 138, 240, 117, 270, 271, 221, 281, 220)
# By what the kernel calls the machine: the architecture as the filter sees it, and the numbers.
MACHINES = {"x86_64": (0xC000003E, X86_64 + EVERYWHERE), "aarch64": (0xC00000B7, AARCH64 + EVERYWHERE)}


class _Program(ctypes.Structure):
    """The kernel's `sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def forbid(libc: ctypes.CDLL) -> bool:
    """Have this process's further calls filtered. False where the kernel or the machine knows no such filter.

    `PR_SET_NO_NEW_PRIVS` must be set. A call that is refused fails with EPERM.
    """
    if platform.machine() not in MACHINES:
        return False
    code = program(*MACHINES[platform.machine()])
    held = ctypes.create_string_buffer(code, len(code))
    asked = _Program(len(code) // 8, ctypes.addressof(held))
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(asked), 0, 0) == 0)


def program(architecture: int, forbidden: tuple[int, ...]) -> bytes:
    """The filter for the kernel's BPF machine: eight bytes for each instruction."""
    refuse = len(forbidden) + 1
    steps = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_ABOVE, refuse, 0, OTHER_ABI),
        *((JUMP_IF_EQUAL, refuse - 1 - place, 0, number) for place, number in enumerate(forbidden)),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
