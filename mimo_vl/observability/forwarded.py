"""How does a process show the metrics of a server that it started? It asks at each scrape and adds its own labels.

One port of a stage then shows all of it, also where the server listens on loopback.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

# Far below the time that Prometheus gives to a scrape (10 s).
_TIMEOUT_S = 2.0


class ForwardedMetrics(Collector):
    """Of the server at `url`; while it does not answer, the process's own metrics are shown alone."""

    def __init__(self, url: str, labels: Mapping[str, str]) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url: got {url!r}, wanted http://host:port/metrics")
        self._url = url
        self._labels = dict(labels)

    def describe(self) -> list[Metric]:
        """Empty: the server is not asked when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            with urlopen(self._url, timeout=_TIMEOUT_S) as answer:
                text = answer.read().decode()
        except (URLError, OSError) as error:
            logger.debug("no metrics from url=%s: %s", self._url, error)
            return
        for family in text_string_to_metric_families(text):
            family.samples = [s._replace(labels={**s.labels, **self._labels}) for s in family.samples]
            yield family
