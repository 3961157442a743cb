"""What is asked in a turn, and what lies beside it: pasted articles, quotations, logs, alternatives, claimed tiers."""

import re
from collections.abc import Iterator

from routing.lexicon import ASKED, HARD, HARD_WORDS, NEEDLES, OPENERS, SIMPLE_WORDS, TIER_NAMED, TIER_ORDERED, unpacked
from routing.wording import hits_of, words_of

# The most that is looked at of each of a text's two ends.
WINDOW = 400
# A first or last paragraph this short beside a text this long may ask something of the text.
SHORT, LONG = 240, 200
# A first or last sentence this short may ask for a fact of a text at least this long.
SENTENCE = 140
# A quotation from this length on is material too.
QUOTED = 60
# A character of Chinese or Japanese says as much as this many letters.
DENSITY = 3
# A request's verb stands among its first words.
LEAD = 3
LEADING = 48

QUESTIONS = ("?", "\uff1f", "؟")
_QUOTATIONS = (('"', '"'), ("“", "”"), ("«", "»"), ("„", "“"), ("「", "」"), ("『", "』"))
# Where a line or a sentence ends.
_ENDS = ("\n", ". ", "? ")
_WIDE_ENDS = ("\n", ". ", "? ", "。", "\uff1f")
_SENTENCE_END = re.compile(r"\. |\n|。")
# How the first alternatives of a multiple choice begin; most texts have nothing like the first of them.
_CHOICES = (("\nA. ", "\nB. "), ("\nA) ", "\nB) "), ("\n(A) ", "\n(B) "), ("\na) ", "\nb) "))
_FIRST_CHOICE = re.compile(r"\n(?:A[.)]|\(A\)|a\)) ")

# A tier claimed in the prompt is no evidence: the sentence is taken out.
_TIER = r"(?:expert|complex|difficult|hard|simple|moderate)"
_CLAIM = re.compile(
    r"(?:please )?\b(?:treat|classify|route|rate|mark|label|consider|handle|regard) (?:this|it|that|the|my)\b"
    rf"[^.!?\n]{{0,40}}\b{_TIER}\b(?: (?:request|task|question|prompt|one))?[.!]*"
    rf"|(?:this is an? )?\b{_TIER}[ -](?:mode|level|tier|complexity)\b(?: (?:request|task|question|prompt))?[.!]*"
    r"|\bEXPERT\b[^.!?\n]{0,40}\bLEVEL\b[.!]*"
    r"|\b(?:deep|maximum|max)[ -](?:reasoning|effort)\b(?: (?:required|needed|please))?[.!]*",
    re.IGNORECASE,
)
_TIERS = re.compile(rf"{_TIER}|effort|reasoning", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]*[.!?\n]*")


def split(text: str, language: str) -> tuple[str, str]:
    """What is asked in `text`, and the beginning of the material that it is about: pasted articles, logs, code."""
    scale = DENSITY if language in ("zh", "ja") else 1
    if len(text) * scale <= SHORT:
        return _unquoted(text, scale)
    window = WINDOW // scale
    head, tail = text[:window], text[-window:].rstrip()
    first, last = head.partition("\n\n")[0], tail.rpartition("\n\n")[2]
    pasted = (len(text) - len(first) - len(last)) * scale
    if len(first) * scale <= SHORT and pasted + len(last) * scale >= LONG and _only_reads(first, language):
        closing = last if len(last) * scale <= SHORT and "?" in last else ""
        return f"{first}\n{closing}", text[len(first) : window]
    # A first paragraph that asks for more is not material.
    opens = len(first) * scale <= 2 * SHORT and _questions(first)
    closes = len(last) * scale <= SHORT and pasted + len(first) * scale >= LONG and not opens
    if closes and commands(last, language) and _only_reads(last, language):
        return last, head
    for short, rest in _ends(head, tail) if _may_look_up(head, tail, language) else ():
        # The cheapest first: most sentences are no order.
        if len(short) * scale > SENTENCE or _questions(rest) or not commands(short, language):
            continue
        if _only_looks_up(short, language) and not _asks_much(rest, language):
            return short, rest
    short, rest = _first_question(head)
    if rest and _only_asks_a_fact(short, language) and not _orders(rest, language):
        return short, rest
    if len(text) <= 2 * window:
        return _unquoted(text, scale)
    return f"{head}\n{tail}", text[window : 2 * window]


def _unquoted(text: str, scale: int) -> tuple[str, str]:
    """`text` without what it quotes at length, and the quotation."""
    for opening, closing in _QUOTATIONS if not text.isascii() else _QUOTATIONS[:1]:
        start = text.find(opening)
        if start < 0:
            continue
        end = text.rfind(closing)
        if (end - start) * scale >= QUOTED:
            return f"{text[:start]} {text[end + 1 :]}", text[start:end]
    return text, ""


