"""What a parser is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

# A page as PNG -> its text; None where no page can be read.
ReadImage = Callable[[bytes], str]


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

    @property
    def ending(self) -> str:
        """The name's ending, lower case, without the dot."""
        last = self.name.replace("\\", "/").rpartition("/")[2].lower()
        return last.rpartition(".")[2] if "." in last else last
