"""Starts both workflows and prints what they return. Run it again while they wait: it finds the same two."""

import argparse
import asyncio
import os

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from workflows import TASK_QUEUE, ForecastRequest, GetAlerts, GetForecast


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", default="CA", help="two-letter code of a US state")
    parser.add_argument("--latitude", type=float, default=37.7749)
    parser.add_argument("--longitude", type=float, default=-122.4194)
    options = parser.parse_args()

    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        namespace=os.environ.get("TEMPORAL_NAMESPACE", "default"),
    )
    alerts = await client.start_workflow(
        GetAlerts.run,
        options.state,
        id=f"alerts-{options.state.lower()}",
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    forecast = await client.start_workflow(
        GetForecast.run,
        ForecastRequest(options.latitude, options.longitude),
        id=f"forecast-{options.latitude},{options.longitude}",
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    print(f"started {alerts.id} and {forecast.id}", flush=True)
    for handle in (alerts, forecast):
        print(f"\n== {handle.id}\n{await handle.result()}", flush=True)
    # The SDK's threads end before the interpreter does; else it may abort here (temporalio/sdk-python#300).
    await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main())
