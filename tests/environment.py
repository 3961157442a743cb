"""A clean environment and an embedded Postgres for the tests, made before Django reads its settings.

Loaded by `-p tests.environment` (pyproject.toml): a conftest would be too late.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from gateway_project import embedded, env
from tests import installation

PRODUCT = {field.upper() for field in env.Environment.__annotations__} | {"ENCRYPTION_KEY"}

# `make test` would pass its own flags on to the `make run` that tests start.
MAKE = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKE_TERMOUT", "MAKE_TERMERR"}

for name in (PRODUCT | MAKE) & os.environ.keys():
    del os.environ[name]

data_dir = Path(tempfile.mkdtemp(prefix="gw-"))
atexit.register(shutil.rmtree, data_dir, ignore_errors=True)
os.environ["DATA_DIR"] = str(data_dir)
# No limit where a test sets none.
os.environ["RATE_LIMIT_REQUESTS"] = "0"
if installation.shared():
    installation.furnish(data_dir)
embedded.start(data_dir)
