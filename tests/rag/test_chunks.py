"""Documents are cut where their structure says, into passages that say where they are from."""

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.chunk import Piece, chunk, embedded_text
from rag.extract.model import Block, BlockKind, Extracted, Heading

WORD = re.compile(r"\S+")


def words(text: str) -> list[tuple[int, int]]:
    """A tokenizer whose tokens are words."""
    return [found.span() for found in WORD.finditer(text)]


def document(*blocks: tuple[BlockKind, str], title: str = "Handbook", language: str = "en") -> Extracted:
    text, made, headings = "", [], []
    for kind, content in blocks:
        if kind == "heading":
            level = len(content) - len(content.lstrip("#"))
            content = content.lstrip("# ")
            headings.append(Heading(len(text), level, content))
        made.append(Block(kind, len(text), len(text) + len(content)))
        text += content + "\n\n"
    return Extracted(text, "text/plain", title, language, [], headings, made)


def cut(extracted: Extracted, size: int = 12, overlap: int = 0, header: bool = True) -> list[Piece]:
    return chunk(extracted, size=size, overlap=overlap, count=words, title=extracted.title, contextual_header=header)


def test_a_short_document_is_one_passage() -> None:
    [piece] = cut(document(("paragraph", "The door is green. It squeaks.")))
    assert piece.content == "The door is green. It squeaks."
    assert (piece.ordinal, piece.start, piece.end, piece.page) == (0, 0, 30, None)


def test_white_space_has_no_passages() -> None:
    assert cut(Extracted(" \n\t ", "text/plain", "Nothing")) == []


def test_a_long_paragraph_is_cut_evenly_between_sentences() -> None:
    sentences = [f"Sentence {number} has five words." for number in range(6)]
    pieces = cut(document(("paragraph", " ".join(sentences))), size=12)
    assert [piece.content for piece in pieces] == [" ".join(sentences[i : i + 2]) for i in (0, 2, 4)]


def test_a_sentence_that_is_too_long_is_cut_between_words() -> None:
    pieces = cut(document(("paragraph", " ".join(f"w{number}" for number in range(30)))), size=8)
    assert all(len(words(piece.content)) <= 8 for piece in pieces)
    assert " ".join(piece.content for piece in pieces).split() == [f"w{number}" for number in range(30)]


def test_short_paragraphs_share_a_passage_and_sections_do_not() -> None:
    pieces = cut(
        document(
            ("heading", "# Doors"),
            ("paragraph", "They are green."),
            ("paragraph", "They squeak."),
            ("heading", "# Windows"),
            ("paragraph", "They are shut."),
        )
    )
    assert [piece.content for piece in pieces] == [
        "Doors\n\nThey are green.\n\nThey squeak.",
        "Windows\n\nThey are shut.",
    ]


def test_the_header_names_title_and_section_and_is_no_part_of_the_content() -> None:
    pieces = cut(
        document(
            ("heading", "# Doors"),
            ("heading", "## Paint"),
            ("paragraph", "They are green."),
            ("heading", "# Windows"),
            ("paragraph", "They are shut."),
        )
    )
    assert [piece.header for piece in pieces] == ["Handbook > Doors", "Handbook > Windows"]
    pieces = cut(document(("heading", "# Doors"), ("paragraph", "a " * 11 + "b."), ("paragraph", "c " * 11 + "d.")))
    assert [piece.headings for piece in pieces] == [("Doors",)] * 3
    assert "Doors" not in pieces[-1].content


def test_without_a_contextual_header_the_content_alone_is_embedded() -> None:
    [piece] = cut(document(("heading", "# Doors"), ("paragraph", "Green.")), header=False)
    assert piece.header == ""
    assert embedded_text(piece.header, piece.content) == piece.content


def test_a_header_leaves_room_for_the_content() -> None:
    deep = [("heading", f"{'#' * level} {'word ' * 40}{level}") for level in range(1, 7)]
    for piece in cut(document(*deep, ("paragraph", "They are green.")), size=20):  # type: ignore[arg-type]
        assert len(words(piece.header)) <= 10


