"""Random messages of any type, from a seed."""
import struct

from google.protobuf.descriptor import FieldDescriptor as F

import official

ANY_TYPES = ("google.protobuf.Duration", "temporal.api.common.v1.Payload", "temporal.api.errordetails.v1.NotFoundFailure",
             "google.protobuf.StringValue", "google.protobuf.Struct", "google.protobuf.Empty", "google.protobuf.Any")
TEXTS = ("", "a", "default", "wörld", "日本", "😀", "quote\" back\\slash /", "line\nfeed\ttab\x01", "x" * 200)
LIMITS = {
    F.CPPTYPE_INT32: (-2**31, 2**31 - 1), F.CPPTYPE_UINT32: (0, 2**32 - 1),
    F.CPPTYPE_INT64: (-2**63, 2**63 - 1), F.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def is_repeated(field):
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == F.LABEL_REPEATED


def scalar(random, field):
    kind = field.cpp_type
    if kind in LIMITS:
        low, high = LIMITS[kind]
        return random.choice((0, 1, low, high, random.randint(low, high), random.randint(max(low, -300), 300)))
    if kind == F.CPPTYPE_BOOL:
        return random.random() < 0.5
    if kind in (F.CPPTYPE_FLOAT, F.CPPTYPE_DOUBLE):
        finite = (field.containing_type.full_name == "google.protobuf.Value")
        special = (0.0, -0.0, 1.5, 1e-7, 3.4e38, 0.1) if finite else (0.0, -0.0, 0.1, float("inf"), float("-inf"), float("nan"))
        value = random.choice(special + (random.uniform(-1e6, 1e6),))
        return struct.unpack("f", struct.pack("f", value))[0] if kind == F.CPPTYPE_FLOAT else value
    if kind == F.CPPTYPE_ENUM:
        known = random.choice(field.enum_type.values).number
        null = field.enum_type.full_name == "google.protobuf.NullValue"
        return known if null or random.random() < 0.9 else random.choice((1000, -1, 2**31 - 1))
    if field.type == F.TYPE_BYTES:
        return random.randbytes(random.choice((0, 1, 2, 3, 20)))
    return random.choice(TEXTS) or "".join(random.choice("abcXYZ012") for _ in range(random.randint(0, 12)))


def fill_special(random, message):
    """Messages whose values have rules of their own; true when this was one."""
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        message.seconds = random.choice((0, -62135596800, 253402300799, random.randint(-10**10, 10**11)))
        message.nanos = random.choice((0, 1, 500000000, 999999999, random.randrange(1000) * 1000))
    elif name == "google.protobuf.Duration":
        sign = random.choice((1, -1))
        message.seconds = sign * random.choice((0, 1, 315576000000, random.randint(0, 10**6)))
        message.nanos = 0 if abs(message.seconds) == 315576000000 else sign * random.choice((0, 1, 500000000, 999999999, 120000))
    elif name == "google.protobuf.FieldMask":
        message.paths.extend(random.sample(("a", "foo_bar", "a.b_c.d", "config.retention_ttl"), random.randint(0, 3)))
    else:
        return False
    return True


def fill_any(random, message, depth):
    name = random.choice(ANY_TYPES)
    inner = fill(random, official.message_class(name)(), depth + 1)
    if name == "google.protobuf.Any" and not inner.type_url:
        return
    message.type_url = random.choice(("type.googleapis.com/", "example.org/x/")) + name
    message.value = inner.SerializeToString(deterministic=True)


def map_entries(random, target, field, depth):
    key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    for _ in range(random.randint(0, 3)):
        name = scalar(random, key)
        if value.message_type is not None:
            fill(random, target[name], depth + 1)
        else:
            target[name] = scalar(random, value)


def fill(random, message, depth=0):
    if fill_special(random, message):
        return message
    if message.DESCRIPTOR.full_name == "google.protobuf.Any":
        if depth < 4:
            fill_any(random, message, depth)
        return message
    json_value = message.DESCRIPTOR.full_name == "google.protobuf.Value"
    density = min(1.0, (10, 6, 4, 2, 1, 0.5, 0)[min(depth, 6)] / max(1, len(message.DESCRIPTOR.fields)))
    fields = list(message.DESCRIPTOR.fields)
    if json_value:
        fields = [random.choice(fields[:4] if depth > 4 else fields)]
        density = 1
    for field in fields:
        if random.random() >= density:
            continue
        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            map_entries(random, target, field, depth)
        elif is_repeated(field):
            for _ in range(random.randint(1, 3)):
                if field.message_type is not None:
                    fill(random, target.add(), depth + 1)
                else:
                    target.append(scalar(random, field))
        elif field.message_type is not None:
            target.SetInParent()
            fill(random, target, depth + 1)
        else:
            setattr(message, field.name, scalar(random, field))
    return message
