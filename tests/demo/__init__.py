"""The demonstration: a claim becomes a mounted volume, on real parts, before a person's eyes."""
