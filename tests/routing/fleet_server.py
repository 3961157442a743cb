"""Local model servers as their own APIs are: Ollama, LM Studio, llama.cpp and the rest, on `tests.keys.server`."""

from typing import Any

from aiohttp import web

from tests.keys.server import Server


class Ollama:
    """Has models, some of them in memory, and tells of each what `/api/show` tells."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.shown: dict[str, dict[str, Any]] = {}
        server.json("/api/tags", {"models": []})
        server.answers["/api/show"] = self._show
        self.has()
        self.runs()

    def has(self, **models: dict[str, Any]) -> None:
        """Have these models; `_` in a name stands for `:`."""
        self.shown = {name.replace("_", ":"): said for name, said in models.items()}
        self.server.models(*self.shown)

    def runs(self, **windows: int) -> None:
        """Hold these in memory, each started with a window of so many tokens."""
        running = [
            {
                "model": name.replace("_", ":"),
                "size": 5_000_000,
                "context_length": window,
            }
            for name, window in windows.items()
        ]
        self.server.json("/api/ps", {"models": running})

    def looks(self) -> int:
        """How often it was asked of a model."""
        return self.server.paths().count("/api/show")

    async def _show(self, request: web.Request) -> web.Response:
        said = self.shown.get((await request.json())["model"])
        return web.json_response(said) if said is not None else web.json_response({"error": "not found"}, status=404)


def shown(window: int, *capabilities: str, parameters: str = "") -> dict[str, Any]:
    """What Ollama tells of a model that was made for `window` tokens."""
    return {
        "parameters": parameters,
        "details": {"family": "llama", "parameter_size": "8.0B"},
        "model_info": {"general.architecture": "llama", "llama.context_length": window, "llama.block_count": 32},
        "capabilities": ["completion", *capabilities],
    }
