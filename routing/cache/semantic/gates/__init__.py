"""What stops false hits: is a stored prompt, near as it may be, about something else than the one that is asked?

Each gate is a pure function of two texts and knows one way in which texts that look alike differ. All must agree.
"""

from collections.abc import Callable

from routing.cache.semantic.gates import code, contrasts, edits, moments, names, negation, numbers, roles, units
from routing.cache.semantic.gates.text import Prompt, analysed

Gate = Callable[[Prompt, Prompt], bool]

GATES: tuple[tuple[str, Gate], ...] = (
    ("number", numbers.differ),
    ("unit", units.differ),
    ("moment", moments.differ),
    ("code", code.differ),
    ("negation", negation.differ),
    ("contrast", contrasts.differ),
    ("name", names.differ),
    ("role", roles.differ),
    ("edit", edits.differ),
)


def refusal(stored: str, asked: str, *, same_day: bool = True) -> str:
    """The name of the gate that keeps the answer to `stored` from `asked`; "" when all let it pass.

    `same_day`: whether both are asked on one day. On another, "today" is no more what it was.
    """
    mine, theirs = analysed(stored), analysed(asked)
    if not same_day and moments.moments(theirs):
        return "moment"
    if mine.language and theirs.language and mine.language != theirs.language:
        return "language"
    for name, differ in GATES:
        if differ(mine, theirs):
            return name
    return ""
