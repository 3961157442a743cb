"""Files that were made to do harm, or that are merely far too large: each ends soon, with words, and hurts nothing."""

import ctypes
import io
import logging
import os
import platform
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from tempfile import NamedTemporaryFile

import docx
import openpyxl
import pytest

from rag.extract import ExtractError, Limits, confine, extract, syscalls
from tests.rag.extracting import read, refused
from tests.rag.files import pdf, zipped
from tests.rag.test_extract_formats import epub

ROOT = Path(__file__).resolve().parents[2]


def word(document_xml: bytes, **more: bytes) -> bytes:
    """A Word file whose main part is this XML."""
    written = io.BytesIO()
    docx.Document().save(written)
    with zipfile.ZipFile(written) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    return zipped({**parts, "word/document.xml": document_xml, **more})


def body(content: bytes, doctype: bytes = b"") -> bytes:
    """Word's XML around `content`."""
    namespace = b'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    return (
        b"<?xml version='1.0'?>"
        + doctype
        + b"<w:document "
        + namespace
        + b"><w:body>"
        + content
        + b"</w:body></w:document>"
    )


LAUGHS = (
    b"<!DOCTYPE l [<!ENTITY a 'haha'>"
    + b"".join(b"<!ENTITY %b '%b'>" % (bytes([98 + at]), (b"&%b;" % bytes([97 + at])) * 10) for at in range(9))
    + b"]>"
)


def test_a_billion_laughs_are_not_laughed() -> None:
    content = word(body(b"<w:p><w:r><w:t>before &j; after</w:t></w:r></w:p>", LAUGHS))
    assert len(read_or_refused(content, "a.docx")) < 1000
    assert "&j;" in read(LAUGHS + b"<l>&j;</l>", "a.xml").text


def test_an_entity_brings_no_file_of_this_machine() -> None:
    doctype = b"<!DOCTYPE w [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
    assert "root:" not in read_or_refused(word(body(b"<w:p><w:r><w:t>see &x;</w:t></w:r></w:p>", doctype)), "a.docx")
    page = b"<?xml version='1.0'?><!DOCTYPE html [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><html><body>see &x;</html>"
    assert "root:" not in read_or_refused(page, "a.html")


def read_or_refused(content: bytes, name: str) -> str:
    """The text, or "" with a reason: both are right, for some files."""
    try:
        return read(content, name).text
    except ExtractError:
        return ""


def test_xml_as_deep_as_it_likes() -> None:
    deep = body(b"<w:p>" * 200_000 + b"</w:p>" * 200_000)
    assert refused(word(deep), "a.docx").code == "broken"
    assert read(b"<a>" * 200_000, "a.xml").media_type == "application/xml"
    assert "deep" in read(b"<html><body>shallow" + b"<div>" * 100_000 + b"deep", "a.html").text + "deep"
    assert read(b"> " * 50_000 + b"deep", "a.md").text
    assert read(b"[" * 100_000, "a.json").text


def test_a_zip_bomb_within_a_document() -> None:
    bomb = word(body(b"<w:p/>"), **{"word/media/a.bin": bytes(60 * 1024 * 1024)})
    assert refused(bomb, "a.docx").code == "zip_bomb"
    many = zipped({"[Content_Types].xml": b"", "word/a": b"", **{f"word/{at}": b"" for at in range(12_000)}})
    assert refused(many, "a.docx").code == "zip_bomb"


def test_a_sheet_that_claims_rows_without_end() -> None:
    book = openpyxl.Workbook()
    written = io.BytesIO()
    book.save(written)
    with zipfile.ZipFile(written) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    rows = b'<row r="1"><c r="A1"><v>7</v></c></row><row r="999999999"><c r="A999999999"><v>8</v></c></row>'
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = re.sub(rb"<sheetData(?: ?/>|></sheetData>)", b"<sheetData>" + rows + b"</sheetData>", parts[sheet])
    assert read(zipped(parts), "a.xlsx").text == "Sheet\n\n7"


def test_macros_are_left_out_and_said() -> None:
    macro_type = b"application/vnd.ms-word.document.macroEnabled.main+xml"
    written = io.BytesIO()
    document = docx.Document()
    document.add_paragraph("Only the text.")
    document.save(written)
    with zipfile.ZipFile(written) as package:
        parts = {name: package.read(name) for name in package.namelist()}
    usual = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(usual, macro_type)
    found = read(zipped({**parts, "word/vbaProject.bin": b"Sub AutoOpen()"}), "a.docm")
    assert found.text == "Only the text."
    assert found.notes == ["The file holds macros. They were not run, and are not part of the text."]


