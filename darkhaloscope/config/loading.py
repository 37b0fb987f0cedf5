"""Reads an experiment from YAML; an error names file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from darkhaloscope.config.experiment import Experiment
from darkhaloscope.errors import ConfigError, describe


def load_experiment(path: str | Path) -> Experiment:
    """Read one experiment from YAML.

    Raises
    ------
    ConfigError
        Naming file, line, key, what was expected and what came.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(describe("Experiment file not found", file=path))
    text = path.read_text()
    try:
        raw = yaml.safe_load(text)
        tree = yaml.compose(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(
            describe("Not valid YAML", file=path, line=mark.line + 1 if mark else None, got=str(error))
        ) from error
    if not isinstance(raw, dict):
        raise ConfigError(describe("Experiment", file=path, expected="a mapping", got=type(raw).__name__))
    try:
        experiment = Experiment.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        raise ConfigError(
            describe(
                "Unknown key" if unknown else "Invalid value",
                file=path,
                line=_line_of(tree, first["loc"]),
                field=key,
                expected=_known_keys(first["loc"]) if unknown else first["msg"],
                got=repr(first["input"]),
                hint="see the docstrings in darkhaloscope/config/sections.py",
            )
        ) from error
    if experiment.name != path.stem:
        raise ConfigError(
            describe("Experiment name", file=path, field="name", expected=path.stem, got=experiment.name)
        )
    return experiment


def load_experiments(directory: str | Path) -> dict[str, Experiment]:
    """Read every ``*.yaml`` of a directory, keyed and sorted by name."""
    files = sorted(Path(directory).glob("*.yaml"))
    if not files:
        raise ConfigError(describe("No experiments", file=directory, expected="at least one .yaml"))
    return {file.stem: load_experiment(file) for file in files}


def _line_of(node: yaml.Node | None, loc: tuple[Any, ...]) -> int | None:
    """Return the 1-based line of the deepest node of ``loc`` that the file holds."""
    line = None if node is None else node.start_mark.line + 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if part not in pairs:
                return line
            key, node = pairs[part]
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _known_keys(loc: tuple[Any, ...]) -> str:
    """Return the keys allowed where the unknown key ``loc`` stands."""
    model: Any = Experiment
    for part in loc[:-1]:
        annotation = model.model_fields[part].annotation if isinstance(part, str) else None
        if annotation is None or not hasattr(annotation, "model_fields"):
            return "a known key"
        model = annotation
    return f"one of {sorted(model.model_fields)}"
