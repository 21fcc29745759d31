"""tools/bench_record.py writes only sound records; tools/bench_report.py draws them."""

import json
import subprocess
import xml.etree.ElementTree as ElementTree

import bench_record
import bench_report
import pytest

pytestmark = pytest.mark.unit


@pytest.fixture
def root(tmp_path):
    """An empty repository with one commit."""
    for command in (["init", "-q"], ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q",
                                     "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    return tmp_path


def lines(root, bench="flights"):
    return (root / "bench" / "results" / f"{bench}.jsonl").read_text().splitlines()


def test_a_record_has_all_fields(root):
    bench_record.record("flights", name="end to end", unit="events/s", ours=231_000, peer=58_000, better="higher",
                        aim=200_000, root=root)
    [line] = lines(root)
    entry = json.loads(line)
    assert set(entry) == set(bench_record.REQUIRED)
    assert entry["value"] == 231_000
    head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert head.stdout.startswith(entry["commit"])
    assert bench_record.reached(entry) is True


def test_records_are_appended(root):
    for ours in (1, 2):
        bench_record.record("flights", name="a", unit="s", ours=ours, better="lower", root=root)
    assert [json.loads(line)["ours"] for line in lines(root)] == [1, 2]


def test_a_ratio_is_judged_against_the_peer(root):
    entry = bench_record.record("flights", name="a", unit="us", ours=12, peer=10, better="lower", aim=1.1,
                                judge="ratio", root=root)
    assert entry["value"] == pytest.approx(1.2)
    assert bench_record.reached(entry) is False


def test_uncommitted_changes_are_named(root):
    (root / "a").write_text("1")
    subprocess.run(["git", "-C", str(root), "add", "a"], check=True)
    assert bench_record.commit(root).endswith("-dirty")


@pytest.mark.parametrize("change, message", [
    ({"better": "more"}, "'better'"), ({"unit": " "}, "'unit'"), ({"ours": float("nan")}, "'ours'"),
    ({"ours": "12"}, "'ours'"), ({"ours": True}, "'ours'"), ({"aim": float("inf")}, "'aim'"),
    ({"judge": "ratio"}, "peer"), ({"judge": "both"}, "judge"),
])
def test_unsound_records_are_refused(root, change, message):
    arguments = {"name": "a", "unit": "s", "ours": 1.0, "better": "lower", **change}
    with pytest.raises(ValueError, match=message):
        bench_record.record("flights", **arguments, root=root)
    assert not (root / "bench").exists()


def test_missing_and_unknown_fields_are_named(root):
    entry = bench_record.record("flights", name="a", unit="s", ours=1, better="lower", root=root)
    with pytest.raises(ValueError, match="'speed' is unknown"):
        bench_record.validate({**entry, "speed": 1})
    del entry["load"]
    with pytest.raises(ValueError, match="'load' is missing"):
        bench_record.validate(entry)


def report(root):
    assert bench_report.main([], root) == 0
    return (root / "docs" / "benchmarks.md").read_text()


def test_the_report_shows_the_newest_figure_and_its_history(root):
    for ours in (100_000, 231_000):
        bench_record.record("flights", name="end <to> end", unit="events/s", ours=ours, peer=58_000, peer_name="Other",
                            better="higher", aim=200_000, note="JSON", root=root)
    text = report(root)
    assert "231,000 events/s | 58,000 events/s (Other) | 231,000 events/s | ≥ 200,000 events/s | yes | ▁█" in text
    assert "- end <to> end: JSON" in text
    chart = ElementTree.parse(root / "docs" / "benchmarks" / "flights.svg")  # well-formed
    bars = chart.findall("{http://www.w3.org/2000/svg}rect")
    assert float(bars[0].get("width")) == pytest.approx(bench_report.BAR)
    assert float(bars[1].get("width")) == pytest.approx(bench_report.BAR * 58 / 231, abs=0.1)
    assert len(chart.findall("{http://www.w3.org/2000/svg}line")) == 1


def test_a_long_name_of_a_peer_is_cut_in_the_chart(root):
    bench_record.record("flights", name="a", unit="s", ours=1, peer=2, peer_name="long name " * 8, better="lower",
                        root=root)
    assert "long name " * 7 in report(root)
    texts = [text.text for text in ElementTree.parse(root / "docs" / "benchmarks" / "flights.svg").iter()
             if text.text and text.text.startswith("long")]
    assert texts == ["long name long name long name long na…"]


def test_a_missed_aim_is_not_hidden(root):
    bench_record.record("flights", name="a", unit="us", ours=12, peer=10, better="lower", aim=1.1, judge="ratio",
                        root=root)
    assert "| 1.2× | ≤ 1.1× | **no** |" in report(root)


def test_check_finds_a_stale_report(root, capsys):
    bench_record.record("flights", name="a", unit="s", ours=1, better="lower", root=root)
    assert bench_report.main(["--check"], root) == 1
    assert "docs/benchmarks.md is not what bench/results says" in capsys.readouterr().err
    report(root)
    assert bench_report.main(["--check"], root) == 0


def test_a_bad_line_is_named(root, capsys):
    (root / "bench" / "results").mkdir(parents=True)
    (root / "bench" / "results" / "flights.jsonl").write_text('\n{"name": "a"}\n')
    assert bench_report.main([], root) == 1
    assert "flights.jsonl:2: field 'unit' is missing" in capsys.readouterr().err


def test_a_chart_without_records_is_removed(root):
    bench_record.record("flights", name="a", unit="s", ours=1, better="lower", root=root)
    report(root)
    (root / "bench" / "results" / "flights.jsonl").unlink()
    assert "Nothing has been measured yet" in report(root)
    assert not (root / "docs" / "benchmarks" / "flights.svg").exists()
