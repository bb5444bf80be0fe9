"""The one activity of the sample: an HTTP GET of the National Weather Service.

It raises on every failure and never answers a failure with a value: a returned value is a success to the
server, and a success is not retried.
"""

import json
import os
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urljoin, urlsplit

from temporalio import activity
from temporalio.exceptions import ApplicationError

DEFAULT_BASE = "https://api.weather.gov"
USER_AGENT = "perdure-weather-sample/1.0"

# Shorter than the attempt's own limit (start_to_close in workflows.py), so that a service that hangs is
# reported by the worker with its reason, and the server's timeout is left for workers that died.
HTTP_TIMEOUT_SECONDS = 8
RESPONSE_BYTES_MAX = 4 * 1024 * 1024
ERROR_TEXT_MAX = 200

# These answers can change by themselves; every other 4xx is the caller's mistake and stays one.
RETRYABLE_CLIENT_ERRORS = (408, 425, 429)


@activity.defn
def make_nws_request(url: str) -> dict[str, Any]:
    """Fetches `url` (a path is taken relative to NWS_BASE) and returns its JSON object."""
    target = urljoin(os.environ.get("NWS_BASE", DEFAULT_BASE), url)
    if urlsplit(target).scheme not in ("http", "https"):
        raise ApplicationError(f"not an HTTP address: {target}", type="BadUrl", non_retryable=True)
    activity.logger.info("GET %s (attempt %d)", target, activity.info().attempt)

    request = urllib.request.Request(
        target, headers={"User-Agent": USER_AGENT, "Accept": "application/geo+json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_SECONDS) as response:
            body = response.read(RESPONSE_BYTES_MAX + 1)
    except urllib.error.HTTPError as error:
        raise _http_failure(target, error) from error
    except OSError as error:  # refused, reset, timed out, no such host
        raise ApplicationError(f"{target}: {error}", type="NwsUnreachable") from error

    if len(body) > RESPONSE_BYTES_MAX:
        raise ApplicationError(
            f"{target}: more than {RESPONSE_BYTES_MAX} bytes", type="BadAnswer", non_retryable=True
        )
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise ApplicationError(f"{target}: the answer is not JSON", type="BadAnswer") from error
    if not isinstance(answer, dict):
        raise ApplicationError(f"{target}: the answer is not a JSON object", type="BadAnswer")
    return answer


def _http_failure(target: str, error: urllib.error.HTTPError) -> ApplicationError:
    text = error.read(ERROR_TEXT_MAX).decode("utf-8", "replace")
    final = 400 <= error.code < 500 and error.code not in RETRYABLE_CLIENT_ERRORS
    return ApplicationError(
        f"{target}: HTTP {error.code}: {text}", error.code, type=f"Http{error.code}", non_retryable=final
    )
