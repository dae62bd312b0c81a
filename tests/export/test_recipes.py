"""Every recipe loads, speaks six languages, says what it was never run on, and reads images of its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from aidpost_device.bundle.manifest import AgeRange, ImageInput, Window, Zone
from aidpost_export.commands.recipes import recipes as command
from aidpost_export.dataset import build_cases, is_synthetic, read_dataset
from aidpost_export.errors import RecipeError
from aidpost_export.index import read_index
from aidpost_export.labels import findings_of
from aidpost_export.phantoms.collection import write_collection
from aidpost_export.progress import SilentReporter
from aidpost_export.recipe import (
    Augmentation,
    Recipe,
    RecipeFinding,
    RecipeSource,
    Split,
    Training,
    load_recipe,
    recipe_folders,
)

ELEVEN = {
    "cxr-pneumonia",
    "cxr-tuberculosis",
    "cxr-covid",
    "cxr-findings",
    "smear-malaria",
    "fundus-retinopathy",
    "ultrasound-breast",
    "mri-brain-tumour",
    "mammogram-mass",
    "radiograph-fracture",
    "skin-lesion",
}
LANGUAGES = {"en", "fr", "pt", "es", "sw", "vi"}
WITH_REAL_DATA = {"cxr-pneumonia": ("cxr_kermany", "cxr_nih"), "smear-malaria": ("malaria_cells",)}
NEVER = "This recipe was never run on real images here, only end to end on generated ones."
GUIDE = Path(__file__).parents[2] / "docs" / "recipes.md"


@pytest.fixture(params=sorted(ELEVEN))
def source(request: pytest.FixtureRequest) -> RecipeSource:
    return load_recipe(request.param)


def test_the_folders_are_the_eleven_and_named_as_their_recipes() -> None:
    assert {folder.name for folder in recipe_folders()} == ELEVEN
    assert {load_recipe(name).recipe.name for name in ELEVEN} == ELEVEN


def test_titles_and_findings_have_a_name_in_every_language(source: RecipeSource) -> None:
    for names in (source.recipe.title, *(finding.names for finding in source.recipe.finding)):
        assert set(names) == LANGUAGES
        assert all(text == text.strip() and text for text in names.values())


def test_display_names_of_a_recipe_tell_its_findings_apart(source: RecipeSource) -> None:
    for language in LANGUAGES:
        names = [finding.names[language] for finding in source.recipe.finding]
        assert len(set(names)) == len(names)


def test_the_card_says_what_it_is_not_and_what_it_was_never_run_on(source: RecipeSource) -> None:
    headings = re.findall(r"^## (.*)$", source.card, re.MULTILINE)
    assert headings == [
        "Intended use",
        "Not a diagnosis",
        "People",
        "Data needed",
        "Known limits",
        "Evidence",
        "Licence",
    ]
    assert (NEVER in source.card) == (source.recipe.name not in WITH_REAL_DATA)


def test_the_card_names_every_label_that_people_must_write(source: RecipeSource) -> None:
    if source.recipe.name != "cxr-findings":  # whose card refers to ChestX-ray14
        for label in (*source.recipe.labels, *source.recipe.negative):
            assert f"`{label}`" in source.card


def test_chest_recipes_refuse_lateral_films_and_never_mirror_the_heart(source: RecipeSource) -> None:
    if source.recipe.name.startswith("cxr-"):
        assert source.recipe.input.views == ("PA", "AP")
        assert source.recipe.augmentation.flip == "none"
        zones = {zone.name: zone for zone in source.recipe.zones}
        assert list(zones) == [f"{side} {place} zone" for place in PLACES for side in ("right", "left")]
        for place in PLACES:
            right, left = zones[f"right {place} zone"], zones[f"left {place} zone"]
            assert right.right <= 0.5 <= left.left  # the person's right is on the picture's left
            assert (right.top, right.bottom) == (left.top, left.bottom)
            assert (right.left, right.right) == pytest.approx((1 - left.right, 1 - left.left))
        assert zones["right upper zone"].bottom <= zones["right middle zone"].top < zones["right lower zone"].top


PLACES = ("upper", "middle", "lower")
"""Thirds of a lung, from above."""


@pytest.mark.parametrize(
    ("name", "folder"), [(name, folder) for name, all_ in WITH_REAL_DATA.items() for folder in all_]
)
def test_labels_are_those_of_the_real_index(name: str, folder: str, data_folder: Path) -> None:
    recipe = load_recipe(name).recipe
    written = {row.label for row in read_index(data_folder / folder, recipe).rows}
    assert written == {*recipe.labels, *recipe.negative}


def test_the_fourteen_findings_are_those_of_the_real_index(data_folder: Path) -> None:
    recipe = load_recipe("cxr-findings").recipe
    written = [row.label for row in read_index(data_folder / "cxr_nih", recipe).rows]
    named = frozenset().union(*(findings_of(label, recipe) for label in written))
    assert named <= set(recipe.labels)
    assert len(named) >= 13
    assert len(recipe.labels) == 14


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('task = "binary"', 'task = "binary"\ncolour = 3', "unknown field `colour`"),
        ("prevalence = 0.03", "prevalence = 3", "prevalence"),
        ("size = 224", "size = 20", "size"),
        ('negative = ["normal", "other"]', "", "a binary task has one finding and a negative label"),
        ('negative = ["normal", "other"]', 'negative = ["tuberculosis"]', "both a finding and negative"),
        ('label = "tuberculosis"', 'label = "tuberculosis"\nrefers = false', "no finding refers"),
        ('en = "Tuberculosis"\n', "", "an English name is missing"),
        ('task = "binary"', 'task = "multiclass"', "a multiclass task has several findings"),
        ("[input]", "[split]\ntuning = 0.3\ncalibration = 0.4\n[input]", "take too much of the rows"),
        ("[title]", "[title", "cannot be accepted"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused_by_its_key(old: str, new: str, words: str, tmp_path: Path) -> None:
    source = load_recipe("cxr-tuberculosis")
    assert old in source.text
    (tmp_path / "recipe.toml").write_text(source.text.replace(old, new, 1), encoding="utf-8")
    (tmp_path / "CARD.md").write_text(source.card, encoding="utf-8")
    with pytest.raises(RecipeError, match=re.escape(words)) as error:
        load_recipe(str(tmp_path))
    assert "docs/recipes.md" in error.value.hint


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("prevalence = 0.05", "#", "several findings of a multiclass task refer, so each of them needs a prevalence"),
        ('label = "normal"', 'label = "normal"\nprevalence = 0.8', "refers nobody states a prevalence"),
        ("prevalence = 0.05", "prevalence = 0.95", "add up to more than 1"),
    ],
)
def test_prevalences_that_cannot_be_meant_are_refused(old: str, new: str, words: str, tmp_path: Path) -> None:
    source = load_recipe("cxr-covid")
    assert old in source.text
    (tmp_path / "recipe.toml").write_text(source.text.replace(old, new, 1), encoding="utf-8")
    (tmp_path / "CARD.md").write_text(source.card, encoding="utf-8")
    with pytest.raises(RecipeError, match=re.escape(words)):
        load_recipe(str(tmp_path))


def test_a_findings_own_prevalence_comes_before_the_recipes() -> None:
    covid, breast, chest = (load_recipe(name).recipe for name in ("cxr-covid", "ultrasound-breast", "cxr-findings"))
    assert [covid.prevalence_of(k) for k in range(3)] == [0.1, 0.05, None]
    assert [breast.prevalence_of(k) for k in range(3)] == [0.1, None, None]
    assert chest.prevalence_of(0) == chest.prevalence, "a label that refers nobody is still a finding of its own"
    assert "prevalence" not in msgspec.structs.asdict(covid.finding[0].for_boxes())


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("cxr-everything")
    assert "cxr-pneumonia" in error.value.hint


@pytest.mark.parametrize(
    ("recipe", "label", "words"),
    [
        ("cxr-findings", "Mass|No Finding", "both negative and a finding"),
        ("cxr-findings", "Mass|", "'' is none of the recipe's"),
        ("cxr-covid", "COVID-19|normal", "none of the recipe's"),
    ],
)
def test_labels_that_contradict_themselves_are_refused(recipe: str, label: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        findings_of(label, load_recipe(recipe).recipe)


def test_labels_of_a_multilabel_image_are_a_set() -> None:
    recipe = load_recipe("cxr-findings").recipe
    assert findings_of("Mass | Nodule", recipe) == {"Mass", "Nodule"}
    assert findings_of("No Finding", recipe) == frozenset()


# ---- the guide ------------------------------------------------------------------------------------------------------


def keys() -> Iterator[str]:
    for struct in (Recipe, ImageInput, Window, RecipeFinding, AgeRange, Augmentation, Training, Split, Zone):
        yield from (field.encode_name for field in msgspec.structs.fields(struct))


def test_the_guide_explains_every_key_and_names_every_recipe() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    sections = set(re.findall(r"\[+([a-z.]+)\]+", text)) | {"input", "finding"}
    named = {word for span in re.findall(r"`([^`]+)`", text) for word in re.findall(r"[a-z_0-9]+", span)}
    assert {key for key in keys() if key not in named | sections} == set()
    assert all(f"`{name}`" in text for name in ELEVEN)


# ---- generated images -----------------------------------------------------------------------------------------------


def test_generated_images_of_its_kind_pass_every_check(source: RecipeSource, tmp_path: Path) -> None:
    recipe = source.recipe
    count = 140 if recipe.task == "multilabel" else 48
    write_collection(recipe, tmp_path, count, seed=1, reporter=SilentReporter())
    scans = read_dataset(tmp_path, recipe, SilentReporter())
    assert scans.refused == {}
    cases, issues = build_cases(tmp_path, recipe, seed=0, scans=scans)
    assert issues == []
    assert len(cases) == count
    assert is_synthetic(read_index(tmp_path, recipe))
    assert scans.pixels.std() > 10


def test_generated_images_repeat_by_seed(tmp_path: Path) -> None:
    recipe = load_recipe("smear-malaria").recipe
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_collection(recipe, tmp_path / name, 20, seed=seed, reporter=SilentReporter())
    first, again, other = (
        [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.*"))] for name in ("a", "b", "c")
    )
    assert first == again
    assert first != other


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_lists_prints_copies_and_draws(tmp_path: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(command, []).output
    assert all(name in listed for name in ELEVEN)
    assert runner.invoke(command, ["skin-lesion"]).output == load_recipe("skin-lesion").text
    done = runner.invoke(
        command,
        ["skin-lesion", "--copy", str(tmp_path / "mine"), "--generate", str(tmp_path / "images"), "--count", "20"],
    )
    assert done.exit_code == 0, done.output
    assert load_recipe(str(tmp_path / "mine")).recipe.name == "skin-lesion"
    assert len(list((tmp_path / "images").rglob("*.png"))) == 20


def test_the_command_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("notes")
    done = CliRunner().invoke(command, ["skin-lesion", "--copy", str(tmp_path)])
    assert done.exit_code == 2
    assert "is there already" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
