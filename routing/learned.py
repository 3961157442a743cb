"""The learned classifier: the rules' three questions with fitted weights, and a fourth sum that exams taught.

`manage.py train_classifier` writes `learned.json`: plain numbers, with the names, licences and measured quality of what
they were learnt from. It is read on first use; nothing but the standard library is needed to apply it.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from operator import mul
from pathlib import Path
from typing import Final

from routing.features import Features
from routing.rules import CASE_WORD, WEIGHTS, answered, damped, signals

FILE: Final = Path(__file__).with_name("learned.json")
# The signs of form that exams are read by: none is a word of a subject.
FORM: Final = [
    "usual",
    "tokens",
    "word_length",
    "digits",
    "commas",
    "questions",
    "capitals",
    "notation",
    "code_signs",
    "cues_condition",
    "cues_steps",
    "cues_negation",
]


@dataclass(frozen=True, slots=True)
class Model:
    """The weights, in logits: of the signs of form, and of the signals for each of the three questions."""

    exam: tuple[float, ...]
    ladder: tuple[tuple[float, ...], ...]
    # The ladder by signal: what each says to the three questions.
    rows: tuple[tuple[float, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(zip(*self.ladder, strict=True)))


def form(found: Features) -> tuple[float, ...]:
    """The signs of form, in the order of `FORM` without its first."""
    return (
        damped(found.ask_tokens + found.choice_tokens + found.material_tokens),
        found.word_length if found.language == "latin" else CASE_WORD,
        damped(found.digits),
        damped(found.commas),
        damped(found.questions),
        damped(found.capitals),
        damped(found.notation),
        damped(found.code_signs),
        damped(found.cues_condition),
        damped(found.cues_steps),
        damped(found.cues_negation),
    )


def score(found: Features, model: Model | None = None) -> float:
    """How hard the request is, 0 to 1, by the shipped model or by `model`."""
    model = model or shipped()
    usual = sum(map(mul, model.exam, (1.0, *form(found))))
    return answered(usual, signals(found), model.rows)


@cache
def shipped() -> Model:
    """The model in `FILE`. Raises `ValueError` when it was trained for other signals than the code has."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    if list(stored["exam"]) != FORM or any(list(question) != list(WEIGHTS) for question in stored["ladder"]):
        raise ValueError(f"{FILE.name} was trained for other signals: run manage.py train_classifier")
    return Model(tuple(stored["exam"].values()), tuple(tuple(question.values()) for question in stored["ladder"]))
