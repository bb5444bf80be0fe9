"""The fixtures of the official conformance suite, each a workflow: what passes here is the gateway, not a stub.

Questions are the memo mcp.input, answered by the signal mcp.input; progress is the memo mcp.progress.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="


def text(words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}]}


RESULTS: dict[str, dict[str, Any]] = {
    "test_simple_text": text("This is a simple text response for testing."),
    "test_image_content": {"content": [{"type": "image", "data": PIXEL, "mimeType": "image/png"}]},
    "test_audio_content": {"content": [{"type": "audio", "data": SILENCE, "mimeType": "audio/wav"}]},
    "test_embedded_resource": {
        "content": [
            {
                "type": "resource",
                "resource": {
                    "uri": "test://embedded-resource",
                    "mimeType": "text/plain",
                    "text": "This is an embedded resource content.",
                },
            }
        ]
    },
    "test_multiple_content_types": {
        "content": [
            {"type": "text", "text": "Multiple content types test:"},
            {"type": "image", "data": PIXEL, "mimeType": "image/png"},
            {
                "type": "resource",
                "resource": {
                    "uri": "test://mixed-content-resource",
                    "mimeType": "application/json",
                    "text": '{"test":"data","value":123}',
                },
            },
        ]
    },
    "json_schema_2020_12_tool": text("ok"),
    "test_logging_tool": text("Nothing to log without a level."),
    "test_reconnection": text("Reconnection test completed successfully."),
    "test_x_mcp_header": text("ok"),
}


def form(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def elicit(message: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}


def sample(prompt: str) -> dict[str, Any]:
    return {
        "method": "sampling/createMessage",
        "params": {"messages": [{"role": "user", "content": {"type": "text", "text": prompt}}], "maxTokens": 100},
    }


def one_of(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in pairs]


NAME = form(name={"type": "string"})
ROOTS = {"method": "roots/list", "params": {}}
DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "User name", "default": "John Doe"},
        "age": {"type": "integer", "description": "User age", "default": 30},
        "score": {"type": "number", "description": "User score", "default": 95.5},
        "status": {
            "type": "string",
            "description": "User status",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "description": "Verification status", "default": True},
    },
    "required": [],
}
OPTIONS = ["option1", "option2", "option3"]
TITLES = one_of(("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"))
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "description": "Select one option", "enum": OPTIONS},
        "titledSingle": {"type": "string", "description": "Select one option with titles", "oneOf": TITLES},
        "legacyEnum": {
            "type": "string",
            "description": "Select one option (legacy)",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "description": "Select multiple options",
            "minItems": 1,
            "maxItems": 3,
            "items": {"type": "string", "enum": OPTIONS},
        },
        "titledMulti": {
            "type": "array",
            "description": "Select multiple options with titles",
            "minItems": 1,
            "maxItems": 3,
            "items": {"anyOf": TITLES},
        },
    },
    "required": [],
}


@workflow.defn(name="Conformance")
class Conformance:
    """Plays the tool whose name it is started with."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.notes: list[str] = []

    @workflow.update
    def note(self, text: str) -> int:
        """How many there are now."""
        self.notes.append(text)
        return len(self.notes)

    @workflow.signal(name="mcp.input")
    def on_input(self, key: str, response: Any) -> None:
        self.answers.setdefault(key, response)

    async def ask(self, **questions: dict[str, Any]) -> dict[str, Any]:
        """A question leaves the memo when it is answered; returns when none is left."""
        left = dict(questions)
        while left:
            workflow.upsert_memo({"mcp.input": left})
            await workflow.wait_condition(lambda: any(key in self.answers for key in left))
            left = {key: question for key, question in left.items() if key not in self.answers}
        workflow.upsert_memo({"mcp.input": {}})
        return {key: self.answers[key] for key in questions}

    async def progress(self, *steps: tuple[float, str]) -> None:
        for number, message in steps:
            workflow.upsert_memo({"mcp.progress": {"progress": number, "total": 100, "message": message}})
            await workflow.sleep(timedelta(milliseconds=100))

    @workflow.run
    async def run(self, tool: str, arguments: dict[str, Any]) -> Any:
        if tool in RESULTS:
            return RESULTS[tool]
        play = getattr(self, tool, None)
        if play is None:
            raise ApplicationError(f"there is no fixture {tool}", non_retryable=True)
        return await play(arguments)

    async def large(self, arguments: dict[str, Any]) -> Any:
        return "x" * arguments["size"]

    async def test_error_handling(self, _: dict[str, Any]) -> Any:
        raise ApplicationError("This tool intentionally returns an error for testing", non_retryable=True)

    async def test_tool_with_progress(self, _: dict[str, Any]) -> Any:
        await self.progress((0, "Completed step 0 of 100"), (50, "Completed step 50 of 100"), (100, "Completed step 100 of 100"))
        return text("done")

    async def test_tool_with_logging(self, _: dict[str, Any]) -> Any:
        await self.progress((1, "Tool execution started"), (2, "Tool processing data"), (3, "Tool execution completed"))
        return text("Tool with logging executed successfully")

    async def test_sampling(self, arguments: dict[str, Any]) -> Any:
        answers = await self.ask(sample=sample(arguments.get("prompt", "Test prompt for sampling")))
        return text(f"LLM response: {answers['sample'].get('content', {}).get('text', '')}")

    async def test_elicitation(self, arguments: dict[str, Any]) -> Any:
        schema = form(
            username={"type": "string", "description": "User's response"},
            email={"type": "string", "description": "User's email address"},
        )
        answers = await self.ask(form=elicit(arguments.get("message", "Who are you?"), schema))
        return text(f"User response: {answers['form']}")

    async def test_elicitation_sep1034_defaults(self, _: dict[str, Any]) -> Any:
        answers = await self.ask(form=elicit("Please review and update the form fields with defaults", DEFAULTS))
        given = answers["form"]
        return text(f"Elicitation completed: action={given.get('action')}, content={given.get('content')}")

    async def test_elicitation_sep1330_enums(self, _: dict[str, Any]) -> Any:
        answers = await self.ask(form=elicit("Please select options from the enum fields", ENUMS))
        given = answers["form"]
        return text(f"Elicitation completed: action={given.get('action')}, content={given.get('content')}")

    async def test_missing_capability(self, _: dict[str, Any]) -> Any:
        await self.ask(sample=sample("Anything"))
        return text("Success")

    async def test_streaming_elicitation(self, _: dict[str, Any]) -> Any:
        answers = await self.ask(user_name=elicit("What is your name?", NAME))
        return text(f"Hello, {answers['user_name'].get('content', {}).get('name')}!")

    test_input_required_result_elicitation = test_streaming_elicitation
    test_input_required_result_tampered_state = test_streaming_elicitation

    async def test_input_required_result_request_state(self, _: dict[str, Any]) -> Any:
        await self.ask(confirm=elicit("Please confirm", form(ok={"type": "boolean"})))
        return text("state-ok")

    async def test_input_required_result_sampling(self, _: dict[str, Any]) -> Any:
        answers = await self.ask(capital_question=sample("What is the capital of France?"))
        return text(f"Model said: {answers['capital_question'].get('content', {}).get('text')}")

    async def test_input_required_result_list_roots(self, _: dict[str, Any]) -> Any:
        answers = await self.ask(client_roots=ROOTS)
        return text(f"Roots: {[root.get('uri') for root in answers['client_roots'].get('roots', [])]}")

    async def test_input_required_result_multiple_inputs(self, _: dict[str, Any]) -> Any:
        await self.ask(user_name=elicit("What is your name?", NAME), greeting=sample("Generate a greeting"), client_roots=ROOTS)
        return text("all answered")

    async def test_input_required_result_multi_round(self, _: dict[str, Any]) -> Any:
        first = await self.ask(step1=elicit("Step 1: What is your name?", NAME))
        await self.ask(step2=elicit("Step 2: What is your favorite color?", form(color={"type": "string"})))
        return text(f"Hello, {first['step1'].get('content', {}).get('name')}!")

    async def test_input_required_result_capabilities(self, _: dict[str, Any]) -> Any:
        await self.ask(user_name=elicit("What is your name?", NAME), greeting=sample("Generate a greeting"))
        return text("answered")

    async def test_input_required_result_prompt(self, _: dict[str, Any]) -> Any:
        answers = await self.ask(user_context=elicit("What context should the prompt use?", form(context={"type": "string"})))
        context = answers["user_context"].get("content", {}).get("context")
        return {"messages": [{"role": "user", "content": {"type": "text", "text": f"Use this context: {context}"}}]}

    # --- tasks ---

    async def greet(self, arguments: dict[str, Any]) -> Any:
        return text(f"Hello, {arguments.get('name', 'World')}!")

    async def slow_compute(self, arguments: dict[str, Any]) -> Any:
        await workflow.sleep(timedelta(seconds=arguments.get("seconds", 1)))
        return text(f"Computed {arguments.get('label', '')}")

    async def failing_job(self, _: dict[str, Any]) -> Any:
        raise ApplicationError("the job failed", non_retryable=True)

    async def protocol_error_job(self, _: dict[str, Any]) -> Any:
        raise ApplicationError("the job could not be run at all", type="McpProtocolError", non_retryable=True)

    async def confirm_delete(self, arguments: dict[str, Any]) -> Any:
        answers = await self.ask(confirm=elicit(f"Delete {arguments.get('filename')}?", form(confirm={"type": "boolean"})))
        return text(f"Answered: {answers['confirm'].get('action')}")

    async def multi_input(self, _: dict[str, Any]) -> Any:
        answers = await self.ask(
            first=elicit("First?", form(value={"type": "string"})), second=elicit("Second?", form(value={"type": "string"}))
        )
        return text(f"Answered {sorted(answers)}")

    async def test_tool_with_task(self, _: dict[str, Any]) -> Any:
        answers = await self.ask(user_name=elicit("What is your name?", NAME))
        await workflow.sleep(timedelta(seconds=2))
        return text(f"Hello, {answers['user_name'].get('content', {}).get('name')}!")


async def main(address: str) -> None:
    client = await Client.connect(address)
    async with Worker(client, task_queue="conformance", workflows=[Conformance]):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
