"""Providers with a wire of their own (Anthropic, Gemini, Azure): litellm translates, the gateway transports.

litellm is imported on first use, in a thread: it takes seconds and 100 MB, and most gateways never need it. Of it, only
`acompletion` and its translations are used: no retries, no callbacks, no cache, no log, no network of its own
(`litellm_http.Call`), and no variable of the environment, since key and address are always given.
"""

import asyncio
import functools
import logging
import os
import re
import warnings
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import httpx
import orjson

from routing.endpoints import CHAT
from routing.providers import litellm_answer, sse
from routing.providers.base import Failure, Target, Timeouts, UpstreamError
from routing.providers.litellm_http import Call
from routing.providers.litellm_request import fields, refused, with_images

logger = logging.getLogger(__name__)

# The latest dated version of Azure's API that is generally available (learn.microsoft.com, Azure OpenAI reference).
AZURE_API_VERSION = "2024-10-21"
# What litellm puts before a message: "litellm.BadRequestError: AnthropicException - ".
_PREFIX = re.compile(r"^(?:litellm\.)?\w+(?:Error|Timeout|Exception)(?::\s*|\s+-\s*)")
# litellm puts a model's name into a URL as it is: it must not lead to another path, or past the one that is priced.
_MODEL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.@-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.@-]*)*")
# What an error within a stream can say that another try may mend.
_PASSING = frozenset({429, 500, 502, 503, 504, 529})


@functools.cache
def _import() -> ModuleType:
    """litellm, silenced. Takes seconds the first time; a second thread waits for the first."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # do not fetch the price map
    os.environ["MAX_IMAGE_URL_DOWNLOAD_SIZE_MB"] = "0"  # do not fetch what a message names
    # Its types make pydantic warn on stderr; that says nothing to an operator.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"pydantic\.")
    import litellm

    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        theirs = logging.getLogger(name)
        theirs.setLevel(logging.CRITICAL)
        theirs.handlers.clear()
        theirs.propagate = False
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.disable_streaming_logging = True
    litellm.drop_params = False
    litellm.modify_params = False
    litellm.num_retries = 0
    litellm.callbacks = litellm.success_callback = litellm.failure_callback = []
    silenced: ModuleType = litellm
    return silenced


class BridgeReply:
    """See `routing.providers.base.Reply`."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.body: bytes | None = None
        self.blocks: AsyncIterator[bytes] | None = None

    @property
    def ended(self) -> bool:
        return False  # litellm reads on behind its last chunk

    def close(self) -> None:
        self.call.close()


class LiteLLMBridge:
    """The transport of every kind whose wire is `litellm`."""

    async def send(
        self, target: Target, endpoint: str, body: dict[str, Any], *, stream: bool, timeouts: Timeouts
    ) -> BridgeReply:
        """See `routing.providers.base.Transport`."""
        if endpoint != CHAT.path:
            raise UpstreamError(Failure.UNSUPPORTED, f"{target.kind.label} has no {endpoint} here.")
        if not _MODEL.fullmatch(target.model):
            raise refused(f"'{target.model}' cannot be a model of {target.kind.label}.", "model")
        if target.secret is None:
            raise UpstreamError(Failure.STATUS, f"{target.kind.label} needs an API key.", status=401)
        litellm = _import() if _import.cache_info().currsize else await asyncio.to_thread(_import)
        call = Call(target, timeouts, stream=stream)
        reply = BridgeReply(call)
        try:
            arguments = await _arguments(litellm, target, body, call)
            answer = await litellm.acompletion(stream=stream, **arguments)
            if stream:
                reply.blocks = _events(answer, call)
            else:
                reply.body = orjson.dumps(litellm_answer.whole(answer.model_dump()))
        except UpstreamError:
            call.close()
            raise
        except Exception as error:  # noqa: BLE001  (litellm raises what it likes; it becomes an UpstreamError)
            call.close()
            raise _explained(error, call) from None
        except BaseException:  # the client left
            call.close()
            raise
        return reply


async def _arguments(litellm: ModuleType, target: Target, body: dict[str, Any], call: Call) -> dict[str, Any]:
    """Everything for `acompletion`. Raises `UpstreamError` for what cannot be passed on."""
    kind = target.kind
    supported = litellm.get_supported_openai_params(model=target.model, custom_llm_provider=kind.litellm_prefix)
    arguments = fields(kind, body, frozenset(supported or ()))
    arguments |= {
        "model": f"{kind.litellm_prefix}/{target.model}",
        "messages": await with_images(kind, body["messages"]),
        "api_base": target.base_url,
        "client": _client(target, call),
        "timeout": call.timeouts.total + 60,  # never the one that ends it; `Call` does
        "num_retries": 0,
        "max_retries": 0,
        "no-log": True,
        # litellm would run tools of type "mcp" itself.
        "_skip_mcp_handler": True,
    }
    if target.secret is not None:
        arguments["api_key"] = target.secret.reveal()
    if kind.id == "azure":
        arguments["api_version"] = AZURE_API_VERSION
    if call.stream:
        arguments["stream_options"] = {"include_usage": True}
    return arguments


def _client(target: Target, call: Call) -> Any:
    """The HTTP client that litellm's handler for the kind takes, with `call` as its way out."""
    if target.kind.id == "azure":
        from openai import AsyncAzureOpenAI

        return AsyncAzureOpenAI(
            azure_endpoint=target.base_url,
            api_key=target.secret.reveal() if target.secret else "",
            api_version=AZURE_API_VERSION,
            http_client=httpx.AsyncClient(transport=call, trust_env=False),
            max_retries=0,
        )
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    return AsyncHTTPHandler(transport=call, follow_redirects=False)


async def _events(answer: Any, call: Call) -> AsyncIterator[bytes]:
    chunks = litellm_answer.Chunks()
    try:
        async for chunk in answer:
            shaped = chunks.shape(chunk.model_dump())
            if shaped is not None:
                yield b"data: " + orjson.dumps(shaped) + b"\n\n"
    except UpstreamError:
        raise
    except Exception as error:  # noqa: BLE001  (as above)
        raise _explained(error, call) from None
    finally:
        call.close()
    yield sse.DONE


def _explained(error: Exception, call: Call) -> UpstreamError:
    """What `error` of litellm's means. What went wrong with the connection, the call knows better."""
    if call.error is not None:
        return call.error
    message = _plain(str(error), call.target)
    if call.response is None:
        # The client's fault as a rule; if it is ours, this line leads to it. The message may quote the prompt.
        logger.warning("a request could not be translated for %s (%s)", call.target.kind.id, type(error).__name__)
        return refused(f"The request cannot be put in {call.target.kind.label}'s terms: {message}", None)
    status = getattr(error, "status_code", None)
    if call.stream and status in _PASSING:
        return UpstreamError(Failure.STATUS, f"the stream broke off: {message}", status=status)
    return UpstreamError(Failure.JUNK, f"answered with something that is not a completion ({type(error).__name__})")


def _plain(message: str, target: Target) -> str:
    """litellm's message without its class names, its links, and the target's secret."""
    message = message.split("\n")[0]
    while found := _PREFIX.match(message):
        message = message[found.end() :]
    return message.replace(target.secret.reveal() if target.secret else "\0", "***")[:500]
