"""The two texts of a release, as pure functions of its parts: the notices for people, the bill of materials for programs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

from release.parts import Part

_NAMESPACE = uuid.UUID("5d6f2c1e-4f0b-5a53-9d37-3c6f5a3b8a11")
"""Made once, at random; a bill's serial number comes of it and the content: the same content has the same one."""


def notices(parts: Sequence[Part]) -> str:
    """THIRD-PARTY.md."""
    rows = [f"| {part.name} | {part.version} | {part.licence or 'says none'} |" for part in parts]
    counts = {kind: sum(part.kind == kind for part in parts) for kind in ("pypi", "npm")}
    head = f"""\
# Third-party software

Renkei is under the BSD 3-Clause licence ([LICENSE](LICENSE)). Its wheel holds none of what follows: installing it brings these
packages from where they are published, each under its own licence, as its own metadata state it. {counts["pypi"]} are Python's
(the extras hub, node and ctlab, at the versions of `constraints.txt`), {counts["npm"]} the proxy's (npm, as locked in
`spawner/proxy_package`). What the operating system brings (OpenSSH, sshfs, bubblewrap, Slurm, …) is the distribution's. The scans
that the demonstration shows have licences of their own ([testbed/data](testbed/data/README.md)).

Made by `python -m release`, as is the bill of materials beside it (`release/sbom.cdx.json`, CycloneDX 1.6).
"""
    return "\n".join([head, "| package | version | licence |", "|---|---|---|", *rows, ""])


def bill(parts: Sequence[Part], roots: Sequence[str], version: str) -> str:
    """The bill of materials: CycloneDX 1.6 as JSON. `roots` are the references of what Renkei itself asks for."""
    own = f"pkg:pypi/renkei@{version}"
    content = {
        "metadata": {
            "component": {
                "type": "application", "bom-ref": own, "name": "renkei", "version": version, "purl": own,
                "licenses": [{"license": {"id": "BSD-3-Clause"}}],
            }
        },
        "components": [_component(part) for part in parts],
        "dependencies": [
            {"ref": own, "dependsOn": [*roots, *(part.ref for part in parts if part.kind == "npm")]},
            *({"ref": part.ref, "dependsOn": list(part.asks_for)} for part in parts),
        ],
    }  # fmt: skip
    serial = uuid.uuid5(_NAMESPACE, json.dumps(content, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return json.dumps({**head, **content}, indent=1, ensure_ascii=False) + "\n"


def _component(part: Part) -> dict[str, object]:
    found: dict[str, object] = {
        "type": "library", "bom-ref": part.ref, "name": part.name, "version": part.version, "purl": part.ref,
    }  # fmt: skip
    if part.sha512:
        found["hashes"] = [{"alg": "SHA-512", "content": part.sha512}]
    if part.licence:
        found["licenses"] = [{"expression": part.licence} if part.is_spdx else {"license": {"name": part.licence}}]
    if part.home:
        found["externalReferences"] = [{"type": "website", "url": part.home}]
    return found
