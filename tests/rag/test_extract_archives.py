"""ZIPs of documents: their files one by one, and what is not taken from them."""

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from rag.extract import ExtractError, Limits, members
from tests.rag.files import zipped


def listed(path: Path, content: bytes, limits: Limits | None = None) -> dict[str, tuple[str, bytes]]:
    """Problem and content by name."""
    path = path / "a.zip"
    path.write_bytes(content)
    return {m.name: (m.problem, b"" if m.problem else m.open().read()) for m in members(path, limits)}


def code_of(path: Path, content: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(ExtractError) as raised:
        listed(path, content, limits)
    return raised.value.code


def test_files_of_a_zip(tmp_path: Path) -> None:
    content = zipped(
        {"a.txt": b"one", "über/b.md": b"two", "empty/": b"", "__MACOSX/a.txt": b"x", "über/.DS_Store": b"x"}
    )
    assert listed(tmp_path, content) == {"a.txt": ("", b"one"), "über/b.md": ("", b"two")}


def test_what_leads_out_links_and_archives_are_named_and_not_opened(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        for name in ("../../up.txt", "/etc/abs.txt", "C:\\win.txt", "a/..\\..\\b.txt", "inner.zip", "fine.txt"):
            archive.writestr(name, "text")
    problems = {name: problem for name, (problem, _) in listed(tmp_path, written.getvalue()).items()}
    assert problems.pop("fine.txt") == ""
    assert problems.pop("link") == "It is a link or a device and no file."
    assert problems.pop("inner.zip") == "An archive in an archive is not unpacked."
    assert set(problems.values()) == {"Its path leads out of the archive."}
    path = tmp_path / "a.zip"
    for member in members(path):
        if member.problem:
            with pytest.raises(ExtractError, match=r"archive|link"):
                member.open()


def test_a_member_under_a_password_or_damaged(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.txt": b"hello" * 100}, compressed=False))
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 8] |= 1
    assert listed(tmp_path, bytes(content))["a.txt"][0] == "It is protected by a password."
    damaged = bytearray(zipped({"a.txt": b"hello" * 100}, compressed=False))
    damaged[60] ^= 0xFF
    assert code_of(tmp_path, bytes(damaged)) == "broken"


def test_bombs(tmp_path: Path) -> None:
    assert code_of(tmp_path, zipped({"a.txt": bytes(40 * 1024 * 1024)})) == "zip_bomb"
    assert code_of(tmp_path, zipped({f"{at}": b"" for at in range(101)}), Limits(members=100)) == "zip_bomb"
    assert code_of(tmp_path, zipped({"a": bytes(2000)}), Limits(unpacked_bytes=1000)) == "too_large"
    # Small repetitive files are nobody's bomb.
    assert listed(tmp_path, zipped({"log.txt": b"ok\n" * 100_000}))["log.txt"][1] == b"ok\n" * 100_000


def test_entries_that_share_their_bytes(tmp_path: Path) -> None:
    """One packed file under many names."""
    one = zipped({"a": bytes(1_000_000)})
    start = one.rindex(b"PK\x01\x02")
    end = one.rindex(b"PK\x05\x06")
    entry = one[start:end]
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 50, 50, 50 * len(entry), start, 0)
    assert code_of(tmp_path, one[:start] + entry * 50 + tail) == "zip_bomb"


def test_a_member_that_claims_to_be_smaller_unpacks_to_what_it_claims(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.txt": bytes(5_000_000)}))
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<L", 1000)
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    (member,) = members(path)
    assert member.size == 1000


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"no zip at all", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_zip(tmp_path: Path, content: bytes) -> None:
    assert code_of(tmp_path, content) == "broken"
