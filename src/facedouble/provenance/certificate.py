"""What outputs are signed with: the user's own certificate, or a local one made on first use and renewed in time.

The user's own is named in signing.toml in the config folder:

    certificate = "chain.pem"      # the certificate first, then those that vouch for it; paths from that folder
    key = "key.pem"                # PKCS 8, without a password
    algorithm = "es256"            # es256, es384, es512, ps256, ps384, ps512 or ed25519
    time_authority = "https://..." # optional (RFC 3161); asked once for every output

certificate and key may be left out where only a time authority is wanted. The local certificate proves that a file was
not changed since it was signed; it vouches for nobody's identity, as no authority issued it. Its chain follows the C2PA
certificate profile: an end-entity certificate (ES256 on P-256, digital signature, e-mail protection) under a root of
its own, whose key is thrown away once it has signed that one certificate.
"""

from __future__ import annotations

import datetime as dt
import os
import tempfile
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..errors import MachineError
from ..project import config_folder

FILE = "signing.pem"
OWN = "signing.toml"
ALGORITHMS = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")
LIFETIME = dt.timedelta(days=5 * 365)
RENEW_BEFORE_END = dt.timedelta(days=30)
CERTIFICATE_LINE = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Identity:
    """A private key and its certificate chain, both PEM."""

    key: bytes
    chain: bytes
    algorithm: str = "es256"
    time_authority: str | None = None

    def __repr__(self) -> str:
        return "Identity(...)"  # a private key must not end up in a log


def signing_identity() -> Identity:
    """The user's own identity where signing.toml names one, else this machine's. Raises MachineError.

    Call it before long work, so that what is unfit to sign with fails at the start.
    """
    file = config_folder() / OWN
    if not file.is_file():
        return local_identity()
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
        strange = sorted(settings.keys() - {"certificate", "key", "algorithm", "time_authority"})
        if strange or not all(isinstance(value, str) for value in settings.values()):
            raise ValueError(f"unknown or not text: {', '.join(strange) or 'a setting'}")
        authority = settings.get("time_authority")
        if authority is not None and not authority.startswith("https://"):
            raise ValueError("time_authority must be an https address")
        if "certificate" not in settings and "key" not in settings:
            return replace(local_identity(), time_authority=authority)
        key, chain = ((file.parent / settings[name]).expanduser().read_bytes() for name in ("key", "certificate"))
        own = x509.load_pem_x509_certificates(chain)[0]
        if serialization.load_pem_private_key(key, password=None).public_key() != own.public_key():
            raise ValueError("the key is not the certificate's")
        if dt.datetime.now(dt.UTC) > own.not_valid_after_utc:
            raise ValueError(f"the certificate ran out on {own.not_valid_after_utc:%Y-%m-%d}")
        algorithm = settings.get("algorithm", "es256").lower()
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm {algorithm!r} is none of {', '.join(ALGORITHMS)}")
        return Identity(key, chain, algorithm, authority)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MachineError(
            f"{file}: cannot sign with what it names ({error}), and every output must be signed. Mend it, or remove it "
            "to sign with a local certificate."
        ) from error


def local_identity() -> Identity:
    """The machine's signing identity, made first where it is missing, damaged or about to expire.

    Call it before long work, so that a config folder that cannot be written fails at the start. Raises MachineError.
    """
    file = config_folder() / FILE
    try:
        known = _load(file)
        if known is not None:
            file.chmod(0o600)  # a copy or a backup may have widened it
            return known
        made = _make(dt.datetime.now(dt.UTC))
        _save(made, file)
        return made
    except OSError as error:
        raise MachineError(
            f"{file}: the signing key cannot be read or written ({error.strerror}), and every output must be signed. "
            "Set FACEDOUBLE_CONFIG to a folder of your own."
        ) from error


def _load(file: Path) -> Identity | None:
    """None where there is no usable identity in the file."""
    if not file.exists():
        return None
    key_pem, line, rest = file.read_bytes().partition(CERTIFICATE_LINE)
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
        certificates = x509.load_pem_x509_certificates(line + rest)
    except (ValueError, TypeError):
        return None
    own = certificates[0]
    now = dt.datetime.now(dt.UTC)
    if own.public_key() != key.public_key() or len(certificates) < 2:
        return None
    if now < own.not_valid_before_utc or now > own.not_valid_after_utc - RENEW_BEFORE_END:
        return None
    return Identity(key_pem, line + rest)


def _save(identity: Identity, file: Path) -> None:
    """Key and chain in one file, so that they always belong together; readable by the user alone from the first byte.

    The temporary name is this process's own: of two that start at once, the later file stays, and either is whole.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".signing-")  # created with mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(identity.key + identity.chain)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _make(now: dt.datetime) -> Identity:
    root_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("facedouble local root", root_key.public_key(), root_key, now, is_root=True)
    own = _certificate("facedouble local certificate", key.public_key(), root_key, now, is_root=False)
    pem = serialization.Encoding.PEM
    return Identity(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        own.public_bytes(pem) + root.public_bytes(pem),
    )


def _certificate(
    name: str,
    public: ec.EllipticCurvePublicKey,
    root_key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
    is_root: bool,
) -> x509.Certificate:
    issuer_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("facedouble local root"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # clocks differ between machines
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
        .add_extension(_key_usage(is_root), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
    )
    if not is_root:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(root_key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    """No user or machine name in it: the certificate travels with every output."""
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "facedouble (local, not verified)")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_usage(is_root: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_root,
        key_cert_sign=is_root,
        crl_sign=is_root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
