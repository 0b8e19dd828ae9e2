"""Holds SSH sessions open: whoever logs in gets one in which nothing ever happens. Ends with its standard input."""

import asyncio
import gc
import os
import sys

import asyncssh


class Session(asyncssh.SSHServerSession):
    def exec_requested(self, command: str) -> bool:
        return True

    def eof_received(self) -> bool:
        return True


class Server(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return True

    def session_requested(self) -> Session:
        return Session()


async def main() -> None:
    kex = os.environ["KEX"]
    known = {name.decode() for name in asyncssh.kex.get_kex_algs()}
    server = await asyncssh.create_server(
        Server,
        "127.0.0.1",
        0,
        server_host_keys=[os.environ["HOST_KEY"]],
        kex_algs=[kex] if kex in known else (),
        login_timeout=600,
        backlog=1024,
    )
    # What is made here lives to the end: looking for what has died only takes time.
    gc.disable()
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


asyncio.run(main())
