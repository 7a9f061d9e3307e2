"""Every panel of every dashboard has data in a real Prometheus that scrapes real processes; the page shows it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import urllib3

from jobs.cli_dashboards import build_server, page
from mimo_vl.config.processing import ProcessingConfig
from mimo_vl.config.rewards import RewardsConfig
from mimo_vl.errors import InputError, ServiceUnavailableError
from mimo_vl.free_port import free_port
from mimo_vl.observability.dashboards.catalogue import DASHBOARDS
from mimo_vl.observability.dashboards.page import PageRequest, last_minutes, panel_series
from mimo_vl.observability.dashboards.prometheus_api import PrometheusApi, Series
from mimo_vl.rewards.service.client import RewardClient
from mimo_vl.tracking.gpu_metrics import sample_gpus
from mimo_vl.vocabulary import RewardTask
from tests.fakes.local_ray import local_ray
from tests.fakes.rewards import score_request
from tests.integration.observability.exporters import (
    ROOT,
    LocalPipeline,
    show_ended_pipeline,
    show_morl,
    start_prometheus,
    start_training,
    stop,
    wait_until,
)
from tests.integration.observability.panels import EMPTY_ON_CPUS, all_panels, has_data

_PROMETHEUS, _CHROMIUM = shutil.which("prometheus"), shutil.which("chromium")
# Seconds on an idle machine; a busy one needs minutes to load torch and ray.
_DEADLINE_S = 300.0
pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.timeout(2 * _DEADLINE_S),
    pytest.mark.skipif(
        _PROMETHEUS is None,
        reason="prometheus is missing; apt-get install --no-install-recommends prometheus brings it",
    ),
]
_TOKEN = "a-test-token"
_ALL = {"namespace": ".*", "pipeline": ".*"}
_NUM_PANELS = sum(len(board.panels) for board in DASHBOARDS)


@pytest.fixture(scope="module")
def reward_url() -> Iterator[str]:
    """Rules only: a task of a reward model is `unavailable`, which is a null reward."""
    with local_ray(num_cpus=2):
        from mimo_vl.rewards.service.app import deploy, shutdown

        yield deploy(
            RewardsConfig(), ProcessingConfig(min_pixels=3136, max_pixels=12544), reward_models={}, token=_TOKEN
        )
        shutdown()


class Watched(NamedTuple):
    """`url`: of a Prometheus in which every panel has data that can have some without a GPU."""

    url: str
    training_log: Path


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, reward_url: str) -> Iterator[Watched]:
    folder, first = tmp_path_factory.mktemp("watched"), free_port(16)
    own, local, morl, ended, train = first, first + 1, first + 11, first + 12, first + 13
    targets = [f"127.0.0.1:{port}" for port in (local, local + 1, local + 2, morl, ended, train)]
    pipeline = LocalPipeline(folder / "local", local)
    processes = []
    is_over = threading.Event()
    traffic = threading.Thread(target=_send_scores, args=(reward_url, is_over), daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in pipeline.environment.items():
            patch.setenv(name, value)
        try:
            (folder / "training").mkdir()
            processes.append(start_training(folder / "training", train))
            assert _PROMETHEUS is not None
            processes.append(start_prometheus(_PROMETHEUS, folder / "prometheus", own, targets))
            pipeline.start()
            show_ended_pipeline(folder / "ended", ended)
            show_morl(folder / "morl", morl, reward_url)
            traffic.start()
            api = PrometheusApi(f"http://127.0.0.1:{own}")
            log = folder / "training" / "train.log"
            wait_until(lambda: not _empty_panels(api), _DEADLINE_S, lambda: f"{_empty_panels(api)}\n{log.read_text()}")
            yield Watched(f"http://127.0.0.1:{own}", log)
        finally:
            is_over.set()
            traffic.join()
            pipeline.finish()
            for process in processes:
                stop(process)


@pytest.fixture
def prometheus(watched: Watched) -> str:
    return watched.url


def _send_scores(url: str, is_over: threading.Event) -> None:
    client, stranger = RewardClient(url, _TOKEN), RewardClient(url, "wrong")
    number = 0
    while not is_over.wait(0.3):
        number += 1
        right = score_request(RewardTask.COUNTING, r"\boxed{3}", "3", request_id=f"{number}-right")
        unknown = score_request(RewardTask.PREFERENCE_TEXT, "hello", request_id=f"{number}-unknown")
        client.score([right, unknown])
        with pytest.raises(InputError, match="401"):
            stranger.score([right])


def _request(api: PrometheusApi) -> PageRequest:
    return PageRequest(source=api, over=last_minutes(5, time.time()), variables=_ALL)


def _empty_panels(api: PrometheusApi) -> list[str]:
    """Of all dashboards, those to which Prometheus answers nothing, though these processes show it."""
    panels = all_panels()
    assert len(panels) == _NUM_PANELS
    try:
        return [n for n, panel in panels.items() if n not in EMPTY_ON_CPUS and not has_data(panel, _request(api))]
    except ServiceUnavailableError as error:
        return [str(error)]


def _one(prometheus: str, expr: str) -> Series:
    """The only series, waited for: one late scrape of a busy machine hides it until the next."""
    found: list[Series] = []

    def is_there() -> bool:
        found[:] = PrometheusApi(prometheus).instant(expr, time.time())
        return len(found) == 1

    wait_until(is_there, 60.0, lambda: f"{expr}: {found}")
    return found[0]


def test_no_panel_of_any_dashboard_is_empty_that_needs_no_gpu(prometheus: str) -> None:
    assert _NUM_PANELS > 50
    assert _empty_panels(PrometheusApi(prometheus)) == []


@pytest.mark.skipif(sample_gpus("node-0") != {}, reason="this machine has a GPU")
@pytest.mark.parametrize("name", sorted(EMPTY_ON_CPUS))
def test_what_is_not_known_is_no_zero(prometheus: str, name: str) -> None:
    assert not has_data(all_panels()[name], _request(PrometheusApi(prometheus)))


@pytest.mark.parametrize(
    ("panel", "wanted"),
    [
        ("mimo-operator: Rounds that failed", "ServiceUnavailableError"),
        ("mimo-rewards: Calls refused", "team/live 401"),
    ],
)
def test_a_panel_that_is_never_empty_names_what_went_wrong(prometheus: str, panel: str, wanted: str) -> None:
    """Its query ends in a zero for the time before; that alone would be data, too."""
    shown: list[str] = []

    def is_named() -> bool:
        shown[:] = [found.name for found in panel_series(all_panels()[panel], _request(PrometheusApi(prometheus)))]
        return wanted in shown

    wait_until(is_named, 60.0, lambda: f"{panel}: {shown}")


def test_a_failed_round_and_a_refused_call_are_counted(prometheus: str) -> None:
    assert _one(prometheus, 'mimo_operator_errors_total{kind="ServiceUnavailableError"}').last == 1
    assert _one(prometheus, 'mimo_rewards_rejected_total{code="401"}').last > 0


def test_a_live_stage_is_labelled_with_its_run(prometheus: str) -> None:
    loss = _one(prometheus, 'mimo_train_loss{part="",mimo_pipeline="live"}')
    wanted = {"mimo_namespace": "team", "mimo_pipeline": "live", "stage": "projector-warmup", "attempt": "2"}
    assert wanted.items() <= loss.labels.items()
    assert 0 < loss.last < 20
    assert _one(prometheus, 'mimo_stage_step{stage="projector-warmup"}').last >= 1
    # Torch alone takes more.
    assert _one(prometheus, 'mimo_system_process_pss_bytes{stage="projector-warmup"}').last > 100e6


def test_every_value_that_a_live_stage_logs_has_a_declared_name(watched: Watched) -> None:
    text = watched.training_log.read_text(encoding="utf-8")
    assert "metrics on port=" in text
    assert "is not shown" not in text


def test_the_reward_service_is_seen_through_its_stage(prometheus: str) -> None:
    nulls = _one(prometheus, 'mimo_rewards_nulls_total{task="preference_text"}')
    assert {"mimo_pipeline": "live", "stage": "morl"}.items() <= nulls.labels.items()
    assert nulls.last > 0
    assert _one(prometheus, 'mimo_rewards_nulls_total{task="counting"}').last == 0
    assert _one(prometheus, "mimo_rewards_queue").last >= 0


def test_ended_stages_are_shown_by_their_controller(prometheus: str) -> None:
    score = _one(prometheus, 'mimo_evaluation_score{part="rl/counting",mimo_pipeline="ended"}')
    assert (score.last, score.labels["stage"], score.labels["attempt"]) == (0.75, "evaluate", "1")
    assert _one(prometheus, 'mimo_data_samples_dropped{part="duplicate"}').last == 3
    assert _one(prometheus, 'mimo_data_samples_kept{stage="curate-rl",part="rl-counting"}').last == 16


def test_the_local_controller_counts_its_rounds_and_shows_its_stages(prometheus: str) -> None:
    assert _one(prometheus, 'mimo_pipeline_stage_state{stage="curate",state="Running"}').last == 1
    assert _one(prometheus, "max(mimo_operator_reconciles_total)").last > 5
    # Four rounds a second; over a minute, of which Prometheus may have seen only the last seconds so far.
    rounds = "max(rate(mimo_operator_reconciles_total[1m]))"
    wait_until(lambda: _one(prometheus, rounds).last > 0.5, 60.0, lambda: str(_one(prometheus, rounds)))


def test_the_command_writes_a_page_with_all_panels(prometheus: str, tmp_path: Path) -> None:
    out = tmp_path / "dashboards.html"
    command = [sys.executable, "-m", "jobs.cli", "dashboards", "--prometheus", prometheus, "--minutes", "5"]
    done = subprocess.run(
        [*command, "--to", str(out)], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"wrote {out}" in done.stdout
    filled = re.findall(r'data-title="[^"]+" data-num-series="[1-9]\d*"', out.read_text(encoding="utf-8"))
    assert len(filled) >= _NUM_PANELS - len(EMPTY_ON_CPUS)


def test_a_pipeline_can_be_chosen(prometheus: str) -> None:
    text = page(prometheus, minutes=5, chosen={"namespace": "team", "pipeline": "ended"})
    assert "ended" in text
    assert not re.search(r"\blive\b", text)


def test_a_served_page_is_made_anew_at_each_look(prometheus: str) -> None:
    numbers = iter(range(10))
    server = build_server(lambda: page(prometheus, minutes=5, chosen=_ALL) + f"<!-- {next(numbers)} -->", 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        first, second = (urllib3.request("GET", url, timeout=60.0) for _ in range(2))
        assert (first.status, second.status) == (200, 200)
        assert "<!-- 0 -->" in first.data.decode()
        assert "<!-- 1 -->" in second.data.decode()
    finally:
        server.shutdown()
        server.server_close()


def test_a_prometheus_that_is_not_there_is_an_error_that_says_so() -> None:
    with pytest.raises(ServiceUnavailableError, match=r"does not answer as a Prometheus.*is it running"):
        page("http://127.0.0.1:9", minutes=5, chosen=_ALL)


@pytest.mark.skipif(_CHROMIUM is None, reason="chromium is missing; apt-get install --no-install-recommends chromium")
def test_a_browser_draws_every_panel(prometheus: str, tmp_path: Path) -> None:
    out = tmp_path / "dashboards.html"
    out.write_text(page(prometheus, minutes=5, chosen=_ALL), encoding="utf-8")
    dom = _browse(out, "--dump-dom")
    panels = re.findall(r'<article class="panel (\w+)".*?</article>', dom, flags=re.S)
    assert len(panels) == _NUM_PANELS
    assert dom.count("<polyline") > 20
    assert dom.count("no data</p>") <= len(EMPTY_ON_CPUS)
    drawn = dict(re.findall(r'<article class="panel [^>]*?data-title="([^"]+)"(.*?)</article>', dom, flags=re.S))
    assert "team/live projector-warmup-2" in _legend(drawn["Loss"])
    assert {"team/live counting", "team/live preference_text"} <= set(_legend(drawn["Completions judged"]))
    # Every second completion gets no reward: the chart reaches over both its thresholds, orange and red.
    assert re.findall(r'class="threshold" stroke="([^"]+)"', drawn["Rewards that are null"]) == ["#e8710a", "#d64545"]
    picture = tmp_path / "page.png"
    _browse(out, f"--screenshot={picture}", "--window-size=1400,2400")
    from PIL import Image

    with Image.open(picture) as image:
        assert image.size == (1400, 2400)
        colors = image.convert("RGB").resize((350, 600)).getcolors(maxcolors=350 * 600)
    # A page that was not drawn has one colour.
    assert colors is not None
    assert len(colors) > 100


def _legend(panel: str) -> list[str]:
    return re.findall(r"<span>([^<]+)</span>", panel.partition('class="legend"')[2])


def _browse(file: Path, *arguments: str) -> str:
    assert _CHROMIUM is not None
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={file.parent / 'profile'}",
    ]
    done = subprocess.run(
        [_CHROMIUM, *flags, *arguments, file.as_uri()], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
