"""Text models and cross-encoders: sentence-transformers loads and pools, texts become tokens and batches here."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer

from rag.embedding.catalog import ModelCard
from rag.embedding.engine import batches
from rag.embedding.engine import device as devices
from rag.embedding.engine.weights import Weights
from rag.embedding.errors import BadDimensions, BadInput, BadVector, ModelUnavailable, TooLong

# They tell of each file that they read.
logging.getLogger("sentence_transformers").setLevel(logging.WARNING)

# A text of more characters is counted in pieces, so that its tokens need not all be held at once.
PIECE = 100_000
# Characters of a call's texts that are made into tokens at once, and of one text that are counted before it is refused.
AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Prepared:
    """Token ids of one input, with the types that tell a pair's halves apart where the model asks for them."""

    ids: Sequence[int]
    types: Sequence[int] | None = None


class _Tokens:
    """A model's tokenizer without padding, in two forms: as it is, and cut to what the model takes."""

    def __init__(self, tokenizer: Any, limit: int, known: int | None) -> None:
        """`known`: how many tokens the model has vectors of. An id beyond would end a GPU's context, and all calls."""
        self.limit = limit
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self.pad_left = tokenizer.padding_side == "left"
        self.size = min(len(tokenizer), known or len(tokenizer))
        text = tokenizer.backend_tokenizer.to_str()
        self.whole, self.cutting = Tokenizer.from_str(text), Tokenizer.from_str(text)
        for each in (self.whole, self.cutting):
            each.no_padding()
            each.no_truncation()
        self.cutting.enable_truncation(limit)
        one = self.whole.encode("a", add_special_tokens=False).ids
        all_of_it = self.whole.encode("a").ids
        at = next((i for i in range(len(all_of_it)) if all_of_it[i : i + len(one)] == one), 0)
        self.before, self.after = list(all_of_it[:at]), list(all_of_it[at + len(one) :])

    def plain(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        return list(self.whole.encode_batch_fast([text], add_special_tokens=False)[0].ids)

    def full(self, text: str) -> list[int]:
        """The ids of a text as the model takes it."""
        return list(self.whole.encode_batch_fast([text])[0].ids)

    def cut(self, text: str) -> list[int]:
        """The same, of as much as the model takes."""
        return list(self.cutting.encode_batch_fast([text])[0].ids)

    def count(self, text: str) -> int:
        """Tokens of a text, special ones included; those of a very long one to within a few at each piece's border."""
        pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)] or [""]
        found = sum(len(self.plain(piece)) for piece in pieces)
        return found + len(self.before) + len(self.after)

    def ids(self, index: int, given: Sequence[int], prompt: str) -> list[int]:
        """A token array with the special tokens and the prompt that it lacks. Raises BadInput."""
        if not all(isinstance(each, int) and 0 <= each < self.size for each in given):
            raise BadInput(index, f"has token ids that the model does not have: they go from 0 to {self.size - 1}")
        ids = list(given)
        if self.before and ids[: len(self.before)] == self.before:
            return ids
        lead = self.plain(prompt) if prompt else []
        return [*self.before, *lead, *ids, *self.after]


