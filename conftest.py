"""Skips must be permitted: any other reason than those of tests/permitted_skips.txt fails the run."""

import re
from pathlib import Path

import pytest

# These import the libraries that they are for; the integration tests run their examples.
collect_ignore_glob = ["src/anisoalign/integrations/*.py", "src/anisoalign/mllm/lmms_eval_model.py"]
PERMITTED = Path(__file__).parent / "tests" / "permitted_skips.txt"
_skipped: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note why a test skipped; xdist hands the reports of its workers on to here."""
    if report.skipped and isinstance(report.longrepr, tuple):
        _skipped[report.nodeid] = report.longrepr[2].removeprefix("Skipped: ")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a reason is not in the list."""
    if hasattr(session.config, "workerinput"):
        return
    lines = PERMITTED.read_text().splitlines()
    patterns = [re.compile(line) for line in lines if line.strip() and not line.startswith("#")]
    refused = {test: why for test, why in _skipped.items() if not any(p.match(why) for p in patterns)}
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    for test, why in _skipped.items():
        mark = "NOT PERMITTED" if test in refused else "permitted"
        reporter.write_line(f"skip, {mark}: {test}: {why}")  # pyright: ignore[reportOptionalMemberAccess]
    if refused:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
