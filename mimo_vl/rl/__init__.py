"""Mixed on-policy RL (MORL) and the curation of its data.

curation.py       pass rates decide which prompts stay; preference.py: answers are ranked into pairs
advantage.py      what an answer of a group is worth; losses/: how that becomes a gradient
task_mixture.py   which prompts come next; rollout.py collects a batch of valid groups, rollout_state.py lasts
prompts.py        prompts by name: encoded for engines, as requests for the reward service
policy_batch.py   groups -> packed rows; policy_trainer.py: one update
weight_sync.py    weight versions never mix or skip
driver.py         the loop over steps; checkpoint.py: what it takes to go on after a crash
node_metrics.py   how busy the nodes are that the driver is not on
actors.py         the Ray shells: rollout workers, the step exchange, the Ray Train worker
"""
