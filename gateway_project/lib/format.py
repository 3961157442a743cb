"""How numbers, money and durations read on a page. Pure functions; `console_tags` offers them to templates."""

from decimal import ROUND_HALF_UP, Decimal, localcontext

from django.template.defaultfilters import filesizeformat

SIGNIFICANT = 3
# The policy that holds where a workspace has none: its name in requests, which nobody else's can be.
BUILT_IN_POLICY = "Balanced"


def policy(name: str) -> str:
    """What a page calls a policy: the gateway's own, which is "" in the ledger, is told apart."""
    return f"{BUILT_IN_POLICY} (built in)" if name in ("", BUILT_IN_POLICY) else name


def money(usd: Decimal) -> str:
    """US dollars with as many digits as it takes to be of use, and never "0.00" for what is not zero.

    From a dollar on that is cents (`$1,204.50`); below it is three significant digits, at least
    two decimals (`$0.50`, `$0.0123`, `$0.000123`).
    """
    usd = Decimal(usd)
    if not usd:
        return "$0"
    size = abs(usd)
    if size >= 1:
        text = f"{size.quantize(Decimal('0.01'), ROUND_HALF_UP):,}"
    else:
        with localcontext() as context:
            context.prec, context.rounding = SIGNIFICANT, ROUND_HALF_UP
            whole, _, fraction = f"{+size:f}".partition(".")
        text = f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
    return f"{'-' if usd < 0 else ''}${text}"


def count(number: int) -> str:
    """A whole number with thousands separators."""
    return f"{number:,}"


def size(length: int) -> str:
    """Bytes as people say them: `840 bytes`, `3.4 MB`, `10 GB`."""
    return filesizeformat(length).replace("\xa0", " ").replace(".0 ", " ")


def duration(ms: float) -> str:
    """Milliseconds as a reader would say them: `<1 ms`, `812 ms`, `4.21 s`, `2 min 5 s`."""
    if ms < 1:
        return "<1 ms"
    if ms < 999.5:
        return f"{round(ms)} ms"
    if ms < 59_995:
        return f"{ms / 1000:.2f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes} min {seconds} s"


def share(part: float, whole: float) -> str:
    """`part` of `whole` in percent, one decimal below ten: `0%`, `0.4%`, `37%`; `<0.1%` is not rounded away."""
    if not whole or not part:
        return "0%"
    percent = 100 * part / whole
    if percent < 0.1:
        return "<0.1%"
    return f"{percent:.1f}%" if percent < 9.95 else f"{percent:.0f}%"
