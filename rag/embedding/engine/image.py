"""Picture models: SigLIP, CLIP and others that transformers gives `get_image_features`."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from rag.embedding.catalog import ModelCard
from rag.embedding.engine import device as devices
from rag.embedding.engine.weights import Weights
from rag.embedding.errors import BadInput, ModelUnavailable

# What is decoded: formats without code or other files in them.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
# A picture of more pixels is refused before it is decoded: a kilobyte can claim a hundred times as many.
MOST_PIXELS = 50_000_000
TOO_LARGE = f"has more than {MOST_PIXELS:,} pixels"


class ImageModel:
    """One loaded model that makes vectors of pictures."""

    modality = "image"

    def __init__(self, card: ModelCard, weights: Weights) -> None:
        """Reads the weights. Raises ModelUnavailable."""
        self.device = devices.current()
        self.revision, self.name = weights.revision, card.name
        folder = str(weights.folder)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self._processor: Any = AutoImageProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
        self._model: Any = AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, trust_remote_code=False,
            dtype=devices.dtype(card, self.device),
        ).to(self.device).eval()  # fmt: skip
        if not hasattr(self._model, "get_image_features"):
            raise ModelUnavailable(card.name, "it makes no vectors of pictures")
        vision = getattr(config, "vision_config", config)
        patches = (vision.image_size // vision.patch_size) ** 2
        # Of a "token", which is a patch here: what the layers hold of it at once.
        self.bytes_per_token = 40 * vision.hidden_size * (2 if self.device.type == "cuda" else 4)
        self.patches = patches
        blank = io.BytesIO()
        Image.new("RGB", (8, 8)).save(blank, "PNG")
        self.dimension = int(self.run(self.prepare([blank.getvalue()], truncate=False)).shape[1])
        self.card = replace(card, dimension=self.dimension, max_tokens=patches)

    def prepare(self, files: Sequence[bytes], *, truncate: bool) -> list[torch.Tensor]:
        """The pictures as the model sees them, [3, height, width]. Raises BadInput, which names the first bad one."""
        return [self._seen(_decoded(index, data)) for index, data in enumerate(files)]

    def _seen(self, picture: Image.Image) -> torch.Tensor:
        """One at a time: a picture of 100 kB may be one of 150 MB when it is decoded."""
        made: torch.Tensor = self._processor(images=[picture], return_tensors="pt")["pixel_values"][0]
        return made

    def lengths(self, inputs: Sequence[torch.Tensor]) -> list[int]:
        return [self.patches] * len(inputs)

    @torch.inference_mode()
    def run(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """One vector per picture, float32 on the CPU."""
        pixels = torch.stack(list(inputs)).to(self.device, self._model.dtype)
        made = self._model.get_image_features(pixel_values=pixels)
        rows: torch.Tensor = made if isinstance(made, torch.Tensor) else made.pooler_output
        return rows.float().cpu()


def _decoded(index: int, data: bytes) -> Image.Image:
    """The first frame of an encoded picture, in RGB. Raises BadInput."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = picture.size
        if width * height > MOST_PIXELS:
            raise BadInput(index, TOO_LARGE)
        return picture.convert("RGB")
    except BadInput:
        raise
    except Image.DecompressionBombError:
        raise BadInput(index, TOO_LARGE) from None
    except Exception:  # noqa: BLE001  (decoders raise anything at bytes that are made to hurt them)
        raise BadInput(index, f"is no picture that can be read ({', '.join(FORMATS)})") from None
