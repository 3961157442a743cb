"""Files that tests upload, made byte by byte where no library in the product writes them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Points from the page's left and bottom, the size, and what is written there. A font may be bold.
LETTER = (612, 792)


@dataclass(frozen=True)
class Line:
    """One line of text on a PDF's page."""

    text: str
    top: float = 720
    size: float = 11
    left: float = 72
    bold: bool = False


def pdf(pages: Sequence[Sequence[Line]], *, title: str = "", trailer: bytes = b"") -> bytes:
    """A PDF with these lines of Helvetica; `trailer` goes into the trailer as it is."""
    objects: list[bytes] = []

    def put(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    info = put(b"<< /Title (" + title.encode("latin-1") + b") >>")
    fonts = [put(f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} >>".encode()) for name in FONTS]
    parent = len(objects) + 1 + 2 * len(pages)
    kids = []
    for lines in pages:
        content = b"".join(map(_drawn, lines))
        stream = put(b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream")
        resources = b"<< /Font << /F0 %d 0 R /F1 %d 0 R >> >>" % tuple(fonts)
        page = b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 %d %d] /Contents %d 0 R /Resources %b >>"
        kids.append(put(page % (parent, *LETTER, stream, resources)))
    put(b"<< /Type /Pages /Count %d /Kids [%b] >>" % (len(kids), b" ".join(b"%d 0 R" % kid for kid in kids)))
    root = put(b"<< /Type /Catalog /Pages %d 0 R >>" % parent)
    return _assembled(objects, root, info, trailer)


FONTS = ("Helvetica", "Helvetica-Bold")


def _drawn(line: Line) -> bytes:
    text = line.text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").encode("latin-1")
    return b"BT /F%d %g Tf %g %g Td (%b) Tj ET\n" % (line.bold, line.size, line.left, line.top, text)


def _assembled(objects: Sequence[bytes], root: int, info: int, trailer: bytes) -> bytes:
    written = io.BytesIO()
    written.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(written.tell())
        written.write(b"%d 0 obj\n%b\nendobj\n" % (number, body))
    start = written.tell()
    written.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    written.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    sizes = (len(objects) + 1, root, info, trailer, start)
    written.write(b"trailer\n<< /Size %d /Root %d 0 R /Info %d 0 R %b >>\nstartxref\n%d\n%%%%EOF\n" % sizes)
    return written.getvalue()


def paragraph(text: str, *, top: float = 720, size: float = 11, width: int = 90, left: float = 72) -> list[Line]:
    """`text` broken into lines of at most `width` characters."""
    lines: list[str] = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += word + " "
    return [Line(line.strip(), top - 1.2 * size * at, size, left) for at, line in enumerate(lines)]


def zipped(members: Mapping[str, bytes], *, compressed: bool = True) -> bytes:
    """A ZIP of these files."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return written.getvalue()
