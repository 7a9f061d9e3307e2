"""Configuration: frozen dataclasses are the schema, conf/*.yaml the values, compose.py the only user of Hydra.

fields.py        the dataclass decorator and `unhashed()` for fields that do not affect results
model.py processing.py data.py training.py rewards.py rl.py evaluation.py storage.py
    observability.py    one section each
pipeline.py      PipelineConfig: all sections; `stage_view` = what one stage depends on
compose.py       profile + overrides -> PipelineConfig
"""
