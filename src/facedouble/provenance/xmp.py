"""The mark in plain XMP, for programs that read no Content Credential: IPTC's digital source type and a sentence.

Sources: IPTC Photo Metadata Standard 2023.1 and IPTC Video Metadata Hub (DigitalSourceType); XMP Specification Part 3
(the uuid box of ISO base media files, the iTXt chunk of PNG).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from uuid import UUID
from xml.sax.saxutils import escape

from ..project import atomic_file, output_errors
from .credential import SOURCE_TYPE

SENTENCE = "AI modified: a face in it was replaced with facedouble, with a consent on record"
_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_PNG_HEAD = 8 + 25
"""bytes of a PNG's signature and its first chunk"""
_KEYWORD = b"XML:com.adobe.xmp"


def packet(tool_version: str) -> bytes:
    """The XMP packet, UTF-8."""
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
<xmp:CreatorTool>facedouble {escape(tool_version)}</xmp:CreatorTool>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{SENTENCE}</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>""".encode()


def write(path: Path, tool_version: str) -> None:
    """Add the packet to an unsigned mp4, mov or png, or to every png of a folder that has none; other files have no
    place for it."""
    content = packet(tool_version)
    if path.is_dir():
        for file in path.glob("*.png"):
            _into_png(file, content)
    elif path.suffix.lower() in (".mp4", ".mov"):
        with output_errors(path), path.open("ab") as clip:
            clip.write(struct.pack(">I4s", 24 + len(content), b"uuid") + _BOX + content)
    elif path.suffix.lower() == ".png":
        _into_png(path, content)


def _into_png(file: Path, content: bytes) -> None:
    body = b"iTXt" + _KEYWORD + bytes(5) + content  # uncompressed, no language, no translated keyword
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    picture = file.read_bytes()
    if picture[_PNG_HEAD:].startswith(chunk):
        return  # by a run that was stopped while it did this
    with atomic_file(file) as temporary:
        temporary.write_bytes(picture[:_PNG_HEAD] + chunk + picture[_PNG_HEAD:])
