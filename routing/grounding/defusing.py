"""Takes out of a document's text what a model, or who renders its answer, would take for more than text.

A document's text is data. Whatever in it looks like a fence of ours is not one any more, and of its links and images
only the words are left: an address that a document smuggled into an answer would be asked for by whoever renders that.

First what is well-formed is removed, so that it reads well. What is left may be nested, or come together by the removal
of what stood between; so in a second pass each beginning of a link, an image or a tag is broken, which makes no new
one. Both take time by the text's length alone: a text is a stranger's, and nobody else is served meanwhile.
"""

import re

_IMAGE = re.compile(
    r"!\[([^\[\]\n]{0,1000})\]\s?(?:\([^()\n]{0,2000}(?:\([^()\n]{0,200}\)[^()\n]{0,200})?\)|\[[^\[\]\n]{0,200}\])"
)
_LINK = re.compile(r"\[([^\[\]\n]{0,1000})\]\([^()\n]{0,2000}(?:\([^()\n]{0,200}\)[^()\n]{0,200})?\)")
_DEFINITION = re.compile(r"^[ \t]{0,3}\[[^\[\]\n]{1,200}\]:[ \t]*+\S.*$", re.MULTILINE)
_LOADS = "a|area|audio|base|body|button|embed|form|frame|iframe|image|img|input|link|math|meta|object|picture|script"
_LOADS += "|source|style|svg|table|track|video"
_TAG = re.compile(rf"</?(?:{_LOADS})\b[^<>]{{0,2000}}>", re.IGNORECASE)
_AUTOLINK = re.compile(r"<((?:https?|ftp|data|javascript):[^<>\s]{1,2000})>", re.IGNORECASE)

# Between "<" and a name: white space, and what nobody sees.
_UNSEEN = "[\\s\u200b-\u200f\u2060-\u2064\ufeff]*+"
# "<" where it opens a fence of ours, whatever it is made of, a tag that loads something or has attributes, an address.
_OPENING = re.compile(
    rf"[<\uff1c\ufe64](?={_UNSEEN}/?{_UNSEEN}(?:sources?|question)\b)"
    rf"|<(?=/?(?:{_LOADS})\b|[a-z!?][^<>=]*+=|[a-z][a-z0-9+.\-]{{1,31}}:)",
    re.IGNORECASE,
)
# What a link's address, and a reference's, begins with.
_ADDRESS = re.compile(r"\](?=[(:])")


def defused(text: str) -> str:
    """`text` without fences of ours, and without what a reader's program would load or follow."""
    text = _IMAGE.sub(r"\1", text)
    text = _LINK.sub(r"\1", text)
    text = _DEFINITION.sub("", text)
    text = _AUTOLINK.sub(r"\1", text)
    text = _TAG.sub("", text)
    return _ADDRESS.sub("] ", _OPENING.sub("&lt;", text))
