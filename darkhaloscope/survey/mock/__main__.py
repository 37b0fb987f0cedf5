"""Command line: ``python -m darkhaloscope.survey.mock ROOT``."""

from __future__ import annotations

import argparse
import json
import sys

from darkhaloscope.survey.mock import MockSkyConfig, write_mock_sky


def main() -> None:
    """Write a mock sky and print what it holds."""
    parser = argparse.ArgumentParser(prog="darkhaloscope.survey.mock", description="Write a mock DR10 tree.")
    parser.add_argument("root", help="directory of the survey tree")
    parser.add_argument("--profile", default="demo", help="test: a tiny sky; otherwise the whole one")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, help="another sky")
    options = parser.parse_args()
    config = MockSkyConfig.for_profile(options.profile)
    if options.seed is not None:
        config = MockSkyConfig.from_dict({**config.as_dict(), "seed": options.seed})
    result = write_mock_sky(options.root, config, workers=options.workers)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
