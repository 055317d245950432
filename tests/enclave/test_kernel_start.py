"""The CT kernel as its start-up makes it: a real one, without a session around it."""

from __future__ import annotations

import os
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

KERNELS = Path(__file__).parents[2] / "kernels"
IMPORT = "try:\n    import beside\nexcept ModuleNotFoundError:\n    print('not there')\nelse:\n    print(beside.here)"


def test_a_module_that_has_just_come_is_found_though_its_folder_s_time_has_not_changed(tmp_path):
    manager = KernelManager(kernel_name="ct", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(KERNELS)]))
    said: list[str] = []
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        run(client, IMPORT, said)
        # As in a cloud's folder, whose time is whole seconds: two changes within one can't be told apart.
        time = tmp_path.stat().st_mtime_ns
        (tmp_path / "beside.py").write_text("here = True")
        os.utime(tmp_path, ns=(time, time))
        run(client, IMPORT, said)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)

    assert said == ["not there\n", "True\n"]


def run(client, code, said):
    """Run a cell; what it printed is added to `said`."""

    def hear(message):
        if message["msg_type"] in {"stream", "error"}:
            said.append(message["content"].get("text", message["msg_type"]))

    client.execute_interactive(code, timeout=60, output_hook=hear)
