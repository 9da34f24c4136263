"""What the page of an experiment says of six prepared ones: the verdict, its reasons, and numbers that can be recounted."""

from __future__ import annotations

import html
import re
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count, Q, Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from experiments.models import AnalysisSnapshot, Experiment, ExperimentUnit, HourRollup
from experiments.services import analysis, concluding, lifecycle
from experiments.services.concluding import Conclusion
from experiments.stats.proportion import approval
from promptlab.lib.formats import fmt_chance, fmt_int, fmt_pct, fmt_points, fmt_range
from tests.experiments.test_dashboard import browser, see
from tests.support.cast import Cast, make_cast
from tests.support.prepared import STORIES, Story, make_stories

FIRST_WORDS = {
    "clear-win": "“Steps first” is better.",
    "clear-loss": "“Without a greeting” is worse.",
    "no-difference": "No real difference.",
    "too-early": "Too early to say.",
    "broken-split": "Do not trust these numbers yet.",
    "raters-differ": "Keep it running: nothing is proven yet.",
}


def page_of(key: str) -> str:
    return f"/dashboards/experiments/{key}/"


def plain(text: str) -> str:
    """Return what `see` makes of a text: with plain spaces."""
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def everybody(kept_for_the_file: None) -> Cast:
    """The cast, with the six experiments."""
    cast = make_cast()
    make_stories(cast.team)
    return cast


@pytest.fixture
def cast(everybody: Cast, db: None) -> Cast:
    return deepcopy(everybody)


def told(key: str) -> Experiment:
    return Experiment.objects.get(key=key)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.key)
def test_a_stranger_reads_what_is_so_and_what_to_do(cast: Cast, story: Story) -> None:
    experiment = told(story.key)
    assert AnalysisSnapshot.objects.newest_of(experiment.pk, 1)[0].verdict == story.verdict
    words = see(cast.vic, page_of(story.key))
    assert FIRST_WORDS[story.key] in words
    assert "Can we trust it?" in words
    is_compared = story.key not in ("too-early", "broken-split")
    assert ("Chance to be better" in words) is is_compared
    assert ("a comparison would only mislead" in words) is not is_compared


def test_each_trouble_is_named_with_its_causes(cast: Cast) -> None:
    told("broken-split")
    words = see(cast.vic, page_of("broken-split"))
    assert "Wrong" in words and "planned 50.0 %" in words and "robots" in words
    assert "Can we trust it? No. See: Traffic split." in words and "Results Do not trust" in words
    assert "would be seen by now" not in words
    told("raters-differ")
    words = see(cast.vic, page_of("raters-differ"))
    assert "They differ" in words and "With care. See: Raters." in words
    standing = words[: words.index("Can we trust it?")]
    assert "people do not rate all texts equally often: a change below 5 points may be no change" in standing


def test_a_text_that_is_worse_in_more_than_one_way_says_how(cast: Cast) -> None:
    told("clear-loss")
    words = see(cast.vic, page_of("clear-loss"))
    assert "Over its limit: Wait +41.4 % (+10.0 %)." in words
    assert "Yes: nothing speaks against these numbers." in words


@pytest.mark.parametrize(
    ("verdict", "heading", "next_step"),
    [
        ("overdue", "The planned end has passed.", "Decide which text stays: the numbers alone do not."),
        ("no_data", "Nobody has seen it.", "Check that apps fetch this prompt."),
    ],
)
def test_rarer_verdicts_have_their_words(cast: Cast, verdict: str, heading: str, next_step: str) -> None:
    experiment = told("clear-win")
    kept = AnalysisSnapshot.objects.newest_of(experiment.pk, 1)[0]
    AnalysisSnapshot.objects.filter(pk=kept.pk).update(verdict=verdict, results={**kept.results, "verdict": verdict})
    words = see(cast.vic, page_of("clear-win"))
    assert heading in words and f"Next: {next_step}" in words
    assert heading in see(cast.vic, "/dashboards/experiments/")


def test_the_list_says_in_short_what_the_numbers_say(cast: Cast) -> None:
    words = see(cast.vic, "/dashboards/experiments/")
    assert "A text is better" in words and "A text is worse" in words and "Do not trust" in words


def test_counts_that_say_little_are_marked(cast: Cast) -> None:
    told("too-early")
    words = see(cast.vic, page_of("too-early"))
    assert "Results Too early" in words and "Not known yet: Traffic split, Raters." in words


