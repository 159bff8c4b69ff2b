"""The mark on every output: a C2PA content credential (Content Credentials, spec 2.x), signed on this machine.

mp4, mov, png and jpg carry it inside. A mkv or webm gets a sidecar `NAME.c2pa` bound to it by a hash of all its bytes;
a folder of pictures gets `credential.c2pa` inside, bound by a hash of the list of its files' hashes. No time-stamp
authority and no network are asked, neither to sign nor to verify.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import c2pa

from ..errors import InputError, OutputError
from ..project import atomic_file
from .certificate import signing_identity

GENERATOR = "facedouble"
ASSERTION = "org.facedouble.swap"
MARK_ALGORITHM = "org.facedouble.mark.1"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
FOLDER_SIDECAR = "credential.c2pa"
MAX_SIDECAR_BYTES = 64_000_000
MAX_HEAD_BYTES = 1_000_000

EMBEDDED = ("video/mp4", "video/quicktime", "image/png", "image/jpeg")
LISTING = "application/json"
# Codes on the signer's standing, not on the content: nobody trusts a local certificate, and it ends one day.
ABOUT_THE_SIGNER = {
    "signingCredential.untrusted",
    "signingCredential.expired",
    "claimSignature.outsideValidity",
    "signingCredential.ocsp.unknown",
    "signingCredential.ocsp.inaccessible",
}


@dataclass(frozen=True)
class Ingredient:
    """A file that went into the output; of its path only the name is recorded. The role "target" is the edited one."""

    path: Path
    sha256: str
    role: str


@dataclass(frozen=True)
class Person:
    """Someone shown: name or pseudonym, the id of the consent record, and the part played ("source", "target")."""

    name: str
    consent_id: str
    role: str


@dataclass(frozen=True)
class Claim:
    """What the credential says of an output; `changed_frames` are half-open ranges of frame numbers."""

    title: str
    tool_version: str
    ingredients: Sequence[Ingredient]
    people: Sequence[Person]
    model_sha256: str
    changed_frames: Sequence[tuple[int, int]]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    mark: str = ""
    """the number in the invisible mark, hexadecimal; "" where there is none"""


@dataclass(frozen=True)
class Verdict:
    """What a file's credential says: `text` is one sentence for the user, `details` the parts of the claim."""

    state: Literal["valid", "altered", "none"]
    made_here: bool
    """True where the claim is of this program's making (a claim, as the certificate is vouched for by nobody)"""
    text: str
    details: dict[str, Any]


def sidecar_of(path: Path) -> Path:
    """Where the credential of a file or folder lies when it is not inside the file."""
    return path / FOLDER_SIDECAR if path.is_dir() else path.with_suffix(".c2pa")


def sign(source: Path, destination: Path, claim: Claim) -> None:
    """Write `source` with its credential to `destination`, whole or not at all; the two may be the same path.

    A folder of pictures is signed in place. The target's file, where it is still there, becomes the parent ingredient
    and brings a credential of its own along; so does other footage that has one, as an input. Raises InputError,
    OutputError, or MachineError (no place for the key).
    """
    mime = _mime(source)
    if mime == LISTING:
        if source != destination:
            raise ValueError("a folder is signed in place")
        _save_sidecar(_signed(mime, _listing(source), io.BytesIO(), destination, claim), destination)
        return
    with atomic_file(destination) as temporary:
        with source.open("rb") as reading, temporary.open("w+b") as writing:
            manifest = _signed(mime, reading, writing, destination, claim)
        if mime not in EMBEDDED:
            _save_sidecar(manifest, destination)  # before the clip is there: no output without its mark


def verify(path: Path) -> Verdict:
    """Read and check the credential of a video, a picture or a folder of pictures.

    "altered": the content or the credential was changed after signing. "none": there is no credential, which is also
    what a tool leaves that strips it. Raises InputError for what is missing, unreadable or no video or picture.
    """
    mime = _mime(path)
    try:
        store = _store(path, mime)
    except c2pa.C2paError.RemoteManifest:
        text = f"{path}: its credential lies at a network address, which is not fetched, so nothing can be said of it."
        return Verdict("none", False, text, {})
    except c2pa.C2paError as error:
        if mime in EMBEDDED and not isinstance(error, c2pa.C2paError.Verify) and not _mentions_c2pa(path):
            raise InputError(f"{path}: damaged, so no credential can be looked for in it ({_short(error)}).") from error
        text = f"{path}: the file or its credential was damaged or changed after signing; it cannot be read."
        return Verdict("altered", False, text, {"problems": [_short(error)]})
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    if store is None:
        return Verdict("none", False, f"{path}: carries no credential; that alone does not tell how it was made.", {})
    return _verdict(path, store)


