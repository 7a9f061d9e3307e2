"""Training: four pre-training stages, two reward models and the base parts of the small profiles, on one loop.

stages.py          the report's table of stages; both readings of "1e-4, 1e-5"
plan_morl.py       `mimo plan` of the RL stage
plan_estimate.py   `mimo plan`: GPUs, memory, steps, GPU-hours, without torch
flops.py           operations per token and patch, parameter counts, without torch
schedule.py        learning rate as a function of the step
world.py           rank, device (settings.py: what the environment says), collectives on plain values
engine.py          DeepSpeed; its only importer
train_step.py      one optimizer step: normalised loss, refusal of non-finite losses
trainer.py         the loop; callbacks/ what happens beside the updates
checkpoint.py      what is saved, how a run continues; random_state.py
build.py           configuration -> engine and loop
pretrain.py        a pre-training stage: row_source.py, heldout.py, step_modules.py
reward_model.py    a reward model: pair_source.py, preference_loss.py, pair_accuracy.py
base_stage.py      the `base` stage: base_vision.py, base_language.py or base_pretrained.py
run_context.py     what a stage needs of its process; tokenizer_files.py
"""
