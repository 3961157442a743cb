"""Every malformed variable is one line that names it."""

from pathlib import Path

import pytest

from gateway_project.checks import findings
from gateway_project.env import BadEnvironment, Environment, load

KEY = "A" * 43 + "="


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, **variables: str) -> Environment:
    return load({"DATA_DIR": str(folder / "data"), **variables}, folder)


MALFORMED = {
    "HOST": ["not a host", "http://localhost", "a..b", "-"],
    "PORT": ["0", "65536", "http", "8_000", "80.0", "-1"],
    "PUBLIC_URL": ["gateway.example.com", "ftp://gateway.example.com", "https://", "https://host:port"],
    "EMAIL_URL": ["mail.example.com", "imap://mail.example.com"],
    "DEBUG": ["maybe", "2"],
    "DATABASE_URL": ["mysql://localhost/x", "localhost"],
    "REDIS_URL": ["localhost:6379", "http://localhost"],
    "CELERY_BROKER_URL": ["localhost"],
    "ENCRYPTION_KEY": ["secret", "A" * 43, f"{KEY},short"],
    "JWT_ALGORITHM": ["none", "RS256"],
    "JWT_EXPIRATION": ["0", "soon"],
    "CACHE_MAX_SIZE": ["-1"],
    "CACHE_TTL": ["0"],
    "RATE_LIMIT_REQUESTS": ["-1", "many"],
    "RATE_LIMIT_WINDOW": ["0"],
    "WEB_WORKERS": ["0", "two"],
    "LOG_LEVEL": ["LOUD"],
    "SIGNUP_ENABLED": ["perhaps"],
    "OPENAI_API_KEY": ["two words", "schlüssel"],
    "OLLAMA_BASE_URL": ["localhost:11434", "http://"],
    "BACKEND_BASE_URL": ["localhost:8000"],
    "EMBEDDING_DEVICE": ["tpu"],
    "LANGFUSE_HOST": ["langfuse"],
    "OTEL_EXPORTER_OTLP_ENDPOINT": ["collector:4317"],
    "SERVER": ["gunicorn"],
    "LIMITS_FAIL": ["open"],
    "METRICS_TOKEN": ["with space"],
    "TRUSTED_PROXIES": ["proxy", "10.0.0.0/33"],
    "CORS_ALLOWED_ORIGINS": ["*", "https://*.example.com", "app.example.com", "https://app.example.com/path"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MALFORMED.items() for value in values])
