"""Moments of a training that mean the same for every run, found on its training loss."""

import polars as pl

MOMENTS = {"plateau": "on the plateau", "half": "at half the loss", "end": "at the end"}


def at_moments(rows: pl.DataFrame, run: list[str]) -> pl.DataFrame:
    """The rows of each run at its moments, named in a column `moment`; runs that have not come to one are left out.

    `plateau`: the last trace point with 0.9 of the initial loss left; `half`: the first with at most half of it;
    `end`: the last. `rows` has `step`, `train_loss` and the columns that name a run.
    """
    losses = rows.select(*run, "step", "train_loss").unique().sort("step")
    left = losses.with_columns(left=pl.col("train_loss") / pl.col("train_loss").first().over(run))
    steps = {
        "plateau": left.filter(pl.col("left") >= 0.9).group_by(run).agg(pl.col("step").max()),
        "half": left.filter(pl.col("left") <= 0.5).group_by(run).agg(pl.col("step").min()),
        "end": left.group_by(run).agg(pl.col("step").max()),
    }
    found = [rows.join(steps[name], on=[*run, "step"]).with_columns(moment=pl.lit(name)) for name in MOMENTS]
    return pl.concat(found)
