"""How passwords are hashed."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2(Argon2PasswordHasher):
    """Argon2id with OWASP's first recommendation: 19 MiB, two passes, one lane.

    Django's default takes 100 MiB a hash: a few dozen logins at once would end a small machine.
    """

    time_cost = 2
    memory_cost = 19_456
    parallelism = 1
