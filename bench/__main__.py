"""`python -m bench`: see the package's docstring."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import faults, ledger, measures, profile, report, scale, soak, wire
from bench.gateway import running_gateway
from bench.processes import free_port, running


@contextmanager
def _bench(quick: bool) -> Iterator[measures.Bench]:
    upstream, limit = free_port(), free_port()
    with (
        running("bench.upstream", upstream),
        running("bench.passthrough", limit, str(upstream)) as limit_pid,
        running_gateway(upstream) as gateway,
    ):
        yield measures.Bench(gateway, measures.PassThrough(limit, limit_pid), quick)


def _run(options: argparse.Namespace) -> int:
    """The table. 1 when a request failed or the ledger is wrong; with --strict also when a figure is over."""
    started = time.monotonic()
    print(report.machine())
    with _bench(options.quick) as bench:
        names = [name for name in measures.NAMES if not options.only or name in options.only]
        try:
            rows = measures.take(bench, names)
        except measures.RequestsFailed as failure:
            print(f"FAILED: {failure}\n{bench.gateway.log()}", file=sys.stderr)
            return 1
        flaws = ledger.flaws(bench.gateway)
        requests = sum(outcome.answered for _, outcome in bench.gateway.sent)
    print(report.table(rows))
    for flaw in flaws:
        print(f"LEDGER: {flaw}")
    if not flaws:
        print(f"ledger: {requests:,} requests, {requests:,} records, ids, tokens and cost exact")
    print(f"{time.monotonic() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(report.document(rows, flaws), indent=2) + "\n")
    over = options.strict and any(row.verdict == "over" for row in rows)
    return 1 if flaws or over else 0


def _profile(options: argparse.Namespace) -> int:
    return profile.run(options.kind, options.seconds, options.top)


def _scale(options: argparse.Namespace) -> int:
    return scale.run(options.keys, options.records, options.rounds)


def _faults(options: argparse.Namespace) -> int:
    return faults.run()


def _soak(options: argparse.Namespace) -> int:
    return soak.run(options.seconds)


def _rag_search(options: argparse.Namespace) -> int:
    from bench import rag_search  # numpy, which the others do without

    return rag_search.run(options.rows, options.questions, options.data)


def _ingest_speed(options: argparse.Namespace) -> int:
    from bench import ingest_speed  # Django and torch

    return ingest_speed.run(options.pages, options.rounds)


def _ingest_kill(options: argparse.Namespace) -> int:
    from bench import ingest_kill  # Django, on a database that it makes first

    return ingest_kill.run(options.pages, options.kills)


def _cache_eval(options: argparse.Namespace) -> int:
    from bench import cache_eval

    return cache_eval.run()


def _embed(options: argparse.Namespace) -> int:
    from bench import embed  # it sets the environment that Django reads

    return embed.run(options.rounds, options.passages)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmark of the request path.")
    parser.set_defaults(action=_run)
    parser.add_argument("--quick", action="store_true", help="short loads: a look, not a measurement")
    parser.add_argument("--only", action="append", choices=measures.NAMES, help="this measure (may be repeated)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and their samples to FILE")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a figure is over what it must be")
    actions = parser.add_subparsers(metavar="action")

    profiling = actions.add_parser("profile", help="the web process's heaviest functions")
    profiling.add_argument("--kind", choices=wire.KINDS, default="chat")
    profiling.add_argument("--seconds", type=int, default=10)
    profiling.add_argument("--top", type=int, default=10)
    profiling.set_defaults(action=_profile)

    scaling = actions.add_parser("scale", help="what many keys and ledger rows add to a request")
    scaling.add_argument("--keys", type=int, default=10_000)
    scaling.add_argument("--records", type=int, default=1_000_000)
    scaling.add_argument("--rounds", type=int, default=10)
    scaling.set_defaults(action=_scale)

    failing = actions.add_parser("faults", help="what failing providers cost the gateway's clients")
    failing.set_defaults(action=_faults)

    soaking = actions.add_parser("soak", help="mixed traffic while everything fails in turn, and the sums it ends with")
    soaking.add_argument("--seconds", type=float, default=600)
    soaking.set_defaults(action=_soak)

    searching = actions.add_parser("rag-search", help="search in one workspace of a million chunks: time and recall")
    searching.add_argument("--rows", type=int, default=1_000_000)
    searching.add_argument("--questions", type=int, default=100)
    searching.add_argument("--data", type=Path, metavar="FOLDER", help="keep the store there, and use it again")
    searching.set_defaults(action=_rag_search)

    ingesting = actions.add_parser("ingest-speed", help="ingestion beside the embedding in it")
    ingesting.add_argument("--pages", type=int, default=160)
    ingesting.add_argument("--rounds", type=int, default=5)
    ingesting.set_defaults(action=_ingest_speed)

    killing = actions.add_parser("ingest-kill", help="workers are killed while they ingest 2,000 pages: chunks lost")
    killing.add_argument("--pages", type=int, default=2000)
    killing.add_argument("--kills", type=int, default=10)
    killing.set_defaults(action=_ingest_kill)
    caching = actions.add_parser("cache-eval", help="what the semantic cache answers, right and wrong")
    caching.set_defaults(action=_cache_eval)
    embedding = actions.add_parser("embed", help="the embedding worker beside SentenceTransformer.encode")
    embedding.add_argument("--rounds", type=int, default=5)
    embedding.add_argument("--passages", type=int, default=192)
    embedding.set_defaults(action=_embed)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    sys.exit(arguments.action(arguments))
