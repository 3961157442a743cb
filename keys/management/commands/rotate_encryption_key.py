"""python manage.py rotate_encryption_key: seal the vault's secrets under the newest key of ENCRYPTION_KEY."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from keys import vault


class Command(BaseCommand):
    help = (
        "Re-encrypts every secret that is not under the newest key of ENCRYPTION_KEY, while the gateway serves. "
        "Put the new key first and keep the old one behind it, restart, run this, then drop the old one."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            renewed, total = vault.rotate()
        except vault.VaultError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{renewed} of {total} secrets re-encrypted; all are under the newest key now.")
