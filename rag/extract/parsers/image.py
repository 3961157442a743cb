"""A picture of a text: what OCR reads in it."""

import io
import re

from PIL import Image, ImageSequence

from rag.extract.builder import Builder, stem
from rag.extract.errors import ExtractError
from rag.extract.source import Source

_BROKEN = re.compile(r"(?<=[^\W\d])-\n(?=[^\W\d_])")
# Of one picture, before it is made smaller; a decompression bomb has more.
MOST_PIXELS = 150_000_000


def parse(source: Source, builder: Builder) -> None:
    if source.read_image is None:
        raise ExtractError("unsupported", "This is a picture. To read it, OCR (tesseract) must be installed.")
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    with Image.open(source.file) as picture:
        builder.media_type = Image.MIME.get(picture.format or "", "image/*")
        builder.entitle(stem(source.name))
        for number, frame in enumerate(ImageSequence.Iterator(picture)):
            # A TIFF's pages are pages; what moves has one.
            if number and picture.format != "TIFF":
                break
            builder.page()
            add_recognised(builder, source.read_image(as_png(frame, builder.limits.ocr_pixels), number + 1))


def add_recognised(builder: Builder, text: str) -> None:
    """What OCR read: empty lines part paragraphs, words that were broken are whole again."""
    for paragraph in text.split("\n\n"):
        builder.add("paragraph", _BROKEN.sub("", paragraph))


def as_png(picture: Image.Image, most_pixels: int) -> bytes:
    """Grey, and no larger than OCR has use for."""
    grey = picture.convert("RGBA").convert("L") if picture.mode == "P" else picture.convert("L")
    pixels = grey.width * grey.height
    if pixels > most_pixels:
        grey.thumbnail((int(grey.width * (most_pixels / pixels) ** 0.5), grey.height))
    written = io.BytesIO()
    grey.save(written, "PNG", compress_level=1)
    return written.getvalue()
