"""Plain text, Markdown, code, tables and e-mail: what is kept, in which encoding, at which offset."""

import random
import zlib

import pytest

from tests.rag.extracting import blocks, read, refused
from tests.rag.files import paragraph, pdf


def test_plain_text_is_kept_and_its_blank_lines_part_paragraphs() -> None:
    text = "INTRODUCTION\n\nThe contract ends on the third of May.\nIt may be renewed.\n\n- one\n- two\n"
    found = read(text.encode(), "notes.txt")

    assert found.text == text
    assert blocks(found) == [
        ("heading", "INTRODUCTION"),
        ("paragraph", "The contract ends on the third of May.\nIt may be renewed."),
        ("list", "- one\n- two"),
    ]
    assert (found.title, found.language, found.media_type) == ("INTRODUCTION", "en", "text/plain")
    assert found.pages == []
    assert found.notes == []


@pytest.mark.parametrize(
    ("line", "level", "title"),
    [
        ("Title\n=====", 1, "Title"),
        ("2.1 Scope of the work", 2, "2.1 Scope of the work"),
        ("Chapter 3", 1, "Chapter 3"),
        (" = = = Music = = = ", 3, "Music"),
        ("== History ==", 2, "History"),
    ],
)
def test_headings_of_plain_text(line: str, level: int, title: str) -> None:
    (heading,) = read(f"{line}\n\nThe text below it goes on for a while.".encode(), "a.txt").headings
    assert (heading.level, heading.title) == (level, title)


def test_a_sentence_alone_on_its_line_is_no_heading() -> None:
    assert read(b"Nobody came.\n\n2026 was a good year, all things considered.", "a.txt").headings == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_in_all_its_encodings(encoding: str) -> None:
    assert read("Grüße aus Łódź".encode(encoding), "a.txt").text == "Grüße aus Łódź"


def test_a_declared_encoding_is_believed_where_utf8_is_ruled_out() -> None:
    assert read("Привет, мир".encode("koi8-r"), "a.txt", "text/plain; charset=koi8-r").text == "Привет, мир"


def test_an_encoding_that_nobody_names_is_guessed() -> None:
    text = "Die Straße führt über die Brücke; dort drüben wächst grünes Gemüse, und es schmeckt vorzüglich."
    assert read(text.encode("cp1252"), "a.txt").text == text


def test_a_few_broken_bytes_do_not_make_another_encoding_of_it() -> None:
    found = read("Größe, Übermut, ändern, Öl".encode() + b" \xff " + "süß".encode(), "a.txt")
    assert found.text == "Größe, Übermut, ändern, Öl \ufffd süß"
    assert found.notes == ["1 characters could not be read (the text was taken as utf-8)."]


def test_what_does_not_print_is_gone_and_text_is_composed() -> None:
    smuggled = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    found = read(f"a\x07b\x7f cafe\u0301\r\nnext\rline\u2028end \u00adsoft{smuggled} \ufeff.".encode(), "a.txt")
    assert found.text == "ab café\nnext\nline\nend soft ."


def test_offsets_hold_in_right_to_left_text_with_combining_marks() -> None:
    first, second = "הַתְחָלָה שֶׁל הַסֵּפֶר הַזֶּה", "النص العربي مع تَشْكِيل 👩‍👩‍👧 كامل"
    found = read(f"{first}\n\n{second}\n".encode(), "a.txt")
    assert [text for _, text in blocks(found)] == [first, second] == found.text.strip().split("\n\n")


def test_markdown_stays_as_it_is_with_its_blocks_named() -> None:
    text = (
        '---\ntitle: "Handbook"\n---\n# One *two*\n\nSome\ntext.\n\n- a\n  - b\n\n1. c\n\n```py\nx = 1\n```\n\n'
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n> said\n\nOld\n===\n\n    indented\n"
    )
    found = read(text.encode(), "a.md")
    assert found.text == text
    assert [kind for kind, _ in blocks(found)] == (
        ["code", "heading", "paragraph", "list", "list", "code", "table", "quote", "heading", "code"]
    )
    assert [(heading.level, heading.title) for heading in found.headings] == [(1, "One two"), (1, "Old")]
    assert found.title == "Handbook"


def test_markdown_with_mediawiki_headings_has_headings() -> None:
    found = read(b" = Game = \n Some text about it .\n\n = = Plot = = \n It begins .\n", "wiki.md")
    assert [(heading.level, heading.title) for heading in found.headings] == [(1, "Game"), (2, "Plot")]
    assert blocks(found)[1] == ("paragraph", "Some text about it .")


