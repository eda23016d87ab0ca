"""
Store callbacks on disk before they are answered, and keep them until Kafka has them.

Read async_spool.py first, then group_commit.py and writer_thread.py (when a commit begins and
ends), then spool.py and writer.py (reads and writes), then the files that those import.

One row has several coordinates:

- name: of the spool and its file, 16 hex digits. It never changes.
- number: the row's place in the file: 1, 2, 3, …. It is never given twice and never changes.
- origin: the name under which rows are sent to Kafka (`ce_origin`). It is the spool's name, until
  the file is found to be an older copy of itself; then the remaining rows move to a new origin.
- base: the last number before the current origin began; 0 for the first origin.
- sequence: the row's place in its origin (`ce_sequence`), which is number - base.

Rows are stored by blocks (block.py). A row that cannot be sent is in quarantine: it stays in the
file. Its bytes are damaged, or Kafka refuses the row, even as a dead letter. A file that is corrupt
as a whole is renamed to *.corrupt-TIME.

An uncertain commit is one that raised an error of the disk: its rows and changes may be in the file
all the same. So the next transaction reads the state from the file again (writer.py).

Here `cursor` is LMDB's, which moves through the keys of a database. In ingress/forward it is the
last sequence that Kafka has.
"""
