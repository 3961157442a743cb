"""How amounts of money are written: USD as decimals, and picodollars (1e-12 USD), in which the request path reckons."""

from decimal import Decimal

PICO_PER_USD = 10**12


def as_text(usd: Decimal) -> str:
    """`usd` as the API writes money: no exponent, no trailing zeros ("0.003375", "0")."""
    text = f"{usd:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def pico_text(pico: int) -> str:
    """Picodollars, not negative, as USD with 12 places ("0.003375000000"); "0" for nothing."""
    if not pico:
        return "0"
    digits = str(pico).zfill(13)
    return f"{digits[:-12]}.{digits[-12:]}"
