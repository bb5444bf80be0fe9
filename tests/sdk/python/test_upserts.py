"""What workflows change of themselves: memo, search attributes; and what is noted beside starts and commands for people."""

from __future__ import annotations

import pytest
from temporalio.api.sdk.v1 import user_metadata_pb2

from support.grpc_client import Code, rejects
from support.hand import (
    Command,
    Hand,
    complete_workflow,
    continue_as_new,
    marker,
    memo,
    payload,
    search_attributes,
    start_child,
    start_timer,
    upsert_memo,
    upsert_search_attributes,
)
from support.histories import PROLOGUE, E, check, check_tail, payload_value, types


def with_null(command: Command, key: str) -> Command:
    """The field of this name is binary/null in an upsert."""
    if command.HasField("modify_workflow_properties_command_attributes"):
        fields = command.modify_workflow_properties_command_attributes.upserted_memo.fields
    else:
        upsert = command.upsert_workflow_search_attributes_command_attributes
        fields = upsert.search_attributes.indexed_fields
    fields[key].metadata["encoding"] = b"binary/null"
    fields[key].data = b""
    return command


async def shown(hand: Hand) -> tuple[dict, dict]:
    info = (await hand.describe()).workflow_execution_info
    fields = {key: payload_value(value) for key, value in info.memo.fields.items()}
    attributes = {key: payload_value(value) for key, value in info.search_attributes.indexed_fields.items()}
    attributes.pop("BuildIds", None)
    return fields, attributes


async def test_memos_are_merged(env):
    hand = Hand(env)
    await hand.start(memo=memo(a=1, b=2, c=3, d=4))
    await hand.step(
        upsert_memo(b="new", e=5),
        with_null(upsert_memo(a="x"), "a"),
        upsert_memo(c=[], d=None),  # an empty list takes the field away, a null in JSON is a value
    )
    check(
        await hand.history(),
        *PROLOGUE,
        E("WorkflowPropertiesModified", upserted_memo={"b": "new", "e": 5}, wftc=4),
        E("WorkflowPropertiesModified", wftc=4),
        E("WorkflowPropertiesModified", wftc=4),
    )
    assert (await shown(hand))[0] == {"b": "new", "d": None, "e": 5}


async def test_search_attributes_are_merged(env):
    hand = Hand(env)
    await hand.start(search_attributes=search_attributes(BatcherUser="u", BatcherNamespace="n"))
    await hand.step(
        upsert_search_attributes(TemporalChangeVersion=["a", "b"], BatcherUser="v"),
        with_null(upsert_search_attributes(BatcherNamespace="x"), "BatcherNamespace"),
    )
    check_tail(
        await hand.history(),
        E("UpsertWorkflowSearchAttributes", wftc=4),
        E("UpsertWorkflowSearchAttributes", wftc=4),
    )
    assert (await shown(hand))[1] == {"BatcherUser": "v", "TemporalChangeVersion": ["a", "b"]}
    described = (await hand.describe()).workflow_execution_info.search_attributes.indexed_fields
    assert described["BatcherUser"].metadata["type"] == b"Keyword"
    assert described["TemporalChangeVersion"].metadata["type"] == b"KeywordList"
    await hand.signal("go")
    await hand.step(upsert_search_attributes(TemporalChangeVersion=[]))
    assert (await shown(hand))[1] == {"BatcherUser": "v"}


@pytest.mark.parametrize(
    "values",
    [{"BatcherUser": 1}, {"BatcherUser": ["a", "b"]}, {"TemporalScheduledStartTime": "soon"}, {"RunId": "x"}],
)
async def test_values_of_another_type(env, values):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    with rejects(Code.INVALID_ARGUMENT, text=next(iter(values))):
        await hand.complete(task, upsert_memo(before=1), upsert_search_attributes(**values))
    check_tail(await hand.history(), E("WftStarted"), E("WftFailed", cause="BAD_SEARCH_ATTRIBUTES"))
    assert await shown(hand) == ({}, {})


async def test_user_metadata_of_starts_and_commands(env):
    def noted(command: Command, summary: str) -> Command:
        command.user_metadata.CopyFrom(
            user_metadata_pb2.UserMetadata(summary=payload(summary), details=payload(f"about {summary}"))
        )
        return command

    hand = Hand(env)
    await hand.start(user_metadata={"summary": payload("start"), "details": payload("about start")})
    await hand.step(
        noted(hand.activity("a"), "activity"),
        noted(start_timer("t", 60), "timer"),
        noted(marker("m"), "marker"),
        noted(upsert_memo(k=1), "memo"),
        noted(upsert_search_attributes(BatcherUser="u"), "attribute"),
        noted(start_child(f"{hand.workflow_id}-child", hand.queue, policy="ABANDON"), "child"),
    )
    config = (await hand.describe()).execution_config
    assert payload_value(config.user_metadata.summary) == "start"
    assert payload_value(config.user_metadata.details) == "about start"
    await hand.history_with("ChildWorkflowExecutionStarted")
    events = (await hand.history())[:10]
    said = {t: e.user_metadata for t, e in zip(types(events), events, strict=True) if e.HasField("user_metadata")}
    assert {name: payload_value(noted.summary) for name, noted in said.items()} == {
        "Started": "start",
        "ActivityTaskScheduled": "activity",
        "TimerStarted": "timer",
        "MarkerRecorded": "marker",
        "WorkflowPropertiesModified": "memo",
        "UpsertWorkflowSearchAttributes": "attribute",
        "StartChildWorkflowExecutionInitiated": "child",
    }
    assert payload_value(said["TimerStarted"].details) == "about timer"
    task = await hand.poll()
    while task.workflow_execution.workflow_id != hand.workflow_id:  # the child's, on the same queue
        await hand.complete(task, complete_workflow())
        task = await hand.poll()
    await hand.complete(task, noted(continue_as_new("type", hand.queue), "again"))
    *_, closed = await hand.history()
    assert types([closed]) == ["ContinuedAsNew"] and payload_value(closed.user_metadata.summary) == "again"
    following = closed.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    assert not (await hand.history(run_id=following))[0].HasField("user_metadata")
    await hand.rpc.TerminateWorkflowExecution(workflow_execution={"workflow_id": hand.workflow_id})
