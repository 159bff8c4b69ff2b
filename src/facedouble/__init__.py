"""facedouble: put one consenting person's face on another's performance."""

__version__ = "0.1.0"
