"""The notebook server's way to files: whole saves, in order, and a server that goes on while the mount waits for the line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import time
import uuid
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from tornado.web import HTTPError

from enclave.contents import READERS, Contents, given_up
from enclave.drafts import ABANDONED_S, sweep, whole
from enclave.kernelstart import FOLDER, in_memory
from testbed.nearby import link_command, nearby
from tests.enclave.lab import OWN, Lab
from tests.somebody import another_person

AT_ONCE = 20.0
"""Seconds for an answer during a cut. A loop that waits for the mount would give none before the test ends the cut."""


def text(content: str) -> dict[str, str]:
    return {"type": "file", "format": "text", "content": content}


# A save


def test_a_save_that_fails_leaves_the_file_as_it_was_and_nothing_beside_it(tmp_path):
    path = tmp_path / "work.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), whole(path, "utf-8") as stream:
        stream.write(f"half{1 // 0}")

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_keeps_permissions_and_links(tmp_path):
    target, link = tmp_path / "shared.txt", tmp_path / "here.txt"
    target.write_text("before")
    target.chmod(0o640)
    link.symlink_to(target)
    with whole(link, "utf-8") as stream:
        stream.write("after")

    assert link.is_symlink()
    assert target.read_text() == "after"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_what_a_person_may_not_write_to_is_not_replaced(tmp_path):
    tmp_path.chmod(0o777)
    path = tmp_path / "given.txt"
    path.write_text("theirs")
    path.chmod(0o444)
    with another_person(), pytest.raises(PermissionError), whole(path, "utf-8"):
        pass

    assert path.read_text() == "theirs"


def test_of_drafts_only_those_are_removed_that_nobody_writes_any_more(tmp_path):
    with whole(tmp_path / "work.txt") as stream:
        (living,) = tmp_path.iterdir()
        left, own = tmp_path / f".saving-{'0' * 16}", tmp_path / ".saving-money"
        for path, age in ((left, ABANDONED_S + 60), (own, 2 * ABANDONED_S), (living, ABANDONED_S - 60)):
            path.touch()
            os.utime(path, (time.time() - age,) * 2)
        sweep(tmp_path)
        assert set(tmp_path.iterdir()) == {living, own}
        stream.write(b"all")

    assert (tmp_path / "work.txt").read_bytes() == b"all"


@pytest.mark.parametrize("does", ["saves", "removes"])
async def test_what_a_killed_server_left_half_written_does_not_stay(does, tmp_path):
    """Nobody sees it, and yet a folder with it could not be removed."""
    contents = Contents(root_dir=str(tmp_path))
    folder = tmp_path / "folder"
    folder.mkdir()
    left = folder / f".saving-{'7' * 16}"
    left.touch()
    os.utime(left, (0, 0))
    if does == "saves":
        await contents.save(text("all"), "folder/note.txt")
        assert [each.name for each in folder.iterdir()] == ["note.txt"]
    else:
        await contents.delete("folder")
        assert not folder.exists()


async def test_people_read_why_a_name_does_not_do(tmp_path):
    contents = Contents(root_dir=str(tmp_path))
    longest = "肺" * 85
    assert (await contents.save(text("all"), longest))["name"] == longest
    with pytest.raises(HTTPError) as refused:
        await contents.save(text("all"), f"{longest}s")
    assert "File name too long" in str(refused.value)


async def test_copies_and_saves_at_once_each_have_their_own_content_and_name(tmp_path):
    contents = Contents(root_dir=str(tmp_path))
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name * 10**6)
    await asyncio.gather(
        *(contents.copy(f"{name}.txt") for name in "ab" * 4), *(contents.save(text("c" * 10**6), "c.txt") for _ in range(4))
    )

    found = sorted(tmp_path.iterdir())
    assert len(found) == 2 + 8 + 1
    assert all(each.read_text() == each.name[0] * 10**6 for each in found)


async def test_a_notebook_a_text_and_an_upload_come_back_as_they_were_saved(tmp_path):
    contents = Contents(root_dir=str(tmp_path))
    made = await contents.new_untitled(type="notebook", ext=".ipynb")
    notebook = (await contents.get(made["path"]))["content"]
    notebook["cells"] = [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "肺"}]
    await contents.save({"type": "notebook", "content": notebook}, made["path"])
    await contents.save(text("一\n二\n"), "note.txt")
    for chunk, piece in ((1, "one "), (-1, "two")):
        await contents.save(text(piece) | {"chunk": chunk}, "upload.txt")

    assert (await contents.get(made["path"]))["content"]["cells"][0]["source"] == "肺"
    assert (tmp_path / "note.txt").read_bytes() == "一\n二\n".encode()
    assert (await contents.get("upload.txt"))["content"] == "one two"
    await contents.create_checkpoint("note.txt")
    await contents.save(text("three"), "note.txt")
    await contents.restore_checkpoint("checkpoint", "note.txt")
    await contents.update({"path": "moved.txt"}, "note.txt")
    await contents.delete("upload.txt")
    assert {each["name"] for each in (await contents.get(""))["content"]} == {made["name"], "moved.txt"}
    assert (await contents.get("moved.txt"))["content"] == "一\n二\n"


async def test_a_file_that_has_come_meanwhile_is_not_made_anew_without_content(tmp_path):
    contents = Contents(root_dir=str(tmp_path))
    await contents.new(text("kept"), "note.txt")
    with pytest.raises(HTTPError, match="409"):
        await contents.new({"type": "file"}, "note.txt")

    assert (tmp_path / "note.txt").read_text() == "kept"


async def test_looks_at_many_notebooks_at_once_are_answered(tmp_path):
    """From as many threads: what remembers trusted cells belongs to none of them."""
    contents = Contents(root_dir=str(tmp_path))
    made = [await contents.new_untitled(type="notebook", ext=".ipynb") for _ in range(3)]
    found = await asyncio.gather(*(contents.get(each["path"]) for each in made * READERS))
    await contents.trust_notebook(made[0]["path"])

    assert len(found) == 3 * READERS


@pytest.mark.parametrize("path", [".ssh/key", "a/.hidden/b", "../out", "a/.saving-1"])
async def test_hidden_is_what_a_name_says(path, tmp_path):
    assert await Contents(root_dir=str(tmp_path)).is_hidden(path)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), OSError(107, "not connected")])
def test_a_mount_that_nobody_waits_for_any_more_is_known_by_its_errors(error):
    wrapped = HTTPError(500, "while saving")
    wrapped.__cause__ = error
    assert given_up(error)
    assert given_up(wrapped)
    assert not given_up(HTTPError(404, "no such file"))
    assert not given_up(OSError(28, "No space left on device"))


# The start of a kernel


def test_a_kernel_is_started_in_memory_and_told_where_it_works():
    asked = {"cwd": "/home/tanaka/cloud/people/jrs0017", "env": {"A": "b"}, "kernel_id": "7"}
    made = in_memory(asked, {"HOME": "/home/tanaka"})

    assert made == {"cwd": "/home/tanaka", "env": {"A": "b", FOLDER: asked["cwd"]}, "kernel_id": "7"}
    assert in_memory({"kernel_id": "7"}, {}) == {"kernel_id": "7"}


# A server on a mount, and a line that breaks


@pytest.fixture(scope="module")
def near():
    with nearby() as found:
        yield found


@pytest.fixture(scope="module")
def lab(near, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with near.mount(link_command()) as mount:
        (folder / "cloud").symlink_to(mount.place)
        found = Lab(folder)
        yield found
        near.line.order("calm")
        found.close()


@contextlib.contextmanager
def cut(near):
    near.line.order("refuse")
    near.line.order("reset")
    try:
        yield
    finally:
        near.line.order("calm")


class Client:
    """A browser's calls."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self._http, self._base = http, base

    async def __call__(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        async with self._http.request(method, self._base + path, json=body) as answer:
            return answer.status, await (answer.json() if "json" in answer.content_type else answer.text())

    async def session(self, path: str) -> str:
        """A kernel for the notebook at `path`; its id."""
        wish = {"path": path, "type": "notebook", "name": Path(path).name, "kernel": {"name": "ct"}}
        status, made = await self("POST", "api/sessions", wish)
        assert status == 201, made
        return made["kernel"]["id"]

    @contextlib.asynccontextmanager
    async def channels(self, kernel: str):
        async with self._http.ws_connect(f"{self._base}api/kernels/{kernel}/channels") as websocket:
            yield websocket


async def run(websocket: aiohttp.ClientWebSocketResponse, code: str) -> str:
    """What a cell printed."""
    asked = uuid.uuid4().hex
    header = {"msg_id": asked, "session": asked, "username": "", "date": "", "msg_type": "execute_request", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}
    await websocket.send_str(json.dumps(message))
    printed = ""
    async with asyncio.timeout(60):
        async for each in websocket:
            got = json.loads(each.data)
            if got["parent_header"].get("msg_id") != asked:
                continue
            if got["msg_type"] == "stream":
                printed += got["content"]["text"]
            if got["msg_type"] == "status" and got["content"]["execution_state"] == "idle":
                return printed
    raise AssertionError("the websocket has ended")


IN_ITS_FOLDER = "import os; print(os.path.samefile('.', os.environ['RENKEI_OWN']))"
ELSEWHERE = (
    "api/status", "api/kernels", "api/sessions", "api/kernelspecs", "api/me", f"lab/tree/{OWN}/tutorials", "lab/api/workspaces",
    "lab/api/settings", "renkei/time", "custom/custom.css",
)  # fmt: skip


def test_during_a_cut_all_but_the_files_goes_on_and_the_files_follow(lab, near):
    own = near.folder / OWN

    async def work(http, base):
        ask = Client(http, base)
        status, _ = await ask("PUT", f"api/contents/{OWN}/first.ipynb", {"type": "notebook"})
        assert status == 201
        kernel = await ask.session(f"{OWN}/first.ipynb")
        async with ask.channels(kernel) as websocket:
            assert await run(websocket, IN_ITS_FOLDER) == "True\n"
            with cut(near):
                waiting = [asyncio.create_task(ask("GET", f"api/contents/{OWN}")) for _ in range(2 * READERS)]
                saves = [asyncio.create_task(ask("PUT", f"api/contents/{OWN}/kept.txt", text(each))) for each in ("1", "22", "333")]
                second = asyncio.create_task(ask.session(f"{OWN}/second.ipynb"))
                await asyncio.sleep(0.5)
                for path in ELSEWHERE:
                    async with asyncio.timeout(AT_ONCE):
                        assert (await ask("GET", path))[0] == 200, path
                async with asyncio.timeout(AT_ONCE):
                    assert await run(websocket, "print(6 * 7)") == "42\n"
                assert not any(each.done() for each in (*waiting, *saves, second)), "the line was not cut"
                assert not (own / "kept.txt").exists()
            assert {status for status, _ in await asyncio.gather(*waiting)} == {200}
            # Each of them was asked for while there was no such file.
            assert [status for status, _ in await asyncio.gather(*saves)] == [201] * 3
            assert await run(websocket, "print(6 * 7)") == "42\n"
        async with ask.channels(await second) as websocket:
            assert await run(websocket, IN_ITS_FOLDER) == "True\n"

    lab.browse(work, 120)
    assert (own / "kept.txt").read_text() == "333"
    assert sorted(each.name for each in own.iterdir() if "saving" in each.name) == []


def test_what_is_asked_for_after_a_save_comes_after_it(lab, near):
    """A name that is changed while a save waits goes to the new content."""
    own = near.folder / OWN

    async def work(http, base):
        ask = Client(http, base)
        assert (await ask("PUT", f"api/contents/{OWN}/old.txt", text("before")))[0] == 201
        with cut(near):
            tasks = []
            for method, path, body in (
                ("PUT", "old.txt", text("between")),
                ("PUT", "old.txt", text("after")),
                ("PATCH", "old.txt", {"path": f"{OWN}/new.txt"}),
                ("PUT", "new.txt", text("last")),
            ):
                tasks.append(asyncio.create_task(ask(method, f"api/contents/{OWN}/{quote(path)}", body)))
                await asyncio.sleep(0.1)
            assert not any(each.done() for each in tasks)
        assert [status for status, _ in await asyncio.gather(*tasks)] == [200, 200, 200, 201]

    lab.browse(work, 60)
    assert (own / "new.txt").read_text() == "last"
    assert not (own / "old.txt").exists()


async def test_when_nobody_waits_any_more_people_read_so_and_no_file_is_taken_for_absent(near):
    (near.folder / "there.txt").write_text("here")
    with near.mount(link_command() + " --budget=1 -- ssh") as mount:
        contents = Contents(root_dir=str(mount.place), lost="The storage is away.")
        assert (await contents.get("there.txt"))["content"] == "here"
        with cut(near):
            await asyncio.sleep(1.1)
            asks = (
                contents.get("there.txt"), contents.get(""), contents.save(text("new"), "there.txt"),
                contents.file_exists("there.txt"), contents.new_untitled(type="file", ext=".txt"),
            )  # fmt: skip
            said = await asyncio.gather(*asks, return_exceptions=True)
        assert [(type(each), each.status_code, each.log_message) for each in said] == [(HTTPError, 503, "The storage is away.")] * 5
        end = asyncio.get_running_loop().time() + 20
        while True:
            with contextlib.suppress(HTTPError):
                assert (await contents.get("there.txt"))["content"] == "here"
                break
            assert asyncio.get_running_loop().time() < end
            await asyncio.sleep(0.1)