def _only_reads(paragraph: str, language: str) -> bool:
    """Whether a paragraph asks for something for which the rest is read, but not worked through."""
    plain, simple, moderate, hard, harder = unpacked(hits_of(paragraph, language))[:5]
    if hard + harder > max(simple + moderate, 1):
        return False
    return plain + simple + moderate > 0 or _questions(paragraph)


def _may_look_up(head: str, tail: str, language: str) -> bool:
    """Whether one of the sentences that `_ends` gives may ask for nothing but a fact; in most texts none does."""
    if language != "latin":
        return True
    ends = f"{head[: SENTENCE + 1]} {tail[-SENTENCE - 2 :]}"
    return "?" in ends or not SIMPLE_WORDS.isdisjoint(words_of(ends, language))


def _ends(head: str, tail: str) -> Iterator[tuple[str, str]]:
    """The first and the last line of a text, then the first and the last sentence; each with what lies beside it."""
    marks = _ENDS if head.isascii() else _WIDE_ENDS
    for mark in marks:
        start = head.find(mark, 0, SENTENCE + 1)
        if start > 0:
            yield head[: start + 1], head[start + 1 :]
    for mark in marks:
        end = tail.rfind(mark, max(len(tail) - SENTENCE - 2, 0), len(tail) - 1)
        if end > 0:
            yield tail[end + 1 :], tail[:end]


def _only_looks_up(sentence: str, language: str) -> bool:
    """Whether a sentence asks for nothing but a fact, a value or a label."""
    found = hits_of(sentence, language)
    if found & HARD:
        return False
    hits = unpacked(found)
    simple, moderate, reasons = hits[1], hits[2], hits[15]
    # "What is the notice period in this contract?" is looked up; "How do I find out what was the cause?" is not.
    return not reasons and simple >= moderate and (simple > 0 or (hits[-1] > 0 and _questions(sentence)))


def _asks_much(text: str, language: str) -> bool:
    """Whether a text has a word that asks for engineering or more."""
    if language == "latin":
        return not HARD_WORDS.isdisjoint(words_of(text, language))
    return hits_of(text, language) & HARD != 0


def _first_question(head: str) -> tuple[str, str]:
    """The question with which a text begins, and what follows it."""
    end = head.find("?", 0, SENTENCE)
    if end < 0 and not head.isascii():
        end = max(head.find(QUESTIONS[1], 0, SENTENCE), head.find(QUESTIONS[2], 0, SENTENCE))
    short, rest = head[: end + 1], head[end + 1 :]
    if end < 0 or len(rest) < SENTENCE or _questions(rest):
        return "", ""
    return short, rest


def _only_asks_a_fact(question: str, language: str) -> bool:
    """Whether a question wants what, who, when or where, and neither why nor how."""
    hits = unpacked(hits_of(question, language))
    return not (any(hits[2:5]) or hits[8] or hits[7] > 1 or hits[15] or any(hits[11:14]))


def _orders(text: str, language: str) -> bool:
    """Whether a sentence of `text` begins with what is to be done."""
    starts = [words_of(sentence[:LEADING], language)[:1] for sentence in _SENTENCE_END.split(text)]
    return any(word in OPENERS for start in starts for word in start)


def commands(paragraph: str, language: str) -> bool:
    """Whether a paragraph is a question, or begins with what is to be done."""
    if _questions(paragraph):
        return True
    if language in NEEDLES:
        return hits_of(paragraph[:SHORT], language) & ASKED != 0
    return not OPENERS.isdisjoint(words_of(paragraph[:LEADING], language)[:LEAD])


def _questions(paragraph: str) -> bool:
    return "?" in paragraph or (not paragraph.isascii() and (QUESTIONS[1] in paragraph or QUESTIONS[2] in paragraph))


def without_choices(ask: str) -> tuple[str, str]:
    """What is asked, and the alternatives of a multiple choice: their words are not what is asked."""
    if _FIRST_CHOICE.search(ask):
        for first, second in _CHOICES:
            start = ask.find(first)
            if start > 0 and ask.find(second, start) > 0:
                return ask[:start], ask[start:]
    return ask, ""


def may_claim(hits: int) -> bool:
    """Whether a text of these hits has the words by which a tier may be claimed."""
    return hits & TIER_NAMED != 0 and hits & TIER_ORDERED != 0


def without_claims(text: str) -> str:
    if len(text) <= 2 * WINDOW:
        return _unclaimed(text).strip()
    # Only what is looked at.
    return f"{_unclaimed(text[:WINDOW]).lstrip()}{text[WINDOW:-WINDOW]}{_unclaimed(text[-WINDOW:]).rstrip()}"


def _unclaimed(text: str) -> str:
    sentences = _SENTENCE.findall(text)
    return "".join([_CLAIM.sub("", sentence) if _TIERS.search(sentence) else sentence for sentence in sentences])
