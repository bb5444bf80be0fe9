"""A conversation that does not get lost: a workflow that holds it, turn by turn, for as long as it lasts.

A turn is the update `send`: the model is asked, the tool it wants is called once a person agrees, and the update's result is
the reply. An update's id is the message's, so that a message which is sent twice is one turn. `mcp.input` in the memo is the
question that waits for a person; its answer comes as the signal of the same name.
"""

import asyncio
import json
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities import ask_model, call_tool

TASK_QUEUE = "chat"
TEXT_SIZE_MAX = 16_384
CONTEXT_MESSAGES_MAX = 40  # that the model is shown
MESSAGES_MAX = 4_000  # of a conversation: then it is told that it is full
TOOL_ROUNDS_MAX = 5  # of one turn
TURNS_PER_RUN = 100  # then the run goes on as new, with the conversation so far
SYSTEM = "You are a helpful assistant. Use a tool when it helps."
Message = dict[str, Any]


@workflow.defn(name="ChatWorkflow")
class ChatWorkflow:
    @workflow.init
    def __init__(self, messages: list[Message] | None = None, questions: int = 0) -> None:
        self.messages: list[Message] = messages or []
        self.questions = questions  # asked so far: the keys of questions are never used twice
        self.answers: dict[str, dict[str, Any]] = {}
        self.turn = asyncio.Lock()
        self.turns = 0
        self.ended = False

    @workflow.run
    async def run(self, messages: list[Message] | None = None, questions: int = 0) -> int:
        """Returns how many messages the conversation had."""
        await workflow.wait_condition(
            lambda: self.ended or self.turns >= TURNS_PER_RUN or workflow.info().is_continue_as_new_suggested()
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self.ended:
            workflow.continue_as_new(args=[self.messages, self.questions])
        return len(self.messages)

    @workflow.update(name="send")
    async def send(self, text: str) -> str:
        async with self.turn:  # one turn at a time, in the order of arrival
            if self.ended:
                raise ApplicationError("this conversation has ended", type="Ended", non_retryable=True)
            before = len(self.messages)
            self.messages.append({"role": "user", "content": text})
            try:
                reply = await self.reply()
            except ActivityError as error:
                del self.messages[before:]  # a turn happens whole or not at all
                words = getattr(error.cause, "message", None) or str(error.cause)
                kind = getattr(error.cause, "type", None) or "Model"
                raise ApplicationError(words, type=kind, non_retryable=True) from error
            self.turns += 1
            return reply

    @send.validator
    def may_send(self, text: str) -> None:
        if self.ended:
            raise ApplicationError("this conversation has ended", type="Ended")
        if not text.strip() or len(text) > TEXT_SIZE_MAX:
            raise ApplicationError(f"text must be 1 to {TEXT_SIZE_MAX} characters", type="BadText")
        if len(self.messages) >= MESSAGES_MAX:
            raise ApplicationError(f"this conversation has its {MESSAGES_MAX} messages", type="Full")

    @workflow.signal(name="end")
    def end(self) -> None:
        self.ended = True

    @workflow.signal(name="mcp.input")
    def answer(self, key: str, response: dict[str, Any]) -> None:
        self.answers.setdefault(key, response)

    @workflow.query(name="history")
    def history(self) -> list[Message]:
        """What was said, without what passed between the model and its tools."""
        return [
            {"role": message["role"], "content": message["content"]}
            for message in self.messages
            if message["role"] in ("user", "assistant") and message.get("content")
        ]

    async def reply(self) -> str:
        for _ in range(TOOL_ROUNDS_MAX):
            said = await workflow.execute_activity(
                ask_model,
                [{"role": "system", "content": SYSTEM}, *self.context()],
                start_to_close_timeout=timedelta(seconds=20),
                schedule_to_close_timeout=timedelta(minutes=30),
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30)),
            )
            self.messages.append(said)
            calls = said.get("tool_calls") or []
            if not calls:
                return said.get("content") or ""
            for call in calls:
                self.messages.append(
                    {"role": "tool", "tool_call_id": call["id"], "content": await self.use_tool(call)}
                )
        raise ApplicationError(f"more than {TOOL_ROUNDS_MAX} rounds of tools in one turn", type="TooManyTools")

    def context(self) -> list[Message]:
        recent = self.messages[-CONTEXT_MESSAGES_MAX:]
        # A tool's answer without the call before it is refused by models.
        while recent and recent[0]["role"] == "tool":
            recent = recent[1:]
        return recent

    async def use_tool(self, call: dict[str, Any]) -> str:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        if not await self.confirmed(f"Call {name} with {arguments}?"):
            return "The person declined this call."
        try:
            return await workflow.execute_activity(
                call_tool,
                args=[name, json.loads(arguments or "{}")],
                start_to_close_timeout=timedelta(seconds=60),
                schedule_to_close_timeout=timedelta(minutes=10),
            )
        except ActivityError as error:
            return f"The call failed: {getattr(error.cause, 'message', error.cause)}"

    async def confirmed(self, message: str) -> bool:
        self.questions += 1
        key = f"confirm-{self.questions}"
        schema = {
            "type": "object",
            "properties": {"confirm": {"type": "boolean", "title": "Go ahead"}},
            "required": ["confirm"],
        }
        params = {"mode": "form", "message": message, "requestedSchema": schema}
        workflow.upsert_memo({"mcp.input": {key: {"method": "elicitation/create", "params": params}}})
        await workflow.wait_condition(lambda: key in self.answers or self.ended)
        workflow.upsert_memo({"mcp.input": None})
        response = self.answers.pop(key, {"action": "cancel"})
        return response.get("action") == "accept" and (response.get("content") or {}).get("confirm") is True