def test_code_is_kept_in_pieces_that_begin_where_indentation_ends() -> None:
    body = "    return sum(value for value in values if value)  # what is none is no value\n"
    text = "".join(f"def f{at}(values):\n{body * 3}\n\n" for at in range(3))
    found = read(text.encode(), "lib/tools.py")
    assert found.text == text
    assert [(kind, code[:7]) for kind, code in blocks(found)] == [("code", f"def f{at}(") for at in range(3)]
    assert found.title == "tools.py"


@pytest.mark.parametrize("name", ["data.json", "data.xml"])
def test_json_and_xml_are_read_as_text(name: str) -> None:
    content = b'{"a": [1, 2]}' if name.endswith("json") else b"<?xml version='1.0'?><a><b>1</b></a>"
    assert read(content, name).text == content.decode()


@pytest.mark.parametrize(("delimiter", "name"), [(",", "a.csv"), (";", "a.csv"), ("\t", "a.tsv"), ("|", "a.csv")])
def test_a_row_of_a_table_says_what_its_cells_are(delimiter: str, name: str) -> None:
    rows = [["Name", "Born", "Note"], ["Ada", "1815", ""], ['"Bob, B."', "1900", '"two\nlines"']]
    found = read("\r\n".join(delimiter.join(row) for row in rows).encode(), name)
    assert blocks(found) == [("table", "Name: Ada | Born: 1815\nName: Bob, B. | Born: 1900 | Note: two lines")]


def test_a_table_without_names_has_only_values() -> None:
    assert read(b"1,2\n3,4\n", "a.csv").text == "1 | 2\n3 | 4"


MAIL = """\
From: Ada <ada@example.com>
To: bob@example.com
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Date: Sat, 21 Nov 2026 10:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: multipart/alternative; boundary=y

--y
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Das Caf=E9 ist offen.

> Ist es offen?
--y
Content-Type: text/html

<p>not this one</p>
--y--
--x
Content-Type: application/pdf
Content-Disposition: attachment; filename="plan.pdf"

JVBERi0=
--x--
"""


def test_a_mail_with_an_attachment() -> None:
    found = read(MAIL.encode(), "a.eml")
    assert found.title == "Grüße"
    assert blocks(found) == [
        ("paragraph", "Subject: Grüße\nFrom: Ada <ada@example.com>\nTo: bob@example.com\n" + DATE),
        ("paragraph", "Das Café ist offen."),
        ("quote", "> Ist es offen?"),
    ]
    assert found.notes == ["The attachment plan.pdf (application/pdf) was left out; upload it as a file of its own."]


DATE = "Date: Sat, 21 Nov 2026 10:00:00 +0000"


def test_a_mail_of_html_alone() -> None:
    mail = f"From: a@example.com\n{DATE}\nSubject: Hi\nContent-Type: text/html\n\n<h1>News</h1><p>All is well.</p>"
    assert blocks(read(mail.encode(), "a.eml"))[1:] == [("heading", "News"), ("paragraph", "All is well.")]


def test_nothing_of_markdown_is_lost() -> None:
    found = read(b"See [here][1].\n\n***\n\n[1]: https://example.com\n\nEnd.", "a.md")
    assert [text for _, text in blocks(found)] == ["See [here][1].", "[1]: https://example.com", "End."]


def test_a_stray_control_character_makes_no_binary_of_a_text() -> None:
    assert read(b"It is a long text with a \0 in it, and it is read all the same.", "a.txt").text.count("\0") == 0


def test_bytes_that_are_no_text() -> None:
    assert refused(bytes(range(256)) * 4, "a.txt").code == "unsupported"
    packed = bytes(code or 1 for code in zlib.compress(random.Random(6).randbytes(2000)))
    assert refused(packed, "a.txt").code == "unsupported"
    assert refused(b"", "a.txt").code == "empty"
    assert refused(b" \n\t\n ", "a.txt").code == "empty"


@pytest.mark.parametrize(
    ("name", "media_type"), [("notes.txt", ""), ("sniff.py", ""), ("", "text/plain"), ("a.md", "")]
)
def test_a_text_that_speaks_of_a_pdfs_mark_is_a_text(name: str, media_type: str) -> None:
    text = "A PDF begins with %PDF-1.7 and ends with %%EOF."
    assert read(text.encode(), name, media_type).text == text


@pytest.mark.parametrize("name", ["a.pdf", "a.txt", ""])
def test_a_pdf_behind_what_got_in_front_of_it_is_a_pdf(name: str) -> None:
    content = pdf([paragraph("The walrus sleeps.")])
    assert "walrus" in read(b"\xef\xbb\xbf\r\n" + content, name).text
    assert "walrus" in read(b"X-Junk: 1\r\n\r\n" + content, "a.pdf").text
