"""The labelled sets by which the classifier is designed, trained and judged, and their fixed splits.

Nothing here is read on the request path. What is judged is never read while rules are written or a model is fitted:
the reporting half of the exam's subjects, and the kept half of the prompts.
"""

import csv
import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# Lent to developers beside the checkout; never part of the product.
EXAM = ROOT.parent / "shared" / "data" / "routing" / "mmlu_dev.csv.gz"
PROMPTS = (
    ROOT / "tests" / "routing" / "data" / "prompts_a.jsonl",
    ROOT / "tests" / "routing" / "data" / "prompts_b.jsonl",
)
# Written after the classifier was done, by somebody who had not seen it: nothing was chosen or fitted with sight of
# what it says of them. The first look, at commit b5ae006: `rules` 88.3 % exact, 0.8 % off by two, AUC .984.
FRESH_PROMPTS = ROOT / "tests" / "routing" / "data" / "prompts_c.jsonl"
# Written after that, by somebody who knew the rules but had not asked them about these. At the first look 85.3 % were
# exact and 2.9 % off by two; then what the errors had in common was mended, so this is no judge any more.
SECOND_PROMPTS = ROOT / "tests" / "routing" / "data" / "prompts_d.jsonl"
# Written with sight of the classifier, in other styles than those: to train on, never to judge by.
OWN_PROMPTS = Path(__file__).with_name("prompts.jsonl")


@dataclass(frozen=True, slots=True)
class Question:
    """An exam question, and whether each of two models answered it correctly."""

    subject: str
    prompt: str
    weak: int
    strong: int

    @property
    def body(self) -> dict[str, Any]:
        """The question as the body of a chat request."""
        return {"messages": [{"role": "user", "content": self.prompt}]}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A realistic prompt with the tier that its author gave it."""

    id: str
    tier: str
    language: str
    category: str
    system: str
    text: str

    @property
    def body(self) -> dict[str, Any]:
        """The prompt as the body of a chat request."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return {"messages": [*system, {"role": "user", "content": self.text}]}


def questions() -> list[Question]:
    """Every question of the exam set. Raises `FileNotFoundError` where the set is not lent."""
    with gzip.open(EXAM, "rt", encoding="utf-8", newline="") as file:
        return [
            Question(row["subject"], row["prompt"], int(row["weak_correct"]), int(row["strong_correct"]))
            for row in csv.DictReader(file)
        ]


def design_subjects(found: Iterable[Question]) -> frozenset[str]:
    """The half of the subjects on which `rules` was designed: every second one of the alphabet, from the first."""
    return frozenset(sorted({question.subject for question in found})[::2])


def prompts(*, kept: bool) -> list[Prompt]:
    """One half of the labelled prompts: the kept half, which only judges, or the other, to design and train on.

    The halves are equal for each author, tier and language; within those the ids' hashes decide.
    """
    strata: dict[tuple[str, str, str], list[Prompt]] = defaultdict(list)
    for path in PROMPTS:
        for prompt in _read(path):
            strata[path.stem, prompt.tier, prompt.language].append(prompt)
    return [
        prompt
        for _, members in sorted(strata.items())
        for prompt in sorted(members, key=lambda prompt: hashlib.sha256(prompt.id.encode()).digest())[kept::2]
    ]


def fresh_prompts() -> list[Prompt]:
    """The prompts that the classifier's makers never saw judged."""
    return _read(FRESH_PROMPTS)


def second_prompts() -> list[Prompt]:
    """The prompts whose errors the rules were mended by."""
    return _read(SECOND_PROMPTS)


def own_prompts() -> list[Prompt]:
    """The prompts that only train."""
    return _read(OWN_PROMPTS)


def _read(path: Path) -> list[Prompt]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Prompt(row["id"], row["tier"], row["language"], row["category"], row.get("system") or "", row["prompt"])
        for row in rows
    ]
