"""The files of transfers on the disk: sources, part files, and what is remembered of half ones (spec 08 §9.5).

Everything here blocks, and belongs into a worker thread.
"""
