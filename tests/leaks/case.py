"""A case that carries canaries: in its voxels, its header, its file's and its folder's name."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel
import numpy as np

from testbed.site import Testbed
from tests.leaks.scan import Canary, pixel_canaries, pixel_values, text_canary


@dataclass(frozen=True)
class Planted:
    """Where the case lies below the cloud's root, and what to look for."""

    path: str
    canaries: tuple[Canary, ...]

    @property
    def file(self) -> Canary:
        """The canary in the file's name."""
        return self.canaries[0]


def plant(site: Testbed, account: str) -> Planted:
    """Put a case on the cloud, into the own folder of `account`."""
    file, folder, header = (text_canary(name) for name in ("file name", "folder name", "header"))
    pixels = pixel_values()
    voxels = np.full((48, 48, 48), -1000, np.int16)
    voxels[8:40, 8:40, 8:40] = 40
    # Along both axes in which voxels lie side by side, on the disk and in memory.
    voxels[12:28, 20, 20] = pixels
    voxels[20, 24, 12:28] = pixels
    image = nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0]))
    image.header["descrip"] = header.secret
    image.header.set_xyzt_units("mm")
    host = site.host("cloud")
    own = f"/srv/cloud/people/{account}"
    path = f"{folder.secret.decode()}/{file.secret.decode()}.nii"
    host.folder(f"{own}/{folder.secret.decode()}", 0o700, account)
    host.path(f"{own}/{path}").write_bytes(image.to_bytes())
    host.run(["chown", account, f"{own}/{path}"], check=True)
    return Planted(f"people/{account}/{path}", (file, folder, header, *pixel_canaries(pixels)))
