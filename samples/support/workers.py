"""What every sample's worker does besides naming its workflows and activities."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

THREADS = 16


async def _serve(
    name: str, task_queue: str, workflows: Sequence[type], activities: Sequence[Callable[..., Any]]
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        namespace=os.environ.get("TEMPORAL_NAMESPACE", "default"),
        identity=f"{name}-worker-{os.getpid()}",
    )
    with ThreadPoolExecutor(THREADS) as threads:
        async with Worker(
            client,
            task_queue=task_queue,
            workflows=workflows,
            activities=activities,
            activity_executor=threads,
            max_concurrent_activities=THREADS,
        ):
            print(f"{name} worker {os.getpid()} ready", flush=True)
            await stop.wait()
    # The SDK's threads end before the interpreter does; else it may abort here (temporalio/sdk-python#300).
    await asyncio.sleep(0.1)


def run_worker(
    name: str, task_queue: str, workflows: Sequence[type], activities: Sequence[Callable[..., Any]]
) -> None:
    """Until SIGTERM or SIGINT; says a line with "ready" when it polls."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(_serve(name, task_queue, workflows, activities))
