"""Controllers: they decide when stages run, never what a stage computes."""
