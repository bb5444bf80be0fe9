"""A stand-in for the National Weather Service, for tests and the demo.

    python fake_nws.py [--port 0]        prints "fake NWS ready on http://127.0.0.1:PORT"

Service:  /alerts/active/area/{STATE}   /points/{LAT},{LON}   /gridpoints/{OFFICE}/{X},{Y}/forecast
Control:  see support/scripted_service.py
"""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import scripted_service  # noqa: E402, the path has to be known first

GEO = "application/geo+json"


def alerts(state: str) -> dict[str, Any]:
    if state == "VT":  # the state where nothing ever happens
        return {"type": "FeatureCollection", "features": []}
    flood = {
        "event": "Flood Watch",
        "areaDesc": f"Lower river valleys of {state}",
        "severity": "Severe",
        "description": "Rain on wet ground may bring small rivers out of their beds.",
        "instruction": "Stay off flooded roads.",
    }
    wind = {
        "event": "Wind Advisory",
        "areaDesc": f"Hills of {state}",
        "severity": "Moderate",
        "description": "Gusts.",
    }
    return {"type": "FeatureCollection", "features": [{"properties": flood}, {"properties": wind}]}


def forecast() -> dict[str, Any]:
    names = ("Tonight", "Tuesday", "Tuesday Night", "Wednesday", "Wednesday Night", "Thursday")
    periods = [
        {
            "number": number,
            "name": name,
            "temperature": 50 + number,
            "temperatureUnit": "F",
            "windSpeed": f"{4 + number} mph",
            "windDirection": "NW",
            "detailedForecast": "Clear." if number % 2 else "Some clouds.",
        }
        for number, name in enumerate(names, start=1)
    ]
    return {"properties": {"periods": periods}}


class Handler(scripted_service.Handler):
    def serve_request(self, path: str, query: dict[str, str], body: bytes) -> None:
        agent = self.headers.get("User-Agent", "")
        if not agent or agent.startswith("Python-urllib"):
            return self.answer(403, {"title": "Forbidden", "detail": "the service asks for a User-Agent"}, GEO)
        if match := re.fullmatch(r"/alerts/active/area/([A-Z]{2})", path):
            return self.answer(200, alerts(match[1]), GEO)
        if match := re.fullmatch(r"/points/(-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?)", path):
            latitude, longitude = float(match[1]), float(match[2])
            if 18 <= latitude <= 72 and -180 <= longitude <= -60:
                host = self.headers.get("Host", "127.0.0.1")
                return self.answer(
                    200, {"properties": {"forecast": f"http://{host}/gridpoints/MTR/85,105/forecast"}}, GEO
                )
        elif re.fullmatch(r"/gridpoints/[A-Z]{3}/\d+,\d+/forecast", path):
            return self.answer(200, forecast(), GEO)
        self.answer(404, {"title": "Not Found", "status": 404}, GEO)



if __name__ == "__main__":
    scripted_service.serve("fake NWS", Handler, "A scripted stand-in for the National Weather Service.")
