"""A small HTTP/1.1 client: what a gateway asks of one, and no more.

It parses with httptools (llhttp), hands on what one read brought as one block, keeps connections alive, and connects
to no address that the guard of `gateway_project.lib.net` refuses. It follows no redirect, keeps no cookie, reads no
proxy variable, repeats no request, and bounds everything that a server could make grow.
"""

from routing.http1.errors import ConnectFailed, ConnectTimedOut, Dropped, HttpError, NotHttp, TimedOut
from routing.http1.pool import Pool, clients_pool, close_pools, pool
from routing.http1.request import Request
from routing.http1.response import Response

__all__ = [
    "ConnectFailed",
    "ConnectTimedOut",
    "Dropped",
    "HttpError",
    "NotHttp",
    "Pool",
    "Request",
    "Response",
    "TimedOut",
    "clients_pool",
    "close_pools",
    "pool",
]
