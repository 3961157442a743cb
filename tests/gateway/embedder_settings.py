"""The product's settings with the embedding worker that a test starts and ends itself."""

import os

from gateway_project.settings import *  # noqa: F403

EMBED_SOCKET = os.environ["TEST_EMBED_SOCKET"]
EMBEDDING_IMAGE_MODEL, EMBEDDING_AUDIO_MODEL = "siglip", "clap"
