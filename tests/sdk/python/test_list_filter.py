"""The list filter against an evaluator written apart: random expressions, orders and groups over random workflows."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import random
import re
from datetime import datetime, timedelta, timezone

import pytest

from support.env import Env, own_server, restart
from support.grpc_client import Code, rejects
from support.hand import Hand, complete_workflow, search_attributes, upsert_search_attributes
from test_visibility import listed

pytestmark = pytest.mark.ours("orders, groups and the types' own operators are not in the SQL stores there")

TYPES = {
    "aText": "TEXT",
    "aKeyword": "KEYWORD",
    "anInt": "INT",
    "aDouble": "DOUBLE",
    "aBool": "BOOL",
    "aTime": "DATETIME",
    "aList": "KEYWORD_LIST",
}
MANY = ("aText", "aList")
WORDS = ["red", "Green", "blue sky", "blue-ish", "ünï", "it's", "50%", "a_b", ""]
EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)
COLUMNS = [*TYPES, "WorkflowId", "WorkflowType", "ExecutionStatus"]


def random_value(chance: random.Random, name: str):
    """As a workflow carries it; few different ones, so that they meet."""
    match TYPES.get(name):
        case "TEXT":
            return " ".join(chance.choices(WORDS, k=chance.randint(1, 3)))
        case "KEYWORD":
            return chance.choice(WORDS)
        case "INT":
            return chance.choice([-(2**63), -5, 0, 1, 7, 10**12, 2**63 - 1])
        case "DOUBLE":
            return chance.choice([-1e300, -2.5, -0.5, 0.0, 1, 2.5, 1e-300, 1e300])
        case "BOOL":
            return chance.random() < 0.5
        case "DATETIME":
            moment = EPOCH + timedelta(hours=chance.randint(-3, 3), microseconds=chance.randint(0, 1))
            return moment.astimezone(timezone(timedelta(hours=chance.randint(-2, 2)))).isoformat()
        case "KEYWORD_LIST":
            return chance.choices(WORDS, k=chance.randint(1, 3))
    if name == "WorkflowType":
        return chance.choice(["TypeA", "TypeB"])
    if name == "ExecutionStatus":
        return chance.choice(["Running", "Completed", "Terminated", "Failed"])
    return f"w-{chance.randint(0, 130):03d}"


def comparable(name: str, value):
    """What is compared of a value: several for texts and lists."""
    match TYPES.get(name):
        case "TEXT":
            small = re.sub("[A-Z]", lambda letter: letter[0].lower(), value)
            return set(re.findall("[a-z0-9\u0080-\U0010ffff]+", small))
        case "DATETIME":
            return datetime.fromisoformat(value)
        case "KEYWORD_LIST":
            return set(value)
        case "KEYWORD":
            return value.encode()
    return value.encode() if isinstance(value, str) else value


def literal(name: str, value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def words_in_literal(chance: random.Random, name: str):
    value = random_value(chance, name)
    if name == "aList":
        return chance.choice(value)
    while name == "aText" and not comparable(name, value):
        value = random_value(chance, name)
    return value


def compare(name: str, sign: str, have, wanted: list):
    """Three values: None is SQL's NULL."""
    if sign in ("IS NULL", "IS NOT NULL"):
        return (have is None) == (sign == "IS NULL")
    if have is None:
        return None
    if name in MANY:
        goal = set().union(*(comparable(name, value) if name == "aText" else {value} for value in wanted))
        if sign.endswith("STARTS_WITH"):
            found = any(member.startswith(wanted[0]) for member in have)
        else:
            found = bool(have & goal)
        return not found if sign.startswith(("NOT", "!", "<>")) else found
    goals = [comparable(name, value) for value in wanted]
    return {
        "=": lambda: have == goals[0],
        "!=": lambda: have != goals[0],
        "<>": lambda: have != goals[0],
        "<": lambda: have < goals[0],
        "<=": lambda: have <= goals[0],
        ">": lambda: have > goals[0],
        ">=": lambda: have >= goals[0],
        "IN": lambda: have in goals,
        "NOT IN": lambda: have not in goals,
        "BETWEEN": lambda: goals[0] <= have <= goals[-1],
        "NOT BETWEEN": lambda: not goals[0] <= have <= goals[-1],
        "STARTS_WITH": lambda: have.startswith(goals[0]),
        "NOT STARTS_WITH": lambda: not have.startswith(goals[0]),
    }[sign]()


def signs_of(name: str) -> list[str]:
    signs = ["=", "!=", "<>", "IN", "NOT IN", "IS NULL", "IS NOT NULL"]
    if name not in MANY:
        signs += ["<", "<=", ">", ">="]
    if name not in MANY and name != "ExecutionStatus":
        signs += ["BETWEEN", "NOT BETWEEN"]
    if name in ("aKeyword", "aList", "WorkflowId", "WorkflowType"):
        signs += ["STARTS_WITH", "NOT STARTS_WITH"]
    return signs if name != "ExecutionStatus" else signs[:7]


