"""Namespaces, and what the server says about itself: system and cluster info, health, reflection, compression."""

from __future__ import annotations

import re
import uuid

import grpc
import pytest
from temporalio.api.errordetails.v1 import message_pb2 as errordetails

from support.env import Env
from support.grpc_client import (
    OPERATOR_SERVICE,
    WORKFLOW_SERVICE,
    Code,
    Rpc,
    method_path,
    namespace_not_found,
    rejects,
)
from support.hand import Hand, complete_workflow, payloads, seconds
from support.histories import PROLOGUE, E, check, expect, seconds_of

DAY = 86400


async def test_register_describe_list_update(env):
    name = env.name("ns")
    await env.rpc.RegisterNamespace(
        namespace=name,
        description="d",
        owner_email="o@example.com",
        data={"k": "v"},
        workflow_execution_retention_period=seconds(3 * DAY),
    )
    described = await env.rpc.DescribeNamespace(namespace=name)
    info = described.namespace_info
    expect(info, name=name, state="REGISTERED", description="d", owner_email="o@example.com")
    assert dict(info.data) == {"k": "v"}
    assert str(uuid.UUID(info.id)) == info.id
    assert seconds_of(described.config.workflow_execution_retention_ttl) == 3 * DAY
    assert described.replication_config.active_cluster_name and not described.is_global_namespace
    assert (await env.rpc.DescribeNamespace(namespace="", id=info.id)).namespace_info == info
    updated = await env.rpc.UpdateNamespace(
        namespace=name,
        update_info={"description": "new", "data": {"k2": "v2"}},
        config={"workflow_execution_retention_ttl": seconds(5 * DAY)},
    )
    expect(updated.namespace_info, description="new", owner_email="o@example.com", id=info.id)
    assert dict(updated.namespace_info.data) == {"k": "v", "k2": "v2"}
    again = await env.rpc.DescribeNamespace(namespace=name)
    assert seconds_of(again.config.workflow_execution_retention_ttl) == 5 * DAY
    assert again.namespace_info.description == "new"
    names, token = [], b""
    while True:
        page = await env.rpc.ListNamespaces(page_size=2, next_page_token=token)
        assert len(page.namespaces) <= 2
        names += [entry.namespace_info.name for entry in page.namespaces]
        token = page.next_page_token
        if not token:
            break
    assert name in names and "default" in names and len(names) == len(set(names))


async def test_a_name_can_be_registered_once(env):
    name = env.name("ns")
    await env.rpc.RegisterNamespace(namespace=name, workflow_execution_retention_period=seconds(DAY))
    with rejects(Code.ALREADY_EXISTS, errordetails.NamespaceAlreadyExistsFailure):
        await env.rpc.RegisterNamespace(namespace=name, workflow_execution_retention_period=seconds(DAY))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"workflow_execution_retention_period": seconds(0)},
        {"workflow_execution_retention_period": seconds(-DAY)},
        {"namespace": "", "workflow_execution_retention_period": seconds(DAY)},
        {"namespace": "n" * 1001, "workflow_execution_retention_period": seconds(DAY)},
        {"workflow_execution_retention_period": seconds(DAY), "is_global_namespace": True},
    ],
    ids=["no retention", "zero", "negative", "no name", "long name", "global"],
)
async def test_bad_registrations(env, fields):
    name = fields.get("namespace", env.name("ns"))
    with rejects(Code.INVALID_ARGUMENT):
        await env.rpc.RegisterNamespace(**({"namespace": name} | fields))


async def test_unknown_namespaces(env):
    name = env.name("unknown")
    with rejects(Code.NOT_FOUND, namespace_not_found) as refusal:
        await env.rpc.DescribeNamespace(namespace=name)
    assert refusal.detail(namespace_not_found).namespace == name
    with rejects(Code.NOT_FOUND, namespace_not_found):
        await env.rpc.DescribeNamespace(namespace="", id=str(uuid.uuid4()))
    with rejects(Code.NOT_FOUND, namespace_not_found):
        await env.rpc.UpdateNamespace(namespace=name, update_info={"description": "x"})
    with rejects(Code.INVALID_ARGUMENT):
        await env.rpc.DescribeNamespace(namespace="")


