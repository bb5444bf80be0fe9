"""The server as the behavioural contract describes it: what each request and each command does to which history.

`World` is all runs of one program. `World.perform` makes one operation of the driver; `World.enabled` lists what may
happen next by itself (a worker takes a task, a timer fires, a message between workflows arrives) and `World.happen`
does one of these. Nothing here knows how any server is built, and times exist only as "soon" and "never".
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field

from worker_model import Ambiguous, Gates, Held, Interpreter, TaskFails, describe

WORKER, DRIVER, SERVER = "worker", "driver", "history-service"
SOON = 60.0  # whatever is shorter than this happens while a program runs, everything else never does
TASK_TIMEOUT = 60.0
# A speculative task that came after more events than this is written down even when all that it does is reject.
EXEMPT_SPECULATIVE_EVENTS = 10
ENDS = (
    "ActivityTaskCompleted",
    "ActivityTaskFailed",
    "ActivityTaskTimedOut",
    "ActivityTaskCanceled",
    "ChildWorkflowExecutionCompleted",
    "ChildWorkflowExecutionFailed",
    "ChildWorkflowExecutionTimedOut",
    "ChildWorkflowExecutionCanceled",
    "ChildWorkflowExecutionTerminated",
)
NORMAL_QUEUE = {"name": "%work", "kind": "NORMAL"}
STICKY_QUEUE = {"name": "<sticky>", "kind": "STICKY", "normal_name": "%work"}
TYPE = {"name": "program"}


@dataclass
class Task:
    """The one pending workflow task of a run."""

    attempt: int = 1
    sticky: bool = False
    speculative: bool = False
    started: bool = False
    scheduled_id: int = 0  # virtual while `written` is not so
    started_id: int = 0
    written: bool = False
    updates: list = field(default_factory=list)
    held: str | None = None

    @property
    def transient(self) -> bool:
        return self.attempt > 1


@dataclass
class Activity:
    label: str
    step: dict
    scheduled_id: int
    state: str = "scheduled"  # scheduled, started, backoff
    attempt: int = 1
    last_failure: dict | None = None
    heartbeat: list | None = None
    cancel_requested_id: int = 0


@dataclass
class Run:
    alias: str
    workflow: str
    start: dict  # what the next run of a chain inherits: program, memo, retry, timeouts, parent
    attempt: int = 1
    first: str = ""
    events: list = field(default_factory=list)
    status: str = "created"  # created, running, or how it ended
    task: Task | None = None
    sticky: bool = False
    search_attributes: dict = field(default_factory=dict)  # as the worker's upserts have left them
    buffered: list = field(default_factory=list)  # (event, key of a Started event, is it one that a request waits for)
    activities: dict = field(default_factory=dict)
    timers: dict = field(default_factory=dict)  # timer id to (started event id, seconds)
    children: dict = field(default_factory=dict)  # initiated id to {label, workflow, started id, run, policy}
    labels: dict = field(default_factory=dict)  # initiated id to label
    updates: dict = field(default_factory=dict)
    cancel_requested: bool = False
    completed_id: int = 0  # the last WorkflowTaskCompleted
    previous_started_id: int = 0
    unhandled_retry: bool = False
    interpreter: Interpreter = field(default_factory=Interpreter)
    gates: Gates = field(default_factory=Gates)

    @property
    def open(self) -> bool:
        return self.status in ("created", "running")

    @property
    def next_id(self) -> int:
        return len(self.events) + 1


class World:
    def __init__(self, sticky: bool) -> None:
        self.sticky = sticky
        self.runs: dict[str, Run] = {}
        self.current: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.outbox: list[dict] = []
        self.told: dict[str, str] = {}  # update id to what its caller was told
        self.attempts: list[tuple[str, str, int]] = []
        self.by_request = False  # whether what happens now is the effect of a request that the driver waits for
        self.features: set[str] = set()

    # Histories.

    def write(self, run: Run, type: str, **attributes: object) -> int:
        """An event that is never buffered."""
        self._make_real(run)
        run.events.append({"type": type} | {key: value for key, value in attributes.items() if value is not None})
        return len(run.events)

    def _make_real(self, run: Run) -> None:
        """Anything that is committed turns a speculative task into a normal one first."""
        task = run.task
        if task is None or not task.speculative:
            return
        task.speculative = False
        self.features.add("speculative task made real")
        self._write_task(run, task)

    def _write_task(self, run: Run, task: Task) -> None:
        task.written = True
        run.events.append(
            {
                "type": "WorkflowTaskScheduled",
                "task_queue": STICKY_QUEUE if task.sticky else NORMAL_QUEUE,
                "start_to_close_timeout": run.start["task_timeout"],
                "attempt": task.attempt,
            }
        )
        task.scheduled_id = len(run.events)
        if task.started:
            self._write_task_started(run, task)

    def _write_task_started(self, run: Run, task: Task) -> None:
        run.events.append(
            {
                "type": "WorkflowTaskStarted",
                "scheduled_event_id": task.scheduled_id,
                "identity": WORKER,
                "request_id": "<id>",
            }
        )
        task.started_id = len(run.events)

    def record(self, run: Run, type: str, key: object = None, pair: object = None, **attributes: object) -> None:
        """An event of the kind that waits while a worker holds the workflow task.

        `key` names an event so that a later one can say, with `pair`, that its started_event_id is that one's id.
        """
        event = {"type": type} | {name: value for name, value in attributes.items() if value is not None}
        if run.task is not None and run.task.started:
            self._make_real(run)
            self.features.add("buffered event")
            run.buffered.append({"event": event, "key": key, "pair": pair, "seen": self.by_request})
            return
        self._append(run, event, key, pair, {})

    def _append(self, run: Run, event: dict, key: object, pair: object, ids: dict) -> None:
        self._make_real(run)
        if pair is not None and pair in ids:
            event["started_event_id"] = ids[pair]
        run.events.append(event)
        if key is not None:
            ids[key] = len(run.events)
            if key[0] == "child":
                run.children[key[1]]["started_id"] = len(run.events)

    def record_pair(self, run: Run, activity: Activity, end: str, **attributes: object) -> None:
        """An activity's end with its Started event, which is written only now."""
        key = ("activity", activity.scheduled_id)
        started = {
            "type": "ActivityTaskStarted",
            "scheduled_event_id": activity.scheduled_id,
            "identity": WORKER,
            "request_id": "<id>",
            "attempt": activity.attempt,
        }
        if activity.last_failure is not None:
            started["last_failure"] = activity.last_failure
        closing = {"type": end, "scheduled_event_id": activity.scheduled_id} | {
            name: value for name, value in attributes.items() if value is not None
        }
        if run.task is not None and run.task.started:
            self._make_real(run)
            self.features.add("buffered event")
            run.buffered.append({"event": started, "key": key, "pair": None, "seen": self.by_request})
            run.buffered.append({"event": closing, "key": None, "pair": key, "seen": self.by_request})
            return
        ids: dict = {}
        self._append(run, started, key, None, ids)
        self._append(run, closing, None, key, ids)

    def flush(self, run: Run) -> bool:
        """Buffered events get their ids: as they came, but ends of activities and children last."""
        buffered, run.buffered = run.buffered, []
        ends = [item for item in buffered if item["event"]["type"] in ENDS]
        others = [item for item in buffered if item["event"]["type"] not in ENDS]
        ids: dict = {}
        for item in others + ends:
            if item["event"]["type"].startswith("ChildWorkflowExecution") and item["event"]["type"] in ENDS:
                initiated = item["event"]["initiated_event_id"]
                item["event"]["started_event_id"] = run.children[initiated]["started_id"]
            self._append(run, item["event"], item["key"], item["pair"], ids)
        return bool(buffered)

    # Workflow tasks.

    def schedule(self, run: Run) -> None:
        if run.task is not None or not run.open:
            return
        run.status = "running"
        run.task = Task(sticky=run.sticky)
        self._write_task(run, run.task)

    def take(self, run: Run) -> None:
        task = run.task
        assert task is not None and not task.started
        if not self.sticky and run.completed_id and task.scheduled_id == run.completed_id + 1:
            raise Ambiguous("without a cache the SDK replays a task without events together with the next one")
        task.updates = [
            update for update, known in run.updates.items() if known["state"] in ("admitted", "sent")
        ]
        if task.speculative and not task.updates:
            run.task = None
            return
        for update in task.updates:
            run.updates[update]["state"] = "sent"
        if task.transient and not task.written and task.scheduled_id != run.next_id:
            # Events have arrived since: it is a normal task again, with events of its own.
            task.attempt = 1
            self._write_task(run, task)
        task.started = True
        if task.written:
            self._write_task_started(run, task)
        else:
            task.scheduled_id, task.started_id = run.next_id, run.next_id + 1
        for update in task.updates:
            run.updates[update]["sequencing"] = task.started_id - 1

    def jobs(self, run: Run) -> list[dict]:
        """What the worker is told: everything since the last task it completed."""
        jobs: list[dict] = []
        task = run.task
        last = task.scheduled_id if not task.written else task.started_id
        for number, event in enumerate(run.events[:last], 1):
            if number <= run.completed_id:
                continue
            jobs.extend(self._job_of(run, event))
        for update in task.updates:
            jobs.append({"job": "update", "question": run.updates[update]["question"]})
        return jobs

    def _job_of(self, run: Run, event: dict) -> list[dict]:
        kind = event["type"]

        def ended(label: str, outcome: str, part: int = 1) -> list[dict]:
            return [{"job": "resolve", "label": label, "outcome": outcome, "part": part}]

        if kind == "WorkflowExecutionStarted":
            return [{"job": "init", "program": event["input"][0]}]
        if kind == "WorkflowExecutionSignaled":
            return [{"job": "signal", "message": event["input"][0]}]
        if kind == "WorkflowExecutionCancelRequested":
            return [{"job": "cancel"}]
        if kind == "TimerFired":
            return ended(run.labels["timer", event["timer_id"]], "ok None")
        if kind.startswith("ActivityTask") and kind in ENDS:
            label = run.labels["activity", event["scheduled_event_id"]]
            if kind == "ActivityTaskCompleted":
                return ended(label, f"ok {event['result'][0]}")
            if kind == "ActivityTaskCanceled":
                return ended(label, f"activity(CANCEL_REQUESTED, cancelled({event.get('details', [])}))")
            return ended(label, f"activity({event['retry_state']}, {describe(event['failure'])})")
        if kind == "ChildWorkflowExecutionStarted":
            return [{"job": "child_started", "label": run.labels["child", event["initiated_event_id"]]}]
        if kind == "StartChildWorkflowExecutionFailed":
            return ended(run.labels["child", event["initiated_event_id"]], "already started", 0)
        if kind.startswith("ChildWorkflowExecution") and kind in ENDS:
            label = run.labels["child", event["initiated_event_id"]]
            outcome = {
                "ChildWorkflowExecutionCompleted": lambda: f"ok {event['result'][0]}",
                "ChildWorkflowExecutionFailed": lambda: (
                    f"child({event['retry_state']}, {describe(event['failure'])})"
                ),
                "ChildWorkflowExecutionTimedOut": lambda: (
                    f"child({event['retry_state']}, timeout(START_TO_CLOSE, [], -))"
                ),
                "ChildWorkflowExecutionCanceled": lambda: "child(NON_RETRYABLE_FAILURE, cancelled([]))",
                "ChildWorkflowExecutionTerminated": lambda: "child(NON_RETRYABLE_FAILURE, terminated)",
            }[kind]()
            return ended(label, outcome)
        external = {
            "ExternalWorkflowExecutionSignaled": "ok None",
            "SignalExternalWorkflowExecutionFailed": "application(ExternalWorkflowExecutionNotFound, Unable to signal external workflow "
            "because it was not found, -)",
            "ExternalWorkflowExecutionCancelRequested": "ok None",
            "RequestCancelExternalWorkflowExecutionFailed": "application(ExternalWorkflowExecutionNotFound, Unable to cancel external "
            "workflow because not found, -)",
        }
        if kind in external:
            label = run.labels["external", event["initiated_event_id"]]
            return [] if label is None else ended(label, external[kind])
        return []

    def run_worker(self, run: Run) -> None:
        """The worker works on the task that it holds, unless it stands at a gate."""
        task = run.task
        before = pickle.dumps(run.interpreter)
        try:
            commands, rejected = run.interpreter.run_task(self.jobs(run), run.gates)
        except Held as held:
            run.interpreter = pickle.loads(before)
            task.held = held.label
            return
        except TaskFails as failing:
            if task.transient:
                raise Ambiguous("the SDK does not report a second failure")
            run.interpreter = pickle.loads(before)
            run.gates.failed.add(failing.label)
            failure = {
                "message": "task failed on purpose",
                "application_failure_info": {"type": "RuntimeError"},
            }
            self.features.add("failed task")
            self.fail_task(run, "WORKFLOW_WORKER_UNHANDLED_FAILURE", failure)
            return
        if self._blocked(run, commands):
            run.interpreter = pickle.loads(before)
            self.features.add("unhandled command")
            run.unhandled_retry = True
            for known in run.updates.values():
                if known["state"] in ("admitted", "sent"):
                    # Its caller is told to ask again, and may do so before the next task or after it.
                    raise Ambiguous("an update next to a task that the server refused")
            failure = {"message": "UnhandledCommand", "server_failure_info": {}}
            self.fail_task(run, "UNHANDLED_COMMAND", failure)
            return
        self.complete_task(run, commands, rejected)

    def _blocked(self, run: Run, commands: list[dict]) -> bool:
        if not commands or commands[-1]["command"] not in CLOSING:
            return False
        cancelled = {command["timer"] for command in commands if command["command"] == "cancel_timer"}
        return any(
            not (item["event"]["type"] == "TimerFired" and item["event"]["timer_id"] in cancelled)
            for item in run.buffered
        )

    def fail_task(self, run: Run, cause: str, failure: dict) -> None:
        task = run.task
        if task.speculative:
            self._make_real(run)
        if task.written:
            run.events.append(
                {
                    "type": "WorkflowTaskFailed",
                    "scheduled_event_id": task.scheduled_id,
                    "started_event_id": task.started_id,
                    "cause": cause,
                    "failure": failure,
                    "identity": WORKER,
                }
            )
        run.task = None
        flushed = self.flush(run)
        run.sticky = False
        if task.sticky or flushed or cause == "UNHANDLED_COMMAND":
            self.schedule(run)
            return
        run.task = Task(attempt=task.attempt + 1, scheduled_id=run.next_id)

    def complete_task(self, run: Run, commands: list[dict], rejected: list[str]) -> None:
        task = run.task
        for update in rejected:
            self.told[update] = "application(Rejected, update rejected, -)"
            del run.updates[update]
            self.features.add("update rejected")
        if task.speculative:
            since = len(run.events) - run.completed_id
            if not commands and since <= EXEMPT_SPECULATIVE_EVENTS:
                run.task = None  # nothing has happened
                self.features.add("speculative task without a trace")
                self._next_task(run, False, True)
                return
            task.speculative = False
        if not task.written:
            self._write_task(run, task)
        run.events.append(
            {
                "type": "WorkflowTaskCompleted",
                "scheduled_event_id": task.scheduled_id,
                "started_event_id": task.started_id,
                "identity": WORKER,
            }
        )
        completed = run.completed_id = len(run.events)
        run.previous_started_id = task.started_id
        run.sticky = self.sticky
        for command in commands:
            self._command(run, command, completed)
        run.task = None
        if not run.open:
            return
        run.unhandled_retry = False
        self._next_task(run, self.flush(run), len(run.events) == completed)

    def _next_task(self, run: Run, flushed: bool, without_events: bool) -> None:
        if flushed:
            self.schedule(run)
        elif any(known["state"] == "admitted" for known in run.updates.values()):
            # There is something for the worker to be told anyway, if the commands have left events.
            self.speculate(run) if without_events else self.schedule(run)

    def speculate(self, run: Run) -> None:
        self.features.add("speculative task")
        run.task = Task(sticky=run.sticky, speculative=True, scheduled_id=run.next_id)

    # Commands.

    def _command(self, run: Run, command: dict, completed: int) -> None:
        kind = command["command"]
        self.features.add(f"command {kind}")
        getattr(self, "_command_" + kind)(run, command, completed)

    def _command_activity(self, run: Run, command: dict, completed: int) -> None:
        step = command["step"]
        queue = step.get("queue") or "%work"
        run_timeout = run.start["run_timeout"] or 0.0
        to_close = float(step.get("schedule_to_close") or 0.0)
        to_start = float(step.get("schedule_to_start") or 0.0)
        execution = float(step.get("start_to_close") or 0.0)

        def capped(value: float) -> float:
            return min(value or run_timeout, run_timeout) if run_timeout else value

        if to_close:
            to_close = capped(to_close)
            execution = min(execution or to_close, to_close)
            to_start = min(to_start or to_close, to_close)
        else:
            to_close = run_timeout
            execution, to_start = capped(execution), capped(to_start)
        heartbeat = min(float(step.get("heartbeat") or 0.0), execution)
        scheduled = self.write(
            run,
            "ActivityTaskScheduled",
            activity_id=step["id"],
            activity_type={"name": "gate"},
            task_queue={"name": queue, "kind": "NORMAL"},
            input=[step.get("mode", "token")],
            schedule_to_close_timeout=to_close,
            schedule_to_start_timeout=to_start,
            start_to_close_timeout=execution,
            heartbeat_timeout=heartbeat,
            workflow_task_completed_event_id=completed,
            retry_policy=retry_policy(step.get("retry") or {}),
            use_workflow_build_id=True if queue == "%work" else None,
        )
        timeouts = {
            "schedule_to_close": to_close,
            "schedule_to_start": to_start,
            "start_to_close": execution,
            "heartbeat": heartbeat,
        }
        run.activities[scheduled] = Activity(step["id"], step | {"queue": queue} | timeouts, scheduled)
        run.labels["activity", scheduled] = step["id"]

    def _command_cancel_activity(self, run: Run, command: dict, completed: int) -> None:
        scheduled = next(key[1] for key, label in run.labels.items() if label == command["label"])
        requested = self.write(
            run,
            "ActivityTaskCancelRequested",
            scheduled_event_id=scheduled,
            workflow_task_completed_event_id=completed,
        )
        activity = run.activities.get(scheduled)
        if activity is None:
            self.features.add("cancel of an activity whose end is buffered")
            return
        activity.cancel_requested_id = requested
        if activity.state == "started":
            return
        self.features.add("cancel of an activity that is not started")
        del run.activities[activity.scheduled_id]
        event = {
            "type": "ActivityTaskCanceled",
            "details": ["ACTIVITY_ID_NOT_STARTED"],
            "latest_cancel_requested_event_id": activity.cancel_requested_id,
            "scheduled_event_id": activity.scheduled_id,
            "identity": WORKER,
        }
        run.buffered.append({"event": event, "key": None, "pair": None, "seen": True})

    def _command_timer(self, run: Run, command: dict, completed: int) -> None:
        seconds = float(command["step"]["seconds"])
        started = self.write(
            run,
            "TimerStarted",
            timer_id=command["timer"],
            start_to_fire_timeout=seconds,
            workflow_task_completed_event_id=completed,
        )
        run.timers[command["timer"]] = (started, seconds)
        run.labels["timer", command["timer"]] = command["step"]["id"]

    def _command_cancel_timer(self, run: Run, command: dict, completed: int) -> None:
        timer = command["timer"]
        if timer in run.timers:
            started, _ = run.timers.pop(timer)
        else:
            fired = next(item for item in run.buffered if item["event"].get("timer_id") == timer)
            run.buffered.remove(fired)
            started = fired["event"]["started_event_id"]
        self.write(
            run,
            "TimerCanceled",
            timer_id=timer,
            started_event_id=started,
            workflow_task_completed_event_id=completed,
            identity=WORKER,
        )

    def _command_local_marker(self, run: Run, command: dict, completed: int) -> None:
        step = command["step"]
        self.write(
            run,
            "MarkerRecorded",
            marker_name="core_local_activity",
            details={"data": [{"activity_id": step["id"], "activity_type": "local", "attempt": 1}]}
            | ({} if command["failure"] else {"result": [step["value"]]}),
            workflow_task_completed_event_id=completed,
            failure=command["failure"],
        )

    def _command_patch(self, run: Run, command: dict, completed: int) -> None:
        self.write(
            run,
            "MarkerRecorded",
            marker_name="core_patch",
            details={"patch-data": [{"id": command["patch"], "deprecated": False}]},
            workflow_task_completed_event_id=completed,
        )
        self.write(
            run,
            "UpsertWorkflowSearchAttributes",
            workflow_task_completed_event_id=completed,
            search_attributes={"indexed_fields": {"TemporalChangeVersion": command["patches"]}},
        )

    def _command_memo(self, run: Run, command: dict, completed: int) -> None:
        self.write(
            run,
            "WorkflowPropertiesModified",
            workflow_task_completed_event_id=completed,
            upserted_memo={"fields": command["values"]},
        )

    def _command_search_attribute(self, run: Run, command: dict, completed: int) -> None:
        self.write(
            run,
            "UpsertWorkflowSearchAttributes",
            workflow_task_completed_event_id=completed,
            search_attributes={"indexed_fields": {"ModelKeyword": command["value"]}},
        )
        merge(run.search_attributes, {"ModelKeyword": command["value"]})

    def _command_child(self, run: Run, command: dict, completed: int) -> None:
        step = command["step"]
        timeouts = effective_timeouts(step)
        initiated = self.write(
            run,
            "StartChildWorkflowExecutionInitiated",
            namespace="default",
            workflow_id=step["workflow"],
            workflow_type=TYPE,
            task_queue=NORMAL_QUEUE,
            input=[step["program"]],
            workflow_execution_timeout=timeouts["execution_timeout"],
            workflow_run_timeout=timeouts["run_timeout"] or 0.0,
            workflow_task_timeout=timeouts["task_timeout"],
            parent_close_policy={"terminate": "TERMINATE", "cancel": "REQUEST_CANCEL", "abandon": "ABANDON"}[
                step.get("policy", "terminate")
            ],
            workflow_task_completed_event_id=completed,
            workflow_id_reuse_policy="ALLOW_DUPLICATE",
            retry_policy=retry_policy(step["retry"]) if step.get("retry") else None,
            memo={"fields": step["memo"]} if step.get("memo") else None,
            namespace_id="<uuid>",
            inherit_build_id=True,
        )
        run.children[initiated] = {
            "label": step["id"],
            "workflow": step["workflow"],
            "policy": step.get("policy", "terminate"),
            "started_id": 0,
            "run": None,
        }
        run.labels["child", initiated] = step["id"]
        self.outbox.append({"kind": "start_child", "run": run.alias, "initiated": initiated, "step": step})

    def _external(self, run: Run, initiated: int, label: str | None, **message: object) -> None:
        run.labels["external", initiated] = label
        self.outbox.append({"run": run.alias, "initiated": initiated} | message)

    def _command_signal(self, run: Run, command: dict, completed: int) -> None:
        step = command["step"]
        target = {"workflow_id": command.get("child") or step["workflow"]}
        child_only = True if "child" in command else None
        initiated = self.write(
            run,
            "SignalExternalWorkflowExecutionInitiated",
            workflow_task_completed_event_id=completed,
            namespace="default",
            workflow_execution=target,
            signal_name="tell",
            input=[step["message"]],
            child_workflow_only=child_only,
            namespace_id="<uuid>",
        )
        self._external(
            run, initiated, step["id"], kind="signal", target=target, message=step["message"], child=child_only
        )

    def _command_cancel_external(self, run: Run, command: dict, completed: int) -> None:
        target = {"workflow_id": command["step"]["workflow"]}
        reason = f"Cancel requested by workflow with run id {run.alias} with reason: "
        initiated = self.write(
            run,
            "RequestCancelExternalWorkflowExecutionInitiated",
            workflow_task_completed_event_id=completed,
            namespace="default",
            workflow_execution=target,
            reason=reason,
            namespace_id="<uuid>",
        )
        self._external(
            run, initiated, command["step"]["id"], kind="cancel", target=target, reason=reason, child=None
        )

    def _command_cancel_child(self, run: Run, command: dict, completed: int) -> None:
        child = next(item for item in run.children.values() if item["label"] == command["label"])
        target = {"workflow_id": child["workflow"], "run_id": child["run"]}
        initiated = self.write(
            run,
            "RequestCancelExternalWorkflowExecutionInitiated",
            workflow_task_completed_event_id=completed,
            namespace="default",
            workflow_execution=target,
            child_workflow_only=True,
            namespace_id="<uuid>",
        )
        self._external(run, initiated, None, kind="cancel", target=target, reason=None, child=True)

    def _command_accept(self, run: Run, command: dict, completed: int) -> None:
        known = run.updates[command["update"]]
        known["state"] = "accepted"
        request = {
            "meta": {"update_id": command["update"], "identity": DRIVER},
            "input": {"name": "ask", "args": [known["question"]]},
        }
        known["accepted"] = self.write(
            run,
            "WorkflowExecutionUpdateAccepted",
            protocol_instance_id=command["update"],
            accepted_request_message_id=f"{command['update']}/request",
            accepted_request_sequencing_event_id=known["sequencing"],
            accepted_request=request,
        )

    def _command_answer(self, run: Run, command: dict, completed: int) -> None:
        known = run.updates[command["update"]]
        known["state"] = "completed"
        outcome = command["outcome"]
        self.write(
            run,
            "WorkflowExecutionUpdateCompleted",
            meta={"update_id": command["update"], "identity": DRIVER},
            outcome=outcome,
            accepted_event_id=known["accepted"],
        )
        if "failure" in outcome:
            self.told[command["update"]] = describe(outcome["failure"])
        else:
            self.told[command["update"]] = f"ok {outcome['success'][0]}"

    def _command_complete(self, run: Run, command: dict, completed: int) -> None:
        self.write(
            run,
            "WorkflowExecutionCompleted",
            result=command["result"],
            workflow_task_completed_event_id=completed,
        )
        self.close(run, "Completed", result=command["result"])

    def _command_canceled(self, run: Run, command: dict, completed: int) -> None:
        self.write(run, "WorkflowExecutionCanceled", workflow_task_completed_event_id=completed)
        self.close(run, "Canceled")

    def _command_fail(self, run: Run, command: dict, completed: int) -> None:
        info: dict = {"type": "Program"}
        if command["non_retryable"]:
            info["non_retryable"] = True
        failure = {"message": "program failed", "application_failure_info": info}
        retry_state, following = self._workflow_retry(run, failure, not command["non_retryable"])
        self.write(
            run,
            "WorkflowExecutionFailed",
            failure=failure,
            retry_state=retry_state,
            workflow_task_completed_event_id=completed,
            new_execution_run_id=following.alias if following else None,
        )
        self.close(run, "Failed", following, failure=failure, retry_state=retry_state)

    def _workflow_retry(self, run: Run, failure: dict, retryable: bool) -> tuple[str, Run | None]:
        policy = run.start["retry"]
        if policy is None:
            return "RETRY_POLICY_NOT_SET", None
        if not retryable:
            return "NON_RETRYABLE_FAILURE", None
        if policy.get("attempts") and run.attempt >= policy["attempts"]:
            return "MAXIMUM_ATTEMPTS_REACHED", None
        self.features.add("workflow retry")
        following = self._new_run(run.workflow, dict(run.start), run)
        following.attempt = run.attempt + 1
        self._write_started(
            following,
            continued_execution_run_id=run.alias,
            initiator="RETRY",
            continued_failure=failure,
            first_workflow_task_backoff="<0..1>",
        )
        return "IN_PROGRESS", following

    def _command_continue_as_new(self, run: Run, command: dict, completed: int) -> None:
        # The SDK sends the memo that the run started with along, and the search attributes as they are now. What it does
        # not send is gone.
        memo = run.start["memo"]
        attributes = dict(run.search_attributes) or None
        start = dict(run.start) | {
            "program": command["program"],
            "memo": memo,
            "search_attributes": attributes,
        }
        following = self._new_run(run.workflow, start, run)
        self.write(
            run,
            "WorkflowExecutionContinuedAsNew",
            new_execution_run_id=following.alias,
            workflow_type=TYPE,
            task_queue=NORMAL_QUEUE,
            input=[command["program"]],
            workflow_run_timeout=run.start["run_timeout"] or 0.0,
            workflow_task_timeout=run.start["task_timeout"],
            workflow_task_completed_event_id=completed,
            memo={"fields": memo} if memo else None,
            search_attributes={"indexed_fields": attributes} if attributes else None,
            inherit_build_id=True,
        )
        following.start["run_timeout"] = run.start["run_timeout"] or 0.0
        self._write_started(
            following,
            continued_execution_run_id=run.alias,
            initiator="WORKFLOW",
            first_workflow_task_backoff="<0..1>",
        )
        self.close(run, "ContinuedAsNew", following)

    # Runs.

    def _new_run(self, workflow: str, start: dict, previous: Run | None = None) -> Run:
        self.counts[workflow] = self.counts.get(workflow, 0) + 1
        alias = f"{workflow}/{self.counts[workflow]}"
        run = Run(alias=alias, workflow=workflow, start=start)
        run.first = previous.first if previous is not None else alias
        self.runs[alias] = run
        self.current[workflow] = alias
        return run

    def _write_started(self, run: Run, **attributes: object) -> None:
        start = run.start
        parent = start.get("parent")
        more: dict = {}
        if parent is not None:
            more = {
                "parent_workflow_namespace": "default",
                "parent_workflow_namespace_id": "<uuid>",
                "parent_workflow_execution": {"workflow_id": parent["workflow"], "run_id": parent["run"]},
                "parent_initiated_event_id": parent["initiated"],
                "root_workflow_execution": parent["root"],
            }
        values = {
            "workflow_type": TYPE,
            "task_queue": NORMAL_QUEUE,
            "input": [start["program"]],
            "workflow_execution_timeout": start["execution_timeout"],
            "workflow_execution_expiration_time": "<time>" if start["execution_timeout"] else None,
            "workflow_run_timeout": start["run_timeout"],
            "workflow_task_timeout": start["task_timeout"],
            "original_execution_run_id": run.alias,
            "first_execution_run_id": run.first,
            "retry_policy": retry_policy(start["retry"]) if start["retry"] else None,
            "attempt": run.attempt,
            "first_workflow_task_backoff": 0.0,
            "memo": {"fields": start["memo"]} if start["memo"] else None,
            "search_attributes": (
                {"indexed_fields": start["search_attributes"]} if start.get("search_attributes") else None
            ),
            "workflow_id": run.workflow,
        }
        run.search_attributes = dict(start.get("search_attributes") or {})
        self.write(run, "WorkflowExecutionStarted", **(values | more | attributes))

    def close(self, run: Run, status: str, following: Run | None = None, **told: object) -> None:
        self.features.add(f"run {status}")
        run.status = status
        run.sticky = False
        run.activities.clear()
        run.timers.clear()
        for update, known in run.updates.items():
            if known["state"] in ("admitted", "sent"):
                if following is not None:
                    raise Ambiguous("an update goes on to the next run")
                self.told[update] = "NOT_FOUND"
                self.features.add("update aborted by the run's end")
            elif known["state"] == "accepted":
                self.told[update] = "application(AcceptedUpdateCompletedWorkflow, …, -)"
                self.features.add("update cut off by the run's end")
        run.updates = {key: known for key, known in run.updates.items() if known["state"] == "completed"}
        for initiated, child in run.children.items():
            if child["policy"] != "abandon" and child["run"] is not None:
                self.features.add(f"parent close policy {child['policy']}")
                self.outbox.append(
                    {
                        "kind": "close_child",
                        "run": run.alias,
                        "initiated": initiated,
                        "workflow": child["workflow"],
                        "first": child["run"],
                        "policy": child["policy"],
                    }
                )
        parent = run.start.get("parent")
        if following is None and parent is not None:
            self.outbox.append(
                {"kind": "child_closed", "run": parent["run"], "child": run.alias, "status": status} | told
                | {"initiated": parent["initiated"]}
            )

    def signal(self, run: Run, message: dict, identity: str, **more: object) -> None:
        if run.unhandled_retry:
            raise Ambiguous("a signal that is refused until the run has closed")
        self.record(
            run,
            "WorkflowExecutionSignaled",
            signal_name="tell",
            input=[message],
            identity=identity,
            **more,
        )
        if run.status == "running":
            self.schedule(run)

    def request_cancel(self, run: Run, **attributes: object) -> None:
        if run.cancel_requested or not run.open:
            return
        run.cancel_requested = True
        self.record(run, "WorkflowExecutionCancelRequested", **attributes)
        self.schedule(run)

    def terminate(self, run: Run, **attributes: object) -> None:
        self._stop_task(run)
        self.write(run, "WorkflowExecutionTerminated", **attributes)
        self.close(run, "Terminated")

    def _stop_task(self, run: Run) -> None:
        task = run.task
        if task is not None and task.speculative:
            self._make_real(run)
        if task is not None and task.started and task.written:
            self.features.add("task forced to close")
            run.events.append(
                {
                    "type": "WorkflowTaskFailed",
                    "scheduled_event_id": task.scheduled_id,
                    "started_event_id": task.started_id,
                    "cause": "FORCE_CLOSE_COMMAND",
                    "identity": SERVER,
                }
            )
        run.task = None
        self.flush(run)

    # Operations of the driver.

    def perform(self, operation: dict) -> str:
        self.features.add(f"operation {operation['op']}")
        self.by_request = True
        try:
            return getattr(self, "_op_" + operation["op"])(operation)
        finally:
            self.by_request = False

    def _op_start(self, operation: dict) -> str:
        options = operation.get("options", {})
        start = effective_timeouts(options) | {
            "program": operation["program"],
            "memo": options.get("memo"),
            "retry": options.get("retry"),
        }
        run = self._new_run(operation["workflow"], start)
        self._write_started(run, identity=DRIVER)
        run.status = "running"
        if operation.get("message"):
            self.features.add("signal with start")
            self.signal(run, operation["message"], DRIVER)
        self.schedule(run)
        return "ok"

    def _open_run(self, operation: dict) -> Run | None:
        run = self.runs.get(self.current.get(operation["workflow"], ""))
        return run if run is not None and run.open else None

    def _op_signal(self, operation: dict) -> str:
        run = self._open_run(operation)
        if run is None:
            return "NOT_FOUND"
        self.signal(run, operation["message"], DRIVER)
        return "ok"

    def _op_update(self, operation: dict) -> str:
        run = self._open_run(operation)
        question = operation["question"]
        if run is None:
            self.told[question["id"]] = "NOT_FOUND"
            return "ok"
        if run.unhandled_retry:
            raise Ambiguous("an update that is refused until the run has closed")
        if run.status == "created":
            raise Ambiguous("an update to a run that waits for its first task")
        run.updates[question["id"]] = {"state": "admitted", "question": question}
        if run.task is None:
            self.speculate(run)
        return "ok"

    def _op_cancel(self, operation: dict) -> str:
        run = self.runs.get(self.current.get(operation["workflow"], ""))
        if run is None:
            return "NOT_FOUND"
        self.request_cancel(run, identity=DRIVER)
        return "ok"

    def _op_terminate(self, operation: dict) -> str:
        run = self._open_run(operation)
        if run is None:
            return "NOT_FOUND"
        self.terminate(run, reason="enough", identity=DRIVER)
        return "ok"

    def _op_release(self, operation: dict) -> str:
        run = self.runs[operation["run"]]
        run.gates.released.add(operation["hold"])
        if run.task is not None and run.task.held == operation["hold"]:
            run.task.held = None
        return "ok"

    def _op_activity(self, operation: dict) -> str:
        run = self.runs[operation["run"]]
        activity = next(
            (
                item
                for item in run.activities.values()
                if item.label == operation["activity"]
                and item.attempt == operation["attempt"]
                and item.state == "started"
            ),
            None,
        )
        by_worker = operation["by"] == "worker"
        self.by_request = not by_worker
        if activity is None:
            return "ok" if by_worker else "NOT_FOUND"
        identity = WORKER if by_worker else DRIVER
        outcome = operation["outcome"]
        self.features.add(f"activity {outcome}")
        if outcome == "heartbeat":
            activity.heartbeat = ["beat"]
            return "cancel requested" if activity.cancel_requested_id else "ok"
        if outcome == "complete":
            self._end_activity(
                run,
                activity,
                "ActivityTaskCompleted",
                result=[f"result of {activity.label}"],
                identity=identity,
            )
        elif outcome == "canceled":
            if not activity.cancel_requested_id:
                raise Ambiguous("canceled without a request")
            self._end_activity(
                run,
                activity,
                "ActivityTaskCanceled",
                details=["told to"],
                latest_cancel_requested_event_id=activity.cancel_requested_id,
                identity=identity,
            )
        else:
            info: dict = {"type": "Oops"}
            if outcome == "fail_final":
                info["non_retryable"] = True
            failure = {"message": "activity failed", "application_failure_info": info}
            state = self._activity_retry(activity, failure, outcome != "fail_final")
            if state != "IN_PROGRESS":
                self._end_activity(
                    run, activity, "ActivityTaskFailed", failure=failure, retry_state=state, identity=identity
                )
        return "ok"

    def _end_activity(self, run: Run, activity: Activity, type: str, **attributes: object) -> None:
        del run.activities[activity.scheduled_id]
        self.record_pair(run, activity, type, **attributes)
        self.schedule(run)

    def _activity_retry(self, activity: Activity, failure: dict, retryable: bool) -> str:
        policy = activity.step.get("retry") or {}
        if activity.cancel_requested_id:
            return "CANCEL_REQUESTED"
        if not retryable or failure.get("application_failure_info", {}).get("type") in policy.get(
            "non_retryable", ()
        ):
            return "NON_RETRYABLE_FAILURE"
        if policy.get("attempts") and activity.attempt >= policy["attempts"]:
            return "MAXIMUM_ATTEMPTS_REACHED"
        delay = policy.get("initial", 1) * policy.get("coefficient", 2.0) ** (activity.attempt - 1)
        if activity.step["schedule_to_close"] and delay >= activity.step["schedule_to_close"]:
            self.features.add("no room for another attempt")
            return "TIMEOUT"
        self.features.add("activity retry")
        activity.attempt += 1
        activity.last_failure = failure
        activity.state = "backoff" if delay < SOON else "waiting"
        return "IN_PROGRESS"

    # What happens by itself.

    def enabled(self) -> list[tuple]:
        found: list[tuple] = []
        slow: list[tuple] = []
        for index in range(len(self.outbox)):
            found.append(("deliver", index))
        for run in self.runs.values():
            if not run.open:
                continue
            if run.task is not None and not run.task.started:
                found.append(("take", run.alias))
            if run.task is not None and run.task.started and run.task.held is None:
                found.append(("work", run.alias))
            if run.status == "created" and not run.start.get("unconfirmed") and run.task is None:
                found.append(("first_task", run.alias))
            for timer, (_, seconds) in run.timers.items():
                if seconds < SOON:
                    found.append(("fire", run.alias, timer))
            for activity in run.activities.values():
                found.extend(self._activity_steps(run, activity))
            if run.start["run_timeout"] and run.start["run_timeout"] < SOON:
                slow.append(("time_out", run.alias))
        return found or slow

    def _activity_steps(self, run: Run, activity: Activity) -> list[tuple]:
        who = (run.alias, activity.scheduled_id)
        step = activity.step
        if activity.state == "backoff":
            return [("redispatch", *who)]
        if activity.state == "scheduled" and step["queue"] == "%work":
            return [("begin", *who)]
        if activity.state == "scheduled":
            timeout = "schedule_to_start"
            if step["schedule_to_start"] and step["schedule_to_start"] < SOON:
                return [("expire", *who, timeout)]
        if activity.state == "started":
            if step["start_to_close"] < SOON:
                return [("expire", *who, "start_to_close")]
            if step["heartbeat"] and step["heartbeat"] < SOON:
                return [("expire", *who, "heartbeat")]
        return []

    def happen(self, transition: tuple) -> None:
        if transition[0] in ("fire", "expire", "redispatch") and any(
            run.open and run.start["run_timeout"] and run.start["run_timeout"] < SOON
            for run in self.runs.values()
        ):
            raise Ambiguous("a wait while a short run timeout is running")
        getattr(self, "_" + transition[0])(*transition[1:])

    def _take(self, alias: str) -> None:
        self.take(self.runs[alias])

    def _work(self, alias: str) -> None:
        self.run_worker(self.runs[alias])

    def _first_task(self, alias: str) -> None:
        self.schedule(self.runs[alias])

    def _fire(self, alias: str, timer: str) -> None:
        run = self.runs[alias]
        started, _ = run.timers.pop(timer)
        self.features.add("timer fired")
        self.record(run, "TimerFired", timer_id=timer, started_event_id=started)
        self.schedule(run)

    def _redispatch(self, alias: str, scheduled: int) -> None:
        self.runs[alias].activities[scheduled].state = "scheduled"

    def _begin(self, alias: str, scheduled: int) -> None:
        activity = self.runs[alias].activities[scheduled]
        activity.state = "started"
        self.attempts.append((alias, activity.label, activity.attempt))

    def _expire(self, alias: str, scheduled: int, timeout: str) -> None:
        run = self.runs[alias]
        activity = run.activities[scheduled]
        self.features.add(f"activity timeout {timeout}")
        kind = timeout.upper()
        if timeout == "schedule_to_start":
            failure = timeout_failure(kind, None, activity.last_failure)
            del run.activities[scheduled]
            self.record(
                run,
                "ActivityTaskTimedOut",
                failure=failure,
                scheduled_event_id=scheduled,
                retry_state="TIMEOUT",
            )
            self.schedule(run)
            return
        previous = activity.last_failure
        plain = timeout_failure(kind, None, None)
        state = self._activity_retry(activity, plain, True)
        if state == "IN_PROGRESS":
            return
        if state == "TIMEOUT":
            kind = "SCHEDULE_TO_CLOSE"
        self._end_activity(
            run,
            activity,
            "ActivityTaskTimedOut",
            failure=timeout_failure(kind, activity.heartbeat, previous),
            retry_state=state,
        )

    def _time_out(self, alias: str) -> None:
        run = self.runs[alias]
        self._stop_task(run)
        self.features.add("run timeout")
        state, following = self._workflow_retry(run, timeout_failure("START_TO_CLOSE", None, None), True)
        self.write(
            run,
            "WorkflowExecutionTimedOut",
            retry_state=state,
            new_execution_run_id=following.alias if following else None,
        )
        self.close(run, "TimedOut", following, retry_state=state)

    # Messages between workflows.

    def _deliver(self, index: int) -> None:
        message = self.outbox.pop(index)
        getattr(self, "_deliver_" + message["kind"])(message)

    def _deliver_start_child(self, message: dict) -> None:
        parent = self.runs[message["run"]]
        step = message["step"]
        if not parent.open:
            del parent.children[message["initiated"]]
            return
        existing = self.runs.get(self.current.get(step["workflow"], ""))
        if existing is not None and existing.open:
            self.features.add("child id taken")
            del parent.children[message["initiated"]]
            self.record(
                parent,
                "StartChildWorkflowExecutionFailed",
                namespace="default",
                workflow_id=step["workflow"],
                workflow_type=TYPE,
                cause="WORKFLOW_ALREADY_EXISTS",
                initiated_event_id=message["initiated"],
                namespace_id="<uuid>",
            )
            self.schedule(parent)
            return
        root = parent.start["parent"]["root"] if parent.start.get("parent") else {
            "workflow_id": parent.workflow,
            "run_id": parent.alias,
        }
        timeouts = effective_timeouts(step)
        timeouts["run_timeout"] = timeouts["run_timeout"] or 0.0
        child = self._new_run(
            step["workflow"],
            timeouts
            | {
                "program": step["program"],
                "memo": step.get("memo"),
                "retry": step.get("retry"),
                "unconfirmed": True,
                "parent": {
                    "workflow": parent.workflow,
                    "run": parent.alias,
                    "initiated": message["initiated"],
                    "root": root,
                },
            },
        )
        self._write_started(child)
        self.outbox.append({"kind": "child_started", "run": parent.alias, "initiated": message["initiated"], "child": child.alias})

    def _deliver_child_started(self, message: dict) -> None:
        parent, child = self.runs[message["run"]], self.runs[message["child"]]
        if not parent.open:
            raise Ambiguous("the parent closed while its child was started")
        known = parent.children[message["initiated"]]
        known["run"] = child.alias
        self.record(
            parent,
            "ChildWorkflowExecutionStarted",
            key=("child", message["initiated"]),
            namespace="default",
            initiated_event_id=message["initiated"],
            workflow_execution={"workflow_id": child.workflow, "run_id": child.alias},
            workflow_type=TYPE,
            namespace_id="<uuid>",
        )
        self.schedule(parent)
        child.start = {key: value for key, value in child.start.items() if key != "unconfirmed"}
        if child.open:
            self.schedule(child)

    def _deliver_signal(self, message: dict) -> None:
        sender = self.runs[message["run"]]
        if not sender.open:
            return  # what a run asks of others goes with it
        target = self._target(message, sender)
        if target is None or not target.open:
            self._outcome(message, "SignalExternalWorkflowExecutionFailed")
            return
        self.signal(
            target,
            message["message"],
            SERVER,
            external_workflow_execution={"workflow_id": sender.workflow, "run_id": sender.alias},
        )
        self._outcome(message, "ExternalWorkflowExecutionSignaled")

    def _deliver_cancel(self, message: dict) -> None:
        sender = self.runs[message["run"]]
        if not sender.open:
            return
        target = self._target(message, sender)
        if target is None:
            self._outcome(message, "RequestCancelExternalWorkflowExecutionFailed")
            return
        self.request_cancel(
            target,
            cause=message["reason"],
            external_initiated_event_id=message["initiated"],
            external_workflow_execution={"workflow_id": sender.workflow, "run_id": sender.alias},
            identity=SERVER,
        )
        self._outcome(message, "ExternalWorkflowExecutionCancelRequested")

    def _target(self, message: dict, sender: Run) -> Run | None:
        workflow = message["target"]["workflow_id"]
        alias = message["target"].get("run_id") or self.current.get(workflow)
        target = self.runs.get(alias or "")
        if target is None or workflow == sender.workflow:
            return None
        if message["child"] and (target.start.get("parent") or {}).get("run") != sender.alias:
            return None
        return target

    def _outcome(self, message: dict, type: str) -> None:
        """The second half of a message: the sender hears of it, possibly later than the target's worker."""
        self.outbox.append({"kind": "outcome", "run": message["run"], "type": type, "message": message})

    def _deliver_outcome(self, item: dict) -> None:
        sender, message = self.runs[item["run"]], item["message"]
        if not sender.open:
            return
        failed = item["type"].endswith("Failed")
        self.features.add(item["type"])
        self.record(
            sender,
            item["type"],
            cause="EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND" if failed else None,
            namespace="default",
            workflow_execution=message["target"],
            initiated_event_id=message["initiated"],
            namespace_id="<uuid>",
        )
        self.schedule(sender)

    def _deliver_child_closed(self, message: dict) -> None:
        parent, child = self.runs[message["run"]], self.runs[message["child"]]
        initiated = message["initiated"]
        if not parent.open or initiated not in parent.children:
            return
        known = parent.children[initiated]
        if not known["started_id"] and not any(item["key"] == ("child", initiated) for item in parent.buffered):
            raise Ambiguous("a child ended before its parent knew that it had started")
        self.features.add(f"child {message['status']}")
        self.record(
            parent,
            f"ChildWorkflowExecution{message['status']}",
            result=message.get("result"),
            failure=message.get("failure"),
            namespace="default",
            workflow_execution={"workflow_id": child.workflow, "run_id": child.alias},
            workflow_type=TYPE,
            initiated_event_id=initiated,
            started_event_id=known["started_id"],
            namespace_id="<uuid>",
            retry_state=message.get("retry_state"),
        )
        parent.children[initiated] = known | {"policy": "abandon"}
        self.schedule(parent)

    def _deliver_close_child(self, message: dict) -> None:
        parent = self.runs[message["run"]]
        child = self.runs.get(self.current.get(message["workflow"], ""))
        if child is None or not child.open or child.first != message["first"]:
            return
        if message["policy"] == "terminate":
            self.terminate(child, reason="<why>", identity=SERVER)
        else:
            self.request_cancel(
                child,
                external_workflow_execution={"workflow_id": parent.workflow, "run_id": parent.alias},
                identity=SERVER,
            )


