"""How a request can end without an answer, or with half of one. No message names an address or a secret."""


class HttpError(Exception):
    """What every failure of this client is."""


class ConnectFailed(HttpError):
    """There is no connection, and nothing was sent: `cause` says why, `tls` whether it came as far as the handshake."""

    def __init__(self, cause: OSError, *, tls: bool = False) -> None:
        super().__init__("the connection failed")
        self.cause = cause
        self.tls = tls


class ConnectTimedOut(HttpError):
    """There was no connection in time, and nothing was sent."""


class TimedOut(HttpError):
    """The answer did not begin in time, fell silent, or took too long."""


class Dropped(HttpError):
    """The connection broke after (some of) the request was sent; whether it was acted upon is not known."""


class NotHttp(HttpError):
    """What came is not HTTP/1 as it should be. The message says more, without anything that the server sent."""
