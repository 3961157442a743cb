"""What Prometheus scrapes. Labels are bounded: no client can invent a value."""

from prometheus_client import Counter, Gauge

from analytics.tallies import Counts, Latency, Observes, counted, measured

LABELS = ("endpoint", "kind", "model", "status")
REQUESTS = Counter("gateway_requests_total", "Requests by what became of them.", LABELS)
LATENCY = Latency(
    "gateway_latency_seconds",
    "From a request's last byte to its answer's last byte.",
    ("endpoint", "kind"),
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
COST = Counter("gateway_cost_usd_total", "Spent, in USD.", ("kind", "model"))
CACHE_HITS = Counter("gateway_cache_hits_total", "Requests answered from the cache.", ("layer",))
CACHE_MISSES = Counter("gateway_cache_misses_total", "Requests looked up in the cache in vain.", ("layer",))
SEMANTIC_REFUSALS = Counter(
    "gateway_semantic_cache_refusals_total", "Near prompts that a gate found to mean something else.", ("gate",)
)
SEMANTIC_SKIPPED = Counter(
    "gateway_semantic_cache_skipped_total", "Looks that came to nothing, by why: counted as misses, too.", ("reason",)
)
SEMANTIC_CHECKS = Counter(
    "gateway_semantic_cache_checks_total", "Semantic hits that were answered afresh, by what came of it.", ("verdict",)
)
CACHE_UNREADABLE = Counter(
    "gateway_cache_unreadable_total", "Answers in Redis that do not open: cut, changed, or of another ENCRYPTION_KEY."
)
PROVIDER_ERRORS = Counter("gateway_provider_errors_total", "Attempts that failed, by how.", ("kind", "failure"))
BREAKERS_OPENED = Counter(
    "gateway_breakers_opened_total", "Circuit breakers of targets that opened, by the provider's kind.", ("kind",)
)
SPOOL_BYTES = Gauge(
    "gateway_spool_bytes", "Usage records on disk that Postgres does not have yet.", multiprocess_mode="max"
)
LEDGER_SET_ASIDE = Counter(
    "gateway_ledger_records_set_aside_total", "Usage records that Postgres refused, kept in spool/refused.txt."
)
LEDGER_LOST = Counter(
    "gateway_ledger_records_lost_total", "Usage records that neither disk nor memory took: there should be none."
)

# A model that no public price map knows is named by users, who could invent any number of them.
OTHER = "other"

# What a request is counted in, by its labels: to look children up by their names takes as long as to count in them.
_children: dict[tuple[str, str, str, int], tuple[Counts, Observes, Counts]] = {}


def request(
    *, endpoint: str, kind: str, model: str, known_model: bool, status: int, seconds: float, cost: float
) -> None:
    """Count a finished request and its USD. `known_model`: the name comes from the price map, so it may be a label."""
    key = (endpoint, kind, model if known_model else OTHER, status)
    children = _children.get(key)
    if children is None:
        model = key[2]
        children = _children[key] = (
            counted(REQUESTS.labels(endpoint, kind, model, str(status))),
            measured(LATENCY.labels(endpoint, kind)),
            counted(COST.labels(kind, model)),
        )
    requests, latency, costs = children
    requests.inc()
    latency.observe(seconds)
    if cost:
        costs.inc(cost)


def provider_error(kind: str, failure: str) -> None:
    """Count an attempt that failed."""
    PROVIDER_ERRORS.labels(kind, failure).inc()


def breaker_opened(kind: str) -> None:
    """Count a target's circuit breaker that opened."""
    BREAKERS_OPENED.labels(kind).inc()
