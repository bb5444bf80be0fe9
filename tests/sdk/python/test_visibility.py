"""Lists and counts, straight after the writes they must show."""

from __future__ import annotations

import pytest

from support.env import Env
from support.grpc_client import Code, rejects
from support.hand import (
    Hand,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    failure,
    memo,
    search_attributes,
)
from support.histories import ABSENT, PRESENT, expect

DAY_AGO, DAY_AHEAD = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"


async def listed(env: Env, query: str, **fields) -> list:
    found, token = [], b""
    while True:
        page = await env.rpc.ListWorkflowExecutions(query=query, next_page_token=token, **fields)
        found += page.executions
        token = page.next_page_token
        if not token:
            return found


async def ids(env: Env, query: str, **fields) -> list[str]:
    return [info.execution.workflow_id for info in await listed(env, query, **fields)]


async def see(env: Env, query: str, hands: list[Hand]) -> None:
    """The list has exactly these workflows, and the count agrees."""
    wanted = sorted(hand.workflow_id for hand in hands)

    async def listing():
        return sorted(await ids(env, query))

    async def counting():
        return (await env.rpc.CountWorkflowExecutions(query=query)).count

    await env.visible(listing, wanted)
    await env.visible(counting, len(wanted))


async def close(hand: Hand, status: str) -> None:
    if status == "Terminated":
        await hand.terminate()
    elif status == "ContinuedAsNew":
        task = await hand.poll()
        await hand.complete(task, continue_as_new(task.workflow_type.name, hand.queue))
        await hand.rpc.TerminateWorkflowExecution(workflow_execution={"workflow_id": hand.workflow_id})
    elif status == "TimedOut":
        await hand.history_with("TimedOut")
    elif status != "Running":
        await hand.step(
            {
                "Completed": complete_workflow(),
                "Failed": fail_workflow(failure("f")),
                "Canceled": cancel_workflow(),
            }[status]
        )


async def test_a_started_workflow_is_in_the_list(env):
    hand = Hand(env)
    await hand.start(memo=memo(m=1), search_attributes=search_attributes(BatcherUser="u"))
    await see(env, f"WorkflowId = '{hand.workflow_id}'", [hand])
    [info] = await listed(env, f"WorkflowId = '{hand.workflow_id}'")
    expect(
        info,
        execution=dict(workflow_id=hand.workflow_id, run_id=hand.run_id),
        type="type",
        status="RUNNING",
        start_time=PRESENT,
        execution_time=PRESENT,
        close_time=ABSENT,
        task_queue=hand.queue,
        memo={"m": 1},
    )
    assert info.search_attributes.indexed_fields["BatcherUser"].data == b'"u"'
    assert info.search_attributes.indexed_fields["BatcherUser"].metadata["type"] == b"Keyword"
    await hand.step(complete_workflow())

    async def status():
        return [
            (info.status, info.HasField("close_time"))
            for info in await listed(env, f"WorkflowId = '{hand.workflow_id}'")
        ]

    await env.visible(status, [(2, True)])


