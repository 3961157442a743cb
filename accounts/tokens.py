"""The API's tokens: a pair of JWTs for each sign-in, and the family (`ApiSession`) that ends them together.

An access token names its family and stops with it. A refresh token works once: its `jti` must be the family's
`refresh_id`, and another one of the family was used before, so its return means that somebody stole it.
"""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

import jwt
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import audit
from accounts.models import ApiSession, User
from gateway_project.lib.errors import NotAuthenticated
from gateway_project.lib.ids import uuid7

Kind = Literal["access", "refresh"]

CLAIMS = ["exp", "iat", "jti", "typ", "sub", "sid"]
# Seconds by which another of the gateway's machines may be ahead.
CLOCK_SKEW = 30


@dataclass(frozen=True)
class TokenPair:
    """What a sign-in hands out; the access token lives for `expires_in` seconds."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True)
class Claims:
    """What a token says: whose it is, of which family, and its own id."""

    user_id: UUID
    session_id: UUID
    id: UUID


def start_session(user: User) -> TokenPair:
    """A new family of tokens for `user`."""
    now = timezone.now()
    session = ApiSession.objects.create(user=user, expires_at=now + settings.JWT_REFRESH_LIFETIME)
    return _pair(session, now)


def refresh(token: str) -> tuple[User, TokenPair]:
    """The next pair of a family, for its refresh token. Raises NotAuthenticated.

    A token that was used before ends the family: the thief or the victim has the pair that it was changed for.
    """
    claims = read(token, "refresh")
    with transaction.atomic():
        session = _live_sessions().select_for_update(of=("self",)).filter(pk=claims.session_id).first()
        if session is None or session.user_id != claims.user_id:
            raise _refused("This refresh token does not work any more; log in again.")
        if session.refresh_id == claims.id:
            now = timezone.now()
            session.refresh_id = uuid7()
            session.expires_at = now + settings.JWT_REFRESH_LIFETIME
            session.save(update_fields=["refresh_id", "expires_at"])
            return session.user, _pair(session, now)
        end_session(session)
        audit.record_account(session.user, "user.tokens_revoked", reason="a refresh token was used twice")
    raise _refused("This refresh token was used before, so all tokens of this login were revoked; log in again.")


def session_of(token: str) -> ApiSession:
    """The living family of an access token, with its user. One query. Raises NotAuthenticated."""
    claims = read(token, "access")
    session = _live_sessions().filter(pk=claims.session_id, user_id=claims.user_id).first()
    if session is None:
        raise _refused("This access token was revoked; log in again.")
    return session


def end_session(session: ApiSession) -> None:
    """Revoke the whole family, at once."""
    session.revoked_at = timezone.now()
    session.save(update_fields=["revoked_at"])


def read(token: str, kind: Kind) -> Claims:
    """The claims of a token whose signature, times and kind are right. Asks no database. Raises NotAuthenticated."""
    try:
        claims = jwt.decode(
            token,
            signing_key(),
            algorithms=[settings.JWT_ALGORITHM],
            options={"require": CLAIMS, "verify_iat": False, "verify_aud": False, "verify_iss": False},
        )
        if claims["typ"] != kind:
            raise _refused(f"This is not {'an access' if kind == 'access' else 'a refresh'} token.")
        if type(claims["iat"]) is not int or claims["iat"] > time.time() + CLOCK_SKEW:
            raise _refused("This token is not valid.")
        return Claims(UUID(claims["sub"]), UUID(claims["sid"]), UUID(claims["jti"]))
    except jwt.ExpiredSignatureError:
        raise _refused(f"This {kind} token has expired.") from None
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        raise _refused("This token is not valid.") from None


def _live_sessions() -> QuerySet[ApiSession]:
    return ApiSession.objects.select_related("user").filter(revoked_at=None, user__is_active=True)


def _pair(session: ApiSession, now: datetime) -> TokenPair:
    return TokenPair(
        access=_sign(session, "access", uuid7(), now, now + settings.JWT_ACCESS_LIFETIME),
        refresh=_sign(session, "refresh", session.refresh_id, now, session.expires_at),
        expires_in=int(settings.JWT_ACCESS_LIFETIME.total_seconds()),
    )


def _sign(session: ApiSession, kind: Kind, id: UUID, now: datetime, expires: datetime) -> str:
    claims = {
        "sub": str(session.user_id), "sid": str(session.pk), "jti": str(id), "typ": kind, "iat": now, "exp": expires,
    }  # fmt: skip
    return jwt.encode(claims, signing_key(), algorithm=settings.JWT_ALGORITHM)


def signing_key() -> bytes:
    """SECRET_KEY signs other things, too; none of those signatures is one of a token."""
    return salted_hmac("accounts.tokens.signing-key", "1", algorithm="sha512").digest()


def _refused(message: str) -> NotAuthenticated:
    return NotAuthenticated(message, headers={"www-authenticate": 'Bearer error="invalid_token"'})
