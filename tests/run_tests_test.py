"""tools/run_tests.py counts honestly: what failed without saying so is a failure too."""

import pytest
import run_tests
from run_tests import Count

pytestmark = pytest.mark.unit

GTEST = """<testsuites><testsuite name="S">
<testcase name="a" status="run" result="completed"/>
<testcase name="b" status="run" result="completed"/>
<testcase name="c" status="run" result="skipped"><skipped message=""/></testcase>
<testcase name="d" status="notrun" result="suppressed"/>
{failed}</testsuite></testsuites>"""
FAILED = '<testcase name="e" status="run"><failure message="no"/></testcase>'


def ctest(*entries):
    cases = "".join(f'<testcase name="{name}" status="{status}"/>' for name, status in entries)
    return f"<testsuite>{cases}</testsuite>"


@pytest.mark.parametrize("status, cases, expected", [
    ("run", GTEST.format(failed=""), Count(2, 0, 2)),
    ("fail", GTEST.format(failed=FAILED), Count(2, 1, 2)),
    ("fail", GTEST.format(failed=""), Count(2, 1, 2)),  # a sanitizer spoke after the last test
    ("fail", GTEST.format(failed="")[:80], Count(0, 1, 0)),  # killed while it wrote
    ("fail", None, Count(0, 1, 0)),  # crashed
    ("run", None, Count(1, 0, 0)),  # no GoogleTest: a fuzz target
    ("notrun", None, Count(0, 0, 1)),
])
def test_a_module_counts_by_its_cases(tmp_path, status, cases, expected):
    report = tmp_path / "ctest.junit"
    report.write_text(ctest(("protocol/kafka", status)))
    if cases is not None:
        (tmp_path / "ziwa_protocol_kafka_test.xml").write_text(cases)
    assert run_tests.count_ctest(report, tmp_path) == expected


def test_pytest_files_are_counted(tmp_path):
    report = tmp_path / "pytest.junit"
    report.write_text('<testsuites><testsuite><testcase name="a"/><testcase name="b"><error/></testcase>'
                      '<testcase name="c"><skipped/></testcase></testsuite></testsuites>')
    assert run_tests.count_cases(report) == Count(1, 1, 1)


@pytest.mark.parametrize("code, count, line", [
    (0, Count(3, 0, 1), "3 passed, 0 failed"), (1, Count(3, 1), "3 passed, 1 failed"),
    (5, Count(), "0 passed, 1 failed"),
])
def test_the_last_line_and_exit_code(tmp_path, monkeypatch, capsys, code, count, line):
    monkeypatch.setattr(run_tests, "RESULTS", tmp_path)
    run = run_tests.Run()
    assert run.phase("a", ["sh", "-c", f"exit {code}"]) == code
    run.counted(count, code)
    assert run.finish() == (1 if code else 0)
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert (tmp_path / "summary").read_text() == line + "\n"


def test_a_failed_build_is_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_tests, "RESULTS", tmp_path)
    run = run_tests.Run()
    run.phase("build", ["false"])
    assert run.finish() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"
