"""The MimoPipeline controller.

api.py           what a user writes (spec) and what the controller answers (status)
stage_graph.py   which stages there are and what each needs
reconcile.py     the whole logic: (spec, status, observed, now) -> Plan; pure
    retry.py transitions.py outcomes.py gates.py image_pins.py schedule.py keys.py conditions.py draft.py    its steps
plan.py          observations in, Plan out
backend.py       what a world must offer: render, apply, observe, delete
builders/        pure builders of what a backend creates
local/           one machine: processes and a state folder
kubernetes/      a cluster
cluster_observation.py   job, pods and store of one attempt -> StageObservation; pure
    cluster_leaf.py cluster_pods.py pod_history.py    what a job's status and a pod say
cluster_settings.py      what an operator is told about its cluster
key_index.py     outputs of earlier work by stage key
operator_metrics.py      what a controller shows to Prometheus: itself
    pipeline_metrics.py last_values.py    its pipelines, and what their ended stages left
code_digest.py   version of the code that stages run
naming.py        every name, label and environment variable
"""