def test_every_count_equals_a_recount_of_the_units(cast: Cast) -> None:
    """Units are the rows that hold what each person did; the page reads hourly sums and the stored analysis."""
    experiment = told("clear-win")
    words = see(cast.vic, page_of("clear-win"))
    units = ExperimentUnit.objects.filter(experiment=experiment, is_multiple=False)
    rows = {
        row["variant__key"]: row
        for row in units.values("variant__key").annotate(
            people=Count("pk"),
            asked=Sum("requests"),
            failed=Sum("errors"),
            rated=Sum("ratings"),
            liked=Sum("ups"),
            paid=Sum("cost"),
        )
    }
    for key, row in rows.items():
        said = approval(row["liked"], row["rated"])
        shown = [row["people"], row["asked"], row["rated"], row["liked"], row["rated"] - row["liked"]]
        cells = " ".join(fmt_int(number) for number in shown)
        assert plain(f"{cells} {fmt_pct(said.rate)} {fmt_range(said.low, said.high)}") in words, key
        downs = 1000 * (row["rated"] - row["liked"]) / row["asked"]
        assert plain(f"{fmt_int(downs)} {fmt_pct(row['failed'] / row['asked'])}") in words, key
    shares = {key: row["liked"] / row["rated"] for key, row in rows.items()}
    assert plain(fmt_points(shares["variant-1"] - shares["control"])) in words


def test_every_other_number_is_the_stored_analysis_computed_again(cast: Cast) -> None:
    experiment = told("clear-win")
    kept = AnalysisSnapshot.objects.newest_of(experiment.pk, 1)[0]
    assert analysis.computed(kept.inputs) == kept.results
    words = see(cast.vic, page_of("clear-win"))
    change = kept.results["changes"]["variant-1"]
    assert plain(
        f"{fmt_range(*change['range'], unit='points')}), chance to be better {fmt_chance(0.999)}."
    ) in html.unescape(words)
    assert plain(f"{fmt_points(change['change'])} {fmt_range(*change['range'], unit='points')}") in words
    for row in (
        ExperimentUnit.objects.filter(experiment=experiment)
        .values("variant__key")
        .annotate(said=Sum("ratings"), raters=Count("pk", filter=Q(ratings__gt=0)))
    ):
        sums = next(one["sums"] for one in kept.inputs["variants"] if one["key"] == row["variant__key"])
        assert (sums["unit_ratings"], sums["raters"]) == (row["said"], row["raters"])


def test_charts_say_what_their_tables_say(cast: Cast) -> None:
    told("clear-win")
    source = browser(cast.vic).get(page_of("clear-win")).content.decode()
    figures = re.findall(r'<figure class="chart">.*?</figure>', source, re.S)
    assert len(figures) == 5
    for figure in figures:
        drawings, table = figure.partition("<figcaption>")[::2]
        cells = {
            html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", table)
        }
        values = re.findall(r'class="value"[^>]*>(?:<title>.*?</title>)?([^<]+)<', drawings)
        for value in values:
            assert all(part in cells for part in html.unescape(value).split(" / ")), value


def test_the_days_are_drawn_with_what_happened(cast: Cast) -> None:
    experiment = told("clear-win")
    lifecycle.pause(cast.principal(cast.ben), experiment)
    lifecycle.resume(cast.principal(cast.ben), experiment)
    words = see(cast.vic, page_of("clear-win"))
    assert "Change against the current text, day by day" in words
    assert "paused it: everybody gets the current text." in words


def test_new_events_that_nobody_analyses_are_stale(cast: Cast) -> None:
    experiment = told("raters-differ")
    assert "Stale" not in see(cast.vic, page_of("raters-differ"))
    AnalysisSnapshot.objects.filter(experiment=experiment).update(as_of=timezone.now() - timedelta(minutes=40))
    assert "Stale" not in see(cast.vic, page_of("raters-differ"))
    HourRollup.objects.filter(experiment=experiment, variant__is_control=True).update(shown=9_999)
    assert "Stale" in see(cast.vic, page_of("raters-differ"))


def test_an_experiment_that_no_worker_looked_at_says_so(cast: Cast) -> None:
    experiment = told("too-early")
    AnalysisSnapshot.objects.filter(experiment=experiment).delete()
    assert "Is a worker running?" in see(cast.vic, page_of("too-early"))


