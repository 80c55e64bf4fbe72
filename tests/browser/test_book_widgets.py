"""Each widget in its chapter: the picture and the words beside it change under a slider, a key and a click."""

import json

import pytest
from playwright.sync_api import Locator

PICTURE = """widget => JSON.stringify([
  [...widget.querySelectorAll("canvas")].map((canvas) => canvas.toDataURL()),
  [...widget.querySelectorAll("path")].map((path) => path.getAttribute("d")),
  [...widget.querySelectorAll("image")].map((image) => image.getAttribute("href")),
  [...widget.querySelectorAll("li")].map((item) => item.textContent),
])"""
WORDS = """widget => [...widget.querySelectorAll("[aria-live=polite], .explorer-legend")]
  .map((text) => text.ariaLabel ?? text.textContent).join(" | ")"""


def slide(name: str, key: str):
    return lambda widget: widget.get_by_role("slider", name=name).press(key)


def press(role: str, name: str, *keys: str):
    return lambda widget: [widget.get_by_role(role, name=name).first.press(key) for key in keys]


def click(selector: str):
    return lambda widget: widget.locator(selector).first.click()


def push(name: str):
    return lambda widget: widget.get_by_role("button", name=name).first.click()


ACTIONS = {
    ("01_complexity", "Complexity leaderboard"): {
        "key": press("button", ", place 2 of 6", "ArrowDown"),
        "click": push(": less complex"),
        "click on another draw": push("New six"),
    },
    ("02_positive_pair_bias", "Crop pairs"): {
        "slider": slide("Area of a crop", "Home"),
        "key": press("button", "query crop", "ArrowRight"),
        "click": click(".crops-photo"),
    },
    ("03_shifted_patchify", "Shifted patchify explorer"): {
        "slider": slide("Largest shift", "End"),
        "other slider": slide("Patch size", "Home"),
        "key": press("application", "arrow keys", "ArrowRight"),
        "click": push("New draw"),
        "click on a patch": click(".explorer-picture"),
    },
    ("04_patchwise_infonce", "InfoNCE on a circle"): {
        "click": push("Step"),
        "other click": push("Reset"),
    },
    ("06_model", "One training step"): {
        "click": push("Next"),
        "key": press("group", "Station", "End"),
    },
    ("04_patchwise_infonce", "Similarity explorer"): {
        "choice": lambda widget: widget.get_by_label("Softmax probabilities").check(),  # colours that know the temperature
        "slider": slide("Temperature", "End"),
        "key": press("application", "Query view", "ArrowDown"),
        "click on a patch": click(".similarity-query .explorer-picture"),
    },
    ("05_masked_entropy", "Masked entropy explorer"): {
        "slider": slide("Mask ratio", "ArrowLeft"),
        "other slider": slide("Patch size", "End"),
        "key": press("application", "arrow keys", "ArrowRight"),
        "click": push("New draw"),
        "click on a patch": click(".explorer-picture"),
    },
    ("07_pretraining", "History of a pretraining"): {
        "slider": slide("Passes", "ArrowRight"),
        "other slider": slide("Passes", "End"),
        "click on a plot": click(".history-plot"),
    },
    ("09_content_invariance", "Map explorer"): {
        "key": press("application", "Map of", "ArrowRight"),
        "click on a class": push("Art: "),
        "click": push("Select all"),
    },
    ("14_token_self_similarity", "Token self-similarity explorer"): {
        "slider": slide("Block", "End"),
        "key": press("application", "arrow keys", "ArrowRight"),
        "click on a patch": click(".explorer-picture"),
        "list": lambda widget: widget.locator("select[name=channel]").select_option("mean"),
    },
}


def shown(widget: Locator) -> tuple[str, str]:
    return widget.evaluate(PICTURE), widget.evaluate(WORDS)


@pytest.mark.parametrize(("chapter", "name"), ACTIONS)
def test_picture_and_words_change_under_slider_key_and_click(visit, book, chapter, name):
    visit.page.goto(f"{book}/book/{chapter}.html")
    visit.draw_widgets()
    widget = visit.page.get_by_role("group", name=name).first
    widget.wait_for()
    for what, act in ACTIONS[chapter, name].items():
        picture, words = shown(widget)
        act(widget)
        after = shown(widget)
        assert after[0] != picture, f"the {what} leaves the picture as it is"
        assert after[1] != words, f"the {what} leaves the words as they are: {json.dumps(words)}"
    visit.assert_clean()
