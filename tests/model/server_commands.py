"""The commands of a completed workflow task: the second half of `World`, which owns all state."""

from __future__ import annotations

from server_state import (
    DRIVER,
    NORMAL_QUEUE,
    TYPE,
    WORKER,
    Activity,
    Run,
    effective_timeouts,
    merge,
    retry_policy,
)
from worker_model import describe


class Commands:
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
            run,
            initiated,
            step["id"],
            kind="signal",
            target=target,
            message=step["message"],
            child=child_only,
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
