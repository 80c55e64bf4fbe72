"""The README's table says what the stored results say."""

import json
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "data" / "results"


def mean_pcc(path: Path) -> float:
    return json.loads(path.read_text())["mean_pcc"]


def row(start: str) -> list[float]:
    """The numbers of the README's table row that starts with these words."""
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| {start}")]
    return [float(cell.strip(" *")) for cell in line.split("|")[2:-1] if cell.strip()]


def test_readme_quotes_the_stored_probes():
    for start, pattern in (("CLICv2", "lite/seed*/probe.json"), ("the same network", "random/seed*.json")):
        seeds = [mean_pcc(path) for path in sorted(RESULTS.glob(pattern))]
        assert len(seeds) == 3
        assert row(start) == [round(value, 3) for value in (*seeds, mean(seeds))]


def test_readme_quotes_the_stored_measure():
    measures = json.loads((RESULTS / "measures_savoias.json").read_text())["measures"]
    assert row("size of the JPEG") == [round(measures["jpeg_size"]["mean_pcc"], 3)]


def test_readme_quotes_the_probe_of_the_model_in_the_package():
    shipped = mean_pcc(ROOT / "clicv2lite" / "models" / "default" / "probe.json")
    assert f"on one seed: {shipped:.3f}." in (ROOT / "README.md").read_text()
