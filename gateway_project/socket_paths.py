"""Where Unix sockets lie: their addresses are short."""

import hashlib
import os
import tempfile
from pathlib import Path

# sun_path of unix(7) has 108 bytes, the last of them NUL.
LONGEST = 107


def embed_socket(data_dir: Path) -> str:
    """The embedding worker's socket: in DATA_DIR, unless that path is too long, then in a folder for temporary files.

    Its folder is made private by the worker, and who connects looks whose it is.
    """
    path = str(data_dir / "run" / "embed.sock")
    if len(os.fsencode(path)) <= LONGEST:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return str(Path(tempfile.gettempdir()) / f"llm-gateway-run-{os.geteuid()}-{digest}" / "embed.sock")