def random_condition(chance: random.Random):
    """A text and what it means for a row."""
    name = chance.choice(COLUMNS)
    sign = chance.choice(signs_of(name))
    values = [words_in_literal(chance, name) for _ in range(2 if "BETWEEN" in sign else chance.randint(1, 4))]
    if "IN" not in sign.split() and "BETWEEN" not in sign:
        values = values[:1]
    if "STARTS_WITH" in sign:
        values = [values[0][: chance.randint(0, len(values[0]))]]
    texts = [literal(name, value) for value in values]
    if "NULL" in sign:
        tail = ""
    elif "BETWEEN" in sign:
        tail = f" {texts[0]} and {texts[1]}"
    elif sign.endswith("IN"):
        tail = f" ({', '.join(texts)})"
    else:
        tail = f" {texts[0]}"
    shown = chance.choice([name, f"`{name}`"])
    return f"{shown} {sign}{tail}", lambda row: compare(name, sign, row.get(name), values)


def both(left, right):
    return False if left is False or right is False else None if left is None or right is None else True


def either(left, right):
    return True if left is True or right is True else None if left is None or right is None else False


def opposite(value):
    return None if value is None else not value


def random_expression(chance: random.Random, depth: int):
    """Parentheses only where precedence does not do it: NOT before AND before OR."""
    kind = "condition" if depth == 0 else chance.choice(["condition", "not", "and", "or", "parentheses"])
    if kind == "condition":
        return (*random_condition(chance), 3)
    if kind == "parentheses":
        text, meaning, _ = random_expression(chance, depth - 1)
        return f"({text})", meaning, 3
    if kind == "not":
        text, meaning, rank = random_expression(chance, depth - 1)
        return f"NOT {text if rank >= 2 else f'({text})'}", lambda row: opposite(meaning(row)), 2
    own = 1 if kind == "and" else 0
    sides = [random_expression(chance, depth - 1) for _ in range(2)]
    texts = [text if rank >= own else f"({text})" for text, _, rank in sides]
    joined = f" {chance.choice([kind, kind.upper()])} ".join(texts)
    combine = both if kind == "and" else either
    return joined, lambda row: combine(sides[0][1](row), sides[1][1](row)), own


def in_order(keys: list[tuple[str, bool]]):
    """NULLs come last in either direction; what is equal is in the order of starts, in the direction of the last key."""

    def order(left: dict, right: dict) -> int:
        for name, descending in keys:
            one, other = left.get(name), right.get(name)
            if one == other:
                continue
            if one is None or other is None:
                return 1 if one is None else -1
            return (-1 if one < other else 1) * (-1 if descending else 1)
        return (1 if left["run_id"] > right["run_id"] else -1) * (-1 if keys[-1][1] else 1)

    return functools.cmp_to_key(order)


async def make_rows(env: Env, chance: random.Random, count: int) -> list[dict]:
    """Some values come with the start, others by a worker's command; some runs close."""
    await env.rpc.AddSearchAttributes(
        search_attributes={name: f"INDEXED_VALUE_TYPE_{type}" for name, type in TYPES.items()}
    )
    rows = []
    for i in range(count):
        values = {name: random_value(chance, name) for name in TYPES if chance.random() < 0.7}
        hand = Hand(env, workflow_id=f"w-{i:03d}")
        type_name = random_value(chance, "WorkflowType")
        later = chance.random() < 0.3
        await hand.start(
            workflow_type={"name": type_name},
            search_attributes=search_attributes(
                **({"aKeyword": "overwritten", "anInt": 3} if later else values)
            ),
        )
        status = chance.choice(["Running", "Completed", "Terminated"])
        if later:
            change = {"aKeyword": None, "anInt": None} | values
            await hand.step(
                upsert_search_attributes(**change), *([complete_workflow()] if status == "Completed" else [])
            )
        elif status == "Completed":
            await hand.step(complete_workflow())
        if status == "Terminated":
            await hand.terminate()
        row = {name: comparable(name, value) for name, value in values.items()}
        # A text without a word is as good as none.
        row = {name: value for name, value in row.items() if name != "aText" or value}
        row |= {"WorkflowId": f"w-{i:03d}".encode(), "WorkflowType": type_name.encode()}
        rows.append(row | {"ExecutionStatus": status.encode(), "run_id": hand.run_id})
    by_id = {row["WorkflowId"]: row for row in rows}
    for rank, info in enumerate(await listed(env, "")):
        by_id[info.execution.workflow_id.encode()]["rank"] = rank
    return rows


