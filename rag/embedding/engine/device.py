"""The device that models run on, and what it can do."""

import ctypes
import gc
import logging
import os
import sys
from functools import cache
from pathlib import Path

import psutil
import torch
from django.conf import settings

from rag.embedding.catalog import ModelCard

logger = logging.getLogger(__name__)

# Threads of our own press a little, too.
CROWDED = 0.5
MOST_LANES = 8
# What CUDA, its libraries, MPS and the CPU's allocator say when there is no room.
_NO_ROOM = ("out of memory", "alloc_failed", "can't allocate memory")


@cache
def current() -> torch.device:
    """The device of settings.EMBEDDING_DEVICE, made ready; `auto` takes a GPU where there is one."""
    wanted = settings.EMBEDDING_DEVICE
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = next(name for name in ("cuda", "mps", "cpu") if found[name] and wanted in ("auto", name, "cpu"))
    if wanted == "cpu":
        name = "cpu"
    elif wanted not in ("auto", name):
        logger.warning("EMBEDDING_DEVICE is %s, which this machine does not have; embedding on %s", wanted, name)
    if name == "cuda":
        # Sums stay in 32 bits; what is multiplied has 10 bits of mantissa where a model runs in float32.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        # Convolutions are of pictures and spectrograms, whose sizes a model fixes.
        torch.backends.cudnn.benchmark = True
    return torch.device(name)


def lanes() -> int:
    """How many batches run at once: one on a GPU; on a CPU as many as leave no core idle, `MOST_LANES` at most."""
    if current().type != "cpu":
        return 1
    cores = _cores()
    return max(range(1, min(cores, MOST_LANES) + 1), key=lambda count: (cores // count * count, count))


def threads(*, alone: bool) -> int:
    """How many threads of torch a batch takes: all cores when it is `alone`, else its lane's."""
    return _cores() if alone else max(1, _cores() // lanes())


def is_crowded() -> bool:
    """Whether others want the cores, too."""
    return pressure() > CROWDED


def _cores() -> int:
    # macOS does not tell.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pressure() -> float:
    """The share of the last ten seconds in which something waited for a core, 0 to 1; 0 where Linux does not tell."""
    try:
        some = Path("/proc/pressure/cpu").read_text().split()
        return float(some[1].removeprefix("avg10=")) / 100
    except (OSError, ValueError, IndexError):
        return 0.0


def dtype(card: ModelCard, device: torch.device) -> torch.dtype:
    """The numbers that a model is used in: 16 bits on a GPU, 32 elsewhere."""
    if device.type != "cuda":
        return torch.float32
    if card.half == "bfloat16":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.float16


def free_bytes(device: torch.device) -> int:
    """Memory that is left for models and batches, what torch holds in reserve included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(int(psutil.virtual_memory().available), left_in_group())


def left_in_group(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """What the control group that this process is in, such as a container's, leaves it; endless where none limits it.

    `groups` is where the kernel shows them (version 2), `own` which one it is.
    """
    try:
        group = groups / own.read_text().rpartition("::")[2].strip().lstrip("/")
        limit = (group / "memory.max").read_text().strip()
        if limit == "max":
            return sys.maxsize
        counted = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # Of files that were read there are copies, which the kernel drops when it needs the room.
        used = int((group / "memory.current").read_text()) - int(counted["inactive_file"])
        return max(0, int(limit) - used)
    except (OSError, ValueError, KeyError):
        return sys.maxsize


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch could succeed. CPU and MPS have no class of their own for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(each in text for each in _NO_ROOM)


def is_lost(error: BaseException) -> bool:
    """Whether the device answers this process no more: an error of its own, such as CUDA's, stays until the end."""
    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)


def give_back(device: torch.device) -> None:
    """Return what nothing uses any more, models that are full of cycles included. Takes half a second of Python."""
    gc.collect()
    release(device)


def release(device: torch.device) -> None:
    """Return memory that was freed to the device and to the system."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(0)
