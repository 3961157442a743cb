"""A prompt to try a policy with."""

from typing import Any

from django import forms

from gateway_project.lib.forms import ConsoleForm
from routing.policies import COMPLEXITIES


class TryForm(ConsoleForm):
    """A prompt to see what a policy would do with it."""

    prompt = forms.CharField(
        max_length=20_000,
        strip=False,
        label="A prompt",
        widget=forms.Textarea(attrs={"rows": 4, "placeholder": "Prove that there are infinitely many primes."}),
    )
    sensitivity = forms.ChoiceField(
        required=False,
        choices=[("", "Not said"), ("public", "Public"), ("internal", "Internal"), ("confidential", "Confidential")],
    )
    complexity = forms.ChoiceField(
        required=False,
        choices=[("", "As classified"), *((tier, tier.capitalize()) for tier in COMPLEXITIES)],
    )

    def named(self, name: str) -> str:
        """What the field `name` is called."""
        return str(self.fields[name].label or name.capitalize())

    def body(self, model: str) -> dict[str, Any]:
        """The chat request that stands for it."""
        said = self.cleaned_data
        wishes = {name: said[name] for name in ("sensitivity", "complexity") if said[name]}
        return {"model": model, "messages": [{"role": "user", "content": said["prompt"]}], **wishes}
