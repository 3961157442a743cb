"""What open models can do, by family: for servers that list their models without saying it.

From the model cards of each family's maker, as published up to 2026-11. A family that is not here is unknown, and then
the kind of its provider decides.
"""

import functools

from routing.model_names import parts

# The beginning of a name, in the spelling of `model_names` -> what each model of that name can do besides chatting.
# The longest beginning that fits wins.
_FAMILIES = {
    "llama 2": "", "llama 3": "", "llama 3 1": "tools", "llama 3 2": "tools", "llama 3 2 11b": "vision",
    "llama 3 2 90b": "vision", "llama 3 3": "tools", "llama 4": "tools vision", "codellama": "",
    "qwen 2": "tools", "qwen 2 vl": "vision", "qwen 2 5": "tools", "qwen 2 5 vl": "tools vision",
    "qwen 2 5 omni": "audio vision", "qwen 3": "reasoning tools", "qwen 3 coder": "tools", "qwen 3 next": "tools",
    "qwen 3 vl": "tools vision", "qwen 3 omni": "audio tools vision", "qwen 3 5": "reasoning tools vision",
    "qwen 3 6": "reasoning tools vision", "qwen 3 8": "reasoning tools vision", "qwq": "reasoning tools",
    "gpt oss": "reasoning tools",
    "deepseek coder": "", "deepseek ocr": "vision", "deepseek r 1": "reasoning",
    "deepseek 3": "tools", "deepseek 3 1": "reasoning tools", "deepseek 3 2": "reasoning tools",
    "deepseek 4": "reasoning tools",
    "gemma": "", "gemma 2": "", "gemma 3": "vision", "gemma 3 1b": "", "gemma 3 270m": "", "gemma 3n": "",
    "gemma 4": "reasoning tools vision",
    "llava": "vision", "bakllava": "vision", "moondream": "vision", "internvl": "vision", "molmo": "vision",
    "pixtral": "tools vision", "smolvlm": "vision",
    "mistral 7b": "tools", "mistral nemo": "tools", "mistral small": "tools", "mistral small 3 1": "tools vision",
    "mistral small 3 2": "tools vision", "mistral small 4": "reasoning tools vision", "mistral large": "tools",
    "mistral large 3": "tools vision", "mistral medium 3 5": "reasoning tools vision", "mixtral": "tools",
    "ministral": "tools", "ministral 3": "tools vision", "magistral": "reasoning tools", "devstral": "tools",
    "codestral": "", "dolphin": "",
    "phi 3": "", "phi 4": "", "phi 4 mini": "tools", "phi 4 reasoning": "reasoning",
    "phi 4 multimodal": "audio vision",
    "command r": "tools", "command a": "tools", "aya": "",
    "granite 3": "tools", "granite 4": "tools", "nemotron 3": "reasoning tools", "hermes 3": "tools",
    "glm 4": "tools", "glm 4 5": "reasoning tools", "glm 4 5v": "reasoning tools vision", "glm 4 6": "reasoning tools",
    "glm 4 6v": "reasoning tools vision", "glm 4 7": "reasoning tools", "glm 5": "reasoning tools",
    "kimi k 2": "tools", "kimi k 2 thinking": "reasoning tools", "kimi k 2 5": "reasoning tools vision",
    "kimi k 2 6": "reasoning tools vision", "minimax m 2": "reasoning tools",
}  # fmt: skip
_KNOWN = {tuple(name.split()): frozenset(can.split()) for name, can in _FAMILIES.items()}
_LONGEST = max(map(len, _KNOWN))
# In a name these tell of eyes, whatever the family: llama3.2-vision, phi-3.5-vision, llama-3.1-nemotron-nano-vl.
_SEEING = frozenset({"vision", "vl", "vlm", "ocr", "llava", "multimodal", "omni"})


@functools.lru_cache(maxsize=4096)
def capabilities(model: str) -> frozenset[str] | None:
    """What `model` can do of vision, audio, tools and reasoning, by its name; None for a family unknown here."""
    words = parts(model)
    for length in range(min(_LONGEST, len(words)), 0, -1):
        known = _KNOWN.get(tuple(words[:length]))
        if known is not None:
            return known | {"vision"} if _SEEING.intersection(words) else known
    return None
