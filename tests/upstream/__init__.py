"""A fake provider as its own process: a real HTTP server with the OpenAI wire and faults on demand.

    python -m tests.upstream --port 9000

It speaks OpenAI (models, chat, completions, embeddings), Anthropic, Gemini, Azure's deployment paths and
ollama's `/api/tags`. What it does wrong is told by a `Behaviour` (behaviour.py), which comes with the
requested model's name (`gpt-x?status=503&delay=0.2`) or through `POST /_control`. What it received, what it
managed to send and when its peer left is at `GET /_requests`.

A provider's base URL may start with `/s/<scene>`: a scene has its own models, behaviours and records, so
that one process plays many providers.
"""

from tests.upstream.process import Upstream

__all__ = ["Upstream"]
