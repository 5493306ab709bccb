"""Keep a report's figures for the documents: its rows and how they were made, without clips and curves.

python docs/keep.py runs/quickstart/report.json quickstart     writes docs/results/quickstart.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def keep(report: Path, name: str) -> Path:
    """Write rows and meta of a report.json to docs/results; break-downs by voice, a row a voice, are left out."""
    values = json.loads(report.read_text(encoding="utf-8"))
    # Of other conditions than the headline's a break-down says of which: "snr-5db/voice=...".
    rows = [row for row in values["rows"] if "/voice=" not in f"/{row['condition']}"]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    meta = json.dumps(values["meta"], ensure_ascii=False, indent=1)
    path.write_text(f'{{"meta": {meta},\n"rows": [\n{lines}\n]}}\n', encoding="utf-8")
    return path


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(keep(Path(sys.argv[1]), sys.argv[2]))
