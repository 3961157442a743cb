"""EPUB: its pages of HTML in the order of the spine."""

import posixpath
import zipfile
from urllib.parse import unquote

from lxml import etree

from rag.extract import archive
from rag.extract.builder import Builder
from rag.extract.decode import decoded
from rag.extract.errors import ExtractError
from rag.extract.parsers.html import add_html, declared
from rag.extract.source import Source

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
# Fonts may be scrambled without the book being locked.
FONT_ALGORITHMS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
PAGES = ("application/xhtml+xml", "text/html")
LOCKED = "The book is protected (DRM). Its publisher decides who may read it."


def parse(source: Source, builder: Builder) -> None:
    with archive.opened(source.file, builder.limits) as book:
        names = set(book.namelist())
        if ENCRYPTION in names and _locked(book):
            raise ExtractError("encrypted", LOCKED)
        root = _attribute(_xml(book, CONTAINER), "//*[local-name()='rootfile']/@full-path")
        package = _xml(book, root)
        builder.entitle(*_texts(package, "//*[local-name()='metadata']/*[local-name()='title']"))
        title = builder.title
        for path in _spine(package, posixpath.dirname(root)):
            if path in names:
                content = book.read(path)
                add_html(builder, decoded(content, declared(content))[0])
        builder.title = title


def _spine(package: etree._Element, folder: str) -> list[str]:
    """Paths in the archive of what is read, in order."""
    items = {
        item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(item.get("href") or "")))
        for item in package.iterfind(".//{*}manifest/{*}item")
        if item.get("media-type") in PAGES and "nav" not in (item.get("properties") or "").split()
    }
    order = [reference.get("idref") for reference in package.iterfind(".//{*}spine/{*}itemref")]
    return [items[each] for each in order if each in items]


def _locked(book: zipfile.ZipFile) -> bool:
    methods = _xml(book, ENCRYPTION).iterfind(".//{*}EncryptionMethod")
    return any(method.get("Algorithm") not in FONT_ALGORITHMS for method in methods)


def _xml(book: zipfile.ZipFile, name: str) -> etree._Element:
    """A parsed part; entities stay unresolved, nothing is loaded, and depth and size are bounded by libxml2."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    return etree.fromstring(book.read(name), parser)


def _attribute(tree: etree._Element, path: str) -> str:
    found = tree.xpath(path)
    if not found:
        raise ExtractError("broken", "The book does not say where its pages are.")
    return str(found[0])


def _texts(tree: etree._Element, path: str) -> list[str]:
    found = tree.xpath(path)
    return (
        ["".join(each.itertext()) for each in found if isinstance(each, etree._Element)]
        if isinstance(found, list)
        else []
    )
