"""How the notebook server inside the sandbox is set up: pure values, applied by `enclave.inside`.

None of it protects anything (a cell can become the server): what protects is the sandbox and the doorway. It makes the server
fit for its place: everything but the cloud in memory, nothing that needs the Internet, the person's language.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import msgspec

from enclave.gpus import visible
from enclave.messages import Welcome
from enclave.presets import FOLDER, Card
from enclave.sandbox import HUB_SOCKET, KERNELS

KERNEL = "ct"
EXTENSIONS = {"jupyterlab": True, "jupyter_lsp": False, "jupyter_server_terminals": False, "notebook_shim": False}
"""Server extensions: the Lab, and none of those that come along with it (a language server that is not there, terminals, the
classic notebook's addresses)."""
SERVICES = ("api", "auth", "config", "contents", "kernels", "kernelspecs", "security", "sessions", "shutdown", "events")
"""Of jupyter_server's services; without `files`, `view` and `nbconvert`, which hand out whole files."""
LAB_PARTS = str(Path(__file__).parent / "labextension")
"""Our parts of the Lab, as it loads them: nothing is built, and nothing of the Lab's installation is touched."""
KERNEL_PARTS = f"{KERNELS}/ctlab/labextension"
"""Those that come with the kernels of a checkout; an installed library's are where the Lab looks by itself."""
_JOB_MEMORY = ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE")
"""What Slurm says of the job's memory. Its cgroup can't be seen from inside, and a training has to know what it may take."""
SAYS_NOTHING_OF_CELLS = (
    # jupyter_server's own list.
    "comm_info_request",
    "comm_info_reply",
    "kernel_info_request",
    "kernel_info_reply",
    "shutdown_request",
    "shutdown_reply",
    "interrupt_request",
    "interrupt_reply",
    "debug_request",
    "debug_reply",
    "stream",
    "display_data",
    "update_display_data",
    "execute_input",
    "execute_result",
    "error",
    "status",
    "clear_output",
    "debug_event",
    "input_request",
    "input_reply",
    # A widget's message is answered beside a running cell: the kernel then says that it is idle, while it trains.
    "comm_open",
    "comm_msg",
    "comm_close",
)
"""Messages whose answers don't change whether a kernel counts as busy, by which a session is kept or ended."""
IOPUB_BYTES_PER_S = 20_000_000
"""What a kernel may send to the browser before the server drops messages, so that an endless loop of prints stays bearable."""
_DISABLED_PLUGINS = (
    # What asks the Internet.
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/extensionmanager-extension",
    "@jupyterlab/help-extension:jupyter-forum",
    "@jupyterlab/filebrowser-extension:open-url",
    "@jupyterlab/help-extension:resources",
    # What asks for server extensions and services that are not there.
    "@jupyterlab/apputils-extension:licenses-client",
    "@jupyterlab/apputils-extension:licenses-plugin",
    "@jupyterlab/fileeditor-extension:language-server",
    "@jupyterlab/help-extension:licenses",
    "@jupyterlab/help-extension:licenses-commands",
    "@jupyterlab/lsp-extension",
    "@jupyterlab/notebook-extension:language-server",
    "@jupyterlab/notebook-extension:update-raw-mimetype",
    "@jupyterlab/pluginmanager-extension",
    "@jupyterlab/terminal-extension",
    # What offers to take a file away from here.
    "@jupyterlab/apputils-extension:print",
    "@jupyterlab/docmanager-extension:download",
    "@jupyterlab/docmanager-extension:open-browser-tab",
    "@jupyterlab/filebrowser-extension:download",
    "@jupyterlab/filebrowser-extension:open-browser-tab",
    "@jupyterlab/filebrowser-extension:share-file",
    "@jupyterlab/notebook-extension:export",
)
"""Of the Lab: entries that would lead nowhere, or suggest what this place does not do. Locked, and no wall all the same."""


_IPYTHON = {
    "HistoryManager": {"enabled": False},
    # A module that somebody put beside a shared notebook must not stand for one of the library's.
    "InteractiveShellApp": {"ignore_cwd": True},
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the server learns when the hub has answered: over its standard input, on one line of JSON."""

    environment: dict[str, str]
    files: dict[str, str]
    """Absolute path in the sandbox's memory to text."""


def early_environment(home: str, python: str, inherited: dict[str, str]) -> dict[str, str]:
    """The environment that can be known before the hub has answered: every cache and every folder of settings in memory.

    `python` is the interpreter's path; of `inherited` only the names that belong to the job are taken over.
    """
    cache = f"{home}/.cache"
    return {
        "HOME": home,
        "PATH": f"{PurePosixPath(python).parent}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": cache,
        "XDG_CONFIG_HOME": f"{home}/.config",
        "XDG_DATA_HOME": f"{home}/.local/share",
        "MPLCONFIGDIR": f"{cache}/matplotlib",
        "TORCH_HOME": f"{cache}/torch",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/torchinductor",
        "TRITON_CACHE_DIR": f"{cache}/triton",
        "CUDA_CACHE_PATH": f"{cache}/cuda",
        "CUDA_ENABLE_COREDUMP_ON_EXCEPTION": "0",
        "NUMBA_CACHE_DIR": f"{cache}/numba",
        "HF_HOME": f"{cache}/huggingface",
        "IPYTHONDIR": f"{home}/.ipython",
        "JUPYTER_CONFIG_DIR": f"{home}/.jupyter",
        "JUPYTER_DATA_DIR": f"{home}/.local/share/jupyter",
        "JUPYTER_RUNTIME_DIR": f"{home}/.local/share/jupyter/runtime",
        "JUPYTER_PATH": str(PurePosixPath(KERNELS).parent),
        # There is no network: whoever tries to install something hears so soon, and not after five attempts.
        "PIP_RETRIES": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **({"PYTHONPATH": inherited["PYTHONPATH"]} if "PYTHONPATH" in inherited else {}),
        **{name: said for name in _JOB_MEMORY if (said := inherited.get(name, "")).isdecimal()},
        **({"CUDA_VISIBLE_DEVICES": gpus} if (gpus := visible(inherited.get("CUDA_VISIBLE_DEVICES"))) else {}),
    }


def settings(welcome: Welcome, home: str, placeholder: str, tutorials: Sequence[Card] = ()) -> Settings:
    """Environment and files for the server of `welcome`'s person, whose home is `home`.

    `placeholder` stands where the hub's token would: the doorway puts the token itself into the calls that need it.
    `tutorials` are those whose copies the person finds in their folder.
    """
    folder = welcome.destination.folder.strip("/")
    hub = f"http+unix://{quote(HUB_SOCKET, safe='')}/hub/api"
    japanese = welcome.language == "ja"
    environment = {
        name: value
        for name, value in welcome.environment.items()
        if name.startswith("JUPYTERHUB_") and not name.startswith("JUPYTERHUB_SSL_")
    }
    environment |= {
        "JUPYTERHUB_API_TOKEN": placeholder,
        "JPY_API_TOKEN": placeholder,
        "JUPYTERHUB_API_URL": hub,
        "JUPYTERHUB_ACTIVITY_URL": f"{hub}/users/{quote(welcome.user, safe='')}/activity",
        # Where a server of its own would listen; this one is handed its socket.
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:8888{welcome.base_url}",
        "JUPYTERHUB_SERVICE_PREFIX": welcome.base_url,
        "JUPYTERHUB_ROOT_DIR": f"{home}/cloud",
        "JUPYTERHUB_DEFAULT_URL": f"/lab/tree/{quote(folder)}" + (f"/{FOLDER}" if tutorials else ""),
        "LANG": "ja_JP.UTF-8" if japanese else "C.UTF-8",
        "LANGUAGE": welcome.language,
        "RENKEI_MOUNT": f"{home}/cloud",
        "RENKEI_OWN": f"{home}/cloud/{folder}",
        "RENKEI_DEADLINE": str(welcome.deadline),
        "RENKEI_LANGUAGE": welcome.language,
        "RENKEI_STILL_PICTURES": "kept" if welcome.still_pictures else "none",
    }
    jupyter = f"{home}/.jupyter"
    files = {
        f"{jupyter}/jupyter_server_config.json": json.dumps(_traits(home, welcome)),
        f"{jupyter}/custom/custom.css": notice_style(welcome.notice),
        f"{jupyter}/labconfig/page_config.json": json.dumps(
            {
                "disabledExtensions": dict.fromkeys(_DISABLED_PLUGINS, True),
                "lockedExtensions": dict.fromkeys(_DISABLED_PLUGINS, True),
                "buildAvailable": False,
                "buildCheck": False,
                **launcher(tutorials, f"{folder}/{FOLDER}", welcome.tutorials),
            }
        ),
        f"{home}/.ipython/profile_default/ipython_config.json": json.dumps(_IPYTHON),
    }
    if japanese:
        plugin = "lab/user-settings/@jupyterlab/translation-extension/plugin.jupyterlab-settings"
        files[f"{jupyter}/{plugin}"] = json.dumps({"locale": "ja_JP"})
    return Settings(environment=environment, files=files)


def launcher(tutorials: Sequence[Card], folder: str, section: str) -> dict[str, object]:
    """What the page tells the Lab's launcher (labextension/renkei-tutorials): its section, whose cards open files of `folder`."""
    if not tutorials:
        return {}
    cards = [msgspec.to_builtins(each) for each in tutorials]
    # As a text: of each table in this file Jupyter makes a list of the names that are switched on.
    return {"renkeiTutorials": json.dumps({"section": section, "folder": folder, "cards": cards})}


_NARROW = 0x2E7F
"""The last letter before those of East Asia."""


def notice_style(notice: str) -> str:
    """The style sheet that keeps `notice` in sight at the top of the Lab, beside warnings; nothing for no notice."""
    if not notice:
        return ""
    # Every character by its number: none can end the string that it stands in. Over everything, and in nobody's way.
    content = "".join(f"\\{ord(each):x} " for each in notice)
    # No more than half of the line that warnings stand in; at 13 pixels no letter is wider than 14.
    wide = 50 + sum(14 if ord(each) > _NARROW else 9 for each in notice)
    return (
        f'body::after {{ content: "{content}"; position: fixed; top: 3px; right: 8px; z-index: 20000; pointer-events: none; '
        "padding: 0 1em; border-radius: 3px; background: #8a1c1c; color: #ffffff; font: 600 13px/22px sans-serif; }\n"
        f"body .renkei-time-said div {{ padding-right: min(50vw, {wide}px); }}\n"
    )


def _traits(home: str, welcome: Welcome) -> dict[str, dict[str, object]]:
    return {
        "ServerApp": {
            "root_dir": f"{home}/cloud",
            "jpserver_extensions": EXTENSIONS,
            "terminals_enabled": False,
            # Nothing that waits for the mount does so in the server's event loop.
            "contents_manager_class": "enclave.contents.Contents",
            "kernel_manager_class": "enclave.kernelstart.Kernels",
            # The hub's page ends a session, and says so.
            "quit_button": False,
            "allow_remote_access": True,
        },
        "Contents": {"lost": welcome.storage.lost},
        "ContentsManager": {"files_handler_class": None},
        "FileContentsManager": {"delete_to_trash": False},
        # Checkpoints of the browser's editor stay in memory; beside the notebooks they would litter the cloud.
        "FileCheckpoints": {"root_dir": f"{home}/.checkpoints"},
        # Beyond 1 MB/s, its default, the server drops what a kernel sends, results and pictures too: less than a viewer needs.
        "ZMQChannelsWebsocketConnection": {"iopub_data_rate_limit": IOPUB_BYTES_PER_S},
        "MappingKernelManager": {"untracked_message_types": [*SAYS_NOTHING_OF_CELLS]},
        "MultiKernelManager": {"default_kernel_name": KERNEL},
        "KernelSpecManager": {"allowed_kernelspecs": [KERNEL], "ensure_native_kernel": False},
        "LabApp": {
            "custom_css": True,
            "extension_manager": "readonly",
            "news_url": None,
            "extra_labextensions_path": [LAB_PARTS, KERNEL_PARTS],
        },
        "LabServerApp": {"blocked_extensions_uris": "", "allowed_extensions_uris": ""},
    }