def test_inputs_can_be_taken_away(cast: Cast) -> None:
    experiment = told("no-difference")
    kept = AnalysisSnapshot.objects.newest_of(experiment.pk, 1)[0]
    client = browser(cast.vic)
    answer = client.get(f"{page_of('no-difference')}inputs.json")
    assert answer.json()["inputs"] == kept.inputs
    assert answer.json()["results"] == kept.results
    sheet = client.get(f"{page_of('no-difference')}sums.csv").content.decode().splitlines()
    names, control = sheet[0].split(","), sheet[1].split(",")
    sums = dict(zip(names, control, strict=True))
    assert sums["unit_ups"] == str(kept.inputs["variants"][0]["sums"]["unit_ups"])


@pytest.mark.parametrize("path", ["inputs.json", "sums.csv"])
def test_inputs_are_for_those_who_see_the_experiment(cast: Cast, path: str) -> None:
    told("too-early")
    address = f"{page_of('too-early')}{path}"
    assert browser(cast.zoe).get(address).status_code == 404
    assert browser(None).get(address).status_code == 302
    AnalysisSnapshot.objects.all().delete()
    assert browser(cast.vic).get(address).status_code == 404


def test_every_number_leads_to_its_line_of_the_method(cast: Cast) -> None:
    told("clear-win")
    source = browser(cast.vic).get(page_of("clear-win")).content.decode()
    anchors = set(re.findall(r'href="/dashboards/statistics/#([a-z-]+)"', source))
    method = Client().get("/dashboards/statistics/").content.decode()
    assert len(anchors) >= 12
    assert anchors <= set(re.findall(r'\sid="([a-z-]+)"', method))


def test_stopping_takes_two_clicks_and_the_page_says_how_far_it_came(cast: Cast) -> None:
    told("clear-loss")
    client = browser(cast.ben)
    page = client.get(page_of("clear-loss"))
    stop = next(action["url"] for action in page.context["actions"] if action["label"] == "Stop now")
    client.get(stop)
    done = client.post(stop, {"reason": ""}, follow=True)
    assert done.redirect_chain == [(page_of("clear-loss"), 302)]
    assert Experiment.objects.get(key="clear-loss").state == "killed"
    assert "No process says what it serves" in done.content.decode()
    assert f"{page_of('clear-loss')}live/" in done.content.decode()


def test_a_page_with_everything_takes_twelve_statements(cast: Cast, django_assert_max_num_queries: Any) -> None:
    told("clear-win")
    client = browser(cast.vic)
    client.get(page_of("clear-win"))
    with django_assert_max_num_queries(12):
        client.get(page_of("clear-win"))
    with django_assert_max_num_queries(12):
        client.get(f"{page_of('clear-win')}live/")


@pytest.mark.postgres
def test_no_table_of_events_is_scanned(cast: Cast) -> None:
    """Every statement of the page has an index for each table of events, also where there are few rows."""
    told("clear-win")
    client = browser(cast.vic)
    with CaptureQueriesContext(connection) as statements:
        assert client.get(page_of("clear-win")).status_code == 200
    plans = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for sql in (one["sql"] for one in statements if one["sql"].startswith("SELECT")):
            cursor.execute(f"EXPLAIN {sql}")
            plans.append("\n".join(line for (line,) in cursor.fetchall()))
    scans = [plan for plan in plans if re.search(r"Seq Scan on (feedback_|chat_|experiments_experimentunit)", plan)]
    assert scans == []
    # Each month of ratings has the index under a name of its own.
    assert any(re.search(r"(Index|Index Only|Bitmap Heap) Scan.* on feedback_", plan) for plan in plans)


def test_what_was_decided_stands_first(cast: Cast) -> None:
    experiment = told("clear-win")
    lesson = "People want the steps before the reasons."
    concluding.conclude(cast.principal(cast.ben), experiment, Conclusion("won", lesson, "variant-1"))
    words = see(cast.vic, page_of("clear-win"))
    assert "Decided: Another text is better. “Steps first” stays." in words
    assert f"Ended after 10 days. What was learned: {lesson}" in words
    assert "Chance to be better" in words and "concluded it" in words


def test_where_nothing_differs_the_price_and_the_wait_of_each_text_are_told(cast: Cast) -> None:
    told("no-difference")
    words = see(cast.vic, page_of("no-difference"))
    rows = re.search(r"Take the cheaper or the faster text. (.*?)\. Updated", words)
    assert rows is not None
    one = r"\$0\.\d+ for 1,000 answers, half of them under \d+ ms"
    assert re.search(rf"^Current text: {one}; Shorter sentences: {one}$", rows[1])
