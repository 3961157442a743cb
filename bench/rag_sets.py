"""The sets of questions and passages that retrieval is judged by. They are lent to developers, beside the checkout."""

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT
from rag.evaluation.cases import Question, Wanted
from rag.evaluation.trials import File

LENT = ROOT.parent / "shared" / "data" / "retrieval"


@dataclass(frozen=True)
class Set:
    """Documents, and questions to them."""

    name: str
    files: list[File]
    questions: list[Question]


def xquad(folder: Path = LENT) -> Set:
    """Paragraphs, each a document of its own, and questions that one of them answers. Raises FileNotFoundError."""
    with gzip.open(folder / "xquad.en.json.gz", "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    files, questions = [], []
    for number, paragraph in enumerate(paragraphs):
        name = f"paragraph {number}.txt"
        files.append(File(name, paragraph["context"].encode()))
        questions += [Question(each["question"], (Wanted("", name, 0),)) for each in paragraph["qas"]]
    return Set("xquad", files, questions)


def chunking(name: str, folder: Path = LENT) -> Set:
    """A text, and questions with all passages of it that answer them. Raises FileNotFoundError."""
    file = f"{name}.md"
    content = (folder / "chunking" / file).read_bytes()
    questions = []
    with (folder / "chunking" / "questions.csv").open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            if row["corpus_id"] == name:
                wanted = [Wanted(each["content"], file, 0) for each in json.loads(row["references"])]
                questions.append(Question(row["question"], tuple(wanted)))
    return Set(name, [File(file, content)], questions)