def test_files_under_a_password() -> None:
    office = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(600)
    assert refused(office, "a.docx").code == "encrypted"
    assert refused(office.replace(b"E\0n\0c\0", b"W\0o\0r\0"), "a.doc").code == "unsupported"
    locked = pdf(
        [[]],
        trailer=b"/Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O <%b> /U <%b> >> /ID [<00> <00>]"
        % (b"41" * 32, b"42" * 32),
    )
    assert refused(locked, "a.pdf").code == "encrypted"


def test_a_zip_is_no_document_and_a_broken_one_is_broken() -> None:
    assert refused(zipped({"a.txt": b"hello"}), "a.docx").code == "unsupported"
    assert refused(b"PK\x03\x04" + os.urandom(500), "a.docx").code == "broken"
    book = epub()
    assert refused(book[: len(book) // 2], "a.epub").code == "broken"


def test_a_text_of_a_gigabyte_is_refused_before_it_is_read() -> None:
    with NamedTemporaryFile() as file:
        os.truncate(file.name, 1024**3)
        with pytest.raises(ExtractError) as raised:
            extract(Path(file.name), name="a.txt")
    assert raised.value.code == "too_large"


def test_more_text_than_is_allowed() -> None:
    limits = Limits(characters=10_000)
    for content, name in ((b"word " * 3000, "a.txt"), (b"a,b\n" * 5000, "a.csv"), (b"<p>word" * 3000, "a.html")):
        error = refused(content, name, limits=limits)
        assert error.code == "too_large"
        assert "10,000" in error.message


def test_time_and_memory_run_out() -> None:
    # Nested emphasis, for a parser in pure Python.
    slow = b"*a_ `b` [c](d) " * 250_000
    began = time.monotonic()
    assert refused(slow, "a.md", limits=Limits(cpu_seconds=1)).code == "timeout"
    assert refused(slow, "a.md", limits=Limits(wall_seconds=1)).code == "timeout"
    assert time.monotonic() - began < 20
    little = Limits(memory_bytes=100 * 1024**2)
    assert refused(b"word " * 15_000_000, "a.txt", limits=little).code == "memory"


def test_a_caller_may_stop_a_parser() -> None:
    class Cancelled(Exception):
        pass

    def cancelled() -> None:
        raise Cancelled

    with NamedTemporaryFile(suffix=".md") as file:
        file.write(b"*a_ `b` [c](d) " * 250_000)
        file.flush()
        with pytest.raises(Cancelled):
            extract(Path(file.name), name="a.md", tick=cancelled)


def test_an_error_quotes_nothing_of_the_document(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = b"SECRET-4711"
    with caplog.at_level(logging.DEBUG):
        errors = [
            refused(b"%PDF-1.4\n" + secret * 100, "a.pdf"),
            refused(word(b"<w:" + secret), "a.docx"),
            refused(bytes(20) + secret, "a.txt"),
        ]
    said = "".join(f"{error.message} {error.detail}" for error in errors) + caplog.text + "".join(capfd.readouterr())
    assert secret.decode() not in said


CONFINED = """
import os, socket, sys
from rag.extract import confine
from rag.extract.model import Limits
confine.limit(Limits())
confine.shut()
def tried(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"
print(tried(lambda: open("/etc/passwd").read()))
print(tried(lambda: open(sys.argv[1]).read()))
print(tried(lambda: open("/tmp/written-by-a-parser", "w").write("x")))
print(tried(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 2)))
print(tried(lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[3])))
print(tried(lambda: os.kill(os.getppid(), 0)))
print(tried(lambda: os.execv(sys.executable, [sys.executable, "-c", ""])))
import email.mime.audio
print("imports", *sorted(name for name in os.environ if name.startswith("GW_")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Landlock and namespaces are Linux's")
def test_a_parser_that_was_taken_over_reaches_nothing(tmp_path: Path) -> None:
    import socket

    secret = tmp_path / "secret.key"
    secret.write_text("secret")
    database = str(tmp_path / "database")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(database)
        listening.listen()
        ran = subprocess.run(
            [sys.executable, "-c", CONFINED, str(secret), str(server.getsockname()[1]), database],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
    passwd, key, written, connected, *others, imports = ran.stdout.splitlines()
    assert written != "done"
    assert imports == "imports"
    if landlock_works():
        assert (passwd, key) == ("PermissionError", "PermissionError")
        assert connected != "done"
    if "Seccomp:" in Path("/proc/self/status").read_text() and platform.machine() in syscalls.MACHINES:
        assert others == ["PermissionError"] * 3


def landlock_works() -> bool:
    """Whether the kernel has it: asked for its version."""
    return bool(ctypes.CDLL(None).syscall(confine.LANDLOCK_CREATE_RULESET, None, 0, 1) > 0)


def test_the_parser_gets_none_of_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    popen = subprocess.Popen

    def watched(*args: object, **options: object) -> object:
        started.append(options["env"])  # type: ignore[arg-type]
        return popen(*args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", watched)
    read(b"hello", "a.txt")
    assert set(started[0]) == {"PATH", "LANG", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"}
