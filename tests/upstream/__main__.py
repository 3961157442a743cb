"""`python -m tests.upstream`: prints `listening on PORT` when it does, and serves until its stdin closes or TERM."""

import argparse
import asyncio
import signal
import sys

import uvloop

from tests.upstream import server


async def serve(port: int, *, until_stdin_closes: bool) -> None:
    listener = await server.start(port)
    print(f"listening on {listener.sockets[0].getsockname()[1]}", flush=True)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopped.set)
    if until_stdin_closes:
        # The parent holds the pipe's other end: when it dies, however it dies, so does this process.
        loop.add_reader(sys.stdin, stopped.set)
    await stopped.wait()
    listener.close()


parser = argparse.ArgumentParser(prog="python -m tests.upstream", description="A fake LLM provider.")
parser.add_argument("--port", type=int, default=0, help="0: any free one")
parser.add_argument("--until-stdin-closes", action="store_true")
arguments = parser.parse_args()
uvloop.run(serve(arguments.port, until_stdin_closes=arguments.until_stdin_closes))
