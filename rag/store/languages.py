"""Which text search configuration stems a language's words. All are part of PostgreSQL."""

SIMPLE = "simple"

# By ISO 639-1. A language that is not here is searched by its words as they are written.
CONFIGS = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "da": "danish", "nl": "dutch", "en": "english",
    "fi": "finnish", "fr": "french", "de": "german", "el": "greek", "hi": "hindi", "hu": "hungarian",
    "id": "indonesian", "ga": "irish", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nb": "norwegian",
    "nn": "norwegian", "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "es": "spanish", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip


def config_of(language: str) -> str:
    """The configuration for a language; a region after it ("pt-BR") changes nothing."""
    return CONFIGS.get(language.lower().replace("_", "-").partition("-")[0], SIMPLE)
