"""How well the classifier ranks and labels: `python -m bench.routing_eval`, `make eval-routing`.

The exam questions are lent to developers and lie beside the checkout; where they do not, their part is left out.
`rules` was designed on one half of their subjects and is judged on the other; `learned` is judged on each subject by a
model that saw no question of it. Of the labelled prompts the kept half judges both.

Nobody read the texts of the kept half while the classifier was made, but its figures were looked at some fifteen times,
and those of the judging subjects more often; its counts of graded words gave the rates in `routing.training.fit`. So
figures on prompts and questions never seen may be a little lower.
"""

import sys
from functools import partial
from timeit import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routing import learned, rules
from routing.endpoints import CHAT
from routing.features import measure
from routing.training import evaluate, measures, sets

Numbers = NDArray[np.float64]

# Earlier turns about nothing that a question asks: about 2,000 tokens, as a conversation has them.
CHAT_BEFORE = [
    {
        "role": "user",
        "content": "We spent the weekend at the lake with the children. The weather was mild, the boat had a leak that "
        "we found too late, and in the evening we cooked potatoes over the fire while my sister told old stories. " * 5,
    },
    {
        "role": "assistant",
        "content": "That sounds like a lovely weekend, leak and all. Potatoes from the fire are hard to beat; with a "
        "little salt and butter they need nothing else. Did the children sleep in the tent or in the house? " * 5,
    },
] * 4


def ranking_row(name: str, scores: Numbers, gains: Numbers) -> str:
    """One line: APGR, CPT50 and CPT80, each with its 95 % bootstrap interval."""
    found = measures.ranking(scores, gains)
    low, high = measures.intervals(scores, gains)
    return (
        f"{name:<42}{found.apgr:6.3f} [{low.apgr:.3f}, {high.apgr:.3f}]  "
        f"{found.cpt50:6.1%} [{low.cpt50:.1%}, {high.cpt50:.1%}]  "
        f"{found.cpt80:6.1%} [{low.cpt80:.1%}, {high.cpt80:.1%}]"
    )


def exam_part() -> None:
    """The rankings of the exam questions."""
    try:
        questions = sets.questions()
    except FileNotFoundError:
        print("The exam questions are not lent here (shared/data/routing/mmlu_dev.csv.gz): rankings left out.\n")
        return
    design = sets.design_subjects(questions)
    judged = np.array([question.subject not in design for question in questions])
    everything = np.ones(len(questions), dtype=bool)
    gains = evaluate.gains(questions)
    measured = [measure(CHAT, question.body) for question in questions]
    after_chat = [measure(CHAT, {"messages": [*CHAT_BEFORE, *question.body["messages"]]}) for question in questions]
    by_rules = evaluate.scored(measured, rules.score)
    by_learned = evaluate.left_out(questions, measured, training_prompts())
    baselines = {
        "random": np.random.default_rng(0).random(len(questions)),
        "longest prompt": np.array([float(len(question.prompt)) for question in questions]),
        "oracle": gains,
    }
    print(f"{len(questions):,} exam questions; 95 % bootstrap intervals")
    for title, picked in (("all subjects", everything), ("the half that rules was not designed on", judged)):
        print(f"{title:<42}  APGR                   CPT50                   CPT80")
        for name, scores in baselines.items():
            print(ranking_row(f"  {name}", scores[picked], gains[picked]))
        print(ranking_row("  rules", by_rules[picked], gains[picked]))
        print(ranking_row("  learned, subject left out", by_learned[picked], gains[picked]))
    print("designed on:", ", ".join(sorted(design)))
    before, after = (measures.ranking(evaluate.scored(found, rules.score), gains) for found in (measured, after_chat))
    print(f"rules, after 2,000 tokens of chat: APGR {after.apgr:.3f}, loss {before.apgr - after.apgr:+.4f}\n")


def training_prompts() -> list[sets.Prompt]:
    """What the learned model's tiers are taught by."""
    return [*sets.prompts(kept=False), *sets.own_prompts()]


def tiers_part() -> None:
    """The tiers of the labelled prompts. What `learned` says of the design half it was taught."""
    print(f"{'tiers':<34}   exact  off by two  AUC    simple moderate complex expert")
    for name, score in (("rules", rules.score), ("learned", learned.score)):
        for half, prompts in (
            ("fresh", sets.fresh_prompts()),
            ("second", sets.second_prompts()),
            ("kept half", sets.prompts(kept=True)),
            ("design half", sets.prompts(kept=False)),
        ):
            found = evaluate.tiers_of(prompts, score)
            right = "  ".join(f"{found.table[index, index] / found.table[index].sum():6.0%}" for index in range(4))
            print(f"  {name + ', ' + half:<32} {found.exact:6.1%}   {found.far_off:6.1%}   {found.area:.3f}  {right}")
    print()


def timing_part() -> None:
    """Microseconds of CPU that a classification takes. `make bench` has the ratio to a pass-through."""
    prose = (
        "Explain in a few sentences how the write-ahead log of a database keeps what was committed when power fails. "
    )
    print("microseconds a classification    rules")
    for tokens in (10, 500, 30_000):
        body = {"messages": [{"role": "user", "content": (prose * (tokens // 25 + 1))[: tokens * 4]}]}
        best = min(repeat(partial(_classify, body), number=50, repeat=40)) / 50
        print(f"  {tokens:>6,} tokens                {best * 1e6:8.1f}")


def _classify(body: dict[str, Any]) -> None:
    rules.score(measure(CHAT, body))


def main() -> int:
    """Print the parts."""
    exam_part()
    tiers_part()
    timing_part()
    return 0


if __name__ == "__main__":
    sys.exit(main())
