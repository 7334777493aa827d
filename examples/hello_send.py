"""Sends one record; hello_recv, in C, Python or Rust, prints it."""

import ipcx

with ipcx.Ring.open("hello").producer() as tx:
    tx.send(b"hello from Python")
