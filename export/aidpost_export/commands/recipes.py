"""`aidpost export recipes`: list the recipes, print or copy one, or draw images to try it on."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name", required=False)
@click.option("--copy", type=click.Path(path_type=Path), help="Copy the recipe into this new folder, to be edited.")
@click.option("--generate", type=click.Path(path_type=Path), help="Draw synthetic images for it into this new folder.")
@click.option("--count", type=click.IntRange(20, 100_000), default=300, show_default=True, help="Images to draw.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the drawing.")
def recipes(name: str | None, copy: Path | None, generate: Path | None, count: int, seed: int) -> None:
    """List the recipes that come with the program, or print the one called NAME."""
    from aidpost_export.recipe import load_recipe, recipe_folders

    if name is None:
        if copy or generate:
            raise click.UsageError("Say which recipe: aidpost export recipes NAME …")
        for folder in recipe_folders():
            recipe = load_recipe(folder.name).recipe
            click.echo(f"{recipe.name:<22}{recipe.task:<12}{recipe.title['en']}")
        return
    source = load_recipe(name)
    if copy:
        _require_new(copy)
        copy.mkdir(parents=True)
        (copy / "recipe.toml").write_text(source.text, encoding="utf-8")
        (copy / "CARD.md").write_text(source.card, encoding="utf-8")
    if generate:
        from aidpost_export.phantoms.collection import write_collection
        from aidpost_export.progress import ConsoleReporter

        _require_new(generate)
        write_collection(source.recipe, generate, count, seed, ConsoleReporter())
    if not (copy or generate):
        click.echo(source.text, nl=False)


def _require_new(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is there already; name a new folder.")
