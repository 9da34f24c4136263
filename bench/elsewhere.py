"""Ratings to other servers that keep them: MLflow's assessments, Phoenix's annotations. Started by whoever measures:

mlflow server --backend-store-uri sqlite:///mlflow.db --workers 1 --port 5001
PHOENIX_PORT=6006 phoenix serve
"""

from __future__ import annotations

import json
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

AT = "2026-11-21T12:00:00Z"
RATINGS = 30_000


@dataclass(slots=True)
class Peer:
    """A server that is asked to keep ratings of one answer. Its CPU time is nobody's here to tell.

    Phoenix keeps them before it answers, as we do; "Phoenix, later" answers first, which is what it does unless asked.
    """

    name: str
    url: str
    path: str = ""
    key: str = ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    def cpu_s(self) -> float:
        return 0.0

    def prepare(self, folder: Path) -> Path:
        """Make an answer to rate there, and return the file of ratings, one a line."""
        rating = self._mlflow() if self.name == "MLflow" else self._phoenix()
        path = folder / f"bodies-{self.name}"
        with path.open("w") as lines:
            for number in range(RATINGS):
                lines.write(json.dumps(rating(f"r-{number}", 1 if number % 3 else -1)) + "\n")
        return path

    def _mlflow(self) -> Any:
        trace = f"tr-{uuid.uuid4().hex}"
        where = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
        info = {"trace_id": trace, "trace_location": where, "request_time": AT, "state": "OK"}
        self._post("/api/3.0/mlflow/traces", {"trace": {"trace_info": info}})
        self.path = f"/api/3.0/mlflow/traces/{trace}/assessments"
        return lambda rater, value: {
            "assessment": {
                "assessment_name": "rating",
                "trace_id": trace,
                "source": {"source_type": "HUMAN", "source_id": rater},
                "create_time": AT,
                "last_update_time": AT,
                "feedback": {"value": value},
                "rationale": "Clear and short.",
            }
        }

    def _phoenix(self) -> Any:
        span = uuid.uuid4().hex[:16]
        made = {"name": "answer", "context": {"trace_id": uuid.uuid4().hex, "span_id": span}, "span_kind": "LLM"}
        self._post(
            "/v1/projects/default/spans",
            {"data": [{**made, "start_time": AT, "end_time": AT, "status_code": "OK"}]},
        )
        self.path = f"/v1/span_annotations?sync={'true' if self.name == 'Phoenix' else 'false'}"
        return lambda rater, value: {
            "data": [
                {
                    "span_id": span,
                    "name": "rating",
                    "annotator_kind": "HUMAN",
                    "identifier": rater,
                    "result": {"score": value, "explanation": "Clear and short."},
                }
            ]
        }

    def _post(self, path: str, body: object) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        urllib.request.urlopen(request, timeout=30).read()
