"""``dhs``: the command line of Dark Halo Scope. Parses, calls, prints; decides nothing.

Every command is a real Dagster run on a persistent instance or a call into the
library; ``dhs COMMAND --help`` says what it reads and writes.
"""

import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click
import dagster as dg
from rich.console import Console
from rich.table import Table

from darkhaloscope.errors import UserError
from darkhaloscope.profiles import PROFILES
from darkhaloscope.schema import SELECTIONS
from darkhaloscope.survey.release import DR10_SOUTH, RELEASES
from darkhaloscope.survey.roots import check_location

if TYPE_CHECKING:
    from darkhaloscope.gates.result import GateReport
    from darkhaloscope.reports.row_table import Line

DEMO_ROOT = Path("runs/demo")
MOCK_GALAXIES = {"demo": 300, "test": 60, "full": 2000}
DEMO_EXPERIMENTS = ("gen5-cosmos", "gen6")
_GATES_EXAMPLES = """\b
dhs gates --dataset runs/demo/store/training_shards/gen6 -e gen6
dhs gates --dataset /data/phase4c/v5_cosmos_production/stamps --out verdicts
"""
_LOG_WIDTH = 150
_CONSOLE = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)


def main() -> None:
    """Run the command line; a user's error is one message and exit code 2."""
    # Partitioned checks and two-dimensional mappings are preview and beta in
    # Dagster; the choice is deliberate, the notice on every command is not needed.
    for notice in (dg.PreviewWarning, dg.BetaWarning):
        warnings.filterwarnings("ignore", category=notice)
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except UserError as error:
        # Messages carry places in brackets, which are not markup.
        Console(stderr=True, width=_LOG_WIDTH).print(
            f"{type(error).__name__}: {error}", style="red", highlight=False, markup=False
        )
        sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log what the library does.")
