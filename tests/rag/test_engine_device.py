"""What the engine is told of the device: how much memory is left, and which failures mean that there is none."""

import sys
from pathlib import Path

import pytest
import torch

from rag.embedding.engine import device

GB = 1024**3


def group(folder: Path, limit: str) -> Path:
    """A control group of `limit`; 3 GB are used, one of them by copies of files. The file of its name is returned."""
    inside = folder / "system.slice" / "gateway.service"
    inside.mkdir(parents=True)
    (inside / "memory.max").write_text(f"{limit}\n")
    (inside / "memory.current").write_text(f"{3 * GB}\n")
    (inside / "memory.stat").write_text(f"anon {2 * GB}\ninactive_file {GB}\nactive_file 0\n")
    own = folder / "own"
    own.write_text("0::/system.slice/gateway.service\n")
    return own


@pytest.mark.parametrize(("limit", "left"), [(str(8 * GB), 6 * GB), (str(GB), 0), ("max", sys.maxsize)])
def test_a_container_leaves_what_its_limit_does(tmp_path: Path, limit: str, left: int) -> None:
    assert device.left_in_group(tmp_path, group(tmp_path, limit)) == left


def test_without_control_groups_the_machine_decides(tmp_path: Path) -> None:
    assert device.left_in_group(tmp_path, tmp_path / "none") == sys.maxsize
    assert 0 < device.free_bytes(torch.device("cpu")) < sys.maxsize


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
            True,
        ),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_failures_a_smaller_batch_may_mend(error: Exception, short: bool) -> None:
    assert device.is_out_of_memory(error) is short
