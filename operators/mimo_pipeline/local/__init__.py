"""One machine as a world: the same Plan applied to local processes, with all state in the run folder.

settings.py       the environment that children inherit
state.py          files of the run folder; pipeline.json; who controls the run
children.py       records of started launchers, and which of their processes live
backend.py        StageBackend over processes
observe.py        attempts and key index -> Observed
begin.py          new run, going on, or refusing
runner.py         the loop
tracking_server.py   the MLflow server process
memory.py         proportional set size of the whole process tree
display.py        progress on a terminal or as lines
summary.py        summary.json and the end tables
"""
