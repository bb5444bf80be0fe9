"""Health and reflection through their official clients."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

WORKFLOW_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def request(name: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=name)


@pytest.mark.parametrize("name", ["", WORKFLOW_SERVICE])
def test_check(server, name):
    stub = health_pb2_grpc.HealthStub(server.channel())
    assert stub.Check(request(name), timeout=20).status == SERVING


def test_check_of_a_stranger(server):
    stub = health_pb2_grpc.HealthStub(server.channel())
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(request("no.such.Service"), timeout=20)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_watch_tells_of_changes_and_of_services_to_come(start_server):
    echo = start_server()
    stub = health_pb2_grpc.HealthStub(echo.channel())
    known, coming = stub.Watch(request("")), stub.Watch(request("later"))
    assert next(known).status == SERVING
    assert next(coming).status == SERVICE_UNKNOWN
    echo.call("Serving", b"- 0")
    assert next(known).status == NOT_SERVING
    assert stub.Check(request(""), timeout=20).status == NOT_SERVING
    echo.call("Serving", b"- 0")  # no change, so nothing is told
    echo.call("Serving", b"- 1")
    assert next(known).status == SERVING
    echo.call("Serving", b"later 1")
    assert next(coming).status == SERVING
    known.cancel()
    coming.cancel()


def test_a_watch_ends_with_its_deadline(server):
    stub = health_pb2_grpc.HealthStub(server.channel())
    watch = stub.Watch(request(""), timeout=0.3)
    assert next(watch).status == SERVING
    with pytest.raises(grpc.RpcError) as caught:
        next(watch)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_reflection_gives_a_whole_schema(server):
    database = ProtoReflectionDescriptorDatabase(server.channel())
    services = list(database.get_services())
    assert {WORKFLOW_SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"} == set(services)
    pool = DescriptorPool(database)
    service = pool.FindServiceByName(WORKFLOW_SERVICE)
    method = service.FindMethodByName("StartWorkflowExecution")
    assert method.input_type.fields_by_name["workflow_id"].number == 2
    assert pool.FindMessageTypeByName("temporal.api.common.v1.Payload").fields_by_name["data"].number == 2


def test_reflection_answers_one_by_one_and_says_what_it_does_not_have(server):
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel())
    asked = [reflection_pb2.ServerReflectionRequest(list_services=""),
             reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Symbol"),
             reflection_pb2.ServerReflectionRequest(file_by_filename="nowhere.proto"),
             reflection_pb2.ServerReflectionRequest(file_containing_symbol=WORKFLOW_SERVICE),
             reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="temporal.api.common.v1.Payload"),
             reflection_pb2.ServerReflectionRequest()]
    answers = list(stub.ServerReflectionInfo(iter(asked), timeout=20))
    kinds = [answer.WhichOneof("message_response") for answer in answers]
    assert kinds == ["list_services_response", "error_response", "error_response", "file_descriptor_response",
                     "all_extension_numbers_response", "error_response"]
    assert answers[1].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert answers[1].original_request == asked[1]
