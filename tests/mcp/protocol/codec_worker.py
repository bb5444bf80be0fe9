"""The worker of the conformance fixtures, with payloads and failures that only it and its codec server can read."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))
ENCODING = b"binary/mirrored"


class Mirror(PayloadCodec):
    """No cipher; but nothing of it can be read by who does not know it."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [Payload(metadata={"encoding": ENCODING}, data=bytes(255 - byte for byte in each.SerializeToString())) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload.FromString(bytes(255 - byte for byte in each.data)) if each.metadata.get("encoding") == ENCODING else each
            for each in payloads
        ]


async def main(address: str) -> None:
    from worker import Conformance

    converter = dataclasses.replace(
        DataConverter.default, payload_codec=Mirror(), failure_converter_class=DefaultFailureConverterWithEncodedAttributes
    )
    client = await Client.connect(address, data_converter=converter)
    async with Worker(client, task_queue="conformance", workflows=[Conformance], workflow_runner=UnsandboxedWorkflowRunner()):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
