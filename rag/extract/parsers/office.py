"""What the three Office formats share."""

import zipfile

from rag.extract import archive
from rag.extract.builder import Builder
from rag.extract.source import Source

MACROS = "The file holds macros. They were not run, and are not part of the text."


def check(source: Source, builder: Builder) -> None:
    """Refuse what unpacks to too much, before a library unpacks all of it; note macros."""
    with archive.opened(source.file, builder.limits) as package:
        if has_macros(package):
            builder.note(MACROS)
    source.file.seek(0)


def has_macros(package: zipfile.ZipFile) -> bool:
    """Whether there is a VBA project, whatever the file is called."""
    return any(name.lower().endswith("vbaproject.bin") for name in package.namelist())
