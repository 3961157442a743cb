"""What a process does not import: each of these costs it memory and a late start."""

import subprocess
import sys

import pytest

from gateway_project.env import BASE_DIR

HEAVY = (
    "celery", "litellm", "torch", "transformers", "sentence_transformers", "tokenizers", "numpy", "huggingface_hub",
    "PIL", "twisted", "daphne", "structlog", "redis", "httpcore", "httpx", "snowballstemmer",
)  # fmt: skip


def loaded_after(code: str) -> set[str]:
    """The top-level modules of a fresh interpreter that ran `code`."""
    program = f"{code}\nimport sys\nprint(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", program], cwd=BASE_DIR, capture_output=True, text=True, check=True)
    return set(run.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", HEAVY)
def test_a_web_process_starts_without(name: str, web_modules: set[str]) -> None:
    assert name not in web_modules


@pytest.fixture(scope="module")
def web_modules() -> set[str]:
    return loaded_after(
        "import django; django.setup(); from django.urls import get_resolver; get_resolver().url_patterns"
    )


def test_the_supervisor_starts_without_django() -> None:
    assert "django" not in loaded_after("import gateway_project.supervisor")


def test_the_worker_starts_without_torch_and_litellm() -> None:
    assert not loaded_after("from gateway_project.celery import app; app.loader.import_default_modules()") & {
        "torch",
        "litellm",
        "transformers",
    }


def test_who_asks_the_embedding_worker_needs_none_of_its_libraries() -> None:
    code = """
import django; django.setup()
import asyncio
from rag.embedding.client import current, floats, halfvec
from rag.embedding.errors import EmbedderAway
from rag.embedding import spaces
for call in (lambda: current.embed_sync(["a"]), lambda: asyncio.run(current.embed(["a"]))):
    try: call()
    except EmbedderAway: pass
halfvec(bytes(8)); floats(bytes(8))
"""
    heavy = {"torch", "numpy", "transformers", "sentence_transformers", "tokenizers", "huggingface_hub"}
    assert not loaded_after(code) & heavy


def test_a_web_process_that_sends_a_task_finds_the_broker() -> None:
    code = """
import django; django.setup()
from celery import shared_task
@shared_task
def nothing(): pass
assert nothing.app.conf.broker_url == "filesystem://"
"""
    assert "celery" in loaded_after(code)
