"""Types of fields that every API's payloads share."""

from typing import Annotated

from pydantic import AfterValidator


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character NUL")
    return text


# Text that Postgres can keep: it knows every character of Unicode but NUL. (JSON's lone surrogates never get
# this far: the parser refuses them.)
Text = Annotated[str, AfterValidator(_without_nul)]
