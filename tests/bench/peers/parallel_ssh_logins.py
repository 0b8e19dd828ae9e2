"""Logins by parallel-ssh's own client (libssh2), a pool of green threads in one process. It checks no host key."""

import os
import sys

from gevent.pool import Pool
from pssh.clients.native import SSHClient

port, count, parallel = (int(os.environ[name]) for name in ("PORT", "COUNT", "PARALLEL"))


def login(_: int) -> None:
    client = SSHClient(
        os.environ["HOST"],
        user=os.environ["ACCOUNT"],
        port=port,
        pkey=os.environ["KEY"],
        allow_agent=False,
        num_retries=1,
        timeout=120,
    )
    output = client.run_command("true")
    client.wait_finished(output)
    if output.exit_code != 0:
        raise SystemExit(f"true ended with {output.exit_code}")
    client.disconnect()


pool = Pool(parallel)
print("ready", flush=True)
sys.stdin.readline()
for _ in pool.imap_unordered(login, range(count)):
    pass
print("done", flush=True)
