"""Files to frames and back: probe, read, open_writer, ordered_map."""

from .flow import ordered_map
from .pictures import PictureWriter
from .reader import probe, read
from .writer import Writer, open_writer

__all__ = ["PictureWriter", "Writer", "open_writer", "ordered_map", "probe", "read"]
