"""What a model is called, whoever serves it: one spelling for the many that providers have for the same model.

`meta-llama/Llama-3.1-8B-Instruct`, `llama3.1:8b-instruct-q4_K_M` and `accounts/fireworks/models/llama-v3p1-8b-instruct`
are one model. So the makers' and hosts' prefixes go, and with them the formats and quantisations of the weights, the
words that every tuned model has, and how many parameters of a mixture are active. What tells models apart stays:
sizes, versions, and words such as `mini`, `thinking` or `vl`.
"""

import functools
import re
from collections.abc import Iterator

# Formats, number formats and quantisations of the weights: ".gguf", "-Q4_K_M", ":8b-instruct-fp16", "-FP8", "-4bit".
_WEIGHTS = re.compile(
    r"[-_.:](?:i?q\d(?:_[a-z0-9]+)*|f(?:p)?(?:8|16|32)|bf16|nvfp4|mxfp4|fp4|int[48]|w\da\d+|[2-8]bit|awq|gptq|gguf|ggml|mlx"
    r"|dynamic|safetensors)(?=[-_.:]|$)"
)
# 2024-08-06, 20250219, 09-2025; and once a name is cut: Mistral's 2411, DeepSeek's 0324, Google's 001.
_DATE = re.compile(r"[-_@:.](?:20\d{2}-\d{2}-\d{2}|20\d{6}|\d{2}-20\d{2}|\d{2}-\d{2})(?=[-_@:.]|$)")
_SHORT_DATE = re.compile(r"\d{4}|00\d")
# Fireworks writes 3.1 as 3p1.
_P_FOR_POINT = re.compile(r"(?<=\d)p(?=\d)")
_PARTS = re.compile(r"[a-z]+|\d+[a-z]*")
_SIZE = re.compile(r"\d+[bmt]")
_EXPERTS = re.compile(r"\d+e")
# Says nothing of which model it is.
_NOISE = frozenset(
    {
        "instruct", "it", "latest", "preview", "exp", "experimental", "beta", "free", "hf", "v", "meta", "nvidia",
        "qat", "quantized", "ud",
    }
)  # fmt: skip
# Says it for some models only, so that the whole name is looked up first.
_FAINT = frozenset({"chat", "turbo", "instant", "versatile", "fast", "reasoning", "thinking"})


@functools.lru_cache(maxsize=4096)
def spellings(model: str) -> tuple[str, ...]:
    """The names under which a list of models may have `model`, the most exact first, in this module's spelling."""
    return tuple(dict.fromkeys(_spellings(_bare(model))))


def exact(model: str) -> str:
    """The first of `spellings`: every word that tells a version, its date included."""
    return " ".join(_cut(_bare(model), dated=True))


def undated(model: str) -> str:
    """`exact` without the date."""
    return " ".join(parts(model))


def last_part(model: str) -> str:
    """The name without who made the model and where it lies, otherwise as it is."""
    return model.lower().rstrip("/").rpartition("/")[2]


def parts(model: str) -> list[str]:
    """What `model`'s name is made of once its date, its format and the rest that says nothing are gone."""
    return _cut(_DATE.sub("", _bare(model)), dated=False)


def _spellings(name: str) -> Iterator[str]:
    for found in (_cut(name, dated=True), _cut(_DATE.sub("", name), dated=False)):
        yield " ".join(found)
        yield " ".join(part for part in found if part not in _FAINT)


def _bare(model: str) -> str:
    """The name alone: neither who made the model, nor where it lies, nor how its weights are stored."""
    name = model.lower()
    if name.startswith("ft:"):  # ft:<base>:<organisation>:<name>:<id>
        name = name.split(":")[1]
    name = last_part(name)
    shorter = _WEIGHTS.sub("", name)
    while shorter != name:
        name, shorter = shorter, _WEIGHTS.sub("", shorter)
    return name


def _cut(name: str, *, dated: bool) -> list[str]:
    found = _PARTS.findall(_P_FOR_POINT.sub(".", name))
    kept: list[str] = []
    for part in found:
        if part in _NOISE or _EXPERTS.fullmatch(part) or (not dated and _SHORT_DATE.fullmatch(part)):
            continue
        if kept and kept[-1] == "a" and _SIZE.fullmatch(part):
            kept.pop()  # 30b-a3b: three of thirty are active
            continue
        kept.append(part)
    return kept
