"""What a file is: by its content, and only where that leaves a choice (text is text) by its name or its sender."""

import importlib
import re
from dataclasses import dataclass
from typing import Protocol, cast

from rag.extract import archive
from rag.extract.builder import Builder
from rag.extract.decode import binary, marked, wide
from rag.extract.errors import ExtractError
from rag.extract.model import Limits
from rag.extract.source import Source

HEAD = 8192
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
OFFICE = "application/vnd.openxmlformats-officedocument."


class Parser(Protocol):
    """A module of `rag.extract.parsers`."""

    def parse(self, source: Source, builder: Builder) -> None:
        """Read `source` from its beginning into `builder`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A format: its media type, the module of `parsers` that reads it, and the endings that it goes by."""

    media_type: str
    module: str
    endings: tuple[str, ...] = ()

    def parser(self) -> Parser:
        """The parser, imported: nobody pays for the libraries of other formats."""
        return cast(Parser, importlib.import_module(f"rag.extract.parsers.{self.module}"))


PDF = Kind("application/pdf", "pdf", ("pdf",))
DOCX = Kind(OFFICE + "wordprocessingml.document", "docx", ("docx", "docm", "dotx", "dotm"))
PPTX = Kind(OFFICE + "presentationml.presentation", "pptx", ("pptx", "pptm", "ppsx", "ppsm", "potx", "potm"))
XLSX = Kind(OFFICE + "spreadsheetml.sheet", "xlsx", ("xlsx", "xlsm", "xltx", "xltm"))
EPUB = Kind("application/epub+zip", "epub", ("epub",))
RTF = Kind("application/rtf", "rtf", ("rtf",))
IMAGE = Kind("image/*", "image", ("png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "gif"))

# Formats that are text: nothing but the name tells some of them apart.
PLAIN = Kind("text/plain", "plain", ("txt", "text", "log"))
HTML = Kind("text/html", "html", ("html", "htm", "xhtml", "shtml"))
MARKDOWN = Kind("text/markdown", "markdown", ("md", "markdown", "mdown", "mkd", "mdx", "qmd"))
CSV = Kind("text/csv", "table", ("csv",))
TSV = Kind("text/tab-separated-values", "table", ("tsv", "tab"))
MAIL = Kind("message/rfc822", "mail", ("eml",))
JSON = Kind("application/json", "code", ("json", "jsonl", "ndjson", "geojson", "ipynb"))
XML = Kind("application/xml", "code", ("xml", "xsd", "xsl", "xslt", "svg", "rss", "atom", "plist"))
# Endings of source code and of settings, which are read as they are.
CODE_ENDINGS = """
py pyi js mjs cjs jsx ts tsx java kt kts scala groovy c h cc cpp cxx hpp hh cs fs vb go rs rb php pl pm lua r
jl  swift m mm dart ex exs erl hrl hs ml mli clj cljs lisp el scm sql sh bash zsh fish ps1 bat cmd css scss
sass  less vue svelte yaml yml toml ini cfg conf properties env tf hcl proto graphql gql gradle cmake mk
makefile  dockerfile nix zig sol asm s v sv vhd tex bib diff patch
"""
CODE = Kind("text/x-source", "code", tuple(CODE_ENDINGS.split()))
TEXTS = (PLAIN, HTML, MARKDOWN, CSV, TSV, MAIL, JSON, XML, CODE)
BINARIES = (PDF, DOCX, PPTX, XLSX, EPUB, RTF)

_BY_ENDING = {ending: kind for kind in (*BINARIES, IMAGE, *TEXTS) for ending in kind.endings}
_BY_TYPE = {kind.media_type: kind for kind in TEXTS} | {
    "application/xhtml+xml": HTML,
    "text/xml": XML,
    "text/x-markdown": MARKDOWN,
    "application/csv": CSV,
    "application/x-ndjson": JSON,
    "application/jsonl": JSON,
}
_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF87a", b"GIF89a")
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_MAIL = re.compile(rb"(?:(?:From |[A-Za-z][A-Za-z0-9-]*:)[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*)+", re.S)
_MAIL_NEEDS = (
    re.compile(rb"^from:", re.I | re.M),
    re.compile(rb"^(?:date|received|message-id|mime-version):", re.I | re.M),
)


def kind_of(source: Source, limits: Limits) -> Kind:
    """The format of `source`. Raises `ExtractError` for what is encrypted, empty, or none that is read here."""
    source.file.seek(0)
    head = source.file.read(HEAD)
    source.file.seek(0)
    if not head:
        raise ExtractError("empty", "The file is empty.")
    if _is_pdf(source, head):
        return PDF
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _in_zip(source, limits)
    if head.startswith(b"{\\rtf"):
        return RTF
    if head.startswith(OLE):
        raise _old_office(source)
    if head.startswith(_IMAGES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return IMAGE
    if not marked(head) and not wide(head) and binary(head):
        raise _binary(source, head)
    return _text(source, head)


def _is_pdf(source: Source, head: bytes) -> bool:
    """Whether a PDF's mark is at the beginning, or behind what got in front of it. A text may speak of that mark."""
    before, mark, _ = head[:1024].partition(b"%PDF-")
    if not mark:
        return False
    called = source.ending in PDF.endings or source.media_type == PDF.media_type
    return called or not before.strip(b"\xef\xbb\xbf \t\r\n\f\0") or binary(head)


def _text(source: Source, head: bytes) -> Kind:
    if _HTML.match(head[3:] if head.startswith(b"\xef\xbb\xbf") else head):
        return HTML
    header = _MAIL.match(head)
    if header and all(needed.search(header[0]) for needed in _MAIL_NEEDS):
        return MAIL
    named = _BY_ENDING.get(source.ending)
    if named in TEXTS:
        return named
    said = _BY_TYPE.get(source.media_type)
    if said and said is not PLAIN:
        return said
    if head.lstrip().startswith(b"<?xml"):
        return XML
    return PLAIN


def _in_zip(source: Source, limits: Limits) -> Kind:
    with archive.opened(source.file, limits) as packed:
        names = packed.namelist()
        if "mimetype" in names:
            with packed.open("mimetype") as member:
                if member.read(200).strip() == EPUB.media_type.encode():
                    return EPUB
        if "[Content_Types].xml" in names:
            folders = {name.partition("/")[0] for name in names}
            for folder, kind in (("word", DOCX), ("ppt", PPTX), ("xl", XLSX)):
                if folder in folders:
                    return kind
        if "META-INF/container.xml" in names:
            return EPUB
    raise ExtractError(
        "unsupported", "This is a ZIP and no document. Upload it as a .zip file, and each file in it is taken."
    )


def _old_office(source: Source) -> ExtractError:
    """Encrypted new files and all old ones have the same container."""
    content = source.file.read()
    if "EncryptedPackage".encode("utf-16-le") in content:
        return ExtractError("encrypted", "The file is protected by a password. Save it without one.")
    return ExtractError(
        "unsupported", "This is a file of an old Office (.doc, .xls, .ppt). Save it as .docx, .xlsx, .pptx or PDF."
    )


def _binary(source: Source, head: bytes) -> ExtractError:
    return ExtractError("unsupported", f"This is no document whose text can be read ({_described(head)}).")


def _described(head: bytes) -> str:
    """What libmagic calls these bytes; a machine without it just does not say."""
    try:
        import magic

        return str(magic.from_buffer(head, mime=True))
    except (ImportError, OSError, ValueError):
        return "binary data"


def wrong_name(kind: Kind, source: Source) -> str:
    """A note when a file's name says that it is something else, or ""."""
    named = _BY_ENDING.get(source.ending)
    if named is None or named is kind or (named in TEXTS and kind in TEXTS and kind is not HTML and kind is not MAIL):
        return ""
    return f"The file's name ends in .{source.ending}, its content is {kind.media_type}: it was read as that."
