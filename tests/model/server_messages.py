"""What workflows send each other, and what their starts and ends tell others: another part of `World`.

A message is delivered in two steps where both sides write an event: the other side's worker may be faster than the
answer.
"""

from __future__ import annotations

from server_state import SERVER, TYPE, Run, effective_timeouts
from worker_model import Ambiguous


class Messages:
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
        root = (
            parent.start["parent"]["root"]
            if parent.start.get("parent")
            else {
                "workflow_id": parent.workflow,
                "run_id": parent.alias,
            }
        )
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
        self.outbox.append(
            {
                "kind": "child_started",
                "run": parent.alias,
                "initiated": message["initiated"],
                "child": child.alias,
            }
        )

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
        if not known["started_id"] and not any(
            item["key"] == ("child", initiated) for item in parent.buffered
        ):
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