CLOSING = ("complete", "fail", "canceled", "continue_as_new")


def merge(into: dict, values: dict) -> None:
    into |= values
    for key in [key for key, value in into.items() if value is None]:
        del into[key]


def retry_policy(fields: dict) -> dict:
    initial = float(fields.get("initial", 1))
    made: dict = {
        "initial_interval": initial,
        "backoff_coefficient": fields.get("coefficient", 2.0),
        "maximum_interval": round(100 * initial, 6),
    }
    if fields.get("attempts"):
        made["maximum_attempts"] = fields["attempts"]
    if fields.get("non_retryable"):
        made["non_retryable_error_types"] = fields["non_retryable"]
    return made


def effective_timeouts(options: dict) -> dict:
    execution = options.get("execution_timeout")
    run = options.get("run_timeout")
    if execution:
        run = min(run or execution, execution)
    return {
        "execution_timeout": float(execution) if execution else None,
        "run_timeout": float(run) if run else None,
        "task_timeout": min(TASK_TIMEOUT, float(run)) if run else TASK_TIMEOUT,
    }


def timeout_failure(kind: str, heartbeat: list | None, cause: dict | None) -> dict:
    info: dict = {"timeout_type": kind}
    if heartbeat is not None:
        info["last_heartbeat_details"] = heartbeat
    made: dict = {"source": "Server", "timeout_failure_info": info}
    if cause is not None:
        made["cause"] = cause
    return made
