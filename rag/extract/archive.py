"""ZIP files from strangers: bounded in count, size and ratio, without paths that lead out, links or nested archives."""

import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from rag.extract.errors import ExtractError
from rag.extract.model import MIB, Limits

# Below this an archive may be as repetitive as it likes.
HARMLESS = 16 * MIB
# An entry of the central directory: 46 bytes and a name.
LONGEST_ENTRY = 2048
END = struct.Struct("<4s4H2LH")
ENCRYPTED = 0x1
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
# What `zipfile` raises for a damaged member (NotImplementedError, for an unknown method, is a RuntimeError).
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError)
# What operating systems leave in archives.
CLUTTER = ("__macosx/", ".ds_store", "thumbs.db", "desktop.ini")


@dataclass(slots=True)
class Member:
    """One file of an archive. `name` is a relative path; `problem` says in words why it cannot be opened, or is ""."""

    name: str
    size: int
    problem: str
    _archive: zipfile.ZipFile
    _info: zipfile.ZipInfo

    def open(self) -> BinaryIO:
        """Its bytes, of which there are never more than `size`. Raises `ExtractError` when there is a problem.

        Reading raises `ExtractError`, too, when what is packed is damaged.
        """
        if self.problem:
            raise ExtractError("unsupported", self.problem)
        try:
            return io.BufferedReader(_Unpacked(self._archive.open(self._info)))
        except DAMAGED:
            raise ExtractError("broken", "It is damaged in the archive.") from None


def members(path: Path | str, limits: Limits | None = None) -> Iterator[Member]:
    """The files of the ZIP at `path`; folders and what operating systems leave behind are passed over.

    A member is read while it is the current one. Raises `ExtractError`: `broken`, `zip_bomb`, `too_large`.
    """
    with Path(path).open("rb") as file, opened(file, limits or Limits()) as archive:
        for info in archive.infolist():
            name = info.filename.replace("\\", "/")
            folded = name.lower()
            if info.is_dir() or folded.startswith(CLUTTER) or folded.rpartition("/")[2] in CLUTTER:
                continue
            yield Member(_shown(name), info.file_size, _problem(info, name), archive, info)


@contextmanager
def opened(file: BinaryIO, limits: Limits) -> Iterator[zipfile.ZipFile]:
    """The ZIP in `file`, when its directory stays within the limits.

    A member never unpacks to more than the directory says (`zipfile` stops there), so that checking what it says is
    enough. Raises `ExtractError`: `broken`, `zip_bomb`, `too_large`.
    """
    _check_directory(file, limits)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError, struct.error, UnicodeDecodeError, NotImplementedError):
        raise ExtractError("broken", "The file is damaged: its archive cannot be opened.") from None
    with archive:
        _check_sizes(archive, file, limits)
        yield archive


def _check_directory(file: BinaryIO, limits: Limits) -> None:
    """Refuse a directory of millions of entries before `zipfile` makes an object of each."""
    size = file.seek(0, io.SEEK_END)
    tail_size = min(size, 65535 + END.size)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < END.size:
        raise ExtractError("broken", "The file is damaged: its archive cannot be opened.")
    _, _, _, _, _, directory, offset, _ = END.unpack_from(tail, at)
    if 0xFFFFFFFF in (directory, offset):
        # ZIP64: then the directory is at most what the file holds.
        directory = size
    if directory > limits.members * LONGEST_ENTRY and directory > MIB:
        raise ExtractError("zip_bomb", f"The archive holds more than {limits.members:,} files.")


def _check_sizes(archive: zipfile.ZipFile, file: BinaryIO, limits: Limits) -> None:
    infos = archive.infolist()
    if len(infos) > limits.members:
        raise ExtractError("zip_bomb", f"The archive holds more than {limits.members:,} files.")
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    unpacked = sum(info.file_size for info in infos)
    # Entries that share their packed bytes are how a small file becomes a huge one.
    if sum(info.compress_size for info in infos) > size:
        raise ExtractError("zip_bomb", "The archive's files overlap: it was made to do harm.")
    if unpacked > HARMLESS and unpacked > limits.ratio * size:
        raise ExtractError("zip_bomb", f"The archive unpacks to {unpacked // size:,} times its size.")
    if unpacked > limits.unpacked_bytes:
        raise ExtractError("too_large", f"The archive unpacks to more than {limits.unpacked_bytes // MIB:,} MB.")


def _problem(info: zipfile.ZipInfo, name: str) -> str:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        return "It is a link or a device and no file."
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        return "Its path leads out of the archive."
    if info.flag_bits & ENCRYPTED:
        return "It is protected by a password."
    if name.lower().endswith(ARCHIVES):
        return "An archive in an archive is not unpacked."
    return ""


def _shown(name: str) -> str:
    """A name that can be shown and stored: no control characters, no half characters."""
    printable = "".join(c for c in name if c.isprintable()).encode(errors="replace").decode()
    return printable[-1000:] or "unnamed"


class _Unpacked(io.RawIOBase):
    """A member's bytes, whose damage is an `ExtractError` wherever it is met."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            part = self._packed.read(len(buffer))
        except DAMAGED:
            raise ExtractError("broken", "It is damaged in the archive.") from None
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._packed.close()
        super().close()
