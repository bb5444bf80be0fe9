"""What a worker left behind must replay: the histories of its task queue go through the SDK's own replayer.

A history that the server stored, but that differs in any way from what it delivered, shows up here as a
non-determinism error in the test that made it.
"""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

# Of a queue with more runs than this, the newest.
RUNS_MAX = 200

# How many histories were replayed in this session: a check that checks nothing would be none.
replayed = 0


async def histories(client: Client, queue: str, types: set[str]) -> list[WorkflowHistory]:
    found = []
    async for run in client.list_workflows(f"TaskQueue = '{queue}'", limit=RUNS_MAX):
        if run.workflow_type in types:
            found.append(await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history())
    return found


async def check(client: Client, queue: str, workflows: Sequence[type]) -> None:
    """Replays every run of the queue whose workflow is among these."""
    global replayed
    types = {workflow.__temporal_workflow_definition.name for workflow in workflows}
    replayer = Replayer(
        workflows=workflows,
        namespace=client.namespace,
        data_converter=client.data_converter,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    for history in await histories(client, queue, types):
        await replayer.replay_workflow(history)
        replayed += 1
