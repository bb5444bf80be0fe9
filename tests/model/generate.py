"""Makes random programs, and works out with the model what each of their operations leads to.

A program is grown one operation at a time. All orders in which the things that an operation sets off can happen are
tried on copies of the model's world; unless every order ends in the same world the operation is thrown away and
another one tried. So a program has one predicted history per run, although nothing slows the server down.
"""

from __future__ import annotations

import json
import pickle
import random
from dataclasses import dataclass, field

from server_model import World
from worker_model import Ambiguous

STATES_MAX = 60  # worlds looked at for one operation
STEPS_MAX = 400
TRIES = 8


@dataclass
class Expected:
    """What holds when an operation has had all its effects."""

    answer: str = "ok"  # what the operation's own call is told
    events: dict[str, int] = field(default_factory=dict)  # run to the length of its history
    attempts: list[tuple[str, str, int]] = field(default_factory=list)  # (run, activity, attempt)
    holds: list[tuple[str, str]] = field(default_factory=list)  # (run, hold)
    updates: dict[str, str] = field(default_factory=dict)  # update to what its caller is told


@dataclass
class Program:
    seed: int
    sticky: bool
    operations: list[dict]
    expected: list[Expected]
    histories: dict[str, list[dict]]
    features: set[str]


def plain_keys(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): plain_keys(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_keys(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(str(item) for item in value)
    if hasattr(value, "__dict__"):
        return plain_keys(vars(value))
    return value


def identity(world: World) -> str:
    """Two worlds with the same identity are the same, whichever way they were reached."""
    outbox = sorted(json.dumps(plain_keys(message), sort_keys=True) for message in world.outbox)
    runs = {alias: plain_keys(run) for alias, run in world.runs.items()}
    return json.dumps([runs, outbox, world.told, sorted(world.attempts)], sort_keys=True)


def settle(world: World) -> World:
    """The one world in which everything has happened that can; Ambiguous when there are several."""
    open_worlds = [world]
    seen: set[str] = set()
    final: World | None = None
    final_identity = ""
    features: set[str] = set()
    while open_worlds:
        here = open_worlds.pop()
        steps = 0
        while True:
            transitions = here.enabled()
            if len(transitions) != 1:
                break
            here.happen(transitions[0])
            steps += 1
            if steps > STEPS_MAX:
                raise Ambiguous("it never comes to rest")
        if not transitions:
            features |= here.features
            found = identity(here)
            if final is None:
                final, final_identity = here, found
            elif found != final_identity:
                raise Ambiguous("the order of things decides")
            continue
        mark = identity(here)
        if mark in seen:
            continue
        seen.add(mark)
        if len(seen) > STATES_MAX:
            raise Ambiguous("too many orders")
        copy = pickle.dumps(here)
        for transition in transitions:
            branch = pickle.loads(copy)
            branch.happen(transition)
            open_worlds.append(branch)
    assert final is not None
    final.features |= features
    for run in final.runs.values():
        if run.open and any(not item["seen"] for item in run.buffered):
            raise Ambiguous("something waits in a buffer where no client can see it")
    return final


def advance(world: World, operation: dict) -> tuple[World, Expected]:
    """The world after the operation and all that follows from it."""
    told = dict(world.told)
    attempts = len(world.attempts)
    after: World = pickle.loads(pickle.dumps(world))
    answer = after.perform(operation)
    if operation["op"] == "activity" and operation["by"] == "worker":
        for activity in after.runs[operation["run"]].activities.values():
            if activity.label == operation["activity"] and activity.state == "waiting":
                raise Ambiguous("nobody sees when the worker's report arrives")
    after = settle(after)
    expected = Expected(answer=answer)
    expected.events = {
        alias: len(run.events)
        for alias, run in after.runs.items()
        if alias not in world.runs or len(run.events) != len(world.runs[alias].events)
    }
    expected.attempts = after.attempts[attempts:]
    for alias, run in after.runs.items():
        if run.task is not None and run.task.held is not None:
            expected.holds.append((alias, run.task.held))
    expected.updates = {update: what for update, what in after.told.items() if update not in told}
    return after, expected


def predict(seed: int, sticky: bool, operations: list[dict]) -> Program:
    """The program of these operations, which another program may have been cut down to."""
    world = World(sticky)
    expected = []
    for operation in operations:
        check_possible(world, operation)
        world, then = advance(world, operation)
        expected.append(then)
    return finished(seed, sticky, operations, expected, world)


def check_possible(world: World, operation: dict) -> None:
    """What the driver itself needs for an operation: an attempt to end, a hold to release."""
    if operation["op"] == "start" and operation["workflow"] in world.current:
        raise Ambiguous("started twice")
    if operation["op"] == "activity":
        key = (operation["run"], operation["activity"], operation["attempt"])
        if key not in world.attempts:
            raise Ambiguous("no such attempt")
    if operation["op"] == "release":
        run = world.runs.get(operation["run"])
        if run is None or run.task is None or run.task.held != operation["hold"]:
            raise Ambiguous("nothing is held")


def finished(seed, sticky, operations, expected, world) -> Program:
    for run in world.runs.values():
        if run.task is not None and run.task.held is not None:
            raise Ambiguous("a task is still held")
    histories = {alias: run.events for alias, run in world.runs.items()}
    return Program(seed, sticky, operations, expected, histories, world.features)


class Generator:
    def __init__(self, seed: int, without: tuple[str, ...] = ()) -> None:
        self.seed = seed
        self.without = without  # operations and steps to do without, to narrow a difference down
        self.random = random.Random(seed)
        self.count = 0
        self.workflows = 0
        self.ended: set[tuple[str, str, int]] = set()

    def label(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def kind(self, weights: dict[str, float]) -> str:
        kinds = [kind for kind in weights if kind not in self.without]
        return self.random.choices(kinds, weights=[weights[kind] for kind in kinds])[0]

    def program(self) -> Program:
        choose = self.random
        sticky = self.sticky = choose.random() < 0.8
        world = World(sticky)
        operations: list[dict] = []
        expected: list[Expected] = []
        wanted = choose.randint(5, 14)
        while len(operations) < wanted or self.held(world):
            for _ in range(TRIES):
                operation = self.operation(world, len(operations) >= wanted)
                if operation is None:
                    break
                try:
                    after, then = advance(world, operation)
                except Ambiguous:
                    operation = None
                    continue
                world = after
                operations.append(operation)
                expected.append(then)
                if operation["op"] == "activity" and operation["outcome"] != "heartbeat":
                    self.ended.add((operation["run"], operation["activity"], operation["attempt"]))
                break
            if operation is None:
                break
        return finished(self.seed, sticky, operations, expected, world)

    def held(self, world: World) -> list:
        return [run for run in world.runs.values() if run.task is not None and run.task.held is not None]

    def operation(self, world: World, at_end: bool) -> dict | None:
        choose = self.random
        if not world.runs:
            return self.start()
        held = self.held(world)
        if held and (at_end or choose.random() < 0.3):
            run = choose.choice(held)
            return {"op": "release", "run": run.alias, "hold": run.task.held}
        attempts = [
            (run, activity)
            for run in world.runs.values()
            if run.open
            for activity in run.activities.values()
            if activity.state == "started" and (run.alias, activity.label, activity.attempt) not in self.ended
        ]
        if attempts and choose.random() < 0.45:
            return self.end_attempt(*choose.choice(attempts))
        runs = [run for run in world.runs.values() if run.open]
        if not runs:
            return None
        # Where a task is held, more is to arrive; and what children do matters to their parents.
        run = choose.choices(
            runs, weights=[3 if run in held else 2 if run.children else 1.5 for run in runs]
        )[0]
        kind = self.kind(
            {
                "signal": 10,
                "update": 5,
                "cancel": 1.2,
                "terminate": 1.5 if run.start.get("parent") else 0.8 if held else 0.4,
            }
        )
        if kind == "signal" and choose.random() < 0.35:
            steps = self.directed(world, run)
            if steps:
                message = {"id": self.label("s"), "steps": steps}
                return {"op": "signal", "workflow": run.workflow, "message": message}
        if kind == "update":
            return {
                "op": "update",
                "workflow": run.workflow,
                "question": {
                    "id": self.label("u"),
                    "mode": choose.choices(["now", "reject", "later", "fail"], weights=[4, 3, 3, 1])[0],
                    "steps": self.steps(world, run),
                },
            }
        if kind == "signal":
            return {"op": "signal", "workflow": run.workflow, "message": self.message(world, run)}
        return {"op": kind, "workflow": run.workflow}

    def directed(self, world: World, run) -> list[dict]:
        """One thing that chance alone does too rarely, because most that could go with it makes it a race."""
        choose = self.random
        if run.start.get("parent") is not None and choose.random() < 0.6:
            return [self.closing(world)]
        children = [label for label, known in run.interpreter.pending.items() if known.get("child_started")]
        activities = [
            label for label, known in run.interpreter.pending.items() if known["kind"] == "activity"
        ]
        if activities and (not children or choose.random() < 0.3):
            return [{"do": "cancel", "target": choose.choice(activities)}]
        if not children:
            return []
        child = choose.choice(children)
        workflow = run.interpreter.pending[child]["step"]["workflow"]
        message = {"id": self.label("s"), "steps": []}
        step = {"do": "signal_child", "id": self.label("x"), "child": child, "message": message}
        if choose.random() < 0.3:
            step = {"do": "signal", "id": step["id"], "workflow": workflow, "message": message}
        elif world.runs[world.current[workflow]].interpreter.on_cancel == []:
            step = {"do": "cancel", "target": child}  # it lives on, so nothing races with the answer
        return [step]

    def start(self) -> dict:
        choose = self.random
        options: dict = {}
        if choose.random() < 0.2:
            options["memo"] = {"from": "start"}
        if choose.random() < 0.25:
            options["retry"] = {"initial": 0.05, "attempts": choose.choice([2, 3])}
        if choose.random() < 0.15:
            options["run_timeout"] = choose.choice([5, 3600])
        elif choose.random() < 0.1:
            options["execution_timeout"] = 7200
        operation = {"op": "start", "workflow": self.workflow(), "queue": "%work", "options": options}
        operation["program"] = self.child_program(None)
        if choose.random() < 0.2:
            operation["message"] = self.message(None, None)
        return operation

    def workflow(self) -> str:
        self.workflows += 1
        return f"@w{self.workflows - 1}"

    def message(self, world: World | None, run) -> dict:
        return {"id": self.label("s"), "steps": self.steps(world, run)}

    def child_program(self, world: World | None) -> dict:
        choose = self.random
        on_cancel = choose.choice([None, [], [], [{"do": "canceled"}], [{"do": "complete"}]])
        made: dict = {"steps": self.steps(world, None) if choose.random() < 0.6 else []}
        if on_cancel is not None:
            made["on_cancel"] = on_cancel
        return made

    def end_attempt(self, run, activity) -> dict:
        choose = self.random
        by = "worker" if activity.step.get("mode") == "worker" else "token"
        if by == "worker":
            outcome = choose.choices(["complete", "fail", "fail_final"], weights=[5, 4, 1])[0]
        elif activity.cancel_requested_id:
            outcome = choose.choices(["canceled", "heartbeat", "complete", "fail"], weights=[5, 3, 1, 2])[0]
        else:
            outcome = choose.choices(["complete", "fail", "fail_final", "heartbeat"], weights=[5, 4, 1, 1])[0]
        return {
            "op": "activity",
            "run": run.alias,
            "activity": activity.label,
            "attempt": activity.attempt,
            "outcome": outcome,
            "by": by,
        }

    def steps(self, world: World | None, run, depth: int = 0) -> list[dict]:
        choose = self.random
        made = []
        for _ in range(choose.choices([0, 1, 2, 3], weights=[2, 5, 3, 1])[0]):
            step = self.step(world, run, depth)
            if step is not None:
                made.append(step)
        is_child = run is not None and run.start.get("parent") is not None
        # Something to close a run over what has arrived meanwhile.
        held = any(step["do"] == "hold" for step in made)
        if choose.random() < (0.3 if held else 0.2 if is_child else 0.07 if depth == 0 else 0.12):
            made.append(self.closing(world))
        return made

    def closing(self, world: World | None) -> dict:
        choose = self.random
        kind = choose.choices(["complete", "fail", "continue_as_new"], weights=[4, 3, 2])[0]
        if kind == "continue_as_new":
            return {"do": kind, "program": self.child_program(None)}
        if kind == "fail" and choose.random() < 0.3:
            return {"do": "fail", "non_retryable": True}
        return {"do": kind}

    def then(self, depth: int) -> list[dict]:
        return self.steps(None, None, depth + 1) if depth < 2 and self.random.random() < 0.4 else []

    def step(self, world: World | None, run, depth: int) -> dict | None:
        choose = self.random
        kinds = {
            "activity": 8,
            "timer": 4,
            "local": 1,
            "memo": 1,
            "search_attribute": 1,
            "patch": 1,
            "hold": 2.5,
            "fail_task": 0.8,
        }
        if run is not None:
            pending = [
                label
                for label, known in run.interpreter.pending.items()
                if known["kind"] in ("activity", "timer") or known.get("child_started")
            ]
            children = [
                label for label, known in run.interpreter.pending.items() if known.get("child_started")
            ]
            waiting = [update for update, state in run.interpreter.answers.items() if state == "waiting"]
            kinds["child"] = 5 if len(world.current) < 4 else 1
            kinds["signal"] = 1.5
            kinds["cancel_external"] = 0.7
            if pending:
                kinds["cancel"] = 4
            if children:
                kinds["signal_child"] = 2
            if waiting:
                kinds["answer"] = 6
        if not self.sticky:
            # Without a cache the SDK works on one task at a time, which a held one would stop for all programs, and
            # it completes a task over a running local activity.
            del kinds["local"], kinds["hold"]
        kind = self.kind(kinds)
        if kind == "activity":
            return self.activity(depth)
        if kind == "timer":
            return {
                "do": "timer",
                "id": self.label("t"),
                "seconds": choose.choice([0.05, 0.2, 3600]),
                "then": self.then(depth),
            }
        if kind == "local":
            return {
                "do": "local",
                "id": self.label("l"),
                "value": choose.choice(["fine", "fail"]),
                "then": self.then(depth),
            }
        if kind == "memo":
            return {"do": "memo", "values": {choose.choice("xy"): choose.choice([1, "two", None])}}
        if kind == "search_attribute":
            return {"do": "search_attribute", "value": choose.choice(["one", "two", None])}
        if kind == "patch":
            return {"do": "patch", "id": choose.choice(["p1", "p2"])}
        if kind in ("hold", "fail_task"):
            return {"do": kind, "id": self.label(kind[0])}
        if kind == "child":
            return self.child(world, run, depth)
        if kind == "cancel":
            return {"do": "cancel", "target": choose.choice(pending)}
        if kind == "answer":
            return {"do": "answer", "update": choose.choice(waiting)}
        if kind == "signal_child":
            child = choose.choice(children)
            return {
                "do": kind,
                "id": self.label("x"),
                "child": child,
                "message": self.message(None, None),
                "then": self.then(depth),
            }
        target = choose.choice(["@nobody", *world.current])
        step = {"do": kind, "id": self.label("x"), "workflow": target, "then": self.then(depth)}
        if kind == "signal":
            step["message"] = self.message(None, None)
        return step

    def activity(self, depth: int) -> dict:
        choose = self.random
        step = {
            "do": "activity",
            "id": self.label("a"),
            "mode": choose.choice(["token", "worker"]),
            "start_to_close": 3600,
            "then": self.then(depth),
        }
        shape = choose.random()
        if shape < 0.12:
            step |= {"queue": "%nowhere", "schedule_to_start": choose.choice([0.3, 3600])}
        elif shape < 0.22:
            step |= {"start_to_close": 0.4, "mode": "token"}
        elif shape < 0.28:
            step |= {"heartbeat": 0.5, "mode": "token"}
        elif shape < 0.38:
            step |= {"schedule_to_close": 100, "retry": {"initial": 3600, "attempts": 3}}
        if "retry" not in step and choose.random() < 0.6:
            step["retry"] = {
                "initial": choose.choice([0.01, 0.05, 3600]),
                "attempts": choose.choice([0, 1, 2, 3]),
                "coefficient": choose.choice([1.0, 2.0]),
            }
            if choose.random() < 0.2:
                step["retry"]["non_retryable"] = ["Oops"]
        elif step["start_to_close"] < 1 or step.get("heartbeat"):
            step["retry"] = {"initial": 0.01, "attempts": choose.choice([1, 2])}
        if step["start_to_close"] < 1 or step.get("heartbeat"):
            step["retry"] |= {"attempts": step["retry"]["attempts"] or 1, "initial": 0.01}
        return step

    def child(self, world: World, run, depth: int) -> dict:
        choose = self.random
        taken = choose.random() < 0.12
        step = {
            "do": "child",
            "id": self.label("c"),
            "workflow": choose.choice(list(world.current)) if taken else self.workflow(),
            "program": self.child_program(None),
            "policy": choose.choice(["terminate", "cancel", "abandon"]),
            "started": self.then(depth),
            "then": self.then(depth),
        }
        if choose.random() < 0.2:
            step["retry"] = {"initial": 0.05, "attempts": 2}
        if choose.random() < 0.15:
            step["run_timeout"] = choose.choice([5, 3600])
        if choose.random() < 0.15:
            step["memo"] = {"child": True}
        return step
