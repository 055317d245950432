"""How the notebook server is set up."""

from __future__ import annotations

import json
import re

import pytest
from ctlab.viewing.widget import STILL
from hypothesis import given
from hypothesis import strategies as st

from enclave.presets import Card
from enclave.server_config import early_environment, notice_style, settings
from tests.enclave.samples import TOKEN, welcome
from tests.enclave.test_notices import startup

HOME = "/home/rs-tanaka"
MADE = settings(welcome(), HOME, "placeholder")


def test_the_hub_s_token_goes_nowhere_near_the_server():
    assert TOKEN not in str(MADE)
    assert MADE.environment["JUPYTERHUB_API_TOKEN"] == "placeholder"


def test_only_the_hub_s_variables_are_taken_over_and_none_that_names_a_file():
    assert "PATH" not in MADE.environment
    assert not [name for name in MADE.environment if "SSL" in name]
    assert MADE.environment["JUPYTERHUB_CLIENT_ID"] == "jupyterhub-user-tanaka"


def test_the_hub_is_reached_by_the_socket():
    assert MADE.environment["JUPYTERHUB_API_URL"] == "http+unix://%2Frun%2Frenkei%2Fhub.sock/hub/api"
    assert MADE.environment["JUPYTERHUB_ACTIVITY_URL"].endswith("/hub/api/users/tanaka/activity")


def test_the_session_s_places():
    assert MADE.environment["RENKEI_MOUNT"] == "/home/rs-tanaka/cloud"
    assert MADE.environment["RENKEI_OWN"] == "/home/rs-tanaka/cloud/people/jrs0017"
    assert float(MADE.environment["RENKEI_DEADLINE"]) == welcome().deadline


@pytest.mark.parametrize(("tutorials", "opens"), [((Card("00_x.ipynb", "x"),), "/tutorials"), ((), "")], ids=["copied", "none"])
def test_the_lab_opens_where_the_tutorials_are_and_without_any_at_the_person_s_folder(tutorials, opens):
    # On a mount that is read only nothing is copied: the Lab would open with a folder that nobody finds.
    made = settings(welcome(), HOME, "placeholder", tutorials)
    assert made.environment["JUPYTERHUB_DEFAULT_URL"] == f"/lab/tree/people/jrs0017{opens}"


@pytest.mark.parametrize("kept", [True, False])
def test_whether_pictures_stay_in_notebooks_is_the_site_s_word_and_the_kernel_s_setting(kept):
    made = settings(welcome(still_pictures=kept), HOME, "placeholder")
    assert (startup.settings(made.environment)[STILL] == "none") != kept


@pytest.mark.parametrize(("language", "locale"), [("ja", {"locale": "ja_JP"}), ("en", None)])
def test_the_lab_speaks_the_person_s_language(language, locale):
    made = settings(welcome(language=language), HOME, "placeholder")
    found = [json.loads(text) for name, text in made.files.items() if "translation-extension" in name]
    assert found == ([locale] if locale else [])
    assert made.environment["LANGUAGE"] == language


def test_every_file_lies_in_the_home_in_memory():
    assert all(name.startswith(f"{HOME}/.") for name in MADE.files)


def test_every_cache_lies_there_too():
    made = early_environment(HOME, "/opt/renkei/env/bin/python", {})
    folders = [name for name in made if name.endswith(("_DIR", "DIR", "_HOME", "_PATH")) and name != "JUPYTER_PATH"]
    assert len(folders) > 10
    assert all(made[name].startswith(f"{HOME}/.") for name in folders)


def test_of_the_job_s_environment_only_what_belongs_inside():
    inherited = {
        "PYTHONPATH": "/opt/renkei/src",
        "CUDA_VISIBLE_DEVICES": "MIG-1",
        "SLURM_JOB_ID": "7",
        "SLURM_MEM_PER_NODE": "8192",
        "SLURM_MEM_PER_CPU": "x; y",
        "SSH_AUTH_SOCK": "/x",
        "LD_PRELOAD": "y",
    }
    made = early_environment(HOME, "/opt/renkei/env/bin/python", inherited)
    assert {name: made.get(name) for name in inherited} == {
        "PYTHONPATH": "/opt/renkei/src",
        "CUDA_VISIBLE_DEVICES": "MIG-1",
        "SLURM_JOB_ID": None,
        "SLURM_MEM_PER_NODE": "8192",
        "SLURM_MEM_PER_CPU": None,
        "SSH_AUTH_SOCK": None,
        "LD_PRELOAD": None,
    }


def test_nothing_is_kept_that_a_person_deleted_ran_or_trusted():
    traits = json.loads(MADE.files[f"{HOME}/.jupyter/jupyter_server_config.json"])
    assert traits["FileContentsManager"]["delete_to_trash"] is False
    assert traits["ServerApp"]["terminals_enabled"] is False
    assert json.loads(MADE.files[f"{HOME}/.ipython/profile_default/ipython_config.json"])["HistoryManager"] == {"enabled": False}


@given(st.text(min_size=1))
def test_a_notice_stands_in_the_lab_and_can_not_leave_its_string(notice):
    style = notice_style(notice)
    (content,) = re.findall(r'content: "([^"]*)";', style)

    assert "".join(chr(int(each, 16)) for each in re.findall(r"\\([0-9a-f]+) ", content)) == notice
    assert re.fullmatch(r"(\\[0-9a-f]+ )*", content)
    assert style.count("}") == 2


def test_without_a_notice_there_is_none():
    assert notice_style("") == ""
    assert MADE.files[f"{HOME}/.jupyter/custom/custom.css"] == ""


def page_config(made):
    return json.loads(made.files[f"{HOME}/.jupyter/labconfig/page_config.json"])


def test_the_page_says_which_tutorials_the_launcher_shows():
    made = settings(welcome(tutorials="チュートリアル"), HOME, "placeholder", (Card("00_x.ipynb", "ようこそ"),))
    assert json.loads(page_config(made)["renkeiTutorials"]) == {
        "section": "チュートリアル",
        "folder": "people/jrs0017/tutorials",
        "cards": [{"file": "00_x.ipynb", "title": "ようこそ"}],
    }


def test_without_tutorials_the_launcher_has_no_section():
    assert "renkeiTutorials" not in page_config(MADE)