class TextModel:
    """One loaded model that makes vectors of texts."""

    modality = "text"

    def __init__(self, card: ModelCard, weights: Weights) -> None:
        """Reads the weights. Raises ModelUnavailable."""
        self.device = devices.current()
        self.revision = weights.revision
        self._model = _sentence_transformer(card, weights, devices.dtype(card, self.device), self.device)
        self.card = _completed(card, self._model)
        self.name = self.card.name
        self.dimension = self.card.dimension
        config = self._model[0].config
        self.tokens = _Tokens(self._model.tokenizer, self.card.max_tokens, getattr(config, "vocab_size", None))
        hidden = getattr(config, "hidden_size", None) or self.dimension
        self.bytes_per_token = 40 * hidden * (2 if self.device.type == "cuda" else 4)
        # What is set up by the first batch would otherwise be paid by the first query.
        self.run([Prepared(self.tokens.full("a"))])

    def prepare(
        self, texts: Sequence[str | Sequence[int]], role: Literal["query", "document"], *, truncate: bool
    ) -> list[Prepared]:
        """The inputs as tokens, in their order. Raises TooLong and BadInput, which name the first that is wrong."""
        prompt = self.card.query_prompt if role == "query" else self.card.document_prompt
        made: list[Prepared] = []
        for part in batches.pieces([len(text) for text in texts], AT_ONCE):
            made += self._prepare(texts, part, prompt, truncate)
        return made

    def _prepare(
        self, texts: Sequence[str | Sequence[int]], part: range, prompt: str, truncate: bool
    ) -> list[Prepared]:
        short = [
            prompt + text for text in texts[part.start : part.stop] if isinstance(text, str) and len(text) <= PIECE
        ]
        if len(short) < len(part):
            return [self._prepare_one(index, texts[index], prompt, truncate) for index in part]
        found = (self.tokens.cutting if truncate else self.tokens.whole).encode_batch_fast(short)
        return [self._fitting(index, each.ids) for index, each in zip(part, found, strict=True)]

    def _prepare_one(self, index: int, text: str | Sequence[int], prompt: str, truncate: bool) -> Prepared:
        limit = self.card.max_tokens
        if not isinstance(text, str):
            ids = self.tokens.ids(index, text, prompt)
            if truncate and len(ids) > limit:
                ids = [*ids[: limit - len(self.tokens.after)], *self.tokens.after]
            return self._fitting(index, ids)
        if truncate:
            # So many characters hold more tokens than the model takes, but for runs of nothing but spaces.
            return self._fitting(index, self.tokens.cut(prompt + text[: max(PIECE, limit * 32)]))
        if len(text) > PIECE:
            count, all_of_it = self.tokens.count(prompt + text[:AT_ONCE]), len(text) <= AT_ONCE
            if count > limit:
                raise TooLong(index, count, limit, at_least=not all_of_it)
            if not all_of_it:
                raise BadInput(index, f"has more than {AT_ONCE:,} characters")
        return self._fitting(index, self.tokens.full(prompt + text))

    def _fitting(self, index: int, ids: Sequence[int]) -> Prepared:
        """Raises TooLong, and BadVector for what holds no token at all."""
        if len(ids) > self.card.max_tokens:
            raise TooLong(index, len(ids), self.card.max_tokens)
        if not ids:
            raise BadVector(index, self.name)
        return Prepared(ids)

    def lengths(self, inputs: Sequence[Prepared]) -> list[int]:
        return [len(each.ids) for each in inputs]

    @torch.inference_mode()
    def run(self, inputs: Sequence[Prepared]) -> torch.Tensor:
        """One vector per input, float32 on the CPU, as the model's own modules make them."""
        features = _features(inputs, self.tokens, self.device)
        made: torch.Tensor = self._model(features)["sentence_embedding"]
        return made.float().cpu()

    def finish(
        self, rows: torch.Tensor, indices: Sequence[int], dimensions: int | None, normalize: bool
    ) -> list[bytes]:
        """The rows as vectors, cut and normalised as asked. Raises BadVector with the index of the first bad one."""
        if dimensions and dimensions != self.dimension:
            if self.card.layer_norm:
                rows = torch.nn.functional.layer_norm(rows, (rows.shape[1],))
            rows = rows[:, :dimensions]
        return finished(rows, indices, self.name, normalize=normalize)

    def check_dimensions(self, dimensions: int | None) -> None:
        """Raises BadDimensions."""
        if dimensions is not None and dimensions not in self.card.dimensions:
            raise BadDimensions(self.name, list(self.card.dimensions))


class RerankModel:
    """One loaded cross-encoder."""

    modality = "rerank"

    def __init__(self, card: ModelCard, weights: Weights) -> None:
        """Reads the weights. Raises ModelUnavailable."""
        self.device = devices.current()
        self.revision, self.name = weights.revision, card.name
        self._model = CrossEncoder(
            str(weights.folder), device=str(self.device), local_files_only=True, trust_remote_code=False,
            model_kwargs={"dtype": devices.dtype(card, self.device)},
        ).eval()  # fmt: skip
        if self._model.num_labels != 1:
            raise ModelUnavailable(card.name, "it has more than one score and is no reranker")
        limit = min(self._model.max_seq_length or 512, card.max_tokens or 1_000_000)
        self.card = replace(card, dimension=1, max_tokens=limit)
        self.dimension = 1
        self.tokens = _Tokens(self._model.tokenizer, limit, self._model.config.vocab_size)
        self.tokens.cutting.enable_truncation(limit, strategy="only_second")
        self.bytes_per_token = 40 * self._model.config.hidden_size * (2 if self.device.type == "cuda" else 4)

    def prepare(self, query: str, texts: Sequence[str]) -> list[Prepared]:
        """The pairs as tokens; a text is cut to what the query leaves of the model's length, a query to half of it."""
        half = self.tokens.limit // 2
        found = self.tokens.whole.encode(query[:PIECE], add_special_tokens=False)
        if len(found.ids) > half:
            query = query[: found.offsets[half][0]]
        pairs = [(query, text[:PIECE]) for text in texts]
        return [Prepared(each.ids, each.type_ids) for each in self.tokens.cutting.encode_batch(pairs)]

    def lengths(self, inputs: Sequence[Prepared]) -> list[int]:
        return [len(each.ids) for each in inputs]

    @torch.inference_mode()
    def run(self, inputs: Sequence[Prepared]) -> torch.Tensor:
        """A score from 0 to 1 for each pair, as rows of one number."""
        features = _features(inputs, self.tokens, self.device)
        scores: torch.Tensor = self._model(features)["scores"]
        return torch.sigmoid(scores.float()).reshape(-1, 1).cpu()


