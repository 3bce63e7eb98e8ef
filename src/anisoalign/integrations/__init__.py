"""Fitted aligners inside other libraries: a short file each, imported by name, only where that library is installed.

Where a library takes a function, as `datasets.map`, pandas, polars, FAISS and LanceDB do, `model.transform` is one, and
there is nothing here: see docs/integrations.md.
"""