def test_a_malformed_value_names_its_variable_and_is_not_repeated(folder: Path, name: str, value: str) -> None:
    with pytest.raises(BadEnvironment) as refused:
        read(folder, **{name: value})
    message = str(refused.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    if name.endswith(("_KEY", "_TOKEN")):
        assert value not in message


@pytest.mark.parametrize("name", ["PORT", "OPENAI_API_KEY", "PUBLIC_URL"])
def test_a_line_break_or_control_character_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(BadEnvironment, match=rf"^{name}: "):
        read(folder, **{name: "80\n80"})


def test_an_empty_value_is_the_default(folder: Path) -> None:
    assert read(folder, PORT="", HOST=" ").port == 8000


def test_defaults_are_the_contracts(folder: Path) -> None:
    env = read(folder)
    assert (env.host, env.port, env.debug, env.server) == ("127.0.0.1", 8000, False, "uvicorn")
    assert (env.cache_max_size, env.cache_ttl, env.jwt_expiration) == (1000, 3600, 86_400)
    assert env.allowed_private_hosts == ("localhost", "127.0.0.1", "::1")


def test_secrets_are_made_once_readable_by_their_owner_alone(folder: Path) -> None:
    first, second = read(folder), read(folder)
    assert first.secret_key == second.secret_key
    assert first.encryption_keys == second.encryption_keys
    for name in ("secret_key", "encryption_key"):
        assert (folder / "data" / name).stat().st_mode & 0o777 == 0o600


def test_a_damaged_kept_key_is_named(folder: Path) -> None:
    read(folder)
    (folder / "data" / "encryption_key").write_text("")
    with pytest.raises(BadEnvironment, match=r"^ENCRYPTION_KEY: "):
        read(folder)


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ENCRYPTION_KEY"])
def test_a_database_of_ones_own_needs_secrets_of_ones_own(folder: Path, missing: str) -> None:
    variables = {"DATABASE_URL": "postgres://u:p@db/gateway", "SECRET_KEY": "s" * 40, "ENCRYPTION_KEY": KEY}
    assert read(folder, **variables).allowed_private_hosts == ()
    del variables[missing]
    with pytest.raises(BadEnvironment, match=rf"^{missing}: "):
        read(folder, **variables)


def test_several_web_processes_need_redis(folder: Path) -> None:
    with pytest.raises(BadEnvironment, match=r"^WEB_WORKERS: "):
        read(folder, WEB_WORKERS="2")
    assert read(folder, WEB_WORKERS="2", REDIS_URL="redis://localhost").web_workers == 2


def test_dotenv_lies_beneath_the_process_environment(folder: Path) -> None:
    (folder / ".env").write_text("PORT=9001\nHOST='0.0.0.0'  # everywhere\n")
    assert (read(folder).port, read(folder).host) == (9001, "0.0.0.0")
    assert read(folder, PORT="9002").port == 9002


def test_a_dotenv_that_cannot_be_read_names_its_line(folder: Path) -> None:
    (folder / ".env").write_text("PORT=9001\n%%%\n")
    with pytest.raises(BadEnvironment, match=r"^\.env: line 2 "):
        read(folder)


def test_a_name_in_dotenv_that_means_nothing_is_told_without_its_value(folder: Path) -> None:
    key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"
    (folder / ".env").write_text(f"OPENAI_APIKEY=sk-hunter2\nENCRYPTION_KEYS=hunter2\nCOLOUR=red\nPORT=9001\n{key}=\n")
    env = read(folder, ELSEWHERE="the process's own variables are other programs', too")
    assert [found.message for found in findings(env)] == [
        ".env: OPENAI_APIKEY has no effect, there is no such variable; is it OPENAI_API_KEY?",
        ".env: ENCRYPTION_KEYS has no effect, there is no such variable; is it ENCRYPTION_KEY?",
        ".env: COLOUR has no effect, there is no such variable",
        ".env: a line has no effect: what stands before its '=' is no variable's name",
    ]
    assert not any(found.is_error for found in findings(env))


def test_a_data_dir_that_is_a_file(folder: Path) -> None:
    (folder / "data").write_text("")
    with pytest.raises(BadEnvironment, match=r"^DATA_DIR: .* is a file"):
        read(folder)


def test_the_environment_does_not_show_its_secrets(folder: Path) -> None:
    assert "hunter2" not in repr(read(folder, OPENAI_API_KEY="hunter2"))


# --- Variables against each other -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"BACKEND_KIND": "skynet"}, "BACKEND_KIND: must be one of"),
        ({"BACKEND_KIND": "vllm"}, "BACKEND_BASE_URL: must be set"),
        ({"BACKEND_BASE_URL": "http://localhost:8001"}, "BACKEND_BASE_URL: needs BACKEND_KIND"),
        ({"BACKEND_API_KEY": "k"}, "BACKEND_API_KEY: needs BACKEND_KIND"),
        ({"LANGFUSE_HOST": "https://langfuse.example.com"}, "LANGFUSE_PUBLIC_KEY: must be set"),
        ({"HOST": "0.0.0.0", "DEBUG": "true"}, "DEBUG: shows source"),
        ({"HOST": "0.0.0.0"}, "PUBLIC_URL: is unset"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY: has fewer"),
        ({"METRICS_TOKEN": "short"}, "METRICS_TOKEN: has fewer"),
    ],
)
def test_checks_name_the_variable(folder: Path, variables: dict[str, str], message: str) -> None:
    assert any(found.message.startswith(message) for found in findings(read(folder, **variables)))


def test_a_plain_environment_passes_every_check(folder: Path) -> None:
    assert findings(read(folder)) == []
    assert findings(read(folder, BACKEND_KIND="vllm", BACKEND_BASE_URL="http://localhost:8001/v1")) == []


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8123"), ("::", "http://[::1]:8123"), ("::1", "http://[::1]:8123"),
        ("gateway.internal", "http://gateway.internal:8123"),
    ],
)  # fmt: skip
def test_this_machine_finds_the_web_process(folder: Path, host: str, url: str) -> None:
    assert read(folder, HOST=host, PORT="8123").own_url == url
