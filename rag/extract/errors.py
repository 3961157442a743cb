"""Why a file gives no text, in words for the one who uploaded it."""

from typing import Literal, get_args

Code = Literal["encrypted", "broken", "empty", "unsupported", "too_large", "timeout", "memory", "zip_bomb"]
CODES: frozenset[str] = frozenset(get_args(Code))


class ExtractError(Exception):
    """A file that cannot be read. It is the file's fault: another try would end the same.

    `code` is one of `CODES`; `message` is for people and never holds text of the document. `detail` is for the log:
    the exception's type and where it was raised, nothing that the file says.
    """

    def __init__(self, code: Code, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.detail = detail
