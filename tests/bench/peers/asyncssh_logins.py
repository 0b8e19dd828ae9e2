"""Logins by asyncssh: one process, the options made once, the host key checked."""

import asyncio
import os
import sys

import asyncssh


async def main() -> None:
    port, count, parallel = (int(os.environ[name]) for name in ("PORT", "COUNT", "PARALLEL"))
    kex = os.environ["KEX"]
    known = {name.decode() for name in asyncssh.kex.get_kex_algs()}
    options = asyncssh.SSHClientConnectionOptions(
        username=os.environ["ACCOUNT"],
        client_keys=[asyncssh.read_private_key(os.environ["KEY"])],
        known_hosts=asyncssh.read_known_hosts(os.environ["KNOWN"]),
        kex_algs=[kex] if kex in known else (),
        config=None,
        agent_path=None,
        connect_timeout=120,
    )
    slots = asyncio.Semaphore(parallel)

    async def login() -> None:
        async with slots, asyncssh.connect(os.environ["HOST"], port, options=options) as connection:
            await connection.run(os.environ["COMMAND"], check=True)

    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(login() for _ in range(count)))
    print("done", flush=True)


asyncio.run(main())
