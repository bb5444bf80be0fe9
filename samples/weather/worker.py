"""Runs the sample's workflows and activity until SIGTERM or SIGINT."""

import asyncio
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor

from temporalio.client import Client
from temporalio.worker import Worker

from activities import make_nws_request
from workflows import TASK_QUEUE, GetAlerts, GetForecast

THREADS = 16


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        namespace=os.environ.get("TEMPORAL_NAMESPACE", "default"),
        identity=f"weather-worker-{os.getpid()}",
    )
    with ThreadPoolExecutor(THREADS) as threads:
        async with Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=[GetAlerts, GetForecast],
            activities=[make_nws_request],
            activity_executor=threads,
            max_concurrent_activities=THREADS,
        ):
            print(f"weather worker {os.getpid()} ready", flush=True)
            await stop.wait()
    # The SDK's threads end before the interpreter does; else it may abort here (temporalio/sdk-python#300).
    await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
