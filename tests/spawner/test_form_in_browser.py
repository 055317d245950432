"""The form in a browser: what does not go together can't be chosen."""

from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from spawner.quota.policy import Kind, Window
from tests.spawner.test_form import rule, shown, standing

SCRIPT = Path(__file__).parents[2] / "spawner" / "static" / "form.js"


def choose(driver, name: str, value: str) -> None:
    Select(driver.find_element(By.ID, name)).select_by_value(value)


def offered(driver, name: str) -> list[str]:
    return [each.get_attribute("value") for each in Select(driver.find_element(By.ID, name)).options if each.is_enabled()]


def test_gpus_and_hours_are_offered_as_pairs_that_the_quota_leaves(chromium, tmp_path):
    form = shown(standings=standing(rule(Kind.GPU_HOURS, 4, window=Window.DAY)), remembered={"gpus": 1, "hours": 4.0})
    page = tmp_path / "form.html"
    page.write_text(f'<meta charset="utf-8"><form id="spawn_form">{form}</form><script>{SCRIPT.read_text()}</script>')
    chromium.get(page.as_uri())
    assert offered(chromium, "gpus") == ["1", "2", "4", "0"]
    assert offered(chromium, "hours") == ["1", "2", "4"]

    choose(chromium, "gpus", "2")
    assert offered(chromium, "hours") == ["1", "2"]
    assert chromium.find_element(By.ID, "hours").get_attribute("value") == "1"

    choose(chromium, "gpus", "0")
    assert offered(chromium, "hours") == ["1", "2", "4", "8"]
