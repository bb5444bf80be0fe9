"""The schema that the server was built from against the one inside the official Python package, both ways."""
import pytest
from google.protobuf import descriptor_pb2

import official

# Packages of ours, or of gRPC, that the Python package does not bring.
OWN = ("perdure.", "grpc.", "google.rpc.")


def flatten(files):
    """Every fact on the wire, by its full name."""
    facts = {}
    for file in files:
        pending = [(file.package, m) for m in file.message_type]
        for enum in file.enum_type:
            add_enum(facts, file.package, enum)
        while pending:
            scope, message = pending.pop()
            name = "%s.%s" % (scope, message.name)
            facts["message " + name] = message.options.map_entry
            for field in message.field:
                oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
                facts["field %s.%s" % (name, field.name)] = (
                    field.number, descriptor_pb2.FieldDescriptorProto.Type.Name(field.type), field.type_name,
                    descriptor_pb2.FieldDescriptorProto.Label.Name(field.label), oneof, field.proto3_optional,
                    field.json_name or json_name(field.name))
            for enum in message.enum_type:
                add_enum(facts, name, enum)
            for number in message.reserved_range:
                facts["reserved %s %d" % (name, number.start)] = number.end
            pending.extend((name, n) for n in message.nested_type)
        for service in file.service:
            for method in service.method:
                facts["method /%s.%s/%s" % (file.package, service.name, method.name)] = (
                    method.input_type, method.output_type, method.client_streaming, method.server_streaming)
    return facts


def json_name(name):
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def add_enum(facts, scope, enum):
    facts["enum %s.%s" % (scope, enum.name)] = True
    for value in enum.value:
        facts["value %s.%s.%s" % (scope, enum.name, value.name)] = value.number


@pytest.fixture(scope="module")
def ours(codec):
    status, data = codec.call("s")
    assert status == 0
    return descriptor_pb2.FileDescriptorSet.FromString(data).file


def test_every_fact_of_the_official_schema_is_in_ours_and_no_other(ours):
    mine = flatten(f for f in ours if not (f.package + ".").startswith(OWN))
    theirs = flatten(official.files().values())
    missing = sorted(set(theirs) - set(mine))
    extra = sorted(set(mine) - set(theirs))
    different = sorted("%s: %s, official %s" % (k, mine[k], theirs[k]) for k in set(mine) & set(theirs) if mine[k] != theirs[k])
    if missing or extra or different:
        pytest.fail("missing %s\nextra %s\ndifferent %s" % (missing[:20], extra[:20], different[:20]), pytrace=False)
    assert len(theirs) > 4000  # the comparison did find the package


def test_the_services_have_all_their_methods(ours):
    counts = {"%s.%s" % (f.package, s.name): len(s.method) for f in ours for s in f.service}
    assert counts["temporal.api.workflowservice.v1.WorkflowService"] == 123
    assert counts["temporal.api.operatorservice.v1.OperatorService"] == 12
    assert counts["temporal.api.testservice.v1.TestService"] == 6
    assert counts["grpc.health.v1.Health"] == 3


def test_every_file_is_complete_for_reflection(ours):
    names = [f.name for f in ours]
    assert len(names) == len(set(names))
    for file in ours:
        assert set(file.dependency) <= set(names), file.name
