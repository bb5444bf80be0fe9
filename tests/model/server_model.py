"""The server as the behavioural contract describes it: what each request and each command does to which history.

`World` is all runs of one program. `World.perform` makes one operation of the driver; `World.enabled` lists what may
happen next by itself (a worker takes a task, a timer fires, a message between workflows arrives) and `World.happen`
does one of these. Nothing here knows how any server is built, and times exist only as "soon" and "never".
"""

from __future__ import annotations

import pickle

from server_commands import Commands
from server_messages import Messages
from server_state import (
    CLOSING,
    DRIVER,
    ENDS,
    EXEMPT_SPECULATIVE_EVENTS,
    NORMAL_QUEUE,
    SERVER,
    SOON,
    STICKY_QUEUE,
    TYPE,
    WORKER,
    Activity,
    Run,
    Task,
    effective_timeouts,
    retry_policy,
    timeout_failure,
)
from worker_model import Ambiguous, Held, TaskFails, describe


class World(Commands, Messages):
    def __init__(self, sticky: bool) -> None:
        self.sticky = sticky
        self.runs: dict[str, Run] = {}
        self.current: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.outbox: list[dict] = []
        self.told: dict[str, str] = {}  # update id to what its caller was told
        self.attempts: list[tuple[str, str, int]] = []
        self.by_request = (
            False  # whether what happens now is the effect of a request that the driver waits for
        )
        self.features: set[str] = set()

    # Histories.

    def write(self, run: Run, type: str, **attributes: object) -> int:
        """An event that is never buffered."""
        self._make_real(run)
        run.events.append(
            {"type": type} | {key: value for key, value in attributes.items() if value is not None}
        )
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

    def record(
        self, run: Run, type: str, key: object = None, pair: object = None, **attributes: object
    ) -> None:
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
            raise Ambiguous(
                "without a cache the SDK replays a task without events together with the next one"
            )
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
                {"kind": "child_closed", "run": parent["run"], "child": run.alias, "status": status}
                | told
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
