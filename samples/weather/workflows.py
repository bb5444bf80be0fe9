"""Two durable lookups of US weather. What they wait for survives the death of the server and of this worker."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities import make_nws_request

TASK_QUEUE = "weather-task-queue"
FORECAST_PERIODS_MAX = 5


@dataclass
class ForecastRequest:
    latitude: float
    longitude: float


@workflow.defn(name="GetAlerts")
class GetAlerts:
    @workflow.run
    async def run(self, state: str) -> str:
        code = state.upper()
        if len(code) != 2 or not code.isascii() or not code.isalpha():
            raise ApplicationError(
                f"state must be a two-letter code such as CA, not {state!r}", non_retryable=True
            )
        answer = await _nws(f"/alerts/active/area/{code}")
        alerts = [_alert_text(feature.get("properties", {})) for feature in answer.get("features", [])]
        return "\n---\n".join(alerts) if alerts else f"No active alerts for {code}."


@workflow.defn(name="GetForecast")
class GetForecast:
    @workflow.run
    async def run(self, request: ForecastRequest) -> str:
        # The service first tells which grid a point lies in. Once that answer is in history it is never asked
        # for again, however often this worker dies during the second call.
        point = await _nws(f"/points/{round(request.latitude, 4)},{round(request.longitude, 4)}")
        forecast_url = point.get("properties", {}).get("forecast")
        if not isinstance(forecast_url, str):
            raise ApplicationError("the service knows no forecast for this point", non_retryable=True)
        forecast = await _nws(forecast_url)
        periods = forecast.get("properties", {}).get("periods", [])
        return "\n".join(_period_text(period) for period in periods[:FORECAST_PERIODS_MAX])


async def _nws(url: str) -> dict[str, Any]:
    return await workflow.execute_activity(
        make_nws_request,
        url,
        # The caller waits 40 s for an answer, over all attempts. An attempt whose worker died is given up
        # after 10 s; without this limit it would be waited for until the 40 s are over.
        schedule_to_close_timeout=timedelta(seconds=40),
        start_to_close_timeout=timedelta(seconds=10),
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=2),
            backoff_coefficient=2.0,
            maximum_interval=timedelta(seconds=60),
            maximum_attempts=0,  # as many as fit in the 40 s
        ),
    )


def _alert_text(alert: dict[str, Any]) -> str:
    lines = [
        f"Event: {alert.get('event') or 'unknown'}",
        f"Area: {alert.get('areaDesc') or 'unknown'}",
        f"Severity: {alert.get('severity') or 'unknown'}",
        f"Description: {alert.get('description') or 'none given'}",
        f"Instructions: {alert.get('instruction') or 'none given'}",
    ]
    return "\n".join(lines)


def _period_text(period: dict[str, Any]) -> str:
    temperature = f"{period.get('temperature')} {period.get('temperatureUnit')}"
    wind = f"{period.get('windSpeed')} {period.get('windDirection')}"
    return f"{period.get('name')}: {temperature}, wind {wind}. {period.get('detailedForecast')}"
