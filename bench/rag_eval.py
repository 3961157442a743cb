"""How well a library finds what a question is answered by: `python -m bench.rag_eval`, `make eval-rag`.

Without arguments: the sets that are lent to developers, over chunkings and modes, in an installation of this run's own:
files are uploaded, ingested and embedded by a real worker, and searched as everybody searches. With a CSV file of one's
own (columns `question`, and `passage`, `document` or both) and `--library`: that library of the installation that
`DATA_DIR` holds, as it is, and its documents under other chunkings where `--chunking` names some.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import report
from bench.processes import ROOT, stop

if TYPE_CHECKING:
    from bench.rag_sets import Set
    from gateway_project.embedded import Hold
    from rag.evaluation.asking import Measured, Mode
    from rag.evaluation.measures import Score

MODEL = "all-MiniLM-L6-v2"
TOP_K = 5
# Seconds in which a worker must have loaded its model.
PATIENCE = 600.0
SETS = ("xquad", "wikitexts", "chatlogs")
# Settings of a library, by what the table calls them.
PARAGRAPHS = {"chunk_tokens": 248, "overlap": 0, "contextual_header": False}
CHUNKINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "default, no header": {"contextual_header": False},
    "160/40": {"chunk_tokens": 160, "overlap": 40},
    "200/0, no header": {"chunk_tokens": 200, "overlap": 0, "contextual_header": False},
}
HEAD = (
    f"{'chunking':22} {'mode':16} {'nDCG':>6} {'recall':>6} {'prec.':>6} {'hit':>6} {'false':>6}"
    f" {'found':>6} {'ref.':>6} {'ms':>6}"
)
LEGEND = (
    "recall: references found; prec.: results that found one; false: results a question that found none;\n"
    "found: share of the references' characters found; ref.: share of retrieved characters that is reference"
)


def row(chunking: str, mode: str, score: "Score", milliseconds: float | None = None) -> str:
    """One line of the table."""
    shares = (f"{'':>6}" if share is None else f"{share:6.3f}" for share in (score.found_share, score.retrieved_share))
    took = "" if milliseconds is None else f"{milliseconds:6.0f}"
    return (
        f"{chunking:22} {mode:16} {score.ndcg:6.4f} {score.recall:6.4f} {score.precision:6.3f} {score.hit:6.3f}"
        f" {score.false_hits:6.2f} {' '.join(shares)} {took}"
    ).rstrip()


def halves(measured: "Measured") -> str:
    """Shares of characters on the even and the odd questions: what was chosen with sight of one holds on the other."""
    from rag.evaluation.measures import mean

    parts = (mean(measured.scores[0::2]), mean(measured.scores[1::2]))
    return " and ".join(f"{part.found_share:.3f} / {part.retrieved_share:.3f}" for part in parts)


# --- The sets ------------------------------------------------------------------------------------


def run_sets(names: Sequence[str], chunkings: Sequence[str]) -> int:
    """Print the table of each set; 1 when a figure is under what it must be."""
    from bench import rag_sets
    from rag.evaluation import trials

    print(LEGEND)
    good = True
    parts: dict[str, Callable[[], Set]] = {
        "xquad": rag_sets.xquad,
        "wikitexts": lambda: rag_sets.chunking("wikitexts"),
        "chatlogs": lambda: rag_sets.chunking("chatlogs"),
    }
    for name in names:
        try:
            given = parts[name]()
        except FileNotFoundError as error:
            print(f"\n{name} is not lent here ({Path(error.filename).name}): left out.")
            continue
        with trials.workspace() as within:
            good = (_xquad(within, given) if name == "xquad" else _chunking(within, given, chunkings)) and good
    return 0 if good else 1


def _xquad(within: Any, given: "Set") -> bool:
    from rag.evaluation.asking import VECTOR

    table = _measured(within, given, {"paragraphs, no header": PARAGRAPHS, "default": {}}, _modes(), 10)
    best = table["paragraphs, no header", VECTOR.name].mean
    # Of a single reference, found among one: recall@1 is how often it came first.
    first = table["paragraphs, no header", VECTOR.name].scores
    at_1 = sum(each.ndcg == 1 for each in first) / len(first)
    good = best.ndcg >= 0.94 and at_1 >= 0.88
    print(f"paragraphs, vector: nDCG@10 {best.ndcg:.4f} (.94), recall@1 {at_1:.4f} (.88): {_verdict(good)}")
    return good


def _chunking(within: Any, given: "Set", chunkings: Sequence[str]) -> bool:
    from bench import rag_fixed
    from rag.evaluation.asking import HYBRID

    settings = {name: CHUNKINGS[name] for name in chunkings}
    table = _measured(within, given, settings, _modes(), TOP_K)
    fixed = rag_fixed.score_of(given, TOP_K, MODEL)
    print(row("400/200 characters", "vector", fixed))
    default = table["default", HYBRID.name]
    found, reference = default.mean.found_share or 0.0, default.mean.retrieved_share or 0.0
    print(f"default, hybrid, even and odd questions: {halves(default)}")
    if given.name == "wikitexts":
        good, aim = found >= 0.85 and reference >= 0.045, found >= 0.93 and reference >= 0.06
        print(f"default: found {found:.3f} (.85, .93), reference {reference:.3f} (.045, .06): {_verdict(good, aim)}")
        return good
    theirs = (fixed.found_share or 0.0, fixed.retrieved_share or 0.0)
    aim = found > theirs[0] and reference > theirs[1]
    good = aim or (found >= theirs[0] and reference >= theirs[1] and (found, reference) != theirs)
    print(
        f"default: found {found:.3f} ({theirs[0]:.3f}), reference {reference:.3f} ({theirs[1]:.3f}):"
        f" {_verdict(good, aim)}"
    )
    return good


def _verdict(good: bool, aim: bool = False) -> str:
    return "aim" if aim else "ok" if good else "UNDER"


def _modes() -> "list[Mode]":
    """The last one only where the installation has a cross-encoder."""
    from django.conf import settings

    from rag.evaluation.asking import HYBRID, RERANKED, TEXT, VECTOR

    return [VECTOR, TEXT, HYBRID, *([RERANKED] if settings.EMBEDDING_RERANK_MODEL else [])]


def _measured(
    within: Any, given: "Set", chunkings: dict[str, dict[str, Any]], modes: "Sequence[Mode]", k: int
) -> "dict[tuple[str, str], Measured]":
    """The table of a set, which is printed as it comes."""
    from rag.evaluation import trials
    from rag.models import Chunk

    print(f"\n{given.name}: {len(given.questions):,} questions, {len(given.files):,} documents, top {k}\n{HEAD}")
    made = {}
    for name, settings in chunkings.items():
        library = trials.make(within, f"{given.name} {name}", {"model": MODEL, **settings}, given.files)
        trials.wait(library)
        for measured in _ask(library, given.questions, modes, k):
            made[name, measured.mode.name] = measured
            print(row(name, measured.mode.name, measured.mean, measured.milliseconds), flush=True)
        print(f"{'':22} {Chunk.objects.filter(library=library).count():,} chunks")
    return made


def _ask(library: Any, questions: Sequence[Any], modes: "Sequence[Mode]", k: int) -> "list[Measured]":
    from rag.evaluation.asking import measure
    from rag.evaluation.locating import locate

    located = locate(library, questions)
    for missing in located.missing[:10]:
        print(f"line {missing.line}: this is in no document of the library: {missing.passage or missing.document:.80}")
    if len(located.missing) > 10:
        print(f"… and {len(located.missing) - 10:,} more; they are left out")
    if not located.cases:
        sys.exit("Nothing that the file asks for is in the library.")
    measured = measure(library, located.cases, modes, k)
    for note in sorted(set().union(*(each.notes for each in measured))):
        print(f"note: {note}")
    return measured


# --- One's own questions -------------------------------------------------------------------------


def run_own(file: Path, name: str, chunkings: Sequence[str], k: int) -> int:
    """A library of the installation that DATA_DIR holds, under its own settings and under `chunkings`."""
    from gateway_project.lib.errors import ApiError
    from rag.evaluation import cases, trials

    library = _library(name)
    try:
        questions = cases.read(file.read_bytes())
        print(f"{LEGEND}\n\n{library.name}: {len(questions):,} questions, top {k}\n{HEAD}")
        for measured in _ask(library, questions, _modes(), k):
            print(row("as it is", measured.mode.name, measured.mean, measured.milliseconds), flush=True)
        with trials.workspace() as within:
            for chunking in chunkings:
                settings = {"model": library.model or None, **_settings(chunking)}
                trial = trials.make(within, chunking, settings, trials.copies(library))
                trials.wait(trial)
                for measured in _ask(trial, questions, _modes(), k):
                    print(row(chunking, measured.mode.name, measured.mean, measured.milliseconds), flush=True)
    except (ApiError, trials.TrialFailed) as error:
        sys.exit(str(error))
    return 0


def _library(name: str) -> Any:
    from rag.models import Library

    found = list(Library.objects.filter(name=name).select_related("workspace")[:20])
    if not found:
        sys.exit(f"There is no library '{name}'.")
    if len(found) > 1:
        ids = ", ".join(f"{each.pk} ({each.workspace.name})" for each in found)
        sys.exit(f"Several workspaces have a library '{name}'; name it by its id: {ids}")
    return found[0]


def _settings(chunking: str) -> dict[str, Any]:
    """ "80/20" or "80/20/plain", without a header, as a library's settings."""
    size, _, rest = chunking.partition("/")
    overlap, _, plain = rest.partition("/")
    if not (size.isdecimal() and overlap.isdecimal() and plain in ("", "plain")):
        sys.exit(f"'{chunking}' is no chunking: 80/20 is 80 tokens, 20 of them shared; 80/20/plain has no header.")
    return {"chunk_tokens": int(size), "overlap": int(overlap), "contextual_header": not plain}


