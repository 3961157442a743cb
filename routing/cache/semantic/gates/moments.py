"""Time that moves: "today" is another day tomorrow, and "last year" another year next year."""

import re

from routing.cache.semantic.gates.text import Prompt

_UNIT = (
    r"(?:week|month|year|quarter|season|decade|century|weekend|monday|tuesday|wednesday|thursday|friday|saturday|sunday|"
    r"summer|winter|spring|fall|autumn|night|morning|evening|semester)"
)
_MOVING = re.compile(
    r"\b(?:"
    r"(?P<day>today|tonight|tomorrow|yesterday|heute|morgen|gestern|aujourd'hui|demain|hier|hoy|mañana|ayer|oggi|domani|"
    r"ieri|hoje|amanhã|ontem|bugün|yarın|dün)"
    rf"|(?P<which>this|last|next|past|coming|previous|current|upcoming|following)\s+(?P<unit>{_UNIT})s?"
    r"|(?P<now>now|nowadays|currently|right now|at the moment|at present|presently|these days|as of now|jetzt|derzeit|"
    r"aktuell|maintenant|actuellement|ahora|actualmente|adesso|attualmente|agora|atualmente|şimdi|şu an)"
    r"|(?P<latest>latest|newest|most recent|recent|recently|lately|up to date|neueste[nrs]?|dernière?s?|"
    r"última?s?|últimos?)"
    r"|(?P<ago>ago|soon|later|earlier)"
    r")\b",
    re.I,
)
_IDEOGRAMS = (
    "今天", "明天", "昨天", "今年", "明年", "去年", "现在", "目前", "今日", "明日", "昨日", "来年", "昨年", "最新",
    "今晚", "本周", "下周", "上周", "今週", "来週", "先週",
)  # fmt: skip
_SAME = {
    "coming": "next", "upcoming": "next", "following": "next",
    "past": "last", "previous": "last", "current": "this",
}  # fmt: skip


def moments(prompt: Prompt) -> frozenset[str]:
    """The moving moments that `prompt` names. "tonight" is not "today"; all words for now are one."""
    found = {sign for sign in _IDEOGRAMS if sign in prompt.text}
    for match in _MOVING.finditer(prompt.text):
        if match["which"]:
            which = match["which"].casefold()
            found.add(f"{_SAME.get(which, which)} {match['unit'].casefold()}")
        elif match["now"]:
            found.add("now")
        elif match["latest"]:
            found.add("latest")
        else:
            found.add(match[0].casefold())
    return frozenset(found)


def differ(stored: Prompt, asked: Prompt) -> bool:
    """Whether they mean different moments."""
    return moments(stored) != moments(asked)
