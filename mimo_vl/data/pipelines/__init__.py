"""recipe.py: one dataset. curate.py: all datasets of the tiny profile. write.py: the run. base.py: food for `base`."""
