"""Chunks that stand beside each other in a section are found as one passage, with the document's own text between."""

import pytest

from accounts.models import Workspace
from rag import retrieve
from rag.models import Chunk, Document, DocumentText
from rag.retrieve import Query
from tests.rag.shelves import make_document, make_library

pytestmark = pytest.mark.django_db

TEXT = "The green door squeaks.\n\nThe green door is old.  The window is green. Nothing more."
SPANS = [(0, 23), (25, 47), (49, 69), (70, 83)]


@pytest.fixture
def document(workspace: Workspace) -> Document:
    document = make_document(make_library(workspace), [TEXT[start:end] for start, end in SPANS])
    DocumentText.objects.create(document=document, text=TEXT)
    for ordinal, (start, end) in enumerate(SPANS):
        Chunk.objects.filter(document=document, ordinal=ordinal).update(start=start, end=end, headings=["Doors"])
    return document


def found(workspace: Workspace, text: str, top_k: int = 5) -> list[retrieve.Result]:
    return retrieve.search(workspace.pk, Query(text, mode="text", top_k=top_k)).results


def test_neighbours_are_one_passage_with_what_is_between_them(workspace: Workspace, document: Document) -> None:
    [result] = found(workspace, "green door")
    assert (result.start, result.end) == (0, 69)
    assert result.content == TEXT[0:69]
    assert [result.content[start:end] for start, end in result.highlights].count("green") == 3


def test_chunks_that_overlap_need_no_text(workspace: Workspace, document: Document) -> None:
    DocumentText.objects.all().delete()
    Chunk.objects.filter(document=document, ordinal=1).update(start=10, content=TEXT[10:47])
    [one, *_] = found(workspace, "squeaks old")
    assert (one.start, one.end, one.content) == (0, 47, TEXT[0:47])


def test_a_text_that_has_changed_joins_nothing(workspace: Workspace, document: Document) -> None:
    DocumentText.objects.update(
        text="Another version of the text, which is as long as the one that was there before it."
    )
    [result] = found(workspace, "green door")
    assert result.content in [TEXT[start:end] for start, end in SPANS]


def test_other_sections_stay_apart(workspace: Workspace, document: Document) -> None:
    Chunk.objects.filter(document=document, ordinal=2).update(headings=["Windows"])
    assert sorted((each.start, each.end) for each in found(workspace, "green")) == [(0, 47), (49, 69)]


def test_a_megabyte_of_white_space_between_two_chunks_is_in_no_passage(workspace: Workspace) -> None:
    text = f"The green door squeaks.{' ' * 1_000_000}The green door is old."
    spans = [(0, 23), (len(text) - 22, len(text))]
    document = make_document(make_library(workspace), [text[start:end] for start, end in spans])
    DocumentText.objects.create(document=document, text=text)
    for ordinal, (start, end) in enumerate(spans):
        Chunk.objects.filter(document=document, ordinal=ordinal).update(start=start, end=end, headings=["Doors"])
    assert all(len(result.content) < 30 for result in found(workspace, "green door"))
