"""What changes accounts: sign-up, login, and a person's own settings. `workspaces` has the rest."""

from django.conf import settings
from django.contrib import auth
from django.contrib.auth import password_validation
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from accounts import audit
from accounts.access import Caller
from accounts.models import ApiSession, Membership, Role, User, Workspace
from accounts.workspaces import create_workspace, workspace_created
from gateway_project.lib.errors import Conflict, InvalidRequest, NotAuthenticated, PermissionDenied
from gateway_project.lib.http import address_group
from gateway_project.lib.throttle import Throttle

__all__ = ["change_password", "delete_expired_sessions", "home", "log_in", "sign_up", "workspace_created"]

# Any number that nothing else locks.
_FIRST_USER_LOCK = 0x6C6C_6D67_0001

MAX_PASSWORD = 1024


@sensitive_variables("password")
def sign_up(email: str, password: str, name: str = "", *, address: str = "") -> tuple[User, Workspace]:
    """A new user with a personal workspace. The first one on an empty database administers the installation.

    `address` is the client's, for the limits; "" counts for none.
    Raises PermissionDenied while sign-up is closed, InvalidRequest naming `email`, `name` or `password`, Conflict when
    the address has an account (sign-up cannot hide that, so it says so plainly), RateLimitExceeded.
    """
    if not settings.SIGNUP_ENABLED:
        raise PermissionDenied("Sign-up is closed on this gateway; ask its operator for an account.")
    user = User(email=User.objects.normalize_email(email), name=name.strip())
    _check_details(user)
    _check_password(password, user, "password")
    # From here on the answer tells whether the address has an account, so tries are counted.
    if address:
        Throttle("signup-address", *settings.SIGNUPS_PER_ADDRESS).hit(address_group(address))
    Throttle("signup-account", *settings.SIGNUPS_PER_ACCOUNT).hit(user.email)
    if User.objects.filter(email=user.email).exists():
        raise _taken()
    user.password = make_password(password)
    try:
        with transaction.atomic():
            user.is_staff = user.is_superuser = _is_first_user()
            user.save()
            audit.record_account(user, "user.signed_up", administrator=user.is_superuser)
            workspace = create_workspace(user, _personal_name(user))
    except IntegrityError:
        raise _taken() from None
    return user, workspace


@sensitive_variables("password")
def log_in(email: str, password: str, *, address: str = "") -> User:
    """The user with this address and password. `address` is the client's, for the limits; "" counts for none.

    Raises NotAuthenticated in one wording and after the same work for an unknown address, a wrong password and an
    account that was switched off; InvalidRequest naming `password`; RateLimitExceeded after too many failures of the
    account or the client.
    """
    email = User.objects.normalize_email(email)
    if len(password) > MAX_PASSWORD:
        raise InvalidRequest(f"password: must be at most {MAX_PASSWORD} characters.", param="password")
    per_account = Throttle("login-account", *settings.LOGIN_FAILURES_PER_ACCOUNT)
    per_address = Throttle("login-address", *settings.LOGIN_FAILURES_PER_ADDRESS)
    group = address_group(address)
    if group:
        per_address.hit(group)
    per_account.hit(email)
    # Django's backend hashes the password for an unknown address, too, so that the time tells nothing.
    user = auth.authenticate(username=email, password=password)
    if not isinstance(user, User):
        raise NotAuthenticated("E-mail address or password is wrong.")
    per_account.reset(email)
    if group:
        per_address.forgive(group)
    audit.record_account(user, "user.logged_in")
    return user


def home(user: User) -> Caller:
    """`user` in the workspace that they joined first; one is made for who has none (`createsuperuser`, the admin)."""
    membership = _first_membership(user)
    if membership is None:
        with transaction.atomic():
            # A browser's first page asks for several things at once.
            User.objects.select_for_update().get(pk=user.pk)
            membership = _first_membership(user)
            if membership is None:
                return Caller(user, create_workspace(user, _personal_name(user)), Role.OWNER)
    return Caller(user, membership.workspace, Role(membership.role))


@sensitive_variables("current", "new")
def change_password(user: User, current: str, new: str) -> None:
    """Replace the password; every API session of `user` ends, and every console session but one that is renewed with
    `update_session_auth_hash`. Raises InvalidRequest naming `current` or `new`, RateLimitExceeded.
    """
    throttle = Throttle("login-account", *settings.LOGIN_FAILURES_PER_ACCOUNT)
    throttle.hit(user.email)
    if not user.check_password(current):
        raise InvalidRequest("current: is not your password.", param="current")
    throttle.reset(user.email)
    _check_password(new, user, "new")
    with transaction.atomic():
        user.set_password(new)
        user.save(update_fields=["password"])
        audit.record_account(user, "user.password_changed")


def change_name(user: User, name: str) -> None:
    """Raises InvalidRequest naming `name`."""
    user.name = name.strip()
    _check_details(user)
    user.save(update_fields=["name"])


def delete_expired_sessions() -> int:
    """Remove sign-ins whose last token has expired; returns how many."""
    deleted, _ = ApiSession.objects.filter(expires_at__lt=timezone.now()).delete()
    return deleted


def _first_membership(user: User) -> Membership | None:
    return Membership.objects.select_related("workspace").filter(user=user).order_by("created_at", "id").first()


def _is_first_user() -> bool:
    """Whether the database has no user, now and until this transaction ends, however many sign up at once."""
    if User.objects.exists():
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_FIRST_USER_LOCK])
    return not User.objects.exists()


def _personal_name(user: User) -> str:
    return f"{user.get_short_name()[:100]}'s workspace"


def _check_details(user: User) -> None:
    """Raises InvalidRequest naming `email` or `name`."""
    if len(user.name) > 120 or "\0" in user.name:
        raise InvalidRequest("name: must be at most 120 characters, none of them NUL.", param="name")
    try:
        validate_email(user.email)
    except ValidationError:
        raise InvalidRequest("email: must be an e-mail address.", param="email") from None
    if len(user.email) > 254:
        raise InvalidRequest("email: must be at most 254 characters.", param="email")


@sensitive_variables("password")
def _check_password(password: str, user: User, param: str) -> None:
    """Django's validators, and a length that bounds their work. Raises InvalidRequest naming `param`."""
    if len(password) > MAX_PASSWORD:
        raise InvalidRequest(f"{param}: must be at most {MAX_PASSWORD} characters.", param=param)
    try:
        password_validation.validate_password(password, user)
    except ValidationError as error:
        raise InvalidRequest(f"{param}: {' '.join(error.messages)}", param=param) from None


def _taken() -> Conflict:
    return Conflict("email: this address has an account already; log in instead.", param="email")
