"""The forms of the routing pages: a policy, a prompt to try it with, what is purged, what is known of a model."""

from routing.forms.models import ModelForm
from routing.forms.policy import PolicyForm
from routing.forms.purge import BUILT_IN_CHOICE, PurgeForm
from routing.forms.trying import TryForm

__all__ = ["BUILT_IN_CHOICE", "ModelForm", "PolicyForm", "PurgeForm", "TryForm"]