async def ids(env: Env, query: str, page_size: int = 0) -> list[bytes]:
    return [info.execution.workflow_id.encode() for info in await listed(env, query, page_size=page_size)]


async def check_expressions(env: Env, chance: random.Random, rows: list[dict], count: int) -> None:
    for _ in range(count):
        text, meaning, _ = random_expression(chance, 4)
        wanted = sorted((row for row in rows if meaning(row) is True), key=lambda row: row["rank"])
        names = [row["WorkflowId"] for row in wanted]
        assert await ids(env, text) == names, text
        assert (await env.rpc.CountWorkflowExecutions(query=text)).count == len(names), text


async def check_orders(env: Env, chance: random.Random, rows: list[dict], count: int) -> None:
    for _ in range(count):
        text, meaning, _ = random_expression(chance, 2) if chance.random() < 0.5 else ("", lambda row: True, 0)
        names = chance.sample([name for name in COLUMNS if name not in MANY and name != "ExecutionStatus"], k=2)
        keys = [(name, chance.random() < 0.5) for name in names[: chance.randint(1, 2)]]
        tail = ", ".join(
            f"{name} {chance.choice(['DESC', 'desc']) if down else chance.choice(['', 'ASC'])}"
            for name, down in keys
        )
        wanted = sorted((row for row in rows if meaning(row) is True), key=in_order(keys))
        query = f"{text} ORDER BY {tail}"
        assert await ids(env, query, chance.choice([3, 7, 1000])) == [row["WorkflowId"] for row in wanted], query


async def check_groups(env: Env, chance: random.Random, rows: list[dict], count: int) -> None:
    for _ in range(count):
        text, meaning, _ = random_expression(chance, 2) if chance.random() < 0.7 else ("", lambda row: True, 0)
        names = chance.sample([name for name in COLUMNS if name != "aText"], k=chance.randint(1, 2))
        wanted: dict[tuple, int] = {}
        for row in rows:
            if meaning(row) is not True or any(row.get(name) is None for name in names):
                continue
            kinds = [sorted(row[name]) if name == "aList" else [row[name]] for name in names]
            for key in itertools.product(*kinds):
                wanted[key] = wanted.get(key, 0) + 1
        query = f"{text} GROUP BY {', '.join(names)}"
        got, response = {}, await env.rpc.CountWorkflowExecutions(query=query)
        assert response.count == sum(meaning(row) is True for row in rows), query
        for group in response.groups:
            values = [json.loads(value.data) for value in group.group_values]
            key = tuple(v if n == "aList" else comparable(n, v) for n, v in zip(names, values, strict=True))
            got[key] = group.count
        assert got == wanted, query


@pytest.mark.parametrize("seed", range(3))
async def test_random_filters_orders_and_groups_agree_with_a_naive_evaluator(env, seed):
    chance = random.Random(seed)
    async with own_server() as (server, env):  # the lists are of everything, and survive a kill
        rows = await make_rows(env, chance, 120)
        await check_expressions(env, chance, rows, 150)
        await check_orders(env, chance, rows, 60)
        await check_groups(env, chance, rows, 40)
        await restart(server)
        await check_expressions(env, chance, rows, 30)
        await check_orders(env, chance, rows, 10)


