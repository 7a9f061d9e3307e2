"""Entry points, one file per process: compose configuration, build, run, exit code.

launch.py    the process of a stage: starts its ranks, maps their exit codes, leaves the exit record
node.py      which node of how many
runtime.py   what every rank runs in: run_stage(main)
"""
