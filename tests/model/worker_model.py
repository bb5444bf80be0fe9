"""What the SDK's worker and the interpreter workflow make of a workflow task: jobs in, commands out.

This is the model of `interpreter.py` and of the few things that the SDK's core does by itself (cancelled local
activities, markers of patches). It knows nothing of the server.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class Ambiguous(Exception):
    """The outcome depends on what nobody controls, so a program must not do this."""


class Held(Exception):
    """Workflow code stands at a gate that is not open yet."""

    def __init__(self, label: str) -> None:
        self.label = label


class TaskFails(Exception):
    """Workflow code fails its task; the next attempt passes."""

    def __init__(self, label: str) -> None:
        self.label = label


class _Closed(Exception):
    pass


def describe(failure: dict | None) -> str:
    """`interpreter.describe` for a failure as it stands in a history."""
    if failure is None:
        return "-"
    cause = describe(failure.get("cause"))
    if "application_failure_info" in failure:
        return (
            f"application({failure['application_failure_info'].get('type')}, {failure['message']}, {cause})"
        )
    if "timeout_failure_info" in failure:
        info = failure["timeout_failure_info"]
        return f"timeout({info['timeout_type']}, {info.get('last_heartbeat_details', [])}, {cause})"
    if "canceled_failure_info" in failure:
        return f"cancelled({failure['canceled_failure_info'].get('details', [])})"
    if "terminated_failure_info" in failure:
        return "terminated"
    raise AssertionError(f"no words for {failure}")


@dataclass
class Interpreter:
    """The state of one run's workflow code."""

    started: bool = False
    closed: bool = False
    on_cancel: list | None = None
    ready: list = field(default_factory=list)  # (order, label, outcome, steps)
    log: list = field(default_factory=list)
    order: dict = field(default_factory=dict)  # label to its number
    pending: dict = field(default_factory=dict)  # label to what is known of it
    arrivals: int = 0
    timers: int = 0
    patches: list = field(default_factory=list)
    answers: dict = field(default_factory=dict)  # update id to "waiting" or "done"

    def run_task(self, jobs: list[dict], gates: Gates) -> tuple[list[dict], list[str]]:
        """The commands of one workflow task, in order, and the ids of the updates it rejects."""
        self.commands: list[dict] = []
        self.rejected: list[str] = []
        self.locals: list[dict] = []
        self.resolved_now = {job["label"] for job in jobs if job["job"] == "resolve"}
        self.gates = gates
        try:
            self._activate(jobs)
            while self.locals and not self.closed:
                if len(self.locals) > 1:
                    raise Ambiguous("two local activities at once")
                self._finish_local(self.locals.pop())
                self._rest()
        except _Closed:
            if self.locals:
                raise Ambiguous("closed over a running local activity") from None
        for pending in self.pending.values():
            pending["sent"] = True
        commands, rejected = self.commands, self.rejected
        del self.commands, self.rejected, self.locals, self.resolved_now, self.gates
        return commands, rejected

    def _activate(self, jobs: list[dict]) -> None:
        first = [job for job in jobs if job["job"] in ("signal", "update")]
        second = [job for job in jobs if job["job"] not in ("signal", "update")]
        for job in first:
            self._tell(job) if job["job"] == "signal" else self._ask(job)
        if first:
            self._rest()
        cancelled = False
        for job in second:
            if job["job"] == "init":
                self.started = True
                self.on_cancel = job["program"].get("on_cancel")
                self.ready.append(((0, 0), None, "", job["program"]["steps"]))
            elif job["job"] == "cancel":
                cancelled = True
            elif job["job"] == "child_started":
                self.pending[job["label"]]["child_started"] = True
                steps = self.pending[job["label"]]["step"].get("started", [])
                self.ready.append(((2, self.order[job["label"]], 0), job["label"], "started", steps))
            else:
                self._resolve(job["label"], job["outcome"], job.get("part", 1))
        if cancelled:
            if self.on_cancel is None:
                self._close({"command": "canceled"})
            self.ready.append(((3, 0), "cancel", "requested", self.on_cancel))
        if second:
            self._rest()

    def _tell(self, job: dict) -> None:
        self.arrivals += 1
        message = job["message"]
        self.ready.append(((1, self.arrivals), message["id"], "signal", message["steps"]))

    def _ask(self, job: dict) -> None:
        question = job["question"]
        if question["mode"] == "reject":
            self.rejected.append(question["id"])
            return
        self.commands.append({"command": "accept", "update": question["id"]})
        self.arrivals += 1
        self.ready.append(((1, self.arrivals), question["id"], "update", question["steps"]))
        if question["mode"] == "later":
            self.answers[question["id"]] = "waiting"
        else:
            self._answer(question["id"], question["mode"])

    def _answer(self, update: str, mode: str) -> None:
        if mode == "fail":
            outcome = {
                "failure": {"message": "update failed", "application_failure_info": {"type": "Update"}}
            }
        else:
            outcome = {"success": [f"answer to {update}"]}
        self.commands.append({"command": "answer", "update": update, "outcome": outcome})

    def _resolve(self, label: str, outcome: str, part: int = 1) -> None:
        pending = self.pending.pop(label, None)
        if pending is None:
            return
        self.ready.append(((2, self.order[label], part), label, outcome, pending["step"].get("then", [])))

    def _rest(self) -> None:
        while self.started and self.ready:
            batch, self.ready = sorted(self.ready, key=lambda item: item[0]), []
            for _, label, outcome, steps in batch:
                if label is not None:
                    self.log.append([label, outcome])
                for step in steps:
                    getattr(self, "_do_" + step["do"])(step)

    def _close(self, command: dict) -> None:
        self.closed = True
        self.commands.append(command)
        raise _Closed

    def _watch(self, step: dict, kind: str, **known: object) -> None:
        label = step["id"]
        if label in self.order:
            raise Ambiguous(f"label {label} used twice")
        self.order[label] = len(self.order)
        self.pending[label] = {"kind": kind, "step": step, "sent": False, "cancelled": False} | known

    def _do_activity(self, step: dict) -> None:
        self._watch(step, "activity")
        self.commands.append({"command": "activity", "step": step})

    def _do_local(self, step: dict) -> None:
        self._watch(step, "local")
        self.locals.append(step)

    def _finish_local(self, step: dict) -> None:
        failed = step["value"] == "fail"
        failure = {
            "message": "local failed",
            "application_failure_info": {"type": "Local", "non_retryable": True},
        }
        self.commands.append(
            {"command": "local_marker", "step": step, "failure": failure if failed else None}
        )
        outcome = describe(failure) if failed else f"ok {step['value']}"
        self._resolve(step["id"], outcome)

    def _do_timer(self, step: dict) -> None:
        self.timers += 1
        self._watch(step, "timer", timer=str(self.timers))
        self.commands.append({"command": "timer", "step": step, "timer": str(self.timers)})

    def _do_child(self, step: dict) -> None:
        self._watch(step, "child", child_started=False)
        self.commands.append({"command": "child", "step": step})

    def _do_signal(self, step: dict) -> None:
        self._watch(step, "signal")
        self.commands.append({"command": "signal", "step": step})

    def _do_signal_child(self, step: dict) -> None:
        child = self.pending.get(step["child"])
        if child is None or not child["child_started"]:
            raise Ambiguous("signal to a child that is not there")
        self._watch(step, "signal")
        self.commands.append({"command": "signal", "step": step, "child": child["step"]["workflow"]})

    def _do_cancel_external(self, step: dict) -> None:
        self._watch(step, "cancel_external")
        self.commands.append({"command": "cancel_external", "step": step})

    def _do_cancel(self, step: dict) -> None:
        label = step["target"]
        pending = self.pending.get(label)
        if pending is None or (pending["cancelled"] and pending["kind"] != "child"):
            return
        if not pending["sent"] or label in self.resolved_now:
            raise Ambiguous("cancel of what starts or ends in the same task")
        pending["cancelled"] = True
        if pending["kind"] == "timer":
            self.commands.append({"command": "cancel_timer", "timer": pending["timer"]})
            self._resolve(label, "cancelled")
        elif pending["kind"] == "activity":
            kind = pending["step"].get("cancellation", "wait")
            if kind != "abandon":
                self.commands.append({"command": "cancel_activity", "label": label})
            if kind != "wait":
                raise Ambiguous("only waiting cancellation is modelled")
        elif pending["kind"] == "child":
            if not pending["child_started"]:
                raise Ambiguous("cancel of a child that has not started")
            self.commands.append({"command": "cancel_child", "label": label})
        else:
            raise Ambiguous(f"cancel of a {pending['kind']}")

    def _do_answer(self, step: dict) -> None:
        if self.answers.get(step["update"]) != "waiting":
            raise Ambiguous("no such update waits")
        self.answers[step["update"]] = "done"
        self._answer(step["update"], "later")

    def _do_memo(self, step: dict) -> None:
        self.commands.append({"command": "memo", "values": step["values"]})

    def _do_search_attribute(self, step: dict) -> None:
        self.commands.append({"command": "search_attribute", "value": step["value"]})

    def _do_patch(self, step: dict) -> None:
        if step["id"] not in self.patches:
            self.patches.append(step["id"])
            self.commands.append({"command": "patch", "patch": step["id"], "patches": sorted(self.patches)})

    def _do_hold(self, step: dict) -> None:
        if not self.gates.is_released(step["id"]):
            raise Held(step["id"])

    def _do_fail_task(self, step: dict) -> None:
        if not self.gates.has_failed(step["id"]):
            raise TaskFails(step["id"])

    def _do_complete(self, step: dict) -> None:
        self._close({"command": "complete", "result": [self.log]})

    def _do_fail(self, step: dict) -> None:
        self._close({"command": "fail", "non_retryable": step.get("non_retryable", False)})

    def _do_canceled(self, step: dict) -> None:
        self._close({"command": "canceled"})

    def _do_continue_as_new(self, step: dict) -> None:
        self._close({"command": "continue_as_new", "program": step["program"]})


@dataclass
class Gates:
    """Which gates of one run are open."""

    released: set = field(default_factory=set)
    failed: set = field(default_factory=set)

    def is_released(self, label: str) -> bool:
        return label in self.released

    def has_failed(self, label: str) -> bool:
        return label in self.failed
