"""The official Python worker, with few pollers so that many can run side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from support import replay


class CheckedWorker(Worker):
    """When its block ends without an error, what it left behind has to replay."""

    checked: tuple[Client, str, Sequence[type]] | None = None

    async def __aexit__(self, kind, *rest) -> None:
        await super().__aexit__(kind, *rest)
        if kind is None and self.checked is not None:
            await replay.check(*self.checked)


def worker(
    client: Client,
    queue: str,
    workflows: Sequence[type] = (),
    activities: Sequence[Callable] = (),
    *,
    replays: bool = True,
    **options,
) -> Worker:
    """`replays=False` is for workflows that break determinism on purpose, and for servers that are gone by the end."""
    if workflows:
        options = {
            "max_concurrent_workflow_task_polls": 2,
            "workflow_runner": UnsandboxedWorkflowRunner(),
        } | options
    if activities:
        options = {"max_concurrent_activity_task_polls": 2} | options
    made = CheckedWorker(client, task_queue=queue, workflows=workflows, activities=activities, **options)
    if workflows and replays:
        made.checked = (client, queue, workflows)
    return made
