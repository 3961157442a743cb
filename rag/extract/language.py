"""Which language a text is in."""

import functools
import threading
from typing import Any

# Enough to tell, from the middle: beginnings are full of names and contents.
SAMPLE = 6000
# Under this the model guesses.
SURE = 0.5
_loading = threading.Lock()


def language_of(text: str) -> str:
    """ISO 639-1, or "" for a text that is too short, of no language, or of one that the model is not sure about.

    The model is loaded once (about a second), which is why it is asked here and not in the parser's process.
    """
    begin = max(0, (len(text) - SAMPLE) // 3)
    sample = text[begin : begin + SAMPLE]
    if sum(map(str.isalpha, sample)) < 8:
        return ""
    with _loading:
        model = _model()
    language, probability = model.classify(sample)
    return str(language) if probability >= SURE and len(language) == 2 else ""


@functools.cache
def _model() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
