"""What is chosen of a table, in words: a command offers them without loading what makes one."""

from typing import Literal

Goal = Literal["maximize", "minimize"]
HeldEqual = Literal["equal_steps", "equal_gradient_evaluations", "equal_seconds"]
View = Literal[HeldEqual, "by_budget"]
SWEPT = ("lr", "rho")  # of runs of one's own, by default
ENDINGS = (".csv", ".parquet")  # of files of them
