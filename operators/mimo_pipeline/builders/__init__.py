"""Pure builders: from one planned attempt to the object that runs it.

process.py         one machine: argv and environment of the launcher
leaf.py            a cluster: which object runs this stage
    job.py pytorchjob.py trainjob.py rayjob.py        the objects
    ray_pods.py ray_hooks.py    pods of a Ray cluster, and how they end
    pod.py container.py volumes.py pod_settings.py metadata.py    what all share
config_map.py      the composed configuration for all of them
rendered.py        everything that a pipeline would create
cluster_facts.py   what all attempts of a pipeline share
quantity.py        Kubernetes quantities as numbers
"""