async def test_a_page_goes_on_where_the_last_one_ended_while_rows_change(env):
    """What is neither written nor gone in between comes exactly once."""
    name = f"rank{env.unique}"
    await env.rpc.AddSearchAttributes(search_attributes={name: "INDEXED_VALUE_TYPE_INT"})
    queue = env.name("queue")
    hands = [Hand(env, queue=queue) for _ in range(20)]
    for i, hand in enumerate(hands):
        await hand.start(search_attributes=search_attributes(**({name: i // 2} if i < 16 else {})))
    query = f"TaskQueue = '{queue}' ORDER BY {name} DESC"
    first = await env.rpc.ListWorkflowExecutions(query=query, page_size=5)
    await hands[15].terminate()  # seen already: it moves within the order of what is equal
    await Hand(env, queue=queue).start(search_attributes=search_attributes(**{name: 100}))
    await Hand(env, queue=queue).start(search_attributes=search_attributes(**{name: 0}))
    seen, token = list(first.executions), first.next_page_token
    while token:
        page = await env.rpc.ListWorkflowExecutions(query=query, page_size=5, next_page_token=token)
        seen, token = seen + list(page.executions), page.next_page_token
    counted = [info.execution.workflow_id for info in seen]
    for hand in hands:
        assert counted.count(hand.workflow_id) == 1, hand.workflow_id
    with rejects(Code.INVALID_ARGUMENT, text="NextPageToken is of another"):
        await env.rpc.ListWorkflowExecutions(
            query=query.replace("DESC", "ASC"), page_size=5, next_page_token=first.next_page_token
        )


async def test_an_attribute_is_found_as_soon_as_it_is_added_and_not_once_it_is_removed(env):
    name = f"fresh{env.unique}"
    query = f"{name} = 'x'"
    with rejects(Code.INVALID_ARGUMENT, text=f'"{name}" is not defined'):
        await env.rpc.ListWorkflowExecutions(query=query)
    await env.rpc.AddSearchAttributes(search_attributes={name: "INDEXED_VALUE_TYPE_KEYWORD"})
    assert await ids(env, query) == []
    hand = Hand(env)
    await hand.start(search_attributes=search_attributes(**{name: "x"}))
    assert await ids(env, query) == [hand.workflow_id.encode()]
    await env.rpc.RemoveSearchAttributes(search_attributes=[name])
    with rejects(Code.INVALID_ARGUMENT, text=f'"{name}" is not defined'):
        await env.rpc.ListWorkflowExecutions(query=query)


async def test_runs_of_a_division_are_listed_only_by_queries_that_name_it(env):
    hidden, plain = Hand(env), Hand(env)
    await hidden.start(search_attributes=search_attributes(TemporalNamespaceDivision="mine"))
    await plain.start()
    both_ids = f"WorkflowId IN ('{hidden.workflow_id}', '{plain.workflow_id}')"
    assert await ids(env, both_ids) == [plain.workflow_id.encode()]
    assert (await env.rpc.CountWorkflowExecutions(query=both_ids)).count == 1
    assert await ids(env, f"{both_ids} AND TemporalNamespaceDivision = 'mine'") == [hidden.workflow_id.encode()]
    assert await ids(env, f"{both_ids} AND NamespaceDivision IS NULL") == [plain.workflow_id.encode()]


async def test_predefined_attributes_are_found_with_and_without_their_prefix(env):
    hand = Hand(env)
    await hand.start(
        search_attributes=search_attributes(TemporalChangeVersion=["a-1", "b-2"], BatcherUser="u" + env.unique)
    )
    here = f"WorkflowId = '{hand.workflow_id}'"
    for condition in (
        "TemporalChangeVersion = 'b-2'",
        "ChangeVersion = 'b-2'",
        "ChangeVersion STARTS_WITH 'a-'",
        f"BatcherUser = 'u{env.unique}'",
        f"TemporalBatcherUser = 'u{env.unique}'",
        "BuildIds IS NULL",
    ):
        assert await ids(env, f"{here} AND {condition}") == [hand.workflow_id.encode()], condition
    assert await ids(env, f"{here} AND ChangeVersion != 'b-2'") == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("anInt = 'five'", "anInt is of type Int"),
        ("anInt = 1.5", "anInt is of type Int"),
        ("aBool = 'maybe'", "aBool is of type Bool"),
        ("aTime > 'today'", "aTime is of type Datetime"),
        ("aText > 'a'", "which may have several values"),
        ("aText STARTS_WITH 'a'", "STARTS_WITH is not for aText"),
        ("aText = '?!'", "has no words"),
        ("aList BETWEEN 'a' AND 'b'", "which may have several values"),
        ("aKeyword = 5", "aKeyword is of type Keyword"),
        ("ORDER BY aText", "has no order"),
        ("ORDER BY aList", "has no order"),
        ("ORDER BY anInt UP", "position 16"),
        ("ORDER BY anInt, aBool, aTime, aDouble, aKeyword", "more than 4"),
        ("GROUP BY aText", "has no order"),
        ("aKeyword = 'a' ORDER anInt", "ORDER lacks its BY at position 22"),
    ],
)
async def test_what_a_type_has_no_sense_for_is_refused_with_its_position(env, query, words):
    await env.rpc.AddSearchAttributes(
        search_attributes={name: f"INDEXED_VALUE_TYPE_{type}" for name, type in TYPES.items()}
    )
    call = env.rpc.CountWorkflowExecutions if "GROUP" in query else env.rpc.ListWorkflowExecutions
    with rejects(Code.INVALID_ARGUMENT, text=words):
        await call(query=query)


async def test_a_list_shows_each_write_that_was_acknowledged(env):
    """Read your writes: a change of an attribute is in the very next list."""
    name = f"step{env.unique}"
    await env.rpc.AddSearchAttributes(search_attributes={name: "INDEXED_VALUE_TYPE_INT"})

    async def one() -> None:
        hand = Hand(env)
        await hand.start(search_attributes=search_attributes(**{name: 0}))
        for i in range(1, 6):
            await hand.signal("go")
            await hand.step(upsert_search_attributes(**{name: i}))
            here = f"WorkflowId = '{hand.workflow_id}'"
            assert await ids(env, f"{here} AND {name} = {i}") == [hand.workflow_id.encode()]
            assert await ids(env, f"{here} AND {name} != {i}") == []

    await asyncio.gather(*(one() for _ in range(8)))
