"""How small a fault each gate sees, and how often it cries wolf.

Sound data sets of the demo's size are drawn with different hosts, sources and
noise; every gate judges each of them. Then a fault of growing size is planted in
each, and the smallest that its gate finds is kept. Detected "with 95 %" is the
size that was found in all but a twentieth of the draws.

    python benchmarks/bench_gates_power.py [--draws 50] [--fault-draws 20] [--gate P1] [--json PATH]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# sound sets and faults are those of the tests: one home
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "gates"))

import gate_world
from gates.faults.cases import ShardsCase, sound_shards
from gates.faults.graded import GRADED, Graded

from darkhaloscope import profiles
from darkhaloscope.errors import DataError
from darkhaloscope.gates.context import DataSet, ask
from darkhaloscope.gates.registry import DATA_GATES, GATES
from darkhaloscope.gates.result import GateStatus, Verdict
from darkhaloscope.gates.run import DATA_FAMILIES
from darkhaloscope.statistics import clopper_pearson

HOSTS_PER_CELL = 88
"""With 16 cells about as many galaxies as the demo has."""
FIRST_SEED = 100
DETECTED = 0.95


def data_of(case: ShardsCase, folder: Path) -> DataSet:
    """Return a case as its gates read it in the demo: the demo's samples, rows in memory."""
    sizes = replace(profiles.DEMO, bootstrap=gate_world.PROFILE.bootstrap)
    return case.data_set(folder, in_memory=True, profile=sizes)


def verdicts(gate: str, data: DataSet) -> list[Verdict]:
    """Ask one gate; data it refuses are a failure, as in a run."""
    try:
        return ask(DATA_FAMILIES[gate], data)
    except DataError as error:
        return [Verdict(GateStatus.FAIL, str(error))]


def fails(gate: str, data: DataSet) -> bool:
    """Say whether a gate fails and blocks."""
    return any(v.blocking and v.status is GateStatus.FAIL for v in verdicts(gate, data))


def smallest(case: ShardsCase, graded: Graded, folder: Path) -> float | None:
    """Return the smallest size that is found, by bisection; None if none is."""
    low, high = -1, len(graded.sizes)
    while high - low > 1:
        middle = (low + high) // 2
        broken = graded.plant(case, graded.sizes[middle])
        if fails(graded.gate, data_of(broken, folder)):
            high = middle
        else:
            low = middle
    return graded.sizes[high] if high < len(graded.sizes) else None


def one_draw(seed: int, gates: tuple[str, ...], with_faults: bool) -> dict[str, Any]:
    """Judge one sound set, and plant every graded fault in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = sound_shards(gate_world.build(folder / "world", seed, HOSTS_PER_CELL))
        data = data_of(case, folder / "sound")
        alarms = {
            gate: next(
                (v.reason for v in verdicts(gate, data) if v.blocking and v.status is GateStatus.FAIL), ""
            )
            for gate in gates
        }
        found = {}
        if with_faults:
            for number, graded in enumerate(GRADED):
                if graded.gate in gates:
                    found[str(number)] = smallest(case, graded, folder / "broken")
        gate_world.forget(seed)
        return {
            "seed": seed,
            "rows": case.table.num_rows,
            "galaxies": data.population.galaxies(),
            "alarms": alarms,
            "found": found,
        }


def summarise(draws: list[dict[str, Any]], gates: tuple[str, ...]) -> dict[str, Any]:
    """Return false alarms per gate and the size found with 95 % per fault."""
    n = len(draws)
    alarms = {}
    for gate in gates:
        reasons = [draw["alarms"][gate] for draw in draws if draw["alarms"][gate]]
        alarms[gate] = {
            **clopper_pearson(len(reasons), n).to_dict(),
            "alarms": len(reasons),
            "reasons": dict(Counter(reasons)),
        }
    faults = []
    for number, graded in enumerate(GRADED):
        sizes = [draw["found"][str(number)] for draw in draws if str(number) in draw["found"]]
        if sizes:
            ranked = sorted(float("inf") if size is None else size for size in sizes)
            at = ranked[min(len(ranked) - 1, int(DETECTED * len(ranked)))]
            faults.append(
                {
                    "gate": graded.gate,
                    "fault": graded.fault,
                    "unit": graded.unit,
                    "counted": graded.counted,
                    "draws": len(sizes),
                    "detected": None if at == float("inf") else at,
                    "median": None if ranked[len(ranked) // 2] == float("inf") else ranked[len(ranked) // 2],
                    "largest_tried": graded.sizes[-1],
                }
            )
    return {
        "draws": n,
        "rows": draws[0]["rows"],
        "galaxies": draws[0]["galaxies"],
        "hosts_per_cell": HOSTS_PER_CELL,
        "alarms": alarms,
        "faults": faults,
    }


def main() -> None:
    """Run the draws and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=50, help="sound sets")
    parser.add_argument("--fault-draws", type=int, default=20, help="sets that faults are planted in")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gate", action="append", choices=DATA_GATES, help="only these gates")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    gates = tuple(given.gate or DATA_GATES)
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn"), max_tasks_per_child=4) as pool:
        jobs = [
            pool.submit(one_draw, FIRST_SEED + i, gates, i < given.fault_draws) for i in range(given.draws)
        ]
        draws = []
        for job in jobs:
            draws.append(job.result())
            print(f"{len(draws)} of {len(jobs)} draws", file=sys.stderr, flush=True)
    summary = summarise(draws, gates)
    print(f"\n{summary['draws']} sound sets of {summary['rows']} rows, {summary['galaxies']} galaxies")
    for gate, rate in summary["alarms"].items():
        told = f"{rate['alarms']:2d} of {summary['draws']}  {list(rate['reasons'])[:2] or ''}"
        print(f"{gate:4} {GATES[gate].title:26} false alarms {told}")
    for fault in summary["faults"]:
        told = f"median {fault['median']}, with 95 % {fault['detected']} {fault['unit']}"
        print(f"{fault['gate']:4} {fault['fault']:36} {told}")
    if given.json:
        given.json.write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main()
