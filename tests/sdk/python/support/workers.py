"""The official Python worker, with few pollers so that many can run side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker


def worker(
    client: Client, queue: str, workflows: Sequence[type] = (), activities: Sequence[Callable] = (), **options
) -> Worker:
    if workflows:
        options = {
            "max_concurrent_workflow_task_polls": 2,
            "workflow_runner": UnsandboxedWorkflowRunner(),
        } | options
    if activities:
        options = {"max_concurrent_activity_task_polls": 2} | options
    return Worker(client, task_queue=queue, workflows=workflows, activities=activities, **options)
