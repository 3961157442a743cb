"""Limits on login and sign-up, by account and by address; and who counts as one client."""

import time
from ipaddress import ip_network

import pytest
from django.test import Client, RequestFactory
from pytest_django import Settings
from redis.exceptions import ConnectionError as RedisAway

from accounts.access import Caller
from gateway_project.lib.errors import RateLimitExceeded, ServiceUnavailable
from gateway_project.lib.http import address_group, client_address
from gateway_project.lib.throttle import Throttle
from tests.accounts.threads import at_once
from tests.api_client import PASSWORD, ApiAnswer, ApiClient

# Longer than any test: no window ends in one.
LONG = 10**9


def log_in(password: str, email: str = "owner@example.com", address: str = "192.0.2.1") -> ApiAnswer:
    client = ApiClient()
    client.http.defaults["REMOTE_ADDR"] = address
    return client.post("/api/auth/login", email=email, password=password)


def sign_up(email: str, address: str = "192.0.2.1") -> ApiAnswer:
    client = ApiClient()
    client.http.defaults["REMOTE_ADDR"] = address
    return client.post("/api/auth/signup", email=email, password=PASSWORD)


def test_failed_logins_of_an_account_from_anywhere(owner: Caller, settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ACCOUNT = (3, LONG)

    failed = [log_in("wrong", email, f"192.0.2.{n}") for n, email in enumerate(3 * ["Owner@example.com"])]
    refused = log_in(PASSWORD, address="192.0.2.99")

    assert [answer.status for answer in failed] == [401, 401, 401]
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) > 0
    assert log_in("wrong", "nobody@example.com").status == 401


def test_the_admins_own_login_page_is_throttled_alike(owner: Caller, settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ACCOUNT = (3, LONG)
    owner.user.is_staff = owner.user.is_superuser = True
    owner.user.save()

    def log_in_as_staff(password: str, email: str = owner.user.email) -> tuple[int, str]:
        answer = Client().post("/admin/login/", {"username": email, "password": password})
        return answer.status_code, answer.content.decode()

    assert log_in_as_staff(PASSWORD)[0] == 302
    for _ in range(3):
        status, page = log_in_as_staff("wrong")
        assert status == 200
        assert "E-mail address or password is wrong." in page
    status, page = log_in_as_staff(PASSWORD)
    assert status == 200
    assert "Too many tries" in page
    assert log_in(PASSWORD).status == 429


def test_who_is_no_staff_gets_no_further_in_the_admin(owner: Caller) -> None:
    owner.user.is_staff = owner.user.is_superuser = False
    owner.user.save()
    answer = Client().post("/admin/login/", {"username": owner.user.email, "password": PASSWORD})
    assert answer.status_code == 200
    assert "staff account" in answer.content.decode()


def test_an_address_that_has_no_account_is_throttled_alike(db: None, settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ACCOUNT = (2, LONG)

    assert [log_in("wrong", "nobody@example.com").status for _ in range(3)] == [401, 401, 429]


def test_failed_logins_from_an_address_to_any_account(owner: Caller, settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ADDRESS = (3, LONG)

    statuses = [log_in("wrong", f"{n}@example.com").status for n in range(4)]

    assert statuses == [401, 401, 401, 429]
    assert log_in(PASSWORD, address="192.0.2.2").status == 200


def test_what_succeeds_does_not_count(owner: Caller, settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ACCOUNT = settings.LOGIN_FAILURES_PER_ADDRESS = (2, LONG)

    assert [log_in(PASSWORD).status for _ in range(5)] == 5 * [200]


def test_success_forgets_the_failures_of_the_account(owner: Caller, settings: Settings) -> None:
    settings.LOGIN_FAILURES_PER_ACCOUNT = (2, LONG)

    assert [log_in(password).status for password in ("wrong", PASSWORD, "wrong", PASSWORD)] == [401, 200, 401, 200]


def test_sign_ups_from_an_address(db: None, settings: Settings) -> None:
    settings.SIGNUPS_PER_ADDRESS = (2, LONG)

    statuses = [sign_up(f"{n}@example.com").status for n in range(3)]

    assert statuses == [201, 201, 429]
    assert sign_up("3@example.com", "192.0.2.2").status == 201


def test_sign_ups_with_one_address_of_mail(owner: Caller, settings: Settings) -> None:
    settings.SIGNUPS_PER_ACCOUNT = (2, LONG)

    assert [sign_up("ada@example.com", f"192.0.2.{n}").status for n in range(3)] == [201, 409, 429]


def test_a_whole_class_signs_up_from_one_address_at_once(db: None) -> None:
    assert {sign_up(f"{n}@example.com", "127.0.0.1").status for n in range(40)} == {201}


def test_tries_at_once_are_all_counted() -> None:
    throttle = Throttle("test", 5, LONG)

    def attempt() -> bool:
        try:
            throttle.hit("x")
        except RateLimitExceeded:
            return False
        return True

    assert at_once(*20 * [attempt]).count(True) == 5


def test_a_window_ends() -> None:
    throttle = Throttle("short", 1, 1)
    time.sleep(1 - time.time() % 1)  # to the beginning of one
    throttle.hit("x")
    with pytest.raises(RateLimitExceeded) as refusal:
        throttle.hit("x")
    assert refusal.value.headers == {"retry-after": "1"}

    time.sleep(1)
    throttle.hit("x")


def test_one_subject_is_not_another() -> None:
    for name, subject in [("a", "x"), ("a", "y"), ("b", "x")]:
        Throttle(name, 1, LONG).hit(subject)
    with pytest.raises(RateLimitExceeded):
        Throttle("a", 1, LONG).hit("y")


NOBODY = "redis://127.0.0.1:1/0"
AWAY = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": NOBODY}}


def test_without_redis_each_process_counts_alone(settings: Settings) -> None:
    settings.CACHES, settings.REDIS_URL = AWAY, NOBODY
    throttle = Throttle("away", 2, LONG)

    throttle.hit("x")
    throttle.hit("x")
    with pytest.raises(RateLimitExceeded):
        throttle.hit("x")
    throttle.reset("x")
    throttle.hit("x")


def test_without_redis_nothing_passes_when_the_operator_says_so(settings: Settings) -> None:
    settings.CACHES, settings.REDIS_URL, settings.LIMITS_FAIL = AWAY, NOBODY, "closed"

    with pytest.raises(ServiceUnavailable) as refusal:
        Throttle("closed", 2, LONG).hit("x")
    assert isinstance(refusal.value.__cause__, RedisAway)


# --- Who the client is ---------------------------------------------------------------------------


def address_of(peer: str, forwarded: str | None = None) -> str:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    return client_address(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers))


def test_forwarding_headers_of_anybody_are_not_believed() -> None:
    assert address_of("192.0.2.1", "198.51.100.7") == "192.0.2.1"
    assert address_of("127.0.0.1", "198.51.100.7") == "127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("", "198.51.100.7", ""),
    ],
)
def test_trusted_proxies_are_believed(settings: Settings, peer: str, forwarded: str, client: str) -> None:
    settings.TRUSTED_PROXIES = (ip_network("10.0.0.0/8"),)

    assert address_of(peer, forwarded) == client


def test_the_addresses_of_one_ipv6_network_are_one_client() -> None:
    assert address_group("2001:db8:1:2::1") == address_group("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert address_group("192.0.2.1") == "192.0.2.1"
    assert address_group("") == ""
