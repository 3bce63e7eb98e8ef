"""One file a format: each opens a file as a shard and reads its rows."""
