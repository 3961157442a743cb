"""The embedding worker's figures for Prometheus, asked of it when somebody looks."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from rag.embedding import client
from rag.embedding.errors import EmbeddingError

COUNTERS = {
    "inputs": "Texts, pictures, sounds and pairs that went through a model.",
    "tokens": "Their tokens, prompts included and padding not.",
    "batches": "Batches that they went in.",
    "seconds": "What these batches took, in seconds.",
    "halved": "Batches that had to be halved because memory was short.",
    "refused": "Calls that were refused because too much waited.",
}


class EmbedderCollector(Collector):
    """The worker's own counts; `gateway_embedder_up` is 0 and alone while it is away."""

    def collect(self) -> Iterator[Metric]:
        try:
            stats = client.current.stats_sync()
        except EmbeddingError:
            stats = None
        yield GaugeMetricFamily("gateway_embedder_up", "Whether the embedding worker answers.", int(stats is not None))
        if stats is None:
            return
        yield GaugeMetricFamily("gateway_embedder_waiting", "Inputs that wait for a batch.", stats["waiting"])
        loaded = GaugeMetricFamily("gateway_embedder_loaded", "Models in memory.", labels=["model"])
        for model in stats["loaded"]:
            loaded.add_metric([model], 1)
        yield loaded
        for name, about in COUNTERS.items():
            yield CounterMetricFamily(f"gateway_embedder_{name}", about, stats.get(name, 0))


def registry() -> CollectorRegistry:
    """A registry of these figures alone: they are the machine's, not of one web process."""
    made = CollectorRegistry()
    made.register(EmbedderCollector())
    return made
