"""The library of ``golock.etcd``: locks in etcd, with golock's core, in one Go runtime."""

LIBRARY = __file__.rpartition("/")[0] + "/libgolock_etcd.so"
"""Its path."""
