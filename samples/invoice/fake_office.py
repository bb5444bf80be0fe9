"""Stand-ins for the ERP and the payment gateway, in one process, for tests and the demo.

    python fake_office.py [--port 0]     prints "fake office ready on http://127.0.0.1:PORT"

Service:  POST /erp/validate    POST /payments (with an Idempotency-Key, which is paid once)
          GET /ledger           what was paid: {"paid": {key: line}, "repeated": number}
          a line whose description has "broke" in it is refused with 402
Control:  see support/scripted_service.py
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import scripted_service  # noqa: E402, the path has to be known first

PAYMENTS_MAX = 100_000


class Handler(scripted_service.Handler):
    paid: dict[str, dict[str, Any]] = {}
    repeated = 0

    def serve_request(self, path: str, query: dict[str, str], body: bytes) -> None:
        if path == "/erp/validate":
            self.answer(200, {"result": "MATCH"})
        elif path == "/payments":
            self.pay(json.loads(body))
        elif path == "/ledger":
            with self.script.changed:
                ledger = {"paid": dict(self.paid), "repeated": Handler.repeated}
            self.answer(200, ledger)
        else:
            self.answer(404, {"error": f"no {path}"})

    def pay(self, line: dict[str, Any]) -> None:
        key = self.headers.get("Idempotency-Key", "")
        if not key:
            return self.answer(400, {"reason": "a payment needs an Idempotency-Key"})
        if "broke" in line["description"]:
            return self.answer(402, {"reason": f"INSUFFICIENT_FUNDS for {line['amount']}"})
        with self.script.changed:
            Handler.repeated += key in self.paid
            if len(self.paid) < PAYMENTS_MAX:
                self.paid[key] = line
        self.answer(200, {"confirmation": f"paid-{key}"})


if __name__ == "__main__":
    scripted_service.serve("fake office", Handler, "Scripted stand-ins for an ERP and a payment gateway.")
