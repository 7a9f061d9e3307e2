"""How people reach a run in Kubeflow Pipelines."""

from __future__ import annotations


def run_link(ui: str, run_id: str) -> str:
    """Address of the run's page; its id where the address of the pages, `ui`, is not known; "" = there is no run."""
    return f"{ui.rstrip('/')}/#/runs/details/{run_id}" if ui and run_id else run_id
