"""What a policy says of the cache, as fields of its form."""

from typing import Any

from django import forms

from routing.forms.fields import PLAIN, GroupedForm, number, short
from routing.policy_document import CacheIn

# Of the semantic cache: what it is without a word from anybody, and what the form shows in percent.
SEMANTIC_DEFAULTS = CacheIn.model_validate({}).model_dump()
PERCENTAGES = ("max_false_hits", "check_share")
# Of the cache: all requests use it, or none.
ALWAYS, NEVER = "always", "never"


class CacheFields(GroupedForm):
    """The part of a policy's form that is about the cache."""

    exact_cache = forms.ChoiceField(
        label="Answers that are given again",
        required=False,
        choices=[
            ("", "Those at temperature 0"),
            (ALWAYS, "All, at any temperature"),
            (NEVER, "None"),
        ],
        help_text="By the cache, to identical requests. A request's own <code>cache</code>, on or off, goes first.",
    )
    semantic_cache = forms.BooleanField(
        required=False,
        label="Give them to requests that mean the same, too",
        help_text="Where only the last message differs, and says the same in other words.",
    )
    threshold = number(
        "Least likeness of two messages, 0 to 1",
        largest=1,
        hint="Cosine of their embeddings. Empty: as the model that embeds needs it. Rises by itself.",
    )
    max_false_hits = number("Most wrong hits, in %", largest=50, hint="Above that share the likeness asked for rises.")
    check_share = number(
        "Hits that are checked, in %", largest=100, hint="Answered afresh in the background, and billed, to compare."
    )
    judge = forms.CharField(
        required=False,
        max_length=300,
        label="Judge of the comparison",
        help_text="<code>model</code> or <code>provider/model</code>. Empty: by embeddings alone.",
        widget=forms.TextInput(attrs={**PLAIN, "placeholder": "none"}),
    )

    def cache_document(self, stored: dict[str, Any] | None) -> dict[str, Any] | None:
        """What the `stored` document says of the cache, with the form's words; null stays null where these say none."""
        said = self.cleaned_data
        cache: dict[str, Any] = {
            "exact": {"": None, ALWAYS: True, NEVER: False}[said["exact_cache"]],
            "semantic": said["semantic_cache"],
            "threshold": said["threshold"],
            "judge": said["judge"] or None,
        }
        for name in PERCENTAGES:
            cache[name] = SEMANTIC_DEFAULTS[name] if said[name] is None else round(said[name] / 100, 8)
        new = {**SEMANTIC_DEFAULTS, **(stored or {}), **cache}
        return None if stored is None and new == SEMANTIC_DEFAULTS else new

    @property
    def semantic_fields(self) -> list[forms.BoundField]:
        return self.some("threshold", "max_false_hits", "check_share", "judge")

    @property
    def semantic_open(self) -> bool:
        return self.must_open(*self.semantic_fields)


def cache_initial(stored: dict[str, Any] | None) -> dict[str, Any]:
    """The fields' values for what a policy's document says of the cache."""
    cache = {**SEMANTIC_DEFAULTS, **(stored or {})}
    exact = (stored or {}).get("exact")
    return {
        "exact_cache": "" if exact is None else ALWAYS if exact else NEVER,
        "semantic_cache": cache["semantic"],
        "threshold": cache["threshold"],
        "judge": cache["judge"] or "",
        **{name: short(round(100 * cache[name], 6)) for name in PERCENTAGES},
    }
