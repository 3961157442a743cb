"""Who changes libraries and documents: a member of the workspace, or a gateway key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Model

from accounts import audit
from accounts.access import Caller
from accounts.models import Workspace


@dataclass(frozen=True)
class Actor:
    """On whose behalf something is done, in which workspace. `user_id` is a key's maker where a key acts."""

    workspace_id: UUID
    user_id: UUID | None = None
    key_id: UUID | None = None
    caller: Caller | None = field(default=None, compare=False)

    @classmethod
    def of(cls, caller: Caller) -> "Actor":
        """A member of a workspace, in the console or with an access token."""
        return cls(caller.workspace.pk, caller.user.pk, None, caller)

    def record(
        self, action: str, obj: Model, *, old: Mapping[str, Any] | None = None, new: Mapping[str, Any] | None = None
    ) -> None:
        """Enter a change in the audit trail, within its transaction; of a key's doing it says which key it was."""
        if self.caller is not None:
            audit.record(self.caller, action, obj, old=old, new=new)
            return
        by = {"gateway_key": self.key_id} if self.key_id else {}
        if new is not None:
            new = {**new, **by}
        elif old is not None:
            old = {**old, **by}
        audit.record(None, action, obj, old=old, new=new, workspace=Workspace(pk=self.workspace_id))
