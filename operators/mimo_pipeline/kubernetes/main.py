"""The operator's process: stand by for the lease, check the store, then watch and work until told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import start_http_server

from mimo_vl.errors import EXIT_DONE, EXIT_RETRY, MimoError
from mimo_vl.observability.logging import configure_logging
from mimo_vl.storage.store import open_store
from operators.mimo_pipeline.cluster_settings import ClusterSettings, load_settings
from operators.mimo_pipeline.code_digest import project_root
from operators.mimo_pipeline.kubernetes.cluster import Api, ApiError, connect
from operators.mimo_pipeline.kubernetes.compose_runtime import storage_config
from operators.mimo_pipeline.kubernetes.controller import Controller
from operators.mimo_pipeline.kubernetes.handlers import watch, watched
from operators.mimo_pipeline.kubernetes.health import Health
from operators.mimo_pipeline.kubernetes.lease import CONNECT_LIMIT_S, READ_LIMIT_S, RETRY_S, LeaseHolder
from operators.mimo_pipeline.kubernetes.lease_keeper import LeaseKeeper
from operators.mimo_pipeline.kubernetes.resources import PIPELINES, Resource
from operators.mimo_pipeline.kubernetes.settings import OperatorEnvironment, read_environment
from operators.mimo_pipeline.kubernetes.store_check import wait_for_store
from operators.mimo_pipeline.kubernetes.worker import Key, Workers, resync
from operators.mimo_pipeline.operator_metrics import OperatorMetrics

logger = logging.getLogger(__name__)

_NUM_WORKERS = 4
# Workers, resync, discovery, and room for what hangs until its time limit.
_NUM_THREADS = _NUM_WORKERS + 8
_DISCOVERY_S = 20.0
_API_RETRY_S = 5.0
_WATCH_END_S = 10.0
_QUIET = ("kopf", "kubernetes", "aiohttp.access")


@dataclass(kw_only=True)
class Operator:
    api: Api
    lease_api: Api
    """With limits of the lease (lease.py) for its requests."""
    settings: ClusterSettings
    environment: OperatorEnvironment
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.health = Health()
        self.metrics = OperatorMetrics(gpu_hour_price=self.settings.gpu_hour_price)
        self.metrics.watch_age_from(self.health.event_age_s)
        self.lease = LeaseHolder(
            api=self.lease_api,
            namespace=self.environment.namespace,
            identity=self.environment.identity,
            duration_s=self.settings.lease_duration_s,
        )
        self.keeper = LeaseKeeper(self.lease)
        self.health.lease_age_s = self.lease.age_s
        self.health.lease_timeout_s = 2.0 * self.lease.duration_s
        self.controller = Controller(
            api=self.api,
            settings=self.settings,
            source_root=project_root(),
            instance=self.environment.identity,
            on_status_written=self.health.status_written,
            metrics=self.metrics,
        )
        self.workers = Workers(round=self.controller.round, metrics=self.metrics, num_workers=_NUM_WORKERS)

    @property
    def namespaces(self) -> tuple[str, ...]:
        return self.settings.pipeline_namespaces or (self.environment.namespace,)

    async def run(self) -> int:
        """Exit code. Losing the lease ends the process at once, without this returning."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop.set)
        await self._serve_health()
        start_http_server(self.environment.metrics_port, registry=self.metrics.registry)
        return await self.work_until_stopped()

    async def work_until_stopped(self) -> int:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_NUM_THREADS))
        stopped = asyncio.create_task(self.stop.wait())
        work = asyncio.create_task(self._work())
        await asyncio.wait({stopped, work}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        work.cancel()
        [result] = await asyncio.gather(work, return_exceptions=True)
        # Rounds that are under way end before another replica may begin; until then the lease is kept.
        await loop.shutdown_default_executor()
        self.keeper.stop()
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            return _explain(result)
        return EXIT_DONE

    async def _work(self) -> None:
        await self._become_leader()
        await wait_for_store(lambda: open_store(storage_config(self.settings.store)))
        async with asyncio.TaskGroup() as group:
            self.health.worker_beats_s = self.workers.beats_s
            group.create_task(self._watch())
            group.create_task(self.workers.run())
            group.create_task(resync(self.workers, self._all_keys, self.settings.resync_interval_s))

    async def _become_leader(self) -> None:
        logger.info("standing by identity=%s namespaces=%s", self.lease.identity, list(self.namespaces))
        while not await asyncio.to_thread(self.lease.try_once):
            await asyncio.sleep(RETRY_S)
        self.keeper.start()
        self.metrics.is_leader.set(1)
        logger.info("holding the lease identity=%s", self.lease.identity)

    async def _watch(self) -> None:
        """Watches what is installed; starts anew when a kind of job is installed or removed."""
        while True:
            served = await self._served()
            stop = threading.Event()
            ended = asyncio.get_running_loop().create_future()
            thread = threading.Thread(
                target=self._watch_in_thread, args=(served, stop, ended), name="watch", daemon=True
            )
            thread.start()
            self.health.watch_restarted()
            try:
                while not ended.done() and await self._served() == served:
                    await asyncio.wait({ended}, timeout=_DISCOVERY_S)
                was_told = not ended.done()
            finally:
                stop.set()
                # Its thread calls back into this loop, which must not be closed before.
                await asyncio.wait({ended}, timeout=_WATCH_END_S)
            if not was_told:
                raise MimoError("the watch ended by itself")
            logger.info("watching anew: the kinds of jobs changed")

    async def _served(self) -> frozenset[Resource]:
        """Kinds of jobs that are installed; the first answer is waited for."""
        while True:
            try:
                return await asyncio.to_thread(self.controller.discovery.served)
            except ApiError as error:
                logger.warning("waiting for the API: %s", error)
                await asyncio.sleep(_API_RETRY_S)

    def _watch_in_thread(self, served: frozenset[Resource], stop: threading.Event, ended: asyncio.Future[None]) -> None:
        loop = ended.get_loop()

        def on_event(namespace: str, name: str, is_pipeline: bool) -> None:
            loop.call_soon_threadsafe(self._noticed, namespace, name, is_pipeline)

        try:
            watch(
                watched(served),
                self.namespaces,
                on_event,
                self.controller.history,
                stop,
            )
        finally:
            loop.call_soon_threadsafe(ended.set_result, None)

    def _noticed(self, namespace: str, name: str, is_pipeline: bool) -> None:
        if is_pipeline:
            self.health.event_seen(namespace, name)
        self.workers.add(namespace, name)

    def _all_keys(self) -> Iterator[Key]:
        for namespace in self.namespaces:
            for item in self.api.list(PIPELINES, namespace):
                yield Key(namespace, item["metadata"]["name"])

    async def _serve_health(self) -> None:
        application = web.Application()
        application.router.add_get("/healthz", self._answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=self.environment.liveness_port).start()

    async def _answer(self, request: web.Request) -> web.Response:  # noqa: ARG002 - signature of handlers
        problems = self.health.problems()
        return web.Response(status=500 if problems else 200, text="\n".join(problems) or "ok")


def _explain(error: BaseException) -> int:
    if isinstance(error, BaseExceptionGroup):
        return max(_explain(inner) for inner in error.exceptions)
    if isinstance(error, MimoError):
        logger.error("%s", error)
        return error.exit_code
    logger.error("the operator failed", exc_info=error)
    return EXIT_RETRY


def main() -> int:
    configure_logging()
    try:
        environment = read_environment()
        configure_logging(json_lines=environment.json_logs)
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)
        settings = load_settings(environment.settings_path)
        return asyncio.run(_run(settings, environment))
    except MimoError as error:
        logger.error("%s", error)
        return error.exit_code


async def _run(settings: ClusterSettings, environment: OperatorEnvironment) -> int:
    api = connect()
    lease_api = api.with_limits(connect_s=CONNECT_LIMIT_S, read_s=READ_LIMIT_S)
    return await Operator(api=api, lease_api=lease_api, settings=settings, environment=environment).run()
