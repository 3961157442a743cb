"""What a parser is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from rag.extract.errors import ExtractError

# A page as PNG, and its number -> its text.
ReadImage = Callable[[bytes, int], str]
# In every encoding of Unicode.
MOST_BYTES_A_CHARACTER = 4


@dataclass(slots=True)
class Source:
    """One upload: the open file, the name that it came with, and what the sender says it is.

    `read_image` asks for the text of a page that is a picture; None when there is nobody to ask.
    """

    file: BinaryIO
    name: str
    media_type: str = ""
    charset: str = ""
    read_image: ReadImage | None = None

    def text_bytes(self, characters: int) -> bytes:
        """All bytes of a file that is text. Raises `ExtractError` when they cannot be few enough characters."""
        content = self.file.read(MOST_BYTES_A_CHARACTER * characters + 1)
        if len(content) > MOST_BYTES_A_CHARACTER * characters:
            raise ExtractError("too_large", f"The file holds more than {characters:,} characters of text. Split it.")
        return content

    @property
    def ending(self) -> str:
        """The name's ending, lower case, without the dot."""
        last = self.name.replace("\\", "/").rpartition("/")[2].lower()
        return last.rpartition(".")[2] if "." in last else last
