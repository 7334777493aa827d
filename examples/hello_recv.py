"""Waits for one record and prints it."""

import ipcx

with ipcx.Ring.open("hello").consumer() as rx:
    print(rx.recv().decode())
ipcx.unlink("hello")  # the next hello begins with a new ring