async def test_namespaces_are_apart(env):
    name = env.name("ns")
    await env.rpc.RegisterNamespace(namespace=name, workflow_execution_retention_period=seconds(DAY))
    other_env = Env(env.address, namespace=name)
    try:
        here = Hand(env)
        there = Hand(other_env, workflow_id=here.workflow_id, queue=here.queue)
        await here.start()
        await usable(env, there)
        assert here.run_id != there.run_id
        task = await there.poll()
        assert task.workflow_execution.run_id == there.run_id
        with rejects(Code.INVALID_ARGUMENT):
            await here.complete(task, complete_workflow())
        await there.complete(task, complete_workflow("there"))
        check(await there.history(), *PROLOGUE, E("Completed"))
        check(await here.history(), E("Started"), E("WftScheduled"))
        with rejects(Code.NOT_FOUND):
            await here.describe(there.run_id)
    finally:
        await other_env.close()


async def usable(env: Env, hand: Hand) -> None:
    """A new namespace works at once; the reference needs a moment to see it everywhere."""

    async def try_start() -> bool:
        try:
            await hand.start()
            return True
        except grpc.aio.AioRpcError as error:
            assert error.code() == Code.NOT_FOUND
            return False

    await env.visible(try_start, True)


async def test_an_empty_request_namespace_is_taken_from_the_token(env):
    hand = Hand(env)
    await hand.start()
    task = await hand.poll()
    await hand.complete(task, complete_workflow(), namespace="")
    assert await hand.status() == "COMPLETED"


async def test_default_namespace(env):
    described = await env.rpc.DescribeNamespace(namespace="default")
    expect(described.namespace_info, name="default", state="REGISTERED")
    assert seconds_of(described.config.workflow_execution_retention_ttl) >= 3600


async def test_capabilities_of_a_namespace(env):
    info = (await env.rpc.DescribeNamespace(namespace="default")).namespace_info
    assert info.capabilities.eager_workflow_start
    assert info.limits.blob_size_limit_error == 2 * 1024 * 1024


async def test_system_info(env):
    info = await env.rpc.GetSystemInfo()
    assert re.fullmatch(r"1\.\d+\.\d+.*", info.server_version), "older SDKs want a 1.x server"
    for name in (
        "signal_and_query_header",
        "internal_error_differentiation",
        "activity_failure_include_heartbeat",
        "encoded_failure_attributes",
        "sdk_metadata",
        "upsert_memo",
        "eager_workflow_start",
    ):
        assert getattr(info.capabilities, name), name


async def test_cluster_info(env):
    info = await env.rpc.GetClusterInfo()
    assert info.server_version == (await env.rpc.GetSystemInfo()).server_version
    assert info.cluster_id and info.cluster_name and info.history_shard_count >= 1
    assert "temporal-go" in info.supported_clients
    assert info.persistence_store


# Health and reflection, read by hand: their generated modules are not among the SDK's dependencies.


def health_request(service: str) -> bytes:
    data = service.encode()
    return b"\x0a" + bytes([len(data)]) + data if data else b""


@pytest.mark.parametrize("service", ["", WORKFLOW_SERVICE, OPERATOR_SERVICE])
async def test_health(env, service):
    assert await env.rpc.raw("/grpc.health.v1.Health/Check", health_request(service)) == b"\x08\x01"


async def test_health_of_an_unknown_service(env):
    with rejects(Code.NOT_FOUND):
        await env.rpc.raw("/grpc.health.v1.Health/Check", health_request("no.such.Service"))


