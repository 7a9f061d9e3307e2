"""recipe.py: one dataset. curate.py: all datasets of the tiny profile. custom.py: those of a user's own data.

write.py: the run. base.py: food for `base`.
"""
