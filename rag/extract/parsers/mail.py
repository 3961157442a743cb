"""E-mail: who wrote to whom, when, about what; the text, or else the HTML; attachments are named."""

from email import policy
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser

from rag.extract.builder import Builder
from rag.extract.clean import clean
from rag.extract.decode import decoded
from rag.extract.source import Source

SHOWN = ("Subject", "From", "To", "Cc", "Date")


def parse(source: Source, builder: Builder) -> None:
    message = BytesParser(EmailMessage, policy=policy.default).parse(source.file)
    lines = [f"{name}: {_header(message, name)}" for name in SHOWN if _header(message, name)]
    builder.entitle(_header(message, "Subject"))
    builder.add("paragraph", "\n".join(lines))
    body = message.get_body(("plain", "html"))
    if body is not None:
        _add_body(builder, body)
    for part in message.iter_attachments() if message.is_multipart() else ():
        name = part.get_filename() or "without a name"
        builder.note(f"The attachment {name} ({part.get_content_type()}) was left out; upload it as a file of its own.")


def _header(message: EmailMessage, name: str) -> str:
    """A header's value; the parser raises whatever it likes for one that is malformed beyond its patience."""
    try:
        return clean(str(message.get(name, "")))
    except (ValueError, TypeError, AttributeError, IndexError, LookupError):
        return ""


def _add_body(builder: Builder, body: MIMEPart) -> None:
    payload = body.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    text, notes = decoded(content, str(body.get_content_charset() or ""))
    for note in notes:
        builder.note(note)
    if body.get_content_type() == "text/html":
        from rag.extract.parsers.html import add_html

        add_html(builder, text)
        return
    for paragraph in text.split("\n\n"):
        quoted = all(line.startswith(">") for line in paragraph.strip().split("\n"))
        builder.add("quote" if quoted else "paragraph", paragraph)
