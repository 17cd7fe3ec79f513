"""Two optimizers and a task for Rhobust, as a plug-in."""