def test_rows_of_a_table_stay_whole() -> None:
    rows = "\n".join(f"Name: N{number} | Born: {1800 + number}" for number in range(9))
    for piece in cut(document(("table", rows)), size=12):
        assert all(line.startswith("Name:") and "Born:" in line for line in piece.content.splitlines())


def test_overlap_repeats_the_end_of_the_passage_before() -> None:
    sentences = [f"Sentence {number} has five words." for number in range(8)]
    pieces = cut(document(("paragraph", " ".join(sentences))), size=15, overlap=5)
    for before, after in itertools.pairwise(pieces):
        assert after.start < before.end
        assert len(words(before.content[after.start - before.start :])) == 5


def test_paragraphs_that_a_program_has_escaped_are_paragraphs() -> None:
    log = r"{'content': 'First paragraph of some length here.\n\nSecond paragraph of some length here.'}"
    assert len(cut(document(("paragraph", log)), size=8)) == 2


def test_equal_passages_have_equal_hashes_wherever_they_stand() -> None:
    one = cut(document(("paragraph", "They are green.")))
    other = cut(document(("heading", "# Handbook"), ("paragraph", "x " * 12), ("paragraph", "They are green.")))
    assert one[0].hash == other[-1].hash
    assert one[0].hash != cut(document(("paragraph", "They are green.")), header=False)[0].hash


KINDS: list[BlockKind] = ["paragraph", "heading", "table", "code", "list", "quote"]
TEXTS = st.text(alphabet=st.sampled_from("ab .!?\n\\né你。\t'1"), min_size=1, max_size=120).filter(lambda t: t.strip())


@given(
    blocks=st.lists(st.tuples(st.sampled_from(KINDS), TEXTS), min_size=1, max_size=8),
    size=st.integers(2, 40),
    overlap=st.integers(0, 60),
)
def test_all_text_is_in_a_passage_and_none_is_too_long(
    blocks: list[tuple[BlockKind, str]], size: int, overlap: int
) -> None:
    extracted = document(*blocks)
    pieces = cut(extracted, size=size, overlap=overlap)
    assert [piece.ordinal for piece in pieces] == list(range(len(pieces)))
    missing = list(extracted.text)
    for piece in pieces:
        assert piece.content == extracted.text[piece.start : piece.end] != ""
        assert piece.content == piece.content.strip()
        assert len(words(piece.content)) <= size
        missing[piece.start : piece.end] = [""] * (piece.end - piece.start)
    left = "".join(missing)
    assert not re.sub(r"\\r|\\n", "", left).strip()
    assert [piece.start for piece in pieces] == sorted(piece.start for piece in pieces)


# --- Documents that are made to hurt ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "middle",
    [" " * 100_000, "\n" * 100_000, "a" * 100_000, ". " + " " * 100_000, "e" + "\u0301" * 100_000, "a.\n" * 30_000],
    ids=["spaces", "lines", "a word", "between sentences", "accents", "short lines"],
)
def test_few_tokens_of_many_characters_make_no_long_passage(middle: str) -> None:
    text = f"The door is < {middle} > green. It squeaks."
    pieces = cut(Extracted(text, "text/plain", "Doors"), size=12, overlap=4)
    assert max(len(piece.content) for piece in pieces) <= 12 * 25
    assert "".join("".join(piece.content.split()) for piece in pieces if piece.content).startswith("Thedooris<")
    assert pieces[-1].content.endswith("squeaks.")


@pytest.mark.parametrize("opened", ["![", "\u201c", "'", "("])
def test_marks_that_are_left_open_take_no_longer_than_other_text(opened: str) -> None:
    text = f"The door is {opened * 50_000} green."
    began = time.process_time()
    pieces = cut(Extracted(text, "text/plain", "Doors"), size=80)
    assert time.process_time() - began < 5
    assert "".join("".join(piece.content.split()) for piece in pieces) == "".join(text.split())
