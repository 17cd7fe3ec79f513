"""Commands that make the data of a task on this machine, from files that are there; nothing is downloaded."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmark.building.files import FONT, NAMES
from service.cli.output import stderr

app = typer.Typer(help="Make the data of a task on this machine, from files that are there.", no_args_is_help=True)


@app.command()
def emoji(
    encoder: Annotated[
        Path | None,
        typer.Option(metavar="WHEEL", help="Wheel of wordllama 0.4, or a folder with its content; else the package."),
    ] = None,
    font: Annotated[Path, typer.Option(help="Font with coloured pictures.")] = FONT,
    names: Annotated[Path, typer.Option(help="List of emoji with their names, as emoji-test.txt.")] = NAMES,
) -> None:
    """Make the data of `emoji-alignment`: features of the pictures and of the names of emoji."""
    from benchmark.building import build_emoji

    built = build_emoji(encoder, font=font, names=names)
    left_out = f"{built.n_toned:,} with a skin tone, {built.n_undrawn:,} that the font does not draw as one picture, "
    stderr.print(
        f"{built.n_emoji:,} emoji. Left out: {left_out}{built.n_repeated:,} with the picture of another.",
        highlight=False,
    )
    typer.echo(built.file)


@app.command()
def bad_minimum(
    width: Annotated[
        int, typer.Option(min=1, max=256, help="Channels of the first stage, as the task's `width`.")
    ] = 64,
    norm: Annotated[Literal["batch", "group"], typer.Option(help="Normalisation, as the task's `norm`.")] = "batch",
    copies: Annotated[
        int, typer.Option(min=1, max=100, help="Copies of each image, every one with a random label of its own.")
    ] = 1,
    zeroed: Annotated[
        float, typer.Option(min=0, max=0.99, metavar="SHARE", help="Share of the numbers of each copy that are zeroed.")
    ] = 0.1,
    max_epochs: Annotated[int, typer.Option(min=1, help="Most epochs, for random labels and for true ones.")] = 500,
) -> None:
    """Make the start `bad-minimum` of `cifar10-resnet18`: random labels are learned first, then the true ones.

    Random labels are those of copies of the images; an epoch of them takes as many times longer. It needs the images of
    CIFAR-10 in the folder of data, and for a network of full size an accelerator.
    """
    from benchmark.building import build_bad_minimum
    from benchmark.execution import device_for

    def say(words: str) -> None:
        stderr.print(words, highlight=False)

    built = build_bad_minimum(
        width=width,
        norm=norm,
        copies=copies,
        zeroed=zeroed,
        max_epochs=max_epochs,
        device=device_for(use_gpu=True),
        say=say,
    )
    say(f"Told right: {built.train_accuracy:.2%} of the training images, {built.test_accuracy:.2%} of the test images.")
    typer.echo(built.folder)
