"""The runtime that TrainJobs refer to: made where Trainer v2 is, and of the names that the operator patches."""

from __future__ import annotations

from operators.mimo_pipeline.builders import trainjob
from tests.charts.helm import Manifest, of_kind, render

_KIND = "ClusterTrainingRuntime"
_KNOWN = ("kubeflow.org/v1/PyTorchJob", "ray.io/v1/RayJob", f"trainer.kubeflow.org/v1alpha1/{_KIND}")


def test_a_cluster_without_trainer_v2_gets_none() -> None:
    assert of_kind(render(), _KIND) == []


def test_only_one_release_of_a_cluster_makes_it() -> None:
    assert of_kind(render("default", "workloads.trainingRuntime=false", api_versions=_KNOWN), _KIND) == []


def test_its_names_are_those_that_a_train_job_patches() -> None:
    runtime = _runtime()
    assert runtime["metadata"]["name"] == trainjob._RUNTIME
    [job] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    [container] = job["template"]["spec"]["template"]["spec"]["containers"]
    assert job["name"] == container["name"] == trainjob._NODE


def test_it_says_what_a_train_job_may_not() -> None:
    priority = 'workloads.pods={"pytorch":{"priorityClassName":"training"}}'
    [job] = _runtime(priority)["spec"]["template"]["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], job["template"]["spec"]["backoffLimit"]) == ("Never", 0)
    assert (pod["automountServiceAccountToken"], pod["priorityClassName"]) == (False, "training")


def _runtime(*settings: str) -> Manifest:
    [found] = of_kind(render("default", *settings, api_versions=_KNOWN), _KIND)
    return found