async def test_by_status(env):
    kind = env.name("Type")
    hands = {}
    for status in ("Running", "Completed", "Failed", "Canceled", "Terminated", "ContinuedAsNew", "TimedOut"):
        hands[status] = Hand(env)
        await hands[status].start(
            workflow_type={"name": kind}, **({"workflow_run_timeout": 1} if status == "TimedOut" else {})
        )
        await close(hands[status], status)
    here = f"WorkflowType = '{kind}'"
    for status, hand in hands.items():
        expected = [hand, hands["ContinuedAsNew"]] if status == "Terminated" else [hand]
        await see(env, f"{here} AND ExecutionStatus = '{status}'", expected)
    await see(env, f"{here} AND ExecutionStatus = 1", [hands["Running"]])
    await see(
        env, f"ExecutionStatus IN ('Failed', 'Canceled') AND {here}", [hands["Failed"], hands["Canceled"]]
    )
    await see(
        env,
        f"{here} AND (ExecutionStatus = 'Failed' OR ExecutionStatus = \"Running\")",
        [hands["Failed"], hands["Running"]],
    )
    await see(
        env,
        f"{here} AND ExecutionStatus != 'Running' AND ExecutionStatus != 'Terminated' AND ExecutionStatus != 'ContinuedAsNew'",
        [hands[status] for status in ("Completed", "Failed", "Canceled", "TimedOut")],
    )
    await see(env, f"{here} AND CloseTime IS NULL", [hands["Running"]])
    groups = (await env.rpc.CountWorkflowExecutions(query=f"{here} GROUP BY ExecutionStatus")).groups
    counted = {group.group_values[0].data.decode().strip('"'): group.count for group in groups}
    assert counted == {
        "Running": 1,
        "Completed": 1,
        "Failed": 1,
        "Canceled": 1,
        "Terminated": 2,
        "ContinuedAsNew": 1,
        "TimedOut": 1,
    }


async def test_by_type_id_and_queue(env):
    type_a, type_b = env.name("TypeA"), env.name("TypeB")
    first, second, third = Hand(env), Hand(env), Hand(env)
    await first.start(workflow_type={"name": type_a})
    await second.start(workflow_type={"name": type_a})
    await third.start(workflow_type={"name": type_b})
    await see(env, f"WorkflowType = '{type_a}'", [first, second])
    await see(env, f'WorkflowType = "{type_b}"', [third])
    await see(env, f"WorkflowType IN ('{type_a}', '{type_b}')", [first, second, third])
    await see(env, f"WorkflowType = '{type_a}' and WorkflowId = '{second.workflow_id}'", [second])
    await see(env, f"WorkflowType = '{type_a}' AND NOT WorkflowId = '{second.workflow_id}'", [first])
    await see(env, f"`WorkflowType` = '{type_b}' or TaskQueue = '{first.queue}'", [first, third])
    await see(env, f"RunId = '{third.run_id}'", [third])
    prefix = first.workflow_id.rsplit("-", 1)[0]
    await see(env, f"WorkflowId STARTS_WITH '{prefix}-'", [first, second, third])
    await see(env, f"WorkflowType = '{env.name('none')}'", [])


async def test_by_time(env):
    queue = env.name("queue")
    first, second = Hand(env, queue=queue), Hand(env, queue=queue)
    await first.start()
    await second.start()
    start = (await second.describe()).workflow_execution_info.start_time
    nanos = start.seconds * 10**9 + start.nanos
    exact = start.ToJsonString()
    here = f"TaskQueue = '{queue}'"
    await see(env, f"{here} AND StartTime > '{DAY_AGO}'", [first, second])
    await see(env, f"{here} AND StartTime > '{DAY_AHEAD}'", [])
    await see(env, f"{here} AND StartTime BETWEEN '{DAY_AGO}' AND '{DAY_AHEAD}'", [first, second])
    await see(env, f"{here} AND StartTime < '{exact}'", [first])
    await see(env, f"{here} AND StartTime >= '{exact}'", [second])
    await see(env, f"{here} AND StartTime < {nanos}", [first])


async def test_pages_and_order(env):
    queue = env.name("queue")
    hands = [Hand(env, queue=queue) for _ in range(7)]
    for hand in hands:
        await hand.start()
    here = f"TaskQueue = '{queue}'"
    await see(env, here, hands)
    assert await ids(env, here) == [hand.workflow_id for hand in reversed(hands)], "the newest comes first"
    assert await ids(env, here, page_size=2) == [hand.workflow_id for hand in reversed(hands)]
    page = await env.rpc.ListWorkflowExecutions(query=here, page_size=3)
    assert len(page.executions) == 3 and page.next_page_token
    await hands[0].terminate()  # closed runs come after open ones
    await env.visible(lambda: ids(env, here + " AND ExecutionStatus = 'Terminated'"), [hands[0].workflow_id])
    assert (await ids(env, here))[-1] == hands[0].workflow_id


