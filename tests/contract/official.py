"""The schema inside the official Python package, read from the descriptors in its generated modules.

The modules are read, not imported: those of the services want packages that are not installed with it.
"""
import ast
import functools
import importlib.util
import pathlib

from google.protobuf import (any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, empty_pb2, field_mask_pb2,
                             message_factory, struct_pb2, timestamp_pb2, wrappers_pb2)

WELL_KNOWN = (any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
# What the server speaks; all that these files use belongs to it.
ROOTS = (
    "temporal/api/workflowservice/v1/service.proto",
    "temporal/api/operatorservice/v1/service.proto",
    "temporal/api/testservice/v1/service.proto",
    "temporal/api/errordetails/v1/message.proto",
    "temporal/api/common/v1/grpc_status.proto",
    "temporal/api/nexusservices/workerservice/v1/request_response.proto",
    "temporal/api/sdk/v1/",
    "temporal/api/enums/v1/",
)
# Annotations for other tools: no part of what goes over the wire.
ANNOTATIONS = ("google/api/", "dependencies/", "nexusannotations/", "temporal/api/protometa/")


def _serialized(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
            return node.args[0].value
    return None


@functools.lru_cache(maxsize=None)
def files():
    """File name -> FileDescriptorProto, of all that belongs to the server; annotations removed."""
    package = importlib.util.find_spec("temporalio").submodule_search_locations[0]
    known = {}
    for path in sorted((pathlib.Path(package) / "api").rglob("*_pb2.py")):
        serialized = _serialized(path)
        if serialized is not None:
            file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
            known[file.name] = file
    for module in WELL_KNOWN:
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        known[file.name] = file
    wanted, pending = {}, [n for n in known if n.startswith(ROOTS)] + [m.DESCRIPTOR.name for m in WELL_KNOWN]
    while pending:
        name = pending.pop()
        if name in wanted or name.startswith(ANNOTATIONS):
            continue
        wanted[name] = known[name]
        pending.extend(known[name].dependency)
    return {name: _plain(file) for name, file in wanted.items()}


def _plain(file):
    kept = [d for d in file.dependency if not d.startswith(ANNOTATIONS)]
    del file.dependency[:]
    file.dependency.extend(kept)
    del file.public_dependency[:]
    del file.weak_dependency[:]
    file.ClearField("options")
    pending = list(file.message_type)
    while pending:
        message = pending.pop()
        pending.extend(message.nested_type)
        for field in message.field:
            field.ClearField("options")
    for service in file.service:
        service.ClearField("options")
        for method in service.method:
            method.ClearField("options")
    return file


@functools.lru_cache(maxsize=None)
def pool():
    found, added = descriptor_pool.DescriptorPool(), set()

    def add(name):
        if name not in added:
            added.add(name)
            for dependency in files()[name].dependency:
                add(dependency)
            found.Add(files()[name]) if hasattr(found, "Add") else found.AddSerializedFile(files()[name].SerializeToString())

    for name in files():
        add(name)
    return found


def message_names():
    """Full names of all messages, without the entries of maps."""
    names = []
    for file in files().values():
        pending = [(file.package, m) for m in file.message_type]
        while pending:
            scope, message = pending.pop()
            if message.options.map_entry:
                continue
            name = "%s.%s" % (scope, message.name)
            names.append(name)
            pending.extend((name, n) for n in message.nested_type)
    return sorted(names)


@functools.lru_cache(maxsize=None)
def message_class(name):
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))
