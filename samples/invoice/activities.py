"""What the invoice needs of the outside: the ERP's word, and the payment gateway's hand.

Each raises what went wrong, with the reason; nothing returns a failure as if it were a value.
"""

import json
import os
import urllib.error
import urllib.request
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

DEFAULT_BASE = "http://127.0.0.1:8090"
HTTP_TIMEOUT_SECONDS = 8
ERROR_TEXT_MAX = 200


@activity.defn
def validate_against_erp(invoice: dict[str, Any]) -> str:
    """Asks the ERP whether it knows this invoice; "MATCH" or an error."""
    return _post("/erp/validate", invoice, "")["result"]


@activity.defn
def charge(line: dict[str, Any]) -> str:
    """Pays one line, and returns the gateway's confirmation. The key is the same in every attempt, so that the gateway sees a
    repetition as one: an attempt whose answer was lost may have paid."""
    info = activity.info()
    return _post("/payments", line, f"{info.workflow_id}/{info.activity_id}")["confirmation"]


def _post(path: str, body: dict[str, Any], key: str) -> dict[str, Any]:
    request = urllib.request.Request(
        os.environ.get("OFFICE_BASE", DEFAULT_BASE) + path,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_SECONDS) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise _failure(path, error) from error
    except OSError as error:
        raise ApplicationError(f"{path}: {error}", type="Unreachable") from error


def _failure(path: str, error: urllib.error.HTTPError) -> ApplicationError:
    text = error.read(ERROR_TEXT_MAX).decode("utf-8", "replace")
    if error.code == 402:  # a fact, which no repetition changes
        return ApplicationError(json.loads(text)["reason"], type="INSUFFICIENT_FUNDS", non_retryable=True)
    return ApplicationError(f"{path}: HTTP {error.code}: {text}", type=f"Http{error.code}")
