"""A library is measured on questions, by the search that everybody uses, and a trial leaves nothing behind."""

import time
from collections.abc import Iterator

import pytest

from accounts.models import Workspace
from rag import storage
from rag.evaluation import trials
from rag.evaluation.asking import HYBRID, RERANKED, TEXT, VECTOR, measure
from rag.evaluation.cases import Question, Wanted
from rag.evaluation.locating import locate
from rag.ingest import rounds
from rag.models import Chunk, Document, Entry, Library, Space
from tests.rag.embedder import EmbedderProcess

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

FILES = [
    trials.File("sea.md", b"# Sea\n\nThe herring swims in shoals of a million.\n\nNets are mended in winter."),
    trials.File("sky.md", b"# Sky\n\nThe swift sleeps while it flies.\n\nClouds of ice are the highest ones."),
]
QUESTIONS = [
    Question("How do herrings swim?", (Wanted("in shoals of a million", "", 2),)),
    Question("Which bird rests in the air?", (Wanted("The swift sleeps while it flies.", "sky.md", 3),)),
    Question("Where is the weather described?", (Wanted("", "sky.md", 4),)),
]


@pytest.fixture
def within() -> Iterator[Workspace]:
    with trials.workspace() as made:
        yield made


@pytest.fixture
def library(within: Workspace, embedder: EmbedderProcess) -> Library:
    settings = {"model": "all-MiniLM-L6-v2", "chunk_tokens": 32, "overlap": 0}
    made = trials.make(within, "trial", settings, FILES)
    rounds.work()
    trials.wait(made)
    return made


def test_each_mode_is_asked_each_question(library: Library) -> None:
    located = locate(library, QUESTIONS)
    assert located.missing == []

    by_meaning, by_words, both = measure(library, located.cases, [VECTOR, TEXT, HYBRID], 2)

    for measured in (by_meaning, both):
        assert [score.hit for score in measured.scores] == [1, 1, 1]
        assert measured.scores[0].found_share == 1
        assert 0 < (measured.scores[0].retrieved_share or 0) < 1
        assert measured.scores[2].found_share is None
        assert measured.milliseconds > 0
    # Not a word of the question is in the passage.
    assert [score.hit for score in by_words.scores][1] == 0
    assert by_meaning.mean.hit == 1


def test_a_mode_that_is_not_there_is_noted(library: Library) -> None:
    (measured,) = measure(library, locate(library, QUESTIONS).cases[:1], [RERANKED], 2)
    assert measured.scores[0].hit == 1
    assert any("Not reranked" in note for note in measured.notes)


def test_when_the_time_is_over_no_more_is_asked(library: Library) -> None:
    cases = locate(library, QUESTIONS).cases
    assert [each.scores for each in measure(library, cases, [TEXT], 2, until=time.monotonic() - 1)] == [[]]


def test_copies_under_another_chunking(library: Library, within: Workspace) -> None:
    copy = trials.make(within, "copy", {"chunk_tokens": 16, "overlap": 0}, trials.copies(library))
    rounds.work()
    trials.wait(copy)
    sources = set(Document.objects.filter(library=library).values_list("source", flat=True))
    assert set(Document.objects.filter(library=copy).values_list("source", flat=True)) == sources
    assert Chunk.objects.filter(library=copy).count() > Chunk.objects.filter(library=library).count()


def test_a_file_that_cannot_be_ingested_is_named(within: Workspace, embedder: EmbedderProcess) -> None:
    made = trials.make(within, "broken", {}, [trials.File("empty.pdf", b"%PDF-1.7 nothing")])
    rounds.work()
    with pytest.raises(trials.TrialFailed, match=r"empty\.pdf"):
        trials.wait(made)


def test_nobody_ingests(within: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "PATIENCE", 0.1)
    with pytest.raises(trials.TrialFailed, match="no worker"):
        trials.wait(trials.make(within, "waiting", {}, FILES))


def test_nothing_is_left_of_a_trial(embedder: EmbedderProcess) -> None:
    with trials.workspace() as within:
        made = trials.make(within, "trial", {}, FILES)
        rounds.work()
        trials.wait(made)
        assert Entry.objects.filter(library_id=made.pk).exists()
        file = Document.objects.filter(library=made).values_list("file", flat=True)[0]
        assert storage.documents().exists(file)

    assert not Workspace.objects.filter(pk=within.pk).exists()
    assert not Library.objects.filter(workspace_id=within.pk).exists()
    assert not Space.objects.filter(workspace_id=within.pk).exists()
    assert not Entry.objects.filter(workspace_id=within.pk).exists()
    assert not Chunk.objects.filter(workspace_id=within.pk).exists()
    assert not storage.documents().exists(file)