async def test_each_run_of_an_id_is_listed(env):
    hand = Hand(env)
    runs = []
    for _ in range(3):
        runs.append((await hand.start()).run_id)
        await hand.step(complete_workflow())

    async def listed_runs():
        return sorted(
            info.execution.run_id for info in await listed(env, f"WorkflowId = '{hand.workflow_id}'")
        )

    await env.visible(listed_runs, sorted(runs))


@pytest.mark.parametrize(
    "text",
    [
        "it's",
        "semi;colon",
        "per%cent_",
        "ünï",
        pytest.param('dou"ble', marks=pytest.mark.ours("it finds nothing there")),
    ],
)
async def test_odd_ids_are_data_not_syntax(env, text):
    hand = Hand(env, workflow_id=text + env.name("-odd"))
    await hand.start()
    await see(env, "WorkflowId = '{}'".format(hand.workflow_id.replace("'", "''")), [hand])


@pytest.mark.parametrize(
    "query",
    [
        "nonsense",
        "WorkflowId =",
        "WorkflowId = 'x",
        "NoSuchAttribute = 'x'",
        "WorkflowId = 'a' AND",
        "(WorkflowId = 'a'",
        "StartTime > 'yesterday'",
        "ExecutionStatus = 'Fine'",
        "WorkflowId LIKE 'a'",
        "WorkflowId = 'a' LIMIT 3",
        "WorkflowId = WorkflowType",
        "SELECT 1",
        "WorkflowId = 'a'; DROP TABLE run",
    ],
)
async def test_bad_queries(env, query):
    with rejects(Code.INVALID_ARGUMENT):
        await env.rpc.ListWorkflowExecutions(query=query)
    with rejects(Code.INVALID_ARGUMENT):
        await env.rpc.CountWorkflowExecutions(query=query)


async def test_an_empty_query_lists_everything(env):
    hand = Hand(env)
    await hand.start()
    assert (await env.rpc.ListWorkflowExecutions(page_size=1)).executions
    assert (await env.rpc.CountWorkflowExecutions()).count >= 1


@pytest.mark.ours("garbage is Unknown there")
async def test_a_garbage_list_token(env):
    with rejects(Code.INVALID_ARGUMENT):
        await env.rpc.ListWorkflowExecutions(next_page_token=b"garbage")


@pytest.mark.ours("the reference looks at the workflow id only")
async def test_the_older_list_calls_match_the_run_id_as_given(env):
    hand = Hand(env)
    run_id = (await hand.start()).run_id

    async def count(**execution: str) -> int:
        page = await env.rpc.ListOpenWorkflowExecutions(execution_filter=execution)
        return len(page.executions)

    await env.visible(lambda: count(workflow_id=hand.workflow_id), 1)
    assert await count(workflow_id=hand.workflow_id, run_id=run_id) == 1
    assert await count(workflow_id=hand.workflow_id, run_id="no-run") == 0


@pytest.mark.ours("new attributes take a moment there")
async def test_a_search_attribute_has_one_value_and_a_keyword_list_is_a_list(env):
    names = {type: f"{type}{env.unique}" for type in ("KEYWORD", "INT", "KEYWORD_LIST")}
    await env.rpc.AddSearchAttributes(
        search_attributes={name: f"INDEXED_VALUE_TYPE_{type}" for type, name in names.items()}
    )
    for type, value in (("KEYWORD", ["a"]), ("INT", [5]), ("KEYWORD_LIST", ["a", "b"]), ("KEYWORD_LIST", [])):
        given = search_attributes(**{names[type]: value})
        await Hand(env).start(search_attributes=given)
    for type, value in (("KEYWORD", ["a", "b"]), ("INT", [5, 6]), ("KEYWORD_LIST", "a")):
        given = search_attributes(**{names[type]: value})
        with rejects(Code.INVALID_ARGUMENT, text=names[type]):
            await Hand(env).start(search_attributes=given)