def cli(*, verbose: bool) -> None:
    """Build, gate, train, grade: a strong-lens campaign as lineage.

    Start with `dhs demo`: a whole campaign on a mock sky in a few minutes.
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")


_ROOT = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEMO_ROOT,
    show_default=True,
    help="Directory of the campaign: store, Dagster instance, summary, report.",
)
_WORKERS = click.option(
    "--workers",
    type=click.IntRange(1),
    default=os.cpu_count() or 1,
    show_default=True,
    help="Worker processes. The bytes do not depend on it.",
)
_ENGINE = click.option(
    "--engine",
    type=click.Choice(["local", "spark"]),
    default="local",
    show_default=True,
    help="Where work units run. The bytes do not depend on it.",
)
_PROFILE = click.option(
    "--profile",
    type=click.Choice(sorted(PROFILES)),
    default="demo",
    show_default=True,
    help="Sizes only; functions and formats are the same.",
)
_COSMOS = click.option(
    "--cosmos-catalog",
    type=click.Path(path_type=Path, file_okay=False),
    help="Source galaxies in GalSim's RealGalaxyCatalog layout. [default: mock galaxies]",
)
_CUTOUTS = click.option(
    "--score-cutouts",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of real cutouts (npz) to score with every experiment and show beside injected stamps.",
)
_EXPERIMENTS = click.option(
    "-e",
    "--experiment",
    "experiments",
    multiple=True,
    help="Experiment (a YAML file in experiments/); repeat for several.",
)


@cli.command()
@_ROOT
@_EXPERIMENTS
@_PROFILE
@_WORKERS
@_ENGINE
@_COSMOS
@_CUTOUTS
@click.option("--fresh", is_flag=True, help="Build every partition again, even if its plan is unchanged.")
def demo(
    *,
    root: Path,
    experiments: tuple[str, ...],
    profile: str,
    workers: int,
    engine: str,
    cosmos_catalog: Path | None,
    score_cutouts: Path | None,
    fresh: bool,
) -> None:
    """Run a whole campaign on a mock sky: from FITS files to a comparison of models.

    Writes a survey tree in DR10's layout and a mock COSMOS catalogue below ROOT,
    materialises every asset for each experiment through real Dagster runs, and
    ends with ROOT/summary.json and ROOT/report/index.html. `make ui` then shows
    lineage, partitions, checks and figures.
    """
    from darkhaloscope.profiles import get_profile
    from darkhaloscope.sources.mock_cosmos import write_mock_cosmos
    from darkhaloscope.survey.mock import MockSkyConfig, write_mock_sky

    started = time.perf_counter()
    sizes = get_profile(profile)
    _CONSOLE.rule("[bold]Dark Halo Scope: a campaign on a mock sky")
    write_mock_sky(root / "survey", MockSkyConfig.for_profile(sizes.name), workers=workers)
    if cosmos_catalog is None:
        write_mock_cosmos(root / "cosmos", n_galaxies=MOCK_GALAXIES[sizes.name], seed=1)
    _CONSOLE.print(f"mock sky and sources: {time.perf_counter() - started:.0f} s")
    _campaign(
        root=root,
        experiments=experiments or DEMO_EXPERIMENTS,
        tiles=(),
        resource={
            "cosmos_catalog": str(cosmos_catalog or ""),
            "profile": profile,
            "reuse": not fresh,
        },
        workers=workers,
        engine=engine,
        cutouts=score_cutouts,
        started=started,
    )


@cli.command()
@_EXPERIMENTS
@click.option(
    "--root", type=click.Path(path_type=Path, file_okay=False), required=True, help="Campaign directory."
)
@click.option(
    "--survey-root",
    required=True,
    help="Survey tree in DR10's own layout, the folder that holds survey-bricks.fits.gz: a directory, "
    "s3://BUCKET/PREFIX, or https://HOST/PATH. Remote files are fetched into --coadd-cache.",
)
@click.option(
    "--release",
    type=click.Choice(sorted(RELEASES)),
    default=DR10_SOUTH.name,
    show_default=True,
    help="Whose layout, bands and footprint.",
)
@click.option(
    "--coadd-cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Remote roots: directory of fetched files, on a local disk. [default: ROOT/cache]",
)
@click.option(
    "--coadd-cache-gb",
    type=click.FloatRange(min=0.0, min_open=True),
    default=50.0,
    show_default=True,
    help="Remote roots: the least recently used files leave beyond this size.",
)
@click.option(
    "--survey-in-flight",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Remote roots: files fetched at once by all workers of this machine.",
)
@click.option(
    "--survey-checksums",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Remote roots: lines of sha256sum, paths below the root; files listed are verified. "
    "[default: size and format alone]",
)
@click.option(
    "--s3-endpoint",
    default="",
    help="s3:// roots: HTTP address of a server other than Amazon's. [default: AWS_ENDPOINT_URL]",
)
@click.option(
    "--anchors",
    "anchor_csv",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Known lenses and look-alikes in lenscat's columns. "
    "[default: SURVEY_ROOT/catalogs/known-objects.csv]",
)
@click.option(
    "--host-selection",
    "host_selections",
    type=click.Choice(SELECTIONS),
    multiple=True,
    help="Cut hosts of this parent selection only (hosts.selection of the experiments); repeat for several. "
    "[default: of every selection, 5,000 per deg2]",
)
@click.option(
    "--tiles", default="", help="Tiles, comma-separated, e.g. 042,317. [default: all of the footprint]"
)
@_PROFILE
@_WORKERS
@_ENGINE
@_COSMOS
@_CUTOUTS
def run(
    *,
    experiments: tuple[str, ...],
    root: Path,
    survey_root: str,
    release: str,
    coadd_cache: Path | None,
    coadd_cache_gb: float,
    survey_in_flight: int,
    survey_checksums: Path | None,
    s3_endpoint: str,
    anchor_csv: Path | None,
    host_selections: tuple[str, ...],
    tiles: str,
    profile: str,
    workers: int,
    engine: str,
    cosmos_catalog: Path | None,
    score_cutouts: Path | None,
) -> None:
    r"""Run the same campaign on your own survey tree and source catalogue.

    \b
    dhs run -e gen6 --root runs/dr10 --survey-root /data/dr10 \\
        --cosmos-catalog /data/COSMOS_25.2_training_sample --tiles 317,318 --profile full

    Bytes and time for one tile and for the whole footprint: docs/real-dr10.md.
    """
    check_location(survey_root)
    if not experiments:
        raise click.UsageError("name at least one experiment with --experiment")
    _campaign(
        root=root,
        experiments=experiments,
        tiles=tuple(t.strip() for t in tiles.split(",") if t.strip()),
        resource={
            "survey_root": survey_root,
            "release": release,
            "coadd_cache": str(coadd_cache or ""),
            "coadd_cache_gb": coadd_cache_gb,
            "survey_in_flight": survey_in_flight,
            "survey_checksums": str(survey_checksums or ""),
            "s3_endpoint": s3_endpoint,
            "anchor_csv": str(anchor_csv or ""),
            "host_selections": list(host_selections),
            "cosmos_catalog": str(cosmos_catalog or ""),
            "profile": profile,
        },
        workers=workers,
        engine=engine,
        cutouts=score_cutouts,
        started=time.perf_counter(),
    )


@cli.command(epilog=_GATES_EXAMPLES)
@click.option(
    "--dataset",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="Shards: a directory of Parquet files, with subdirectories, or one file.",
)
@click.option(
    "-e",
    "--experiment",
    help="Experiment (experiments/NAME.yaml) whose promises, limits and waivers hold. "
    "[default: none; default limits]",
)
@click.option(
    "--hosts", type=click.Path(path_type=Path, exists=True), help="Host cutouts: a directory or a file."
)
@click.option("--bank", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Source bank.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the report goes. [default: ./NAME-gates, by the name of the data set]",
)
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of the table.")
@click.option(
    "--profile",
    type=click.Choice(sorted(PROFILES)),
    default="full",
    show_default=True,
    help="Sizes of the samples that pixel gates read.",
)
def gates(
    *,
    dataset: Path,
    experiment: str | None,
    hosts: Path | None,
    bank: Path | None,
    out: Path | None,
    as_json: bool,
    profile: str,
) -> None:
    """Judge any data set on disk: every data gate, without making it again.

    DATASET holds training shards of this project, or the predecessor's Parquet
    files (stamps as npz blobs in stamp_npz). Shards that lie in a campaign's
    store are judged with the manifest, hosts, bank and split map beside them;
    any others with what the options name. A gate whose input is absent says
    deferred and names the column or file.

    Writes report.json, report.md, report.html and figures. Exits 0 if no blocking
    gate failed, 1 if one did, 2 if the files cannot be read. A deferred gate does
    not fail, and does not pass: training needs it open.
    """
    from datetime import UTC, datetime

    from assets.experiments import get_experiment
    from darkhaloscope.gates.dataset_on_disk import find_shards, judge_on_disk
    from darkhaloscope.gates.result import GateStatus
    from darkhaloscope.profiles import get_profile
    from darkhaloscope.reports.gates import write_gate_report

    declared = get_experiment(experiment) if experiment else None
    folder = out or Path(f"{dataset.resolve().stem}-gates")
    report = judge_on_disk(
        find_shards(dataset),
        profile=get_profile(profile),
        folder=folder,
        experiment=declared,
        hosts=hosts,
        bank=bank,
    )
    if declared is not None:
        report = report.with_waivers(declared.gates, datetime.now(tz=UTC).date())
    files = write_gate_report(report, folder)
    if as_json:
        click.echo(files.json.read_text(encoding="utf-8"), nl=False)
    else:
        _print_gates(report)
        _CONSOLE.print(f"\nreport  {files.html}", highlight=False)
    if any(result.status is GateStatus.FAIL and result.blocking for result in report):
        sys.exit(1)


def _print_gates(report: "GateReport") -> None:
    """Print the answers of a report, and what deferred gates lack."""
    from darkhaloscope.gates.registry import GATES
    from darkhaloscope.reports.gate_words import limit_text, measure_text, status_text, verdict_text

    table = Table(title=f"Gates of {report.artefact}, {report.experiment}", title_justify="left")
    for column in ("gate", "question", "answer", "value, 95 % interval", "limit", "why"):
        table.add_column(column, overflow="fold")
    for result in report:
        measure = measure_text(result.value, result.lower, result.upper)
        question = GATES[result.gate].question
        table.add_row(result.key, question, status_text(result), measure, limit_text(result), result.reason)
    _CONSOLE.print(table, markup=False)
    _CONSOLE.print(verdict_text(report), highlight=False, markup=False)


@cli.command()
@click.argument("task_id")
@_ROOT
@click.option(
    "-e",
    "--experiment",
    help="Experiment of the row. [default: every experiment of the campaign is searched]",
)
def render(*, task_id: str, root: Path, experiment: str | None) -> None:
    """Make one stored row again from its identity, compare it, and draw it.

    Reads manifest, host cutouts and bank below ROOT. Prints the row's parameters,
    writes ROOT/renders/TASK_ID.png, and says which agreement was found: bit for
    bit, as on the same platform, or within 1e-5 of peak, as on another. Exits 1
    if a column differs by more.
    """
    from assets.experiments import EXPERIMENT_NAMES, get_experiment
    from assets.sources import BANK_FILE
    from darkhaloscope.reports.figures_scene import scene_figure
    from darkhaloscope.reports.row_table import row_lines
    from darkhaloscope.schema import STAMPS
    from darkhaloscope.stamps.agreement import Verdict, compare_rows
    from darkhaloscope.stamps.parts import take_apart
    from darkhaloscope.stamps.rerender import find_stored_row, render_row
    from resources.campaign import Campaign

    campaign = Campaign(root=str(root))
    store = campaign.store
    stored = find_stored_row(store, task_id, [experiment] if experiment else EXPERIMENT_NAMES)
    tile, owner = stored["tile"][0].as_py(), get_experiment(stored["experiment"][0].as_py())
    host_paths = store.paths(store.record("host_cutouts", tile), ".parquet")
    bank_path = store.paths(store.record("cosmos_bank"), BANK_FILE)[0]
    made = render_row(
        task_id,
        experiment=owner,
        profile=replace(campaign.sizes, stamp_px=stored.schema.field("image").type.shape[-1]),
        manifest_paths=store.paths(store.record("manifest", owner.name, tile), ".parquet"),
        host_paths=host_paths,
        bank_path=bank_path,
    )
    (agreement,) = compare_rows(stored, made)
    _print_row(task_id, row_lines(STAMPS, made))
    status = made["status"][0].as_py()
    if status == "ok":
        parts = take_apart(made, experiment=owner, host_paths=host_paths, bank_path=bank_path)
        picture = scene_figure(parts, root / "renders" / f"{task_id}.png", verdict=str(agreement))
        _CONSOLE.print(f"picture  {picture}", highlight=False)
    else:
        _CONSOLE.print(f"picture  none: the row has no pixels, {status}", highlight=False)
    if agreement.verdict is Verdict.DIFFERS:
        raise click.ClickException(
            f"{task_id} {agreement}. Next: if code, experiment or inputs have changed since, "
            f"materialise injected_stamps of {owner.name}, tile {tile}"
        )
    _CONSOLE.print(f"{task_id}: made again, {agreement}", highlight=False)


def _print_row(task_id: str, lines: Sequence["Line"]) -> None:
    """Print the parameters of a row, one section per role."""
    table = Table(title=f"Row {task_id}", title_justify="left")
    for column in ("", "parameter", "value, or g r z", "unit", "meaning"):
        table.add_column(column, overflow="fold")
    for role, section in groupby(lines, key=lambda line: line.role):
        table.add_section()
        label = str(role)
        for line in section:
            table.add_row(label, line.name, "  ".join(line.values), line.unit, line.meaning)
            label = ""
    _CONSOLE.print(table)


def _campaign(
    *,
    root: Path,
    experiments: tuple[str, ...],
    tiles: tuple[str, ...],
    resource: dict,
    workers: int,
    engine: str,
    cutouts: Path | None,
    started: float,
) -> None:
    """Run the jobs, write summary and report, print the table; exit 1 if a step failed."""
    from assets.experiments import get_experiment
    from dagster_project.definitions import build_defs
    from dagster_project.runner import StepResult, open_instance, run_campaign
    from darkhaloscope.reports.html import write_report
    from darkhaloscope.reports.summary import build_summary, write_summary
    from resources.campaign import Campaign
    from resources.compute import LocalCompute, SparkCompute
    from resources.trainer import LocalTrainer

    for name in experiments:
        get_experiment(name)
    campaign = Campaign(root=str(root), tiles=list(tiles), **resource)
    defs = build_defs(
        resource_overrides={
            "campaign": campaign,
            "compute": LocalCompute(workers=workers)
            if engine == "local"
            else SparkCompute(master=f"local[{workers}]"),
            "trainer": LocalTrainer(),
        }
    )

    def on_end(step: StepResult) -> None:
        mark = "[green]ok[/]" if step.success else "[bold red]failed[/]"
        _CONSOLE.print(
            f"{time.perf_counter() - started:6.0f} s  {mark}  {step.job:16} {step.partition:18} "
            f"{step.seconds:6.1f} s  {step.peak_mb:6.0f} MB",
            highlight=False,
        )
        for line in step.error.splitlines():
            _CONSOLE.print(f"          {line}", style="red", highlight=False, markup=False)

    with open_instance(root / "dagster") as instance:
        steps = run_campaign(defs, instance, experiments, tiles, on_end=on_end)
    summary = build_summary(
        campaign.store,
        [get_experiment(name) for name in experiments],
        campaign.sizes,
        steps=[vars(step) for step in steps],
        seconds=time.perf_counter() - started,
        cutouts=cutouts,
    )
    write_summary(summary, root / "summary.json")
    page = write_report(summary, campaign.store, root / "report", cutouts=cutouts)
    _print_summary(summary)
    _CONSOLE.print(f"\nsummary  {root / 'summary.json'}\nreport   {page}\nUI       make ui", highlight=False)
    if not all(step.success for step in steps):
        sys.exit(1)


def _print_summary(summary: dict) -> None:
    from darkhaloscope.reports.summary import headline

    columns, rows = headline(summary)
    table = Table(title="Results", show_lines=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    _CONSOLE.print(table)
