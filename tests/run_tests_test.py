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
FAILED = '<testcase name="e" classname="S" status="run"><failure message="a.cpp:7&#x0A;no"/></testcase>'


def numbers(count):
    return count.passed, count.failed, count.skipped


def ctest(*entries):
    cases = "".join(f'<testcase name="{name}" status="{status}"/>' for name, status in entries)
    return f"<testsuite>{cases}</testsuite>"


@pytest.mark.parametrize("status, cases, expected", [
    ("run", GTEST.format(failed=""), (2, 0, 2)),
    ("fail", GTEST.format(failed=FAILED), (2, 1, 2)),
    ("fail", GTEST.format(failed=""), (2, 1, 2)),  # a sanitizer spoke after the last test
    ("fail", GTEST.format(failed="")[:80], (0, 1, 0)),  # killed while it wrote
    ("fail", None, (0, 1, 0)),  # crashed
    ("run", None, (1, 0, 0)),  # no GoogleTest: a fuzz target
    ("notrun", None, (0, 0, 1)),
])
def test_a_module_counts_by_its_cases(tmp_path, status, cases, expected):
    report = tmp_path / "ctest.junit"
    report.write_text(ctest(("protocol/kafka", status)))
    if cases is not None:
        (tmp_path / "ziwa_protocol_kafka_test.xml").write_text(cases)
    assert numbers(run_tests.count_ctest(report, tmp_path)) == expected


def test_pytest_files_are_counted(tmp_path):
    report = tmp_path / "pytest.junit"
    report.write_text('<testsuites><testsuite><testcase name="a"/><testcase name="b"><error/></testcase>'
                      '<testcase name="c"><skipped/></testcase></testsuite></testsuites>')
    assert numbers(run_tests.count_cases(report)) == (1, 1, 1)


@pytest.mark.parametrize("code, count, line", [
    (0, Count(3, skipped=1), "3 passed, 0 failed"), (1, Count(3, ["S.e"]), "3 passed, 1 failed"),
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


def test_what_failed_is_told_once_more(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_tests, "RESULTS", tmp_path)
    report = tmp_path / "ctest.junit"
    report.write_text('<testsuite><testcase name="app" status="fail"/>'
                      '<testcase name="sql" status="fail"><system-out>one\nkilled</system-out></testcase></testsuite>')
    (tmp_path / "ziwa_app_test.xml").write_text(GTEST.format(failed=FAILED))
    run = run_tests.Run()
    run.phase("unit tests", ["false"])
    run.counted(run_tests.count_ctest(report, tmp_path), 1)
    run.finish()
    told = capsys.readouterr().out
    assert "FAILED (unit tests): S.e\n  a.cpp:7\n  no\n" in told
    assert "FAILED (unit tests): sql, outside of its test cases; its last lines:\n  one\n  killed\n" in told


def test_a_failed_build_is_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_tests, "RESULTS", tmp_path)
    run = run_tests.Run()
    run.phase("build", ["false"])
    assert run.finish() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"
