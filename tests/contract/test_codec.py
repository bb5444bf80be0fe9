"""The codec against the official implementation, on random messages of every type (PERDURE_CODEC_MESSAGES of them).

A failure prints the seed and the message's type; PERDURE_CODEC_SEED=N runs that seed again.
"""
import json
import os
import random as random_module

import pytest
from google.protobuf import json_format

import official
from random_messages import fill

COUNT = int(os.environ.get("PERDURE_CODEC_MESSAGES", "20000"))
SEED = int(os.environ.get("PERDURE_CODEC_SEED", "1"))


def messages(count, salt):
    names = official.message_names()
    random = random_module.Random("%d %s" % (SEED, salt))
    for i in range(count):
        name = names[i % len(names)]
        yield random, name, fill(random, official.message_class(name)())


def decoded(name, data):
    return official.message_class(name).FromString(data)


def canonical(message):
    return message.SerializeToString(deterministic=True)


def to_json(message, **options):
    return json_format.MessageToJson(message, descriptor_pool=official.pool(), **options)


def normal(value):
    """JSON with numbers as what they mean: -0 and 0 differ, 1 and 1.0 do not; NaN is spelt out already."""
    if isinstance(value, dict):
        return {k: normal(v) for k, v in value.items()}
    if isinstance(value, list):
        return [normal(v) for v in value]
    return repr(float(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def test_decode_and_encode_keep_every_message(codec):
    for random, name, message in messages(COUNT, "wire"):
        wire = message.SerializeToString()
        if random.random() < 0.3:  # an unknown field, then a second half to be merged
            half = canonical(fill(random, official.message_class(name)(), 3))
            wire += b"\xfa\xff\xff\xff\x0f\x02hi" + half
            message = decoded(name, wire)
            message.DiscardUnknownFields()
        status, output = codec.call("d", name, wire)
        assert status == 0, (name, output)
        again = decoded(name, output)
        again.DiscardUnknownFields()  # opaque parts keep them
        assert canonical(again) == canonical(message), (SEED, name, wire, output)


def test_json_says_the_same_as_the_official_one(codec):
    for random, name, message in messages(COUNT, "print"):
        status, output = codec.call(random.choice("jJ"), name, message.SerializeToString())
        assert status == 0, (name, output)
        assert normal(json.loads(output)) == normal(json.loads(to_json(message))), (SEED, name)


def test_json_of_the_official_one_is_understood(codec):
    for random, name, message in messages(COUNT, "parse"):
        text = to_json(message, preserving_proto_field_name=random.random() < 0.3,
                       use_integers_for_enums=random.random() < 0.3, indent=random.choice((None, 2)),
                       ensure_ascii=random.random() < 0.5)
        status, output = codec.call("p", name, text.encode())
        assert status == 0, (SEED, name, text, output)
        again = decoded(name, output)
        # Inside an Any the order of fields and map entries may differ, which only JSON sees through.
        same = canonical(again) == canonical(message) or normal(json.loads(to_json(again))) == normal(json.loads(to_json(message)))
        assert same, (SEED, name, text)


def test_damaged_messages_are_judged_alike(codec):
    """Ours refuses more (wrong wire types, NUL in identifiers), but never takes what the official one refuses, and what
    both take means the same."""
    both = 0
    for random, name, message in messages(COUNT // 4, "damage"):
        wire = bytearray(message.SerializeToString())
        for _ in range(random.randint(1, 3)):
            if wire:
                wire[random.randrange(len(wire))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        wire = bytes(wire[:random.randint(0, len(wire))] if random.random() < 0.3 else wire)
        status, output = codec.call("d", name, wire)
        checked, _ = codec.call("v", name, wire)
        assert checked == status or status == 8, (name, wire)
        if status != 0:
            continue
        try:
            theirs = decoded(name, wire)
        except Exception as refusal:
            raise AssertionError((SEED, name, wire)) from refusal
        again = decoded(name, output)
        theirs.DiscardUnknownFields()
        again.DiscardUnknownFields()
        assert canonical(again) == canonical(theirs), (SEED, name, wire, output)
        both += 1
    assert both > COUNT // 40


@pytest.mark.parametrize("name,text", [
    ("google.protobuf.Duration", '"1"'), ("google.protobuf.Duration", "1"),
    ("google.protobuf.Duration", '"315576000001s"'), ("google.protobuf.Timestamp", '"2006-02-30T00:00:00Z"'),
    ("google.protobuf.Timestamp", '"2006-01-02T15:04:05"'), ("google.protobuf.Timestamp", '"0000-01-01T00:00:00Z"'),
    ("temporal.api.common.v1.Payload", '{"data": "a"}'), ("temporal.api.common.v1.Payload", '{"data": "YQ==" "x"}'),
    ("temporal.api.common.v1.Payload", '{"nope": 1}'), ("temporal.api.common.v1.Payload", '{"data": "YQ==", "data": ""}'),
    ("temporal.api.common.v1.Payload", '{"metadata": {"a": null}}'), ("temporal.api.common.v1.Payload", '{"data": "YQ==",}'),
    ("temporal.api.common.v1.Payload", '{"data": "YQ=="} x'), ("temporal.api.common.v1.Payload", ""),
    ("temporal.api.common.v1.Payloads", '{"payloads": [null]}'),
    ("temporal.api.common.v1.Payloads", '{"payloads": {}}'), ("temporal.api.common.v1.RetryPolicy", '{"maximumAttempts": 1.5}'),
    ("temporal.api.common.v1.RetryPolicy", '{"maximumAttempts": 2147483648}'),
    ("temporal.api.common.v1.RetryPolicy", '{"maximumAttempts": "x"}'),
    ("temporal.api.common.v1.RetryPolicy", '{"backoffCoefficient": 1e400}'),
    ("temporal.api.common.v1.RetryPolicy", '{"backoffCoefficient": 01}'),
    ("temporal.api.common.v1.WorkflowType", '{"name": "\\ud800"}'), ("temporal.api.common.v1.WorkflowType", '{"name": "\\q"}'),
    ("temporal.api.common.v1.Callback", '{"nexus": {}, "internal": {}}'),
    ("google.protobuf.Any", '{"@type": "x/none.such", "data": ""}'),
    ("google.protobuf.Any", '{"data": ""}'), ("google.protobuf.Any", '{"@type": 1}'),
    ("google.protobuf.Value", "[" * 10000), ("google.protobuf.Value", "[" * 10000 + "]" * 10000),
])
def test_bad_json_is_refused_by_both(codec, name, text):
    status, output = codec.call("p", name, text.encode())
    assert status == 3, output
    with pytest.raises((json_format.ParseError, RecursionError)):
        json_format.Parse(text, official.message_class(name)(), descriptor_pool=official.pool())


@pytest.mark.parametrize("name,text", [
    ("google.protobuf.Duration", '"1.0000000001s"'), ("temporal.api.common.v1.Payload", "[]"), ("google.protobuf.Value", "NaN"),
    ("temporal.api.common.v1.WorkflowType", '{"name": "a\\u0000b"}'),
])
def test_bad_json_that_the_official_one_lets_pass_is_refused(codec, name, text):
    assert codec.call("p", name, text.encode())[0] == 3


@pytest.mark.parametrize("name,text,expected", [
    ("temporal.api.workflow.v1.WorkflowExecutionInfo", '{"status": "Running"}', {"status": 1}),
    ("temporal.api.workflow.v1.WorkflowExecutionInfo", '{"status": "ContinuedAsNew"}', {"status": 6}),
    ("temporal.api.common.v1.RetryPolicy", '{"maximumAttempts": 3e0}', {"maximum_attempts": 3}),
    ("temporal.api.common.v1.RetryPolicy", '{"maximum_attempts": "3"}', {"maximum_attempts": 3}),
    ("temporal.api.common.v1.Payload", '{"data": "_-8"}', {"data": b"\xff\xef"}),
])
def test_other_spellings_are_understood(codec, name, text, expected):
    status, output = codec.call("p", name, text.encode())
    assert status == 0, output
    message = decoded(name, output)
    assert {f.name: v for f, v in message.ListFields()} == expected
