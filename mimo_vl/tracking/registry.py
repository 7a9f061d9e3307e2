"""How a model version gets into the registry: created once per digest, with its card, then the alias moves to it."""

from __future__ import annotations

from mimo_vl.errors import InputError
from mimo_vl.tracking.journal import JournalEntry
from mimo_vl.tracking.rest import TrackingRejectedError
from mimo_vl.tracking.runs import AttemptRun
from mimo_vl.tracking.sources import model_source

TAG_DIGEST = "mimo.digest"


def send_model(run: AttemptRun, entry: JournalEntry) -> None:
    name, digest = entry.name, entry.values["digest"]
    try:
        source = model_source(run.store, entry.values["uri"])
    except InputError as error:
        raise TrackingRejectedError(str(error), "INVALID_SOURCE") from error
    try:
        run.rest.post("registered-models/create", {"name": name})
    except TrackingRejectedError as error:
        if error.code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = _find(run, name, digest)
    if not version:
        tags = [{"key": k, "value": v} for k, v in sorted({**entry.tags, TAG_DIGEST: digest}.items())]
        body = {"name": name, "source": source, "run_id": run.id_of(entry.target), "tags": tags}
        body["description"] = entry.values.get("card", "")
        version = str(run.rest.post("model-versions/create", body)["model_version"]["version"])
    run.rest.post("registered-models/alias", {"name": name, "alias": entry.values["alias"], "version": version})


def _find(run: AttemptRun, name: str, digest: str) -> str:
    condition = f"name='{name}' and tags.`{TAG_DIGEST}`='{digest}'"
    found = run.rest.get("model-versions/search", filter=condition, max_results="1").get("model_versions", [])
    return str(found[0]["version"]) if found else ""