async def test_health_watch(env):
    watch = env.rpc.channel.unary_stream("/grpc.health.v1.Health/Watch")(health_request(""), timeout=10)
    assert await watch.read() == b"\x08\x01"
    watch.cancel()
    unknown = env.rpc.channel.unary_stream("/grpc.health.v1.Health/Watch")(
        health_request("no.such.Service"), timeout=10
    )
    assert await unknown.read() == b"\x08\x03", "an unknown service is watched as SERVICE_UNKNOWN"
    unknown.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_the_services(env, version):
    call = env.rpc.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")(
        timeout=10
    )
    await call.write(b"\x3a\x01*")  # list_services: "*"
    answer = await call.read()
    for service in (WORKFLOW_SERVICE, OPERATOR_SERVICE, "grpc.health.v1.Health"):
        assert service.encode() in answer
    call.cancel()


async def test_reflection_describes_the_service(env):
    call = env.rpc.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")(
        timeout=10
    )
    symbol = f"{WORKFLOW_SERVICE}.StartWorkflowExecution".encode()
    await call.write(b"\x22" + bytes([len(symbol)]) + symbol)  # file_containing_symbol
    answer = await call.read()
    assert b"StartWorkflowExecutionRequest" in answer
    call.cancel()


# Compression and metadata.


async def test_gzip_requests(env):
    hand = Hand(env)
    big = "compressible " * 10000
    response = await hand.rpc.StartWorkflowExecution(
        _options={"compression": grpc.Compression.Gzip}, **hand.start_fields(input=payloads(big))
    )
    assert response.run_id
    task = await hand.rpc.PollWorkflowTaskQueue(
        _options={"compression": grpc.Compression.Gzip}, task_queue={"name": hand.queue}
    )
    assert task.history.events[0].workflow_execution_started_event_attributes.input == payloads(big)


@pytest.mark.parametrize(
    "metadata",
    [
        (
            ("client-name", "temporal-python"),
            ("client-version", "1.35.0"),
            ("supported-server-versions", ">=1.0.0 <2.0.0"),
        ),
        (("client-name", "somebody"), ("client-version", "whatever")),
        (
            ("temporal-namespace", "default"),
            ("temporal-resource-id", "workflow:x"),
            ("caller-type", "api"),
            ("x-unknown", "y"),
        ),
    ],
    ids=["sdk", "unknown", "hints"],
)
async def test_metadata_is_accepted(env, metadata):
    info = await env.rpc.GetSystemInfo(_options={"metadata": metadata})
    assert info.server_version


@pytest.mark.parametrize(
    "metadata, detail",
    [
        (
            (
                ("client-name", "temporal-go"),
                ("client-version", "2.0.0"),
                ("supported-server-versions", ">=1.0.0 <2.0.0"),
            ),
            errordetails.ClientVersionNotSupportedFailure,
        ),
        (
            (
                ("client-name", "temporal-go"),
                ("client-version", "1.1.0"),
                ("supported-server-versions", ">=3.0.0 <4.0.0"),
            ),
            errordetails.ServerVersionNotSupportedFailure,
        ),
    ],
    ids=["client", "server"],
)
async def test_clients_that_do_not_fit_are_told(env, metadata, detail):
    with rejects(Code.FAILED_PRECONDITION, detail):
        await env.rpc.GetSystemInfo(_options={"metadata": metadata})


async def test_a_second_connection_sees_the_same(env):
    hand = Hand(env)
    await hand.start()
    second = Rpc(env.address, env.namespace)
    try:
        described = await second.DescribeWorkflowExecution(execution=hand.execution())
        assert described.workflow_execution_info.execution.run_id == hand.run_id
    finally:
        await second.close()


async def test_the_path_must_be_known(env):
    with rejects(Code.UNIMPLEMENTED):
        await env.rpc.raw(method_path("GetSystemInfo") + "2", b"")
    with rejects(Code.UNIMPLEMENTED):
        await env.rpc.raw("/no.such.Service/Method", b"")
