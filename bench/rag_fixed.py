"""What retrieval is compared with: chunks of 400 characters, each of which shares 200 with the next, by vectors alone.

The same worker embeds them, and the same measures judge them; nothing of the product's chunking or search is in it.
"""

import numpy as np
from numpy.typing import NDArray

from bench.rag_sets import Set
from rag.embedding import client
from rag.evaluation.locating import find
from rag.evaluation.measures import Place, Score, mean, score

SIZE, STEP = 400, 200
BATCH = 64


def score_of(given: Set, k: int, model: str) -> Score:
    """On a set of one document."""
    text = given.files[0].content.decode()
    places = [Place("", at, min(at + SIZE, len(text))) for at in range(0, max(1, len(text) - (SIZE - STEP)), STEP)]
    chunks = _vectors([text[place.start : place.end] for place in places], "document", model)
    questions = _vectors([question.text for question in given.questions], "query", model)
    scores = []
    for question, cosines in zip(given.questions, questions @ chunks.T, strict=True):
        references = [tuple(Place("", *span) for span in find(text, wanted.passage)) for wanted in question.wanted]
        scores.append(score(references, [places[index] for index in np.argsort(-cosines, kind="stable")[:k]], k))
    return mean(scores)


def _vectors(texts: list[str], role: client.Role, model: str) -> NDArray[np.float32]:
    made: list[bytes] = []
    for at in range(0, len(texts), BATCH):
        made += client.current.embed_sync(texts[at : at + BATCH], model=model, role=role, truncate=True).vectors
    return np.stack([np.frombuffer(vector, np.float32) for vector in made])
