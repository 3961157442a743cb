"""Which language a short text is in, by its script and its commonest words. Says nothing rather than guess."""

import re

_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("el", re.compile(r"[\u0370-\u03ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("hi", re.compile(r"[\u0900-\u097f]")),
    ("th", re.compile(r"[\u0e00-\u0e7f]")),
)
# Words that are frequent in one of these and rare in the others.
_COMMON = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the is are was were what how why who which does do did can could should would of and to for with in on "
        "my your it i you that this from about between explain give write please when where",
        "de": "der die das ist sind war wie warum was wer welche welcher welches kann ich man ein eine einen einem "
        "und oder nicht mit für von zu den dem auf bei gibt mir bitte wann wo wird werden im zum zur es des",
        "fr": "le la les est sont était comment pourquoi quel quelle quels quelles qui que quoi je un une des du de "
        "et ou pas avec pour dans sur au aux ce cette il elle on mon ma mes puis peut faire quand où",
        "es": "el la los las es son era cómo por qué quién cuál cuáles cuánto cuánta cuántos un una unos del de y o "
        "no con para en se mi puedo puede hay dónde cuándo que al lo su",
        "it": "il lo la i gli le è sono era come perché chi quale quali quanto quanta un una del della dei di e o non "
        "con per nel nella si mio mia posso può che dove quando cosa al fare",
        "pt": "o a os as é são era como por que quem qual quais quanto um uma do da dos das de e ou não com para em no "
        "na se meu minha posso pode onde quando fazer ao",
        "nl": "de het een is zijn was hoe waarom wat wie welke kan ik en of niet met voor van naar op bij waar wanneer",
        "tr": "ve bir bu nasıl neden ne kim hangi kaç için ile mi mı mu mü değil nedir nerede olarak en çok var yok",
        "sv": "och att det är som en ett hur varför vad vem vilken kan jag inte med för från till på när var",
        "pl": "i w na jest są jak dlaczego co kto który która czy nie z do od dla się gdzie kiedy",
    }.items()
}


def language_of(text: str) -> str:
    """An ISO 639-1 code, or "" where no language is clearly ahead of all others."""
    for language, script in _SCRIPTS:
        if script.search(text):
            return language
    words = [word.casefold() for word in _WORD.findall(text)]
    counts = sorted(((sum(word in common for word in words), name) for name, common in _COMMON.items()), reverse=True)
    (most, language), (second, _) = counts[:2]
    return language if most >= 2 and most > second else ""


def is_latin(text: str) -> bool:
    """Whether two letters of three are of the Latin alphabet, accents and all; also of a text without letters."""
    letters = _WORD.findall(text)
    latin = sum(len(_LATIN.findall(word)) for word in letters)
    return 3 * latin >= 2 * sum(map(len, letters))
