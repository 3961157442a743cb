"""Files to text: every format that a library takes, parsed where a hostile file harms nothing.

`extract(path, name=…)` gives a document's text with its headings, pages and blocks, or raises `ExtractError` with a
code and words for the one who uploaded it. `members(path)` opens a ZIP of documents.
"""

from rag.extract.archive import Member, members
from rag.extract.errors import CODES, Code, ExtractError
from rag.extract.model import Block, BlockKind, Extracted, Heading, Limits
from rag.extract.ocr import OcrFunction
from rag.extract.process import Tick, extract

__all__ = [
    "CODES",
    "Block",
    "BlockKind",
    "Code",
    "ExtractError",
    "Extracted",
    "Heading",
    "Limits",
    "Member",
    "OcrFunction",
    "Tick",
    "extract",
    "members",
]
