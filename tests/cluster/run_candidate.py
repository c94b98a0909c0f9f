"""A process that stands for election, so that a test can kill it: prints "leads" when it does."""

from __future__ import annotations

import asyncio
import os
import sys

from lmjob.kube.client import Client
from lmjob.kube.credentials import load
from lmjob.kube.lease import LeaseSettings, elect


async def main(name: str, identity: str, seconds: float) -> None:
    async def lead() -> None:
        print("leads", flush=True)
        await asyncio.Event().wait()

    settings = LeaseSettings(namespace="default", name=name, identity=identity, seconds=seconds)
    async with Client(load(os.environ), slots=2) as client:
        await elect(client, settings, lead)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
