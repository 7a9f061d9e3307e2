"""The cluster as a world: handlers observe, call reconcile and apply the Plan through a StageBackend."""
