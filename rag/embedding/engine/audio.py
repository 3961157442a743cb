"""Sound models: CLAP and others that transformers gives `get_audio_features`.

The model hears ten seconds at a time. A longer sound is heard in consecutive windows whose vectors are averaged: CLAP's
own way, a random window, would make another vector each time.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from transformers import AutoFeatureExtractor, AutoModel

from rag.embedding.catalog import ModelCard
from rag.embedding.engine import device as devices
from rag.embedding.engine.weights import Weights
from rag.embedding.errors import BadInput, ModelUnavailable, TooLong

FORMATS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3", "AIFF", "CAF")
# What is decoded of a sound, in seconds; a few bytes can claim hours of silence.
MOST_SECONDS = 600
# The same in samples of all channels: eight of 48 kHz, or two of 192. A megabyte of FLAC can claim thirteen gigabytes.
MOST_SAMPLES = MOST_SECONDS * 48_000 * 8
# Samples of a channel that are decoded at once.
BLOCK = 65_536
# Of a window, in the spectrogram: what batches are measured by.
FRAMES = 1000
# Windows that are heard at once: ten minutes of sound, which are one input, would take gigabytes.
WINDOWS = 8


@dataclass(frozen=True)
class Heard:
    """A sound's windows, [windows, 1, frames, mels]."""

    features: torch.Tensor

    def __len__(self) -> int:
        return int(self.features.shape[0])


class AudioModel:
    """One loaded model that makes vectors of sounds."""

    modality = "audio"
    # Of a frame of the spectrogram and what the first layers make of it.
    bytes_per_token = 64 * 1024

    def __init__(self, card: ModelCard, weights: Weights) -> None:
        """Reads the weights. Raises ModelUnavailable."""
        self.device = devices.current()
        self.revision, self.name = weights.revision, card.name
        folder = str(weights.folder)
        self._extractor: Any = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        self._model: Any = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, dtype=devices.dtype(card, self.device)
        ).to(self.device).eval()  # fmt: skip
        if not hasattr(self._model, "get_audio_features"):
            raise ModelUnavailable(card.name, "it makes no vectors of sounds")
        self.rate = int(self._extractor.sampling_rate)
        self.window = int(getattr(self._extractor, "nb_max_samples", 10 * self.rate))
        self.dimension = int(self._model.config.projection_dim)
        self.card = replace(card, dimension=self.dimension)

    def prepare(self, files: Sequence[bytes], *, truncate: bool) -> list[Heard]:
        """The sounds as spectrograms. Raises BadInput, and TooLong (in seconds) unless `truncate`."""
        return [self._heard(_decoded(index, data, self.rate, truncate)) for index, data in enumerate(files)]

    def _heard(self, samples: "np.ndarray[Any, np.dtype[np.float32]]") -> Heard:
        windows = [samples[start : start + self.window] for start in range(0, len(samples), self.window)]
        # A rest of less than a second says little, and would be repeated to fill its window.
        if len(windows) > 1 and len(windows[-1]) < self.rate:
            windows.pop()
        features = self._extractor(windows, sampling_rate=self.rate, truncation="rand_trunc", return_tensors="pt")
        return Heard(features["input_features"].float())

    def lengths(self, inputs: Sequence[Heard]) -> list[int]:
        return [FRAMES * len(each) for each in inputs]

    @torch.inference_mode()
    def run(self, inputs: Sequence[Heard]) -> torch.Tensor:
        """One vector per sound, float32 on the CPU."""
        windows = torch.cat([each.features for each in inputs])
        parts = (windows[start : start + WINDOWS] for start in range(0, len(windows), WINDOWS))
        rows: Any = torch.cat([self._of_windows(part) for part in parts])
        return torch.stack([part.mean(dim=0) for part in rows.split([len(each) for each in inputs])])

    def _of_windows(self, windows: torch.Tensor) -> torch.Tensor:
        features = windows.to(self.device, self._model.dtype)
        longer = torch.zeros(len(features), 1, dtype=torch.bool, device=self.device)
        made = self._model.get_audio_features(input_features=features, is_longer=longer)
        rows: torch.Tensor = made if isinstance(made, torch.Tensor) else made.pooler_output
        return rows.float().cpu()


def _decoded(index: int, data: bytes, rate: int, truncate: bool) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """An encoded sound as mono samples at `rate`. Raises BadInput and TooLong."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            if sound.format not in FORMATS:
                raise BadInput(index, f"is in a format that is not taken ({', '.join(FORMATS)} are)")
            seconds = int(sound.frames / sound.samplerate)
            if seconds > MOST_SECONDS and not truncate:
                raise TooLong(index, seconds, MOST_SECONDS, "seconds")
            frames = min(sound.frames, MOST_SECONDS * sound.samplerate)
            if frames * sound.channels > MOST_SAMPLES:
                raise BadInput(index, f"has more than {MOST_SAMPLES:,} samples")
            made = _mono(sound, frames, rate)
    except (BadInput, TooLong):
        raise
    except Exception:  # noqa: BLE001  (decoders raise anything at bytes that are made to hurt them)
        raise BadInput(index, f"is no sound that can be read ({', '.join(FORMATS)})") from None
    if not len(made) or not np.isfinite(made).all():
        raise BadInput(index, "holds no sound")
    return np.asarray(made, dtype=np.float32)


def _mono(sound: soundfile.SoundFile, frames: int, rate: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """The first `frames` of a sound, its channels mixed, at `rate`; what is held at a time is a block."""
    resampled = soxr.ResampleStream(sound.samplerate, rate, 1) if sound.samplerate != rate else None
    parts = []
    for block in sound.blocks(BLOCK, frames=frames, dtype="float32", always_2d=True):
        mixed = block.mean(axis=1)
        parts.append(mixed if resampled is None else resampled.resample_chunk(mixed))
    if resampled is not None:
        parts.append(resampled.resample_chunk(np.empty(0, np.float32), last=True))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
