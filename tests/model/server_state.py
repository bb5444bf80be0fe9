"""What the server knows of a run, and the words that both halves of its model use."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker_model import Gates, Interpreter

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
CLOSING = ("complete", "fail", "canceled", "continue_as_new")


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
    buffered: list = field(
        default_factory=list
    )  # (event, key of a Started event, is it one that a request waits for)
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
