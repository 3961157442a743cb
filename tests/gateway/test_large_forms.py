"""Forms with files: only who is signed in may send one of some size; anybody else is answered before it is over."""

import contextlib
import socket
from typing import Any

import httpx
import pytest

from tests.gateway.account import Account
from tests.gateway.process import Process

MEGABYTE = 1024**2
# More than Django's own limit of a body without files, and as long as the form says that it will be.
SENT, SAID = 4 * MEGABYTE, 50 * MEGABYTE
START = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\ncontent-type: text/plain\r\n\r\n'


def answer_to_the_beginning(gateway: Process, path: str, headers: list[str], *, within: float) -> str:
    """What is answered to the first megabytes of a form that goes on; "" when nothing is."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=x\r\n"
    lines = "".join(f"{header}\r\n" for header in headers)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(f"{head}{lines}\r\n".encode())
        # It may have been answered, and cut off, by then.
        with contextlib.suppress(ConnectionError):
            connection.sendall(START + b"a" * SENT)
        connection.settimeout(within)
        try:
            return connection.recv(65536).decode()
        except TimeoutError:
            return ""


@pytest.mark.parametrize("place", ["/api/libraries/{}/documents", "/console/libraries/{}/upload/"])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["cookie: sessionid=somebody"],
        ["authorization: Bearer a.b.c"],
        ["cookie: a=b", "authorization: Bearer gw_x"],
    ],
    ids=["nobody", "a cookie", "a token", "a key"],
)
def test_a_stranger_is_answered_before_the_form_is_over(gateway: Process, headers: list[str], place: str) -> None:
    path = place.format("0199c0de-0000-7000-8000-000000000000")
    answer = answer_to_the_beginning(gateway, path, [*headers, f"content-length: {SAID}"], within=10)
    status = int(answer.split()[1])
    assert status in (302, 401, 403, 413), answer


def test_a_form_of_unknown_length_is_no_way_around_it(gateway: Process) -> None:
    head = ["cookie: sessionid=somebody", "transfer-encoding: chunked"]
    chunk = b"%x\r\n%b\r\n" % (SENT, b"a" * SENT)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        first = "POST /api/libraries/x/documents HTTP/1.1\r\nhost: localhost\r\n"
        lines = "\r\n".join([*head, "content-type: multipart/form-data; boundary=x"])
        connection.sendall(f"{first}{lines}\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            connection.sendall(chunk)
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")


def signed_in(gateway: Process, account: Account) -> httpx.Client:
    """A browser with the console's cookie."""
    browser = httpx.Client(base_url=gateway.url, timeout=60, trust_env=False, follow_redirects=True)
    browser.get("/console/login/")
    form = {"email": account.email, "password": account.password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    answer = browser.post("/console/login/", data=form)
    assert "sessionid" in browser.cookies, answer.text
    return browser


@pytest.mark.parametrize("by", ["token", "cookie"])
def test_who_is_signed_in_sends_a_large_file(gateway: Process, account: Account, by: str) -> None:
    library = account.call("POST", "/api/libraries", 201, name=f"large by {by}")
    path = f"/api/libraries/{library['id']}/documents"
    content = b"MZ" + b"\0" * SENT
    files: Any = {"file": ("large.exe", content)}
    if by == "token":
        answer = account.http.post(path, files=files)
    else:
        browser = signed_in(gateway, account)
        answer = browser.post(path, files=files, headers={"x-csrftoken": browser.cookies["csrftoken"]})
    assert answer.status_code == 202, answer.text
    assert answer.json()["size"] == len(content)
    account.call("DELETE", f"/api/libraries/{library['id']}", 204)
