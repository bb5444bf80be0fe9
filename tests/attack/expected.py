"""What each attacker has to be answered. A value is a prefix of what it may note; nothing else may come."""

CALM = ("goaway 11", "closed", "nothing")  # ENHANCE_YOUR_CALM; the last frames may be lost to a reset of the kernel's
EXPECTED: dict[str, tuple[str, ...]] = {
    "settings flood": CALM,
    "ping flood": CALM,
    "priority flood": CALM,
    "reset flood": ("goaway 1", "closed", "nothing"),  # of a stream that never was: a protocol error
    "empty data flood": CALM,
    "window update flood": CALM,
    "continuation flood": ("closed", "goaway", "nothing"),
    "unknown frames": CALM,  # they are to be ignored, but each counts in the allowance
    "rapid reset": CALM,
    "made you reset": CALM,
    "hpack bomb": ("nothing", "closed", "goaway"),
    "60 KB of metadata": ("status 0", "status 8"),
    "framing lies": ("status 13", "status 8", "status 12", "closed"),
    "gzip bomb": ("status 8",),
    "deep failures": ("status 3",),
    "map of two million": ("status 3", "status 8"),
    "unknown fields": ("status 3",),
    "one message again and again": ("status 3", "status 8"),
    "bad texts": ("status 3", "status 13", "status 5"),
    "expensive filters": ("status 0", "status 3"),
    "ids of nobody": ("status 5",),
    "namespaces of nobody": ("status 5",),
    "never reads": ("stopped",),
    "tiny windows": ("served", "goaway"),
    "slow bodies": (),
    "half open": ("refused",),
    "idle connections": tuple(f"{digit}" for digit in range(1, 10)),
    "comes and goes": ("connected", "refused"),
    "many polls": ("status 8", "reset", *(f"{digit}" for digit in range(1, 10))),
    "http requests": (),
    "http slowly": ("closed",),
    "http never reads": ("stopped",),
}
# Of the HTTP side port, by request.
HTTP_ANSWERS: dict[str, tuple[str, ...]] = {
    "no_request": ("400",), "endless_header": ("431", "closed"), "many_headers": ("431", "closed"),
    "long_path": ("431", "closed"), "traversal": ("404",), "encoded_traversal": ("404",),
    "other_host": ("403",), "no_host": ("400",), "two_lengths": ("400",), "length_and_chunks": ("400",),
    "bad_length": ("400",), "large_body": ("413", "closed"), "nul": ("400",), "method": ("405",),
    "connect": ("400",), "http2": ("505",), "folded": ("400",), "bare_cr": ("400",),
}
# Megabytes that the server's memory may grow by during an attack; what holds many connections or polls open, more.
GROWTH_MIB = 16
GROWTH_MIB_OF = {"half open": 32, "idle connections": 32, "many polls": 1024}


def unexpected(name: str, seen: dict[str, int]) -> list[str]:
    if name == "http requests":
        return [what for what in seen if what.split()[1] not in HTTP_ANSWERS[what.split()[0]]]
    also = ("ConnectionResetError", "BrokenPipeError")  # sent away while it still sent
    return [what for what in seen if not what.startswith((*EXPECTED[name], *also))]
