"""From raw sources to packed rows.

record.py step.py    what flows, and what a step is: a generator whose drops carry a reason
sources.py split.py  the real things behind the tiny data, and which of them are held out
synthesis/           one generator per kind of data; catalogue.py lists them
custom/              a user's own data beside the synthetic
filters/             one judge per file
pipelines/           recipes: which generators, filters and sizes make a dataset; base.py serves the `base` stage
executors/           where shard tasks run
writers/ readers/    tar shards with a memory-mapped index
packing.py mixture.py plan.py    which samples enter which row of which step
"""