def _mime(path: Path) -> str:
    """The kind of file by its first bytes, whatever its suffix says; LISTING for a folder."""
    if path.is_dir():
        return LISTING
    if not path.is_file():
        raise InputError(f"{path}: no such file. Give a video, a picture or a folder of pictures.")
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:] == b"qt  " else "video/mp4"
    for magic, mime in (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"\x1a\x45\xdf\xa3", "video/x-matroska"),  # EBML: mkv and webm
    ):
        if head.startswith(magic):
            return mime
    raise InputError(f"{path}: neither a video (mp4, mov, mkv, webm) nor a picture (png, jpg).")


def _listing(folder: Path) -> BinaryIO:
    """Name and sha256 of every file directly in the folder, sorted: the bytes that a folder's credential binds."""
    lines = []
    for file in sorted(folder.iterdir()):
        if file.is_file() and not file.name.startswith(".") and file.name != FOLDER_SIDECAR:
            with file.open("rb") as opened:
                lines.append([file.name, hashlib.file_digest(opened, "sha256").hexdigest()])
    return io.BytesIO(json.dumps(lines).encode())


def _context(signer: c2pa.Signer | None = None) -> c2pa.Context:
    settings = {
        "builder": {"thumbnail": {"enabled": False}},
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},  # a clip must not make this machine call out
    }
    return c2pa.Context(settings=c2pa.Settings.from_dict(settings), signer=signer)


def _signed(mime: str, source: BinaryIO, destination: BinaryIO, path: Path, claim: Claim) -> bytes:
    """Sign from stream to stream; returns the manifest's bytes, for a sidecar."""
    identity = signing_identity()
    authority = identity.time_authority.encode() if identity.time_authority else None
    signer = c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(identity.algorithm.encode(), identity.chain, identity.key, authority)
    )
    target = next((ingredient for ingredient in claim.ingredients if ingredient.role == "target"), None)
    try:
        with c2pa.Builder(_manifest(claim, mime, target is not None), _context(signer)) as builder:
            if target is not None:
                _add_parent(builder, target)
            for number, other in enumerate(each for each in claim.ingredients if each.role != "target"):
                _add_input(builder, other, f"input-{number}")
            if mime not in EMBEDDED:
                builder.set_no_embed()
            manifest: bytes = builder.sign(mime, source, destination)
            return manifest
    except c2pa.C2paError.Io as error:
        raise OutputError(f"{path}: writing the credential failed ({_short(error)}). Is the disk full?") from error
    except c2pa.C2paError as error:
        raise InputError(f"{path}: could not be given its credential ({_short(error)}).") from error


def _manifest(claim: Claim, mime: str, has_parent: bool) -> dict[str, Any]:
    """The C2PA manifest definition; spec 2.x wants an opening action first, `opened` with a parent, else `created`."""
    agent = {"name": GENERATOR, "version": claim.tool_version}
    when = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = {"digitalSourceType": SOURCE_TYPE, "softwareAgent": agent, "when": when}
    if has_parent:
        parent = {"ingredientIds": ["target"]}
        actions = [{"action": "c2pa.opened", "parameters": parent}, {"action": "c2pa.edited", **made}]
    else:
        actions = [{"action": "c2pa.created", **made}]
    if claim.mark:
        actions.append({"action": "c2pa.watermarked", "softwareAgent": agent, "when": when})
    swap = {
        "ingredients": [{"name": i.path.name, "sha256": i.sha256, "role": i.role} for i in claim.ingredients],
        "people": [asdict(person) for person in claim.people],
        "model_sha256": claim.model_sha256,
        "changed_frames": [list(frames) for frames in claim.changed_frames],
        "recipe": json.loads(json.dumps(dict(claim.recipe), default=str)),
        "mark": claim.mark,
    }
    # Spec 2.x, "Soft bindings": what finds this manifest again from a copy that has lost it.
    soft = {"alg": MARK_ALGORITHM, "blocks": [{"scope": {}, "value": claim.mark}]}
    return {
        "claim_generator_info": [agent],
        "title": claim.title,
        "format": mime,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": ASSERTION, "data": swap},
            *([{"label": "c2pa.soft-binding", "data": soft}] if claim.mark else []),
        ],
    }


