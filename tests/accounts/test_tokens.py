"""Access and refresh tokens: how long they work, and what ends them."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings as django_settings
from pytest_django import Settings

from accounts import services, tokens
from accounts.access import Caller
from accounts.models import ApiSession, User
from tests.accounts.threads import at_once
from tests.api_client import PASSWORD, ApiAnswer, ApiClient


def me(access: str) -> int:
    return ApiClient(access).get("/api/auth/me").status


def refresh(token: Any) -> ApiAnswer:
    return ApiClient().post("/api/auth/refresh", refresh_token=token)


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.fixture
def pair(owner: Caller) -> tokens.TokenPair:
    return tokens.start_session(owner.user)


def test_a_token_says_what_it_is_for(owner: Caller, pair: tokens.TokenPair) -> None:
    access, refreshing = claims_of(pair.access), claims_of(pair.refresh)

    assert set(access) == {"sub", "sid", "jti", "typ", "iat", "exp"}
    assert (access["typ"], refreshing["typ"]) == ("access", "refresh")
    assert access["sub"] == str(owner.user.pk)
    assert access["exp"] - access["iat"] == pair.expires_in
    assert access["jti"] != refreshing["jti"]


def test_refreshing_answers_a_new_pair_and_the_old_access_token_goes_on(pair: tokens.TokenPair) -> None:
    answer = refresh(pair.refresh)

    assert answer.status == 200
    assert set(answer.json) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert me(answer.json["access_token"]) == me(pair.access) == 200


def test_a_replayed_refresh_token_ends_the_family_and_no_other(owner: Caller, pair: tokens.TokenPair) -> None:
    other = tokens.start_session(owner.user)
    newer = refresh(pair.refresh).json

    replay = refresh(pair.refresh)

    assert (replay.status, replay.error["code"]) == (401, "invalid_api_key")
    assert me(pair.access) == me(newer["access_token"]) == 401
    assert refresh(newer["refresh_token"]).status == 401
    assert me(other.access) == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_refreshes_at_once_one_works_and_the_family_ends() -> None:
    user, _ = services.sign_up("ada@example.com", PASSWORD)
    pair = tokens.start_session(user)

    answers = at_once(*2 * [lambda: refresh(pair.refresh)])

    assert sorted(answer.status for answer in answers) == [200, 401]
    won = next(answer.json for answer in answers if answer.status == 200)
    assert me(won["access_token"]) == 401
    assert refresh(won["refresh_token"]).status == 401


def test_logout_ends_access_and_refresh_at_once(owner: Caller, pair: tokens.TokenPair) -> None:
    other = tokens.start_session(owner.user)

    answer = ApiClient(pair.access).post("/api/auth/logout")

    assert (answer.status, answer.text) == (204, "")
    assert me(pair.access) == refresh(pair.refresh).status == 401
    assert ApiClient(pair.access).post("/api/auth/logout").status == 401
    assert me(other.access) == 200


def test_who_is_switched_off_stops_at_once(owner: Caller, pair: tokens.TokenPair) -> None:
    User.objects.filter(pk=owner.user.pk).update(is_active=False)

    assert me(pair.access) == refresh(pair.refresh).status == 401


def test_who_is_deleted_stops_at_once(owner: Caller, pair: tokens.TokenPair) -> None:
    owner.user.delete()

    assert me(pair.access) == refresh(pair.refresh).status == 401


def test_neither_kind_passes_for_the_other(pair: tokens.TokenPair) -> None:
    assert me(pair.refresh) == 401
    assert refresh(pair.access).status == 401
    assert me(pair.access) == 200  # and nothing was revoked for it


def test_both_kinds_expire(owner: Caller, settings: Settings) -> None:
    settings.JWT_ACCESS_LIFETIME = -settings.JWT_ACCESS_LIFETIME
    settings.JWT_REFRESH_LIFETIME = -settings.JWT_REFRESH_LIFETIME
    expired = tokens.start_session(owner.user)

    assert me(expired.access) == refresh(expired.refresh).status == 401


def test_sessions_are_deleted_after_their_last_token_expired(owner: Caller, settings: Settings) -> None:
    living = tokens.start_session(owner.user)
    settings.JWT_REFRESH_LIFETIME = -settings.JWT_REFRESH_LIFETIME
    tokens.start_session(owner.user)

    assert services.delete_expired_sessions() == 1
    assert str(ApiSession.objects.get().pk) == claims_of(living.access)["sid"]


def forged(claims: dict[str, Any], key: Any = None, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(claims, tokens.signing_key() if key is None else key, algorithm=algorithm, headers=headers)


def test_a_forgery_with_the_right_key_and_claims_would_work(pair: tokens.TokenPair) -> None:
    """What the tests below change one thing of."""
    assert me(forged(claims_of(pair.access))) == 200


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_with_the_right_key(pair: tokens.TokenPair, algorithm: str) -> None:
    assert me(forged(claims_of(pair.access), algorithm=algorithm)) == 401


def test_no_signature(pair: tokens.TokenPair) -> None:
    claims = claims_of(pair.access)
    header, body, signature = pair.access.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")

    for token in (jwt.encode(claims, "", algorithm="none"), f"{none}.{body}.{signature}", f"{header}.{body}."):
        assert me(token) == 401


def test_an_rsa_signature(pair: tokens.TokenPair) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    own_key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))

    assert me(forged(claims_of(pair.access), key, "RS256", jwk=own_key)) == 401


@pytest.mark.parametrize("key", [b"", django_settings.SECRET_KEY.encode(), b"0" * 64])
def test_another_key(pair: tokens.TokenPair, key: bytes) -> None:
    token = jwt.PyJWS().encode(json.dumps(claims_of(pair.access)).encode(), key, "HS256") if key else ""
    assert me(token) == 401


def test_another_installation(pair: tokens.TokenPair, settings: Settings) -> None:
    settings.SECRET_KEY = "another installation's secret key, as long as it should be"

    assert me(pair.access) == 401


@pytest.mark.parametrize("missing", ["exp", "iat", "jti", "typ", "sub", "sid"])
def test_a_claim_is_missing(pair: tokens.TokenPair, missing: str) -> None:
    claims = claims_of(pair.access)
    del claims[missing]

    assert me(forged(claims)) == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"typ": "Access"}, {"typ": None}, {"typ": ["access"]}, {"exp": 0}, {"exp": "tomorrow"}, {"exp": None},
        {"iat": time.time() + 3600}, {"iat": 4_000_000_000}, {"iat": "now"}, {"iat": True}, {"sub": "x"}, {"sid": "x"},
        {"sid": "00000000-0000-0000-0000-000000000000"}, {"sub": "00000000-0000-0000-0000-000000000000"},
        {"jti": 7}, {"jti": "a\0b"}, {"sid": {"a": 1}}, {"nbf": 4_000_000_000},
    ],
)  # fmt: skip
def test_a_claim_is_wrong(pair: tokens.TokenPair, wrong: dict[str, Any]) -> None:
    assert me(jwt.PyJWS().encode(json.dumps({**claims_of(pair.access), **wrong}).encode(), tokens.signing_key())) == 401


def test_the_user_of_another_family(pair: tokens.TokenPair, stranger: Caller) -> None:
    claims = {**claims_of(pair.access), "sub": str(stranger.user.pk)}

    assert me(forged(claims)) == 401
    assert refresh(forged({**claims_of(pair.refresh), "sub": str(stranger.user.pk)})).status == 401


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["x", "a.b.c", "....", "é.é.é", "eyJ.eyJ.x", "null", "x" * 20_000, "gw", "a b c"])
def test_what_is_no_token(token: str) -> None:
    answer = ApiClient(token).get("/api/auth/me")

    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


@pytest.mark.django_db
@pytest.mark.parametrize("token", [7, None, ["x"], "", "x" * 5000, "x", "a\0b"])
def test_what_is_no_refresh_token(token: Any) -> None:
    answer = refresh(token)

    assert answer.status == (401 if token in ("x", "a\0b") else 400)
    assert answer.status == 401 or answer.error["param"] == "refresh_token"
