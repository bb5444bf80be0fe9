"""The server's RPCs as a second client sees them: any field, any deadline, any bytes, the whole error."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from temporalio.api.errordetails.v1 import message_pb2 as errordetails
from temporalio.api.operatorservice.v1 import request_response_pb2 as operator_messages
from temporalio.api.operatorservice.v1 import service_pb2_grpc as operator_grpc
from temporalio.api.workflowservice.v1 import request_response_pb2 as workflow_messages
from temporalio.api.workflowservice.v1 import service_pb2_grpc as workflow_grpc

from support import judge

Code = grpc.StatusCode
WORKFLOW_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
OPERATOR_SERVICE = "temporal.api.operatorservice.v1.OperatorService"
DEFAULT_SECONDS = 20.0
POLL_SECONDS = 20.0


class _Names:
    """Notes which methods a generated stub asks its channel for: the list of all RPCs, without their descriptors."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def unary_unary(self, path: str, **_: object) -> None:
        self.paths.append(path)


def _methods(stub_class) -> list[str]:
    names = _Names()
    stub_class(names)
    return [path.rsplit("/", 1)[1] for path in names.paths]


WORKFLOW_METHODS = _methods(workflow_grpc.WorkflowServiceStub)
OPERATOR_METHODS = _methods(operator_grpc.OperatorServiceStub)


def request_class(method: str) -> type[Message]:
    module = operator_messages if method in OPERATOR_METHODS else workflow_messages
    return getattr(module, method + "Request")


def response_class(method: str) -> type[Message]:
    module = operator_messages if method in OPERATOR_METHODS else workflow_messages
    return getattr(module, method + "Response")


def method_path(method: str) -> str:
    service = OPERATOR_SERVICE if method in OPERATOR_METHODS else WORKFLOW_SERVICE
    return f"/{service}/{method}"


class _GoogleStatus:
    """google.rpc.Status, read by hand: its generated module is not among the SDK's dependencies."""

    def __init__(self, data: bytes) -> None:
        self.code, self.message, self.details = 0, "", []
        position = 0
        while position < len(data):
            tag, position = _varint(data, position)
            if tag & 7 == 0:
                value, position = _varint(data, position)
                if tag >> 3 == 1:
                    self.code = value
                continue
            assert tag & 7 == 2, f"google.rpc.Status has no field with tag {tag}"
            length, position = _varint(data, position)
            piece = data[position : position + length]
            position += length
            if tag >> 3 == 2:
                self.message = piece.decode()
            elif tag >> 3 == 3:
                self.details.append(Any.FromString(piece))


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


@dataclass
class Refusal:
    """What `rejects` caught: the status and its first detail, which is the only one that clients look at."""

    code: grpc.StatusCode | None = None
    message: str = ""
    details: list[Any] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)  # of the answer, before and behind it

    def detail(self, message_class: type[Message]) -> Message:
        assert self.details, f"no detail on: {self.code} {self.message}"
        found = message_class()
        assert self.details[0].Unpack(found), f"the detail is a {self.details[0].type_url}"
        return found

    @staticmethod
    def of(error: grpc.aio.AioRpcError) -> Refusal:
        refusal = Refusal(error.code(), error.details() or "")
        for key, value in (*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())):
            refusal.metadata[key] = value
            if key == "grpc-status-details-bin":
                status = _GoogleStatus(value)
                assert status.code == error.code().value[0], "the status details disagree with the status"
                assert status.message == refusal.message, "the status details have another message"
                refusal.details = status.details
        return refusal


@contextlib.contextmanager
def rejects(code: grpc.StatusCode, detail: type[Message] | None = None, text: str | None = None):
    """The call inside must fail with this code, this first detail and, if given, this text in its message."""
    refusal = Refusal()
    try:
        yield refusal
    except grpc.aio.AioRpcError as error:
        found = Refusal.of(error)
        refusal.code, refusal.message, refusal.details = found.code, found.message, found.details
        refusal.metadata = found.metadata
    assert refusal.code is not None, f"the call was answered; expected {code}"
    assert refusal.code == code, f"expected {code}, got {refusal.code}: {refusal.message}"
    assert refusal.message, "an error must say what is wrong"
    if detail is not None:
        refusal.detail(detail)
    if text is not None:
        assert text.lower() in refusal.message.lower(), f"{text!r} is not in {refusal.message!r}"


not_found = errordetails.NotFoundFailure
namespace_not_found = errordetails.NamespaceNotFoundFailure
permission_denied = errordetails.PermissionDeniedFailure
already_started = errordetails.WorkflowExecutionAlreadyStartedFailure
query_failed = errordetails.QueryFailedFailure
workflow_not_ready = errordetails.WorkflowNotReadyFailure
resource_exhausted = errordetails.ResourceExhaustedFailure


def _channel(address: str) -> grpc.aio.Channel:
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", 128 << 20),
        ("grpc.max_send_message_length", 128 << 20),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 5000),  # how long one attempt to connect may take
        ("grpc.max_reconnect_backoff_ms", 250),
    ]
    return grpc.aio.insecure_channel(address, options=options)


_open: dict[str, set[Rpc]] = {}  # by address


def renew_all(address: str) -> None:
    """For a server that has just been started again.

    A channel that saw the old one die may be waiting before its next try to connect, and fails what it is asked for
    meanwhile; one that has not seen it yet would send a call to nobody. Neither says anything of the server.
    """
    for rpc in _open.get(address, ()):
        rpc.renew()


class Rpc:
    """`await rpc.SignalWorkflowExecution(signal_name="s", …)`: the fields of the request as keyword arguments.

    `namespace` is filled in where the request has one and none is given.
    """

    def __init__(self, address: str, namespace: str) -> None:
        self.namespace = namespace
        self.address = address
        self.channel = _channel(address)
        self._left: list[grpc.aio.Channel] = []  # with the calls of servers that are gone
        _open.setdefault(address, set()).add(self)

    async def close(self) -> None:
        _open[self.address].discard(self)
        for channel in (*self._left, self.channel):
            await channel.close()

    def renew(self) -> None:
        """Takes a new channel for the calls to come. Those under way stay on the old one and end with it."""
        self._left.append(self.channel)
        self.channel = _channel(self.address)

    async def call(
        self, method: str, request: Message, seconds: float | None = DEFAULT_SECONDS, **options
    ) -> Message:
        judge.note(method, request)
        stub = self.channel.unary_unary(
            method_path(method),
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_class(method).FromString,
        )
        return await stub(request, timeout=seconds, **options)

    async def raw(self, path: str, body: bytes, seconds: float = DEFAULT_SECONDS, **options) -> bytes:
        return await self.channel.unary_unary(path)(body, timeout=seconds, **options)

    def build(self, method: str, **fields) -> Message:
        request_type = request_class(method)
        if "namespace" not in fields and "namespace" in request_type.DESCRIPTOR.fields_by_name:
            if request_type.DESCRIPTOR.fields_by_name["namespace"].type == FieldDescriptor.TYPE_STRING:
                fields["namespace"] = self.namespace
        return request_type(**fields)

    def __getattr__(self, method: str):
        if method not in WORKFLOW_METHODS and method not in OPERATOR_METHODS:
            raise AttributeError(method)

        async def call(_seconds: float | None = DEFAULT_SECONDS, _options: dict | None = None, **fields):
            return await self.call(method, self.build(method, **fields), _seconds, **(_options or {}))

        return call
