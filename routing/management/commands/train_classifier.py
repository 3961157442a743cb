"""`manage.py train_classifier`: fits the learned classifier anew, the same way each time, and writes its file."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing.endpoints import CHAT
from routing.features import measure
from routing.learned import FILE, FORM
from routing.rules import WEIGHTS
from routing.training import sets

# What the model is taught by, as its file states it.
DATA = (
    {
        "name": "lm-sys/RouteLLM routellm/evals/mmlu: questions of 29 MMLU subjects with two models' answers judged",
        "licence": "Apache-2.0 (RouteLLM), MIT (MMLU)",
        "use": "what exams say: whether the weaker model fails",
    },
    {
        "name": "tests/routing/data/prompts_a.jsonl, prompts_b.jsonl: the design half; routing/training/prompts.jsonl",
        "licence": "this project's",
        "use": "the four tiers",
    },
)


class Command(BaseCommand):
    """Fits the learned classifier. The same data give the same file, to the last digit that is kept."""

    help = "Fit the learned classifier on the exam questions and the labelled prompts, and write its file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--output", type=Path, default=FILE, help="where to write the model")

    def handle(self, *args: Any, **options: Any) -> None:
        # numpy is no part of the request path.
        from routing.training import evaluate, fit, measures

        try:
            questions = sets.questions()
        except FileNotFoundError:
            raise CommandError(f"The exam questions are not here: {sets.EXAM} is lent to developers.") from None
        design = [*sets.prompts(kept=False), *sets.own_prompts()]
        model = fit.model(questions, design)
        self.stdout.write(f"{len(questions)} questions, {len(design)} prompts; leaving each subject out in turn …")
        measured = [measure(CHAT, question.body) for question in questions]
        found = measures.ranking(evaluate.left_out(questions, measured, design), evaluate.gains(questions))
        quality = {
            "leave_subject_out": {"apgr": found.apgr, "cpt50": found.cpt50, "cpt80": found.cpt80},
        }
        document = {
            "data": DATA,
            "quality": {name: _rounded(of) for name, of in quality.items()},
            "exam": _rounded(dict(zip(FORM, model.exam, strict=True))),
            "ladder": [_rounded(dict(zip(WEIGHTS, column, strict=True))) for column in model.ladder],
        }
        options["output"].write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        self.stdout.write(f"{options['output']}: {document['quality']}")


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(number, 5) for name, number in numbers.items()}
