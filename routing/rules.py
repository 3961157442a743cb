"""The rules by which a request's features become a score from 0 to 1, and the score a tier.

Three questions are asked of every request: is it more than a lookup, more than routine writing or coding, more than
engineering? Each is answered by a weighted sum of the same signals, squeezed to 0-1; the score is the mean of the three
answers. So evidence of a proof says much about the third question and little about the first, as it should.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import compress
from math import exp, log1p
from typing import Final

from routing.features import Features
from routing.instruction import WINDOW

# Scores from which a request is moderate, complex, expert.
THRESHOLDS: Final = (0.25, 0.5, 0.75)
TIERS: Final = ("simple", "moderate", "complex", "expert")

# The logarithm of a usual question's tokens, and the length of its words.
CASE_TOKENS, CASE_WORD = 4.65, 4.8

# A word or two, in tokens.
BARE = 3

# What each signal says, in logits, to the three questions. Evidence of a proof counts for engineering too; that of an
# everyday letter against it. They were fitted on the design halves of `routing.training.sets` and rounded; where the
# sign made no sense the weight is 0.
WEIGHTS: Final = {
    # Before anything is known.
    "usual": (-4.70, -4.90, -4.80),
    "ask_tokens": (1.55, 0.95, 0.75),
    # A text pasted beside the question is read, not worked through.
    "material_tokens": (-0.15, -0.05, -0.20),
    # The system prompt wants a bare value or label.
    "system_simple": (-0.60, -1.30, 0.00),
    "asks_simple": (-1.00, -1.05, -0.35),
    "asks_moderate": (1.85, -1.20, -1.05),
    "asks_complex": (1.05, 2.50, -0.75),
    "asks_expert": (0.50, 1.40, 2.40),
    "lead_simple": (-1.10, -0.10, -0.40),
    "lead_moderate": (0.35, -0.70, -1.15),
    "lead_complex": (1.55, 1.05, -0.85),
    "lead_expert": (0.55, 1.20, 1.35),
    "terms_everyday": (-0.30, -0.75, 0.00),
    "terms_working": (0.75, -0.25, -0.40),
    "terms_technical": (0.10, 0.95, -0.40),
    "terms_research": (0.40, 1.10, 1.35),
    # A short proof has few specialised words, and few of any other kind.
    "density": (0.40, 1.05, 1.05),
    "cues_brief": (-0.05, -0.25, 0.00),
    "cues_steps": (1.30, 0.30, 0.55),
    "cues_constraint": (1.05, 0.20, 0.65),
    # What must hold always, for any, whatever happens: a guarantee is wanted.
    "cues_universal": (0.90, 1.60, 1.30),
    "cues_condition": (1.45, 0.60, 0.15),
    "cues_negation": (1.35, 0.60, 0.65),
    "cues_reasoning": (0.95, 0.20, 0.00),
    # It is about a text that is there.
    "cues_deictic": (-1.75, -0.50, -0.95),
    "questions": (-2.25, -1.60, -0.55),
    "commas": (0.20, 0.65, 0.00),
    "digits": (0.25, -0.15, -0.35),
    "notation": (0.40, 0.45, 0.10),
    "code": (0.30, 0.10, -0.15),
    # A question that only a specialist could ask: it is not looked up.
    "specialist": (2.60, 3.20, 0.00),
    # A word or two that name nothing to work on.
    "bare": (-2.50, -2.00, -2.00),
    # Nothing is known of the words: neither simple nor hard.
    "unknown_language": (1.50, 1.45, 1.80),
}
_ROWS = tuple(WEIGHTS.values())

# The second of something says less than the first: counts enter by the logarithm of one more. No count of a window
# exceeds its bytes.
_DAMPED = [log1p(count) for count in range(4 * 2 * WINDOW + 2)]


def damped(count: int) -> float:
    """log(1 + count)."""
    return _DAMPED[count] if count < len(_DAMPED) else log1p(count)


def case(found: Features) -> float:
    """How much there is to work through: in logits, 0 for a question of a few sentences.

    A question in long words asks what is known; one in short words, with figures, tells a case. Of texts that are not
    in English letters the words' length says nothing.
    """
    length = found.word_length if found.language == "latin" else CASE_WORD
    tokens = found.ask_tokens + found.choice_tokens + found.material_tokens
    return 0.30 * (damped(tokens) - CASE_TOKENS) - 0.45 * (length - CASE_WORD) + 0.12 * _DAMPED[found.digits]


def specialist(found: Features) -> float:
    """How far the words are a specialist's who asks for causes or consequences: 0, or 0.6 to 1.

    It takes several signs: two specialised words or more, and a why or how, a failure, or something hard to be done.
    A who or when asks for a fact all the same, and among given alternatives the answer is picked.
    """
    terms = found.terms_technical + 2 * found.terms_research
    if terms < 2 or found.choice_tokens or found.lead == 1 or found.asks_moderate > 1:
        return 0.0
    signs = found.cues_reasoning + found.cues_trouble + found.asks_complex + found.asks_expert
    return min(terms + signs, 5) / 5 if signs > found.asks_simple else 0.0


def bare(found: Features) -> bool:
    """Whether a conversation begins with a word or two that name no subject: "Prove it"."""
    if found.ask_tokens > BARE or found.messages > 2 or found.images or found.material_tokens:
        return False
    asks = found.asks_simple + found.asks_moderate + found.asks_complex + found.asks_expert
    terms = found.terms_working + found.terms_technical + found.terms_research
    return asks < 2 and not terms


def signals(found: Features) -> tuple[float, ...]:
    """The numbers that are weighed, in the order of `WEIGHTS`."""
    damp = _DAMPED
    lead = found.lead
    technical, research, expert = found.terms_technical, found.terms_research, found.asks_expert
    return (
        1.0,
        damp[found.ask_tokens],
        damped(found.material_tokens),
        damp[found.system_simple],
        damp[found.asks_simple],
        damp[found.asks_moderate],
        damp[found.asks_complex],
        damp[expert],
        lead == 1,
        lead == 2,
        lead == 3,
        lead == 4,
        damp[found.terms_everyday],
        damp[found.terms_working],
        damp[technical],
        damp[research],
        (technical + 2 * research + 2 * expert) / (found.ask_tokens + 5) ** 0.5,
        damp[found.cues_brief],
        damp[found.cues_steps],
        damp[found.cues_constraint],
        damp[found.cues_universal],
        damp[found.cues_condition],
        damp[found.cues_negation],
        damp[found.cues_reasoning],
        damp[found.cues_deictic],
        damp[found.questions],
        damp[found.commas],
        damp[found.digits],
        damp[found.notation],
        damp[found.code_signs + found.indented],
        specialist(found),
        bare(found),
        found.language == "other",
    )


def score(found: Features) -> float:
    """How hard the request is, 0 to 1."""
    return answered(case(found), signals(found), _ROWS)


def answered(usual: float, numbers: Sequence[float], rows: Sequence[tuple[float, ...]]) -> float:
    """The mean of the answers to the three questions, 0 to 1, by the signals and what each says to the questions."""
    lookup = routine = engineering = 0.0
    for position in compress(range(len(numbers)), numbers):  # a text shows few of the signals
        number = numbers[position]
        first, second, third = rows[position]
        lookup += first * number
        routine += second * number
        engineering += third * number
    answers = 0.0
    for evidence in (lookup, routine, engineering):
        answers += 1.0 / (1.0 + exp(-usual - evidence))
    return answers / 3


def tier(hardness: float) -> str:
    """The tier of a score."""
    return TIERS[bisect_right(THRESHOLDS, hardness)]
