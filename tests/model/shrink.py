"""Cuts a failing program down: drops operations and steps as long as the model accepts the rest and it still fails."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator

from generate import Program, predict
from worker_model import Ambiguous

RUNS_MAX = 60


def smaller(operations: list[dict]) -> Iterator[list[dict]]:
    """Programs with one thing less, the biggest cuts first."""
    for index in range(len(operations) - 1, 0, -1):
        yield operations[:index] + operations[index + 1 :]
    for path in sorted(step_lists(operations), key=len):
        for index in range(len(find(operations, path)) - 1, -1, -1):
            cut = copy.deepcopy(operations)
            del find(cut, path)[index]
            yield cut


def step_lists(value: object, path: tuple = ()) -> Iterator[tuple]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("steps", "then", "started", "on_cancel") and item:
                yield (*path, key)
            yield from step_lists(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from step_lists(item, (*path, index))


def find(value, path: tuple):
    for key in path:
        value = value[key]
    return value


async def shrink(program: Program, fails: Callable[[Program], Awaitable[bool]]) -> Program:
    runs = 0
    progress = True
    while progress:
        progress = False
        for operations in smaller(program.operations):
            try:
                candidate = predict(program.seed, program.sticky, operations)
            except (Ambiguous, KeyError, StopIteration):
                continue
            runs += 1
            if runs > RUNS_MAX:
                return program
            if await fails(candidate):
                program, progress = candidate, True
                break
    return program