# --- Where it runs -------------------------------------------------------------------------------


@contextmanager
def own_installation() -> Iterator[None]:
    """A database and a worker of this run's own, gone when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="rag-eval-"))
    os.environ |= {"DATA_DIR": str(folder), "DATABASE_URL": "", "EMBEDDING_TEXT_MODEL": MODEL}
    with _installation() as hold:
        try:
            with _worker():
                yield
        finally:
            if hold is not None:
                hold.release()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def installation() -> Iterator[None]:
    """The one that DATA_DIR and DATABASE_URL name; where it does not run, a worker is begun."""
    with _installation(), _worker():
        yield


@contextmanager
def _installation() -> "Iterator[Hold | None]":
    """Django on the environment's database, which is made where there is none yet."""
    from gateway_project import embedded, env

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    with env.exit_on_bad_environment():
        environment = env.current()
        hold = embedded.start(environment.data_dir) if environment.embedded else None
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    yield hold


@contextmanager
def _worker() -> Iterator[None]:
    """An embedding worker, unless one answers."""
    from rag.embedding import client
    from rag.embedding.errors import EmbedderAway

    process = None
    ends = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                client.current.describe_sync(timeout=PATIENCE)
                break
            except EmbedderAway:
                if process is None:
                    process = subprocess.Popen([sys.executable, "-m", "bench.rag_worker"], cwd=ROOT)
                elif process.poll() is not None or time.monotonic() > ends:
                    raise
                time.sleep(0.1)
        yield
    finally:
        if process is not None:
            stop(process)


def main() -> int:
    """The lent sets, or somebody's own questions."""
    options = _arguments()
    print(report.machine())
    if options.file is not None:
        if not options.library:
            sys.exit("Name the library that the file's questions are about: --library NAME.")
        with installation():
            return run_own(options.file, options.library, options.chunking or [], options.k)
    unknown = set(options.chunking or []) - CHUNKINGS.keys()
    if unknown:
        sys.exit(f"The sets are measured under {', '.join(CHUNKINGS)}.")
    with own_installation():
        return run_sets(options.set or SETS, options.chunking or list(CHUNKINGS))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make eval-rag", description="How well a library finds what answers.")
    parser.add_argument("file", type=Path, nargs="?", help="CSV: question, and passage, document or both")
    parser.add_argument("--library", metavar="NAME", help="the library that the file's questions are about")
    parser.add_argument("-k", type=int, default=TOP_K, help="results a search may bring (with a file)")
    parser.add_argument(
        "--chunking", action="append", metavar="SIZE/OVERLAP",
        help="tokens; with /plain, without the contextual header (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--set", action="append", choices=SETS, help="this set alone (may be repeated)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