def finished(rows: torch.Tensor, indices: Sequence[int], model: str, *, normalize: bool) -> list[bytes]:
    """The rows as bytes of float32. Raises BadVector for one that is not finite, or is zero."""
    norms = torch.linalg.vector_norm(rows, dim=1)
    good = torch.isfinite(norms) & (norms > 0)
    if not bool(good.all()):
        raise BadVector(min(indices[at] for at, well in enumerate(good.tolist()) if not well), model)
    if normalize:
        rows = rows / norms.unsqueeze(1)
    block = np.ascontiguousarray(rows.numpy(), dtype="<f4")
    return [row.tobytes() for row in block]


def _features(inputs: Sequence[Prepared], tokens: _Tokens, device: torch.device) -> dict[str, Any]:
    """The model's input. Without padding there is no mask, and attention needs not look at one."""
    longest = max(len(each.ids) for each in inputs)
    shape = (len(inputs), longest)
    ids, mask = np.full(shape, tokens.pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    typed = inputs[0].types is not None
    types = np.zeros(shape, dtype=np.int64) if typed else None
    for row, each in enumerate(inputs):
        part = slice(longest - len(each.ids), longest) if tokens.pad_left else slice(0, len(each.ids))
        ids[row, part], mask[row, part] = each.ids, 1
        if types is not None and each.types is not None:
            types[row, part] = each.types
    arrays = {"input_ids": ids}
    if not mask.all():
        arrays["attention_mask"] = mask
    if types is not None and types.any():
        arrays["token_type_ids"] = types
    features = {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in arrays.items()}
    return {**features, "modality": "text"}


def _sentence_transformer(
    card: ModelCard, weights: Weights, dtype: torch.dtype, device: torch.device
) -> SentenceTransformer:
    """The model as its folder describes it; where that says nothing of pooling, as its card does.

    transformers chooses torch's own attention (SDPA) for each model that can have it.
    """
    options = {"dtype": dtype}
    if (weights.folder / "modules.json").exists():
        model = SentenceTransformer(
            str(weights.folder), device=str(device), local_files_only=True, trust_remote_code=False,
            model_kwargs=options,
        )  # fmt: skip
    else:
        transformer = Transformer(str(weights.folder), model_kwargs=options)
        pooling = Pooling(transformer.get_embedding_dimension(), card.pooling or "mean")
        model = SentenceTransformer(modules=[transformer, pooling, Normalize()], device=str(device))
    for module in model:
        if isinstance(module, Pooling) and not module.include_prompt:
            raise ModelUnavailable(card.name, "it leaves the prompt out of its pooling, which is not supported")
    model.eval()
    model.requires_grad_(False)
    return model


def _completed(card: ModelCard, model: SentenceTransformer) -> ModelCard:
    """The card with what only the model's files know; the files' word on prompts counts for unlisted models."""
    dimension = model.get_embedding_dimension()
    if not dimension:
        raise ModelUnavailable(card.name, "its files do not tell how long its vectors are")
    longest = getattr(model[0].config, "max_position_embeddings", None) or 8192
    limit = min(model.max_seq_length or longest, card.max_tokens or 1_000_000, longest)
    shorter = tuple(length for length in card.matryoshka if length < dimension)
    card = replace(card, dimension=dimension, max_tokens=limit, matryoshka=shorter)
    if card.known:
        return card
    prompts = {name: text for name, text in (model.prompts or {}).items() if text}
    document = prompts.get("document", "") or prompts.get("passage", "")
    return replace(card, query_prompt=prompts.get("query", ""), document_prompt=document)