def _add_parent(builder: c2pa.Builder, target: Ingredient) -> None:
    description = {"title": target.path.name, "relationship": "parentOf", "label": "target"}
    try:
        mime = _mime(target.path)
        if mime != LISTING:
            with target.path.open("rb") as file:
                builder.add_ingredient({**description, "format": mime}, mime, file)
            return
    except (InputError, OSError, c2pa.C2paError):
        pass  # gone or unreadable by now: named, without a credential of its own
    builder.add_ingredient(description, "application/octet-stream", io.BytesIO(b""))


def _add_input(builder: c2pa.Builder, other: Ingredient, label: str) -> None:
    """Footage that a model learned from, where it is still there as it was and has a credential to bring along."""
    try:
        mime = _mime(other.path)
        if mime not in EMBEDDED or not _mentions_c2pa(other.path):
            return
        with other.path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == other.sha256:
                file.seek(0)
                described = {"title": other.path.name, "relationship": "inputTo", "label": label, "format": mime}
                builder.add_ingredient(described, mime, file)
    except (InputError, OSError, c2pa.C2paError):
        pass  # gone, unreadable or damaged by now: what the claim says of it still stands


def _save_sidecar(manifest: bytes, path: Path) -> None:
    with atomic_file(sidecar_of(path)) as temporary:
        temporary.write_bytes(manifest)


def _store(path: Path, mime: str) -> dict[str, Any] | None:
    """The library's report on the file's manifest store; None where there is none."""
    with _listing(path) if mime == LISTING else path.open("rb") as content:
        manifest = None
        if mime not in EMBEDDED:
            sidecar = sidecar_of(path)
            if not sidecar.is_file():
                return None
            with sidecar.open("rb") as file:
                manifest = file.read(MAX_SIDECAR_BYTES)
        try:
            with c2pa.Reader(mime, content, manifest, _context()) as reader:
                report: dict[str, Any] = json.loads(reader.json())
                return report
        except c2pa.C2paError.ManifestNotFound:
            return None


def _verdict(path: Path, store: dict[str, Any]) -> Verdict:
    manifest = store["manifests"][store["active_manifest"]]
    checks = store.get("validation_results", {}).get("activeManifest", {})
    failed = [check["code"] for check in checks.get("failure", [])]
    problems = [code for code in failed if code not in ABOUT_THE_SIGNER]
    if "claimSignature.validated" not in [check["code"] for check in checks.get("success", [])]:
        problems = problems or ["claimSignature.missing"]
    assertions = {assertion["label"]: assertion.get("data") for assertion in manifest.get("assertions", [])}
    generator = (manifest.get("claim_generator_info") or [{}])[0]
    swap, ingredients = assertions.get(ASSERTION), manifest.get("ingredients", [])
    made_here = generator.get("name") == GENERATOR and isinstance(swap, dict)
    details = {
        "title": manifest.get("title"),
        "generator": {key: generator.get(key) for key in ("name", "version")},
        "signer": manifest.get("signature_info", {}).get("issuer"),
        "signer_trusted": store.get("validation_state") == "Trusted",
        "digital_source_types": _source_types(assertions),
        "parents": [each.get("title") for each in ingredients if each.get("relationship") == "parentOf"],
        "inputs": [each.get("title") for each in ingredients if each.get("relationship") == "inputTo"],
        "swap": swap if made_here else None,
        "problems": problems,
    }
    if problems:
        text = f"{path}: was changed after it was signed, so its credential no longer holds ({', '.join(problems)})."
        return Verdict("altered", made_here, text, details)
    maker = "faces in it were replaced by facedouble" if made_here else "it was signed by another program"
    standing = "" if details["signer_trusted"] else " (no authority vouches for the signer)"
    return Verdict("valid", made_here, f"{path}: {maker}, and it is unchanged since{standing}.", details)


def _source_types(assertions: Mapping[str, Any]) -> list[str]:
    types = []
    for label, data in assertions.items():
        if label.startswith("c2pa.actions") and isinstance(data, dict):
            types += [
                action["digitalSourceType"] for action in data.get("actions", []) if "digitalSourceType" in action
            ]
    return types


def _mentions_c2pa(path: Path) -> bool:
    """Tells a signed file that was cut short from a file that is merely broken."""
    with path.open("rb") as file:
        return b"c2pa" in file.read(MAX_HEAD_BYTES)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())[:160]
    return "".join(character for character in text if character.isprintable())
